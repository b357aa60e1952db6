"""Every clause of a policy at each of the three stages, and what a stricter or a looser policy does to what waits."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from approvals import policies, registry, services, tasks
from approvals.models import AuditEntry, Execution, Policy, PolicyUsage, Suggestion
from approvals.policies import changing, usage
from approvals.states import State
from billingops.actors import Actor
from billingops.exceptions import InvalidTransition
from billingops.stripe.errors import Ambiguous, Refused

SYSTEM = Actor.system("test")
SUNDAY = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def set_policy(kind="test_payout", account="", **values):
    """As the config file and the admin do it: a change is a new version."""
    row = Policy.objects.filter(kind=kind, account=account).first() or Policy(kind=kind, account=account)
    if row.pk:
        values = changing.DEFAULTS | values
    return changing.store(row, values, actor=SYSTEM, reason="test")


def approve(suggestion, user):
    suggestion.refresh_from_db()
    return services.approve(suggestion_id=suggestion.pk, actor=Actor.person(user), version=suggestion.version)


def carry_out(suggestion):
    execution = suggestion.executions.get(state="queued")
    Execution.objects.filter(pk=execution.pk).update(not_before=timezone.now())
    tasks.execute(execution.pk)
    suggestion.refresh_from_db()
    return suggestion.state


def names(stored, effect=None):
    return {clause["name"] for clause in stored["clauses"] if effect in (None, clause["effect"])}


@pytest.fixture
def changed(bank):
    """When the destination's bank details changed."""
    moments = {}
    object.__setattr__(registry.get("test_payout"), "destination_changed_at", moments.get)
    return moments


# -- what denies -------------------------------------------------------------------------------------------------------

DENIES = {
    "a cap of the action": ({"caps": {"action": {"sum": {"usd": 13302}}}}, "at most USD 133.02 at a time"),
    "a destination not allowed": ({"destinations": ["acct_9"]}, "acct_1 is not among the 1 allowed destination"),
    "off": ({"mode": "off"}, "off"),
}


@pytest.mark.parametrize("case", sorted(set(DENIES) - {"off"}))
def test_what_policy_denies_is_flagged_when_proposed_and_refused_when_approved(propose, finance, case):
    values, says = DENIES[case]
    policy = set_policy(**values)
    suggestion = propose()
    assert says in suggestion.policy["proposed"]["clause"]
    assert f"policy test_payout · all accounts v{policy.version}" in suggestion.policy["proposed"]["denied"]
    assert any(says in flag["text"] for flag in suggestion.flags)
    with pytest.raises(InvalidTransition, match="Nothing was approved"):
        approve(suggestion, finance)
    suggestion.refresh_from_db()
    assert suggestion.state == State.PENDING


@pytest.mark.parametrize("case", sorted(DENIES))
def test_a_denial_that_comes_while_it_waits_holds_at_the_approval(propose, finance, case):
    suggestion = propose()
    set_policy(**DENIES[case][0])
    with pytest.raises(InvalidTransition, match="Nothing was approved"):
        approve(suggestion, finance)


@pytest.mark.parametrize("case", sorted(DENIES))
def test_a_denial_that_comes_after_the_approval_holds_at_the_execution(propose, finance, bank, case):
    suggestion = approve(propose(), finance)
    set_policy(**DENIES[case][0])
    assert carry_out(suggestion) == ("cancelled" if case == "off" else "stale")
    assert bank.effects == {}
    assert DENIES[case][1] in suggestion.policy["executed"]["clause"]
    entry = AuditEntry.objects.filter(subject=f"suggestion:{suggestion.pk}").latest("seq")
    assert DENIES[case][1] in entry.data["policy"]["executed"]["clause"]


@pytest.mark.parametrize("case", sorted(set(DENIES) - {"off"}))
def test_a_denial_taken_away_still_holds_for_what_was_suggested_under_it(propose, finance, case):
    set_policy(**DENIES[case][0])
    old = propose()
    set_policy()
    with pytest.raises(InvalidTransition, match="when it was suggested"):
        approve(old, finance)
    assert approve(propose(dedupe_key="new"), finance).state == State.APPROVED


def test_a_policy_denies_even_what_it_would_carry_out_by_itself(propose, monkeypatch):
    monkeypatch.setattr("approvals.policies.evaluation._grant_for", lambda suggestion, rows: rows[0])
    set_policy(mode="auto", auto_under={"usd": 10**6}, destinations=["acct_9"])
    suggestion = propose()
    assert (suggestion.state, suggestion.policy["proposed"]["mode"]) == (State.PENDING, "review")


# -- who looks ---------------------------------------------------------------------------------------------------------


def test_two_approvers_are_asked_for_over_the_limit_only(propose):
    set_policy(two_approvers_over={"usd": 13303})
    assert propose(dedupe_key="a").required_approvals == 1
    set_policy(two_approvers_over={"usd": 13302})
    suggestion = propose(dedupe_key="b")
    assert suggestion.required_approvals == 2
    assert suggestion.policy["proposed"]["clause"].endswith("two approvers over USD 133.02; this is USD 133.03")


def test_a_second_approver_asked_for_later_is_asked_for_of_what_waits(propose, finance, lead):
    suggestion = propose()
    set_policy(two_approvers_over={"usd": 1})
    assert approve(suggestion, finance).state == State.SECOND_REVIEW
    assert approve(suggestion, lead).state == State.APPROVED


def test_a_second_approver_asked_for_after_the_approval_sends_it_back(propose, finance, bank):
    suggestion = approve(propose(), finance)
    set_policy(two_approvers_over={"usd": 1})
    assert carry_out(suggestion) == State.STALE
    assert bank.effects == {}


def test_a_limit_raised_later_is_for_what_comes(propose, finance):
    set_policy(two_approvers_over={"usd": 1})
    waits = propose()
    set_policy(two_approvers_over={"usd": 10**6})
    assert approve(waits, finance).state == State.SECOND_REVIEW
    assert approve(propose(dedupe_key="new"), finance).state == State.APPROVED


def test_what_was_suggested_without_a_policy_is_not_automated_by_a_later_one(propose, monkeypatch):
    suggestion = propose()
    monkeypatch.setattr("approvals.policies.evaluation._grant_for", lambda suggestion, rows: rows[0])
    set_policy(mode="auto", auto_under={"usd": 10**6})
    asks = policies.evaluate(suggestion, stage="executed")
    assert (asks.mode, asks.approvals) == ("review", 1)


AUTO = {"mode": "auto", "auto_under": {"usd": 20000}}


@pytest.mark.parametrize(
    ("values", "mode", "says"),
    [
        ({}, "auto", "auto is earned"),
        ({"auto_under": {"eur": 10**6}}, "review", "auto has no limit in USD"),
        ({"auto_under": {"usd": 13303}}, "review", "auto only under USD 133.03"),
        ({"caps": {"day": {"count": 0}}}, "review", "flagged"),
        ({"review_over": {"usd": 13302}}, "review", "a person reviews over USD 133.02"),
        ({"review_over": {"usd": 13303}}, "auto", "auto is earned"),
        ({"two_approvers_over": {"usd": 1}}, "review", "two approvers over USD 0.01"),
    ],
)
def test_auto_ends_where_a_limit_begins(propose, monkeypatch, values, mode, says):
    monkeypatch.setattr("approvals.policies.evaluation._grant_for", lambda suggestion, rows: rows[0])
    set_policy(**{**AUTO, **values})
    suggestion = propose()
    stored = suggestion.policy["proposed"]
    assert stored["mode"] == mode
    assert any(says in clause["text"] for clause in stored["clauses"])
    assert suggestion.state == (State.APPROVED if mode == "auto" else State.PENDING)


def test_a_review_limit_set_later_sends_back_what_no_person_has_seen(propose, monkeypatch, bank):
    monkeypatch.setattr("approvals.policies.evaluation._grant_for", lambda suggestion, rows: rows[0])
    set_policy(**AUTO)
    suggestion = propose()
    set_policy(**AUTO, review_over={"usd": 1})
    assert carry_out(suggestion) == State.STALE
    assert bank.effects == {}


def test_shadow_set_later_carries_nothing_out(propose, finance, bank):
    suggestion = approve(propose(), finance)
    set_policy(mode="shadow")
    assert carry_out(suggestion) == State.CANCELLED
    assert approve(propose(dedupe_key="b"), finance).state == State.OBSERVED
    assert bank.effects == {}


# -- what holds --------------------------------------------------------------------------------------------------------


def test_outside_the_hours_it_waits_until_they_begin(propose, finance, bank):
    suggestion = approve(propose(), finance)
    closed = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
    closed.remove(f"{timezone.now():%a}".lower())
    set_policy(hours={"days": closed, "from": "09:00", "to": "17:00"}, timezone="UTC")
    assert carry_out(suggestion) == State.APPROVED
    execution = suggestion.executions.get()
    assert (execution.state, bank.effects) == ("queued", {})
    assert "09:00–17:00 (UTC); next" in execution.held
    tomorrow = timezone.now().date() + timedelta(days=1)
    assert execution.not_before == datetime(tomorrow.year, tomorrow.month, tomorrow.day, 9, tzinfo=UTC)
    held = AuditEntry.objects.get(action="execution.held", subject=f"suggestion:{suggestion.pk}")
    assert held.data["reason"] == execution.held


@pytest.mark.parametrize(
    ("at", "opens"),
    [
        (datetime(2026, 3, 27, 16, 30, tzinfo=UTC), datetime(2026, 3, 30, 7, 0, tzinfo=UTC)),  # the clocks go forward
        (datetime(2026, 11, 20, 15, 59, tzinfo=UTC), None),  # Friday, 16:59 in Vienna
        (datetime(2026, 11, 20, 16, 0, tzinfo=UTC), datetime(2026, 11, 23, 8, 0, tzinfo=UTC)),
        (datetime(2026, 11, 23, 7, 59, tzinfo=UTC), datetime(2026, 11, 23, 8, 0, tzinfo=UTC)),
        (datetime(2026, 11, 23, 8, 0, tzinfo=UTC), None),
    ],
)
def test_hours_are_those_of_the_policys_time_zone(at, opens):
    hours = {"days": ["mon", "tue", "wed", "thu", "fri"], "from": "09:00", "to": "17:00"}
    assert policies.Terms(hours=hours, timezone="Europe/Vienna").opens_at(at) == opens


def test_hours_widened_later_are_for_what_comes(propose):
    narrow = {"days": ["mon"], "from": "09:00", "to": "10:00"}
    set_policy(hours=narrow)
    suggestion = propose()
    set_policy()
    assert policies.evaluate(suggestion, stage="executed", at=SUNDAY).hold
    assert not policies.evaluate(propose(dedupe_key="new"), stage="executed", at=SUNDAY).hold


def test_no_money_goes_where_the_bank_details_have_just_changed(propose, finance, bank, changed):
    set_policy(cool_down_hours=72)
    changed["acct_1"] = timezone.now() - timedelta(hours=71)
    suggestion = propose()
    assert "the bank details of acct_1 changed" in suggestion.policy["proposed"]["hold"]
    assert suggestion.flags[0]["code"] == "policy_cool_down_hours"
    approve(suggestion, finance)
    assert carry_out(suggestion) == State.APPROVED
    assert suggestion.executions.get().not_before == changed["acct_1"] + timedelta(hours=72)
    assert bank.effects == {}
    changed["acct_1"] -= timedelta(hours=2)
    assert carry_out(suggestion) == State.EXECUTED


def test_bank_details_that_change_after_the_approval_hold_it_back(propose, finance, bank, changed):
    set_policy(cool_down_hours=24)
    suggestion = approve(propose(), finance)
    changed["acct_1"] = timezone.now()
    assert carry_out(suggestion) == State.APPROVED
    assert bank.effects == {}


def test_a_cool_down_set_later_holds_and_one_shortened_is_for_what_comes(propose, changed):
    changed["acct_1"] = timezone.now() - timedelta(hours=30)
    suggestion = propose()
    set_policy(cool_down_hours=48)
    assert policies.evaluate(suggestion, stage="executed").hold
    longer = propose(dedupe_key="b")
    set_policy(cool_down_hours=24)
    assert policies.evaluate(longer, stage="executed").hold
    assert not policies.evaluate(propose(dedupe_key="c"), stage="executed").hold


def test_the_time_to_take_it_back_is_the_longer_of_then_and_now(propose, finance):
    set_policy(undo_seconds=600)
    suggestion = propose()
    set_policy(undo_seconds=60)
    before = timezone.now()
    approve(suggestion, finance)
    wait = suggestion.executions.get().not_before - before
    assert timedelta(seconds=600) <= wait < timedelta(seconds=660)


def test_a_suggestion_expires_when_its_policy_says(propose):
    set_policy(expires_hours=5)
    left = propose().expires_at - timezone.now()
    assert timedelta(hours=4, minutes=59) < left <= timedelta(hours=5)


# -- the caps of a day -------------------------------------------------------------------------------------------------

DAY_CAPS = {
    "account_day count": ({"account_day": {"count": 1}}, {"customer": "cus_2"}, "at most 1 a day and account"),
    "account_day sum": ({"account_day": {"sum": {"usd": 20000}}}, {"customer": "cus_2"}, "USD 133.03 today so far"),
    "customer_day count": ({"customer_day": {"count": 1}}, {"account": "acct_2"}, "at most 1 a day and customer"),
    "customer_day sum": ({"customer_day": {"sum": {"usd": 26605}}}, {"account": "acct_2"}, "at most USD 266.05 a day"),
    "day count": ({"day": {"count": 1}}, {"account": "acct_2", "customer": "cus_2"}, "at most 1 a day; 1 today"),
    "day sum": ({"day": {"sum": {"usd": 26605}}}, {"account": "acct_2", "customer": "cus_2"}, "this is USD 133.03"),
}


@pytest.mark.parametrize("case", sorted(DAY_CAPS))
def test_a_cap_of_the_day_holds_what_would_break_it_until_tomorrow(propose, finance, bank, case):
    caps, other, says = DAY_CAPS[case]
    set_policy(caps=caps)
    first, second = propose(dedupe_key="a"), propose(dedupe_key="b", **other)
    approve(first, finance)
    assert carry_out(first) == State.EXECUTED
    approve(second, finance)
    assert carry_out(second) == State.APPROVED
    execution = second.executions.get()
    assert says in execution.held
    tomorrow = timezone.now().date() + timedelta(days=1)
    assert execution.not_before == datetime(tomorrow.year, tomorrow.month, tomorrow.day, tzinfo=UTC)
    assert len(bank.effects) == 1
    third = propose(dedupe_key="c", **other)  # and whoever looks at the next one is told
    assert any(says in flag["text"] for flag in third.flags)


@pytest.mark.parametrize("case", sorted(DAY_CAPS))
def test_a_cap_counts_only_what_it_is_about(propose, finance, case):
    set_policy(caps=DAY_CAPS[case][0])
    elsewhere = {"account": "acct_7", "customer": "cus_7"}
    first = approve(propose(dedupe_key="a"), finance)
    assert carry_out(first) == State.EXECUTED
    second = approve(propose(dedupe_key="b", **elsewhere), finance)
    assert carry_out(second) == (State.APPROVED if case.startswith("day ") else State.EXECUTED)


def test_a_cap_in_one_currency_says_nothing_of_another(propose, finance):
    set_policy(caps={"day": {"sum": {"usd": 13303}}})
    for key, currency in (("a", "usd"), ("b", "eur"), ("c", "eur")):
        assert carry_out(approve(propose(dedupe_key=key, currency=currency), finance)) == State.EXECUTED


def test_a_cap_set_at_noon_counts_the_morning(propose, finance):
    assert carry_out(approve(propose(dedupe_key="a"), finance)) == State.EXECUTED
    second = approve(propose(dedupe_key="b"), finance)
    set_policy(caps={"day": {"count": 1}})
    assert carry_out(second) == State.APPROVED


def test_a_cap_of_the_day_lowered_holds_at_once_and_raised_lets_go(propose, finance):
    set_policy(caps={"day": {"count": 5}})
    first, second = (approve(propose(dedupe_key=key), finance) for key in "ab")
    assert carry_out(first) == State.EXECUTED
    set_policy(caps={"day": {"count": 1}})
    assert carry_out(second) == State.APPROVED
    set_policy(caps={"day": {"count": 2}})
    assert carry_out(second) == State.EXECUTED


def test_what_certainly_did_not_happen_is_given_back(propose, finance, bank):
    set_policy(caps={"day": {"count": 1, "sum": {"usd": 13303}}})

    def refuse():
        raise Refused("insufficient funds", code="balance_insufficient")

    bank.before = refuse
    assert carry_out(approve(propose(dedupe_key="a"), finance)) == State.FAILED
    assert set(PolicyUsage.objects.values_list("count", "amount")) == {(0, 0)}
    bank.before = None
    assert carry_out(approve(propose(dedupe_key="b"), finance)) == State.EXECUTED


def test_an_unknown_result_counts_until_it_is_known_not_to_be(propose, finance, bank, settings):
    def lose():
        raise Ambiguous("connection lost")

    bank.before = lose
    first = approve(propose(dedupe_key="a"), finance)
    bank.looking = lose
    assert carry_out(first) == State.UNKNOWN
    assert PolicyUsage.objects.get(scope="kind").count == 1
    bank.looking = None
    settings.EXECUTION_LOOKUP_SECONDS = 0
    Execution.objects.update(not_before=timezone.now())
    tasks.sweep_executions()
    first.refresh_from_db()
    assert first.state == State.FAILED
    assert PolicyUsage.objects.get(scope="kind").count == 0


def test_an_effect_found_late_is_counted_once(propose, finance, bank, settings):
    def lose():
        raise Ambiguous("connection lost")

    settings.EXECUTION_LOOKUP_SECONDS = 0
    bank.before = lose
    first = approve(propose(), finance)
    carry_out(first)
    Execution.objects.update(not_before=timezone.now())
    tasks.sweep_executions()
    first.refresh_from_db()
    assert first.state == State.FAILED
    services.confirm(suggestion_id=first.pk, event_id="evt_1", object_id="tr_1", actor=SYSTEM)
    assert PolicyUsage.objects.get(scope="kind").count == 1
    bank.before = None
    services.retry(suggestion_id=first.pk, actor=Actor.person(finance), version=first.version)
    assert carry_out(first) == State.CONFIRMED
    assert PolicyUsage.objects.get(scope="kind").count == 1


def test_a_day_is_that_of_the_policys_time_zone(propose):
    set_policy(caps={"day": {"count": 1}}, timezone="Asia/Kolkata")  # its day begins at 18:30 UTC
    suggestion = propose()
    evening = datetime(2026, 11, 22, 18, 29, tzinfo=UTC)
    usage.take(Execution(suggestion=suggestion), suggestion, at=evening)
    assert policies.evaluate(suggestion, stage="executed", at=evening).hold
    result = policies.evaluate(suggestion, stage="executed", at=evening - timedelta(hours=12))
    assert result.hold_until == "2026-11-22T18:30:00+00:00"
    assert not policies.evaluate(suggestion, stage="executed", at=evening + timedelta(minutes=1)).hold


def test_a_retry_is_counted_anew_and_a_cancelled_one_never_was(propose, finance):
    suggestion = approve(propose(), finance)
    services.cancel(suggestion_id=suggestion.pk, actor=Actor.person(finance), version=suggestion.version)
    assert not PolicyUsage.objects.exists()


def test_counters_of_long_ago_are_forgotten(propose, finance):
    carry_out(approve(propose(), finance))
    assert tasks.forget_usage() == 0
    PolicyUsage.objects.update(quarter=timezone.now() - timedelta(days=61))
    assert tasks.forget_usage() == 3


# -- several at once ---------------------------------------------------------------------------------------------------


def test_equally_narrow_policies_both_hold_with_all_their_clauses(propose):
    set_policy(caps={"action": {"sum": {"usd": 1}}})
    set_policy(kind="*", account="acct_1", destinations=["acct_9"], two_approvers_over={"usd": 1})
    stored = propose().policy["proposed"]
    assert names(stored, "deny") == {"cap_action_sum", "destinations"}
    assert names(stored, "second") == {"two_approvers_over"}
    assert len(stored["versions"]) == 2


def test_the_page_of_a_suggestion_names_every_clause(client, finance, propose):
    set_policy(two_approvers_over={"usd": 1}, undo_seconds=300, caps={"day": {"count": 0}})
    suggestion = propose()
    client.force_login(finance)
    page = client.get(f"/admin/approvals/suggestion/{suggestion.pk}/change/").content.decode()
    for expected in ("two approvers over USD 0.01", "can be taken back for 300 s", "at most 0 a day"):
        assert expected in page


def test_many_are_evaluated_in_a_fixed_number_of_statements(propose, django_assert_num_queries):
    set_policy(caps={"customer_day": {"count": 9}, "account_day": {"count": 9}, "day": {"count": 9}})
    rows = [propose(dedupe_key=str(n), customer=f"cus_{n}", account=f"acct_{n}") for n in range(6)]
    for some in (rows[:1], rows):
        with django_assert_num_queries(5):
            results = policies.evaluate_many(some, stage="approved")
    assert {result.approvals for result in results.values()} == {1}


def test_what_was_suggested_before_terms_were_kept_keeps_its_approvals(propose):
    suggestion = propose()
    suggestion.policy = {"proposed": {"mode": "review", "approvals": 2, "clause": "an old policy"}}
    assert policies.evaluate(suggestion, stage="approved").approvals == 2


def test_an_unsaved_policy_without_anything_asks_for_one_person():
    asks = policies.strictest(policies.evaluation.judge(policies.Terms(), policies.evaluation.Case(at=SUNDAY)))
    assert (asks.mode, asks.approvals, asks.clause) == ("review", 1, "no policy is set: one person reviews")
    assert isinstance(Suggestion().policy, dict)
