"""Automation is earned by evidence, granted by a lead, and lost at once when it slips."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied
from django.db import connections
from django.utils import timezone

from approvals import automation, executions, policies, services
from approvals.automation import bar as bars
from approvals.automation import grants, tasks
from approvals.automation.bar import Bar, Slot
from approvals.models import AuditEntry, AutomationGrant, Comparison, Execution, Policy, SeededCheck, Suggestion
from approvals.scoreboard import tally
from approvals.scoreboard.bands import Band
from approvals.scoreboard.board import Share
from approvals.states import State
from billingops.actors import Actor
from billingops.exceptions import InvalidInput, InvalidTransition

AUTHOR = "rules test v1"
BAND = Band("usd", 0, 10_000)
SLOT = Slot("test_payout", "acct_1", BAND, AUTHOR)
BAR = {"lower_bound": "0.4", "verdicts": 5, "days": 10}


@pytest.fixture
def policy(db: None) -> Policy:
    return Policy.objects.create(
        kind="test_payout",
        mode="auto",
        auto_under={"usd": 10_000},
        automation_bar=BAR,
        blind_percent=Decimal("0.01"),
    )


@pytest.fixture
def fresh(propose: Callable[..., Suggestion], monkeypatch: Any) -> Callable[..., Suggestion]:
    """A small suggestion; drawn into the blind sample only where the test says so."""
    sample: list[bool] = [False]
    monkeypatch.setattr("approvals.blind.drawn", lambda *args: sample[0])

    def make(*, blind: bool = False, **values: Any) -> Suggestion:
        sample[0] = blind
        try:
            return propose(**{"amount": 5000, "dedupe_key": uuid.uuid4().hex, **values})
        finally:
            sample[0] = False

    return make


@pytest.fixture
def history(fresh: Any, finance: Any) -> Callable[..., None]:
    """So many verdicts, spread evenly over so many days up to now."""

    def make(count: int = 6, *, days: int = 12, overridden: int = 0, **values: Any) -> None:
        now = timezone.now()
        for number in range(count):
            suggestion = fresh(**values)
            if suggestion.state != State.PENDING:
                continue
            who = {"suggestion_id": suggestion.pk, "actor": Actor.person(finance), "version": suggestion.version}
            if number < overridden:
                services.reject(**who, reason_code="wrong_amount")
            else:
                services.approve(**who)
            at = now - timedelta(days=days * (count - 1 - number) / max(count - 1, 1))
            Comparison.objects.filter(suggestion=suggestion).update(at=at)
        Execution.objects.all().update(state="dropped")

    return make


@pytest.fixture
def granted(policy: Policy, history: Any, lead: Any) -> AutomationGrant:
    history()
    return automation.grant(slot=SLOT, reason="six of six", actor=Actor.person(lead))


def grant(lead: Any, slot: Slot = SLOT, reason: str = "because") -> AutomationGrant:
    return automation.grant(slot=slot, reason=reason, actor=Actor.person(lead))


# -- the bar -----------------------------------------------------------------------------------------------------------


def test_the_default_bar_is_the_one_of_the_issue() -> None:
    assert Bar.of([]) == Bar(Decimal("0.99"), 400, 90)
    assert Bar.of([Policy(automation_bar={})]) == Bar(Decimal("0.99"), 400, 90)


def test_where_two_policies_hold_the_higher_bar_counts() -> None:
    found = Bar.of(
        [Policy(automation_bar={"verdicts": 500}), Policy(automation_bar={"lower_bound": "0.999", "days": 1})]
    )
    assert found == Bar(Decimal("0.999"), 500, 90)


def test_four_hundred_verdicts_without_an_override_meet_the_default_bound_and_with_one_they_do_not() -> None:
    bar = Bar.of([])
    assert bars.below(Share(400, 400), bar) == ""
    assert bars.below(Share(799, 800), bar) == ""
    words = bars.below(Share(399, 400), bar)
    assert words.startswith("is 98.5 %, 0.5 % below 99.0 % (399 of 400)")
    assert "more verdicts without an override would reach it" in words


@pytest.mark.parametrize(
    ("short", "words"),
    [
        ({"count": 3}, "2 more verdicts: 3 of 5."),
        ({"count": 4}, "1 more verdict: 4 of 5."),
        ({"days": 3}, "7 more days in review: 3 of 10."),
        ({"count": 8, "overridden": 5}, "The agreement's lower bound is 13.6 %"),
    ],
)
def test_a_refusal_says_which_figure_is_short_and_by_how_much(
    policy: Policy, history: Any, lead: Any, short: dict[str, int], words: str
) -> None:
    history(**short)
    with pytest.raises(InvalidTransition) as refusal:
        grant(lead)
    assert words in str(refusal.value)
    assert "Nothing was switched on." in str(refusal.value)
    assert not AutomationGrant.objects.exists()


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"mode": "review"}, "The policy must say auto first"),
        ({"blind_percent": 0}, "nothing would go on being measured"),
        ({"auto_under": {}}, "auto_under names no amount in USD"),
        ({"auto_under": {"eur": 5}}, "auto_under names no amount in USD"),
    ],
)
def test_the_policy_has_to_allow_it_first(
    policy: Policy, history: Any, lead: Any, changes: dict[str, Any], words: str
) -> None:
    history()
    Policy.objects.filter(pk=policy.pk).update(**changes)
    with pytest.raises(InvalidTransition, match=words):
        grant(lead)


def test_evidence_of_an_earlier_version_grants_nothing(policy: Policy, history: Any, lead: Any, fresh: Any) -> None:
    history()
    fresh(suggested_by="rules test v2")
    with pytest.raises(InvalidTransition, match="made by rules test v2 now; this evidence is of rules test v1"):
        grant(lead)
    with pytest.raises(InvalidTransition, match="5 more verdicts: 0 of 5"):
        grant(lead, Slot("test_payout", "acct_1", BAND, "rules test v2"))


def test_the_rules_answering_for_a_model_are_no_new_version_of_it(
    policy: Policy, history: Any, lead: Any, fresh: Any
) -> None:
    model = "model m-1, prompt choose-v1"
    history(suggested_by=model)
    fresh()
    assert grant(lead, Slot("test_payout", "acct_1", BAND, model)).is_live


def test_verdicts_of_other_bands_accounts_and_currencies_do_not_count(policy: Policy, history: Any, lead: Any) -> None:
    history(amount=50_000)
    history(account="acct_2")
    history(currency="eur")
    with pytest.raises(InvalidTransition, match="5 more verdicts: 0 of 5"):
        grant(lead)


def test_a_missed_check_keeps_the_band_with_people_for_as_long_as_the_bar_asks(
    policy: Policy, history: Any, lead: Any, fresh: Any, finance: Any
) -> None:
    history()
    missed = Suggestion.objects.first()
    SeededCheck.objects.create(
        suggestion=missed, source=missed, flaw="x", text="x", caught=False, reviewer=finance, decided_at=timezone.now()
    )
    with pytest.raises(InvalidTransition, match="10 more days without a missed check"):
        grant(lead)
    SeededCheck.objects.update(decided_at=timezone.now() - timedelta(days=10))
    assert grant(lead).is_live


# -- who and how -------------------------------------------------------------------------------------------------------


def test_the_grant_keeps_the_evidence_it_was_given_on(granted: AutomationGrant, policy: Policy, lead: Any) -> None:
    kept = granted.evidence
    assert (kept["verdicts"], kept["agreed"], kept["days"]) == (6, 6, 12)
    assert kept["bar"] == {"lower_bound": "0.4", "verdicts": 5, "days": 10}
    assert (granted.policy_id_at, granted.policy_version, granted.granted_by) == (policy.pk, policy.version, lead)
    assert granted.history.count() == 1
    entry = AuditEntry.objects.get(action="automation.granted")
    assert entry.data["evidence"]["verdicts"] == 6
    assert entry.account == "acct_1"


@pytest.mark.parametrize("group", ["Auditor", "Finance", "Support"])
def test_only_a_lead_switches_it_on_or_off(granted: AutomationGrant, make_user: Callable[..., Any], group: str) -> None:
    somebody = Actor.person(make_user("somebody", group))
    with pytest.raises(PermissionDenied):
        automation.revoke(grant_id=granted.pk, why="because", actor=somebody)
    with pytest.raises(PermissionDenied):
        automation.grant(slot=SLOT, reason="because", actor=somebody)
    granted.refresh_from_db()
    assert granted.is_live


def test_a_lead_of_other_accounts_cannot(policy: Policy, history: Any, make_user: Callable[..., Any]) -> None:
    history()
    with pytest.raises(PermissionDenied, match="not among those"):
        grant(make_user("other", "Finance lead", accounts=["acct_2"]))


def test_a_lead_has_to_show_the_second_factor_where_it_is_asked_for(
    policy: Policy, history: Any, lead: Any, settings: Any
) -> None:
    history()
    settings.SECOND_FACTOR = "approvers"
    with pytest.raises(PermissionDenied, match="second factor"):
        grant(lead)


def test_the_system_grants_nothing(policy: Policy, history: Any) -> None:
    history()
    with pytest.raises(PermissionDenied):
        automation.grant(slot=SLOT, reason="x", actor=Actor.system("automation"))


def test_it_asks_for_a_reason_and_is_given_once(granted: AutomationGrant, lead: Any) -> None:
    with pytest.raises(InvalidInput):
        grant(lead, reason="  ")
    with pytest.raises(InvalidTransition, match="on for this band already"):
        grant(lead)
    with pytest.raises(InvalidInput):
        automation.revoke(grant_id=granted.pk, why=" ", actor=Actor.person(lead))


# -- what it carries ---------------------------------------------------------------------------------------------------


def test_without_a_grant_auto_means_that_a_person_reviews(policy: Policy, fresh: Any) -> None:
    assert fresh().state == State.PENDING


def test_with_a_grant_the_policy_approves_and_the_worker_carries_it_out(
    granted: AutomationGrant, fresh: Any, bank: Any
) -> None:
    suggestion = fresh()
    assert suggestion.state == State.APPROVED
    decision = suggestion.decisions.get()
    assert (decision.actor, decision.actor_name, decision.verdict) == (None, "system:policy", "approve")
    assert suggestion.policy["proposed"]["grant_id"] == granted.pk
    executions.execute(suggestion.executions.get().pk)
    suggestion.refresh_from_db()
    assert suggestion.state == State.EXECUTED
    assert len(bank.effects) == 1


def test_what_the_policy_approved_is_no_verdict_of_a_person(granted: AutomationGrant, fresh: Any) -> None:
    before = Comparison.objects.count()
    fresh()
    assert Comparison.objects.count() == before


def test_a_person_who_cancels_what_was_automatic_overrides_it(
    granted: AutomationGrant, fresh: Any, finance: Any
) -> None:
    suggestion = fresh()
    services.cancel(suggestion_id=suggestion.pk, actor=Actor.person(finance), version=suggestion.version)
    assert Comparison.objects.get(suggestion=suggestion).agreed is False


@pytest.mark.parametrize(
    "values",
    [
        {"account": "acct_2"},
        {"amount": 10_000},
        {"amount": 10_001},
        {"amount": 999_999},
        {"blind": True},
        {"currency": "eur"},
        {"flags": [{"code": "new_destination", "text": "look"}]},
        {"suggested_by": "rules test v0"},
    ],
    ids=str,
)
def test_everything_outside_the_grant_waits_for_a_person(
    granted: AutomationGrant, fresh: Any, values: dict[str, Any]
) -> None:
    assert fresh(**values).state == State.PENDING


@pytest.mark.parametrize(
    "changes",
    [{"auto_under": {"usd": 5000}}, {"mode": "review"}, {"mode": "shadow"}, {"review_over": {"usd": 4999}}],
    ids=str,
)
def test_a_policy_that_becomes_stricter_counts_at_once(
    granted: AutomationGrant, policy: Policy, fresh: Any, changes: dict[str, Any]
) -> None:
    before = fresh()
    Policy.objects.filter(pk=policy.pk).update(**changes)
    assert fresh().state == State.PENDING
    executions.execute(before.executions.get().pk)
    before.refresh_from_db()
    assert before.state in (State.STALE, State.CANCELLED)


def test_what_waited_before_the_grant_goes_on_waiting(policy: Policy, history: Any, lead: Any, fresh: Any) -> None:
    history()
    waiting = fresh()
    grant(lead)
    assert grants.grant_for(waiting, [policy]) is None
    assert policies.evaluate(waiting, stage="approved").approvals == 1


# -- falling back ------------------------------------------------------------------------------------------------------


def override(fresh: Any, finance: Any) -> None:
    suggestion = fresh(blind=True)
    Suggestion.objects.filter(pk=suggestion.pk).update(revealed_at=timezone.now())
    services.reject(
        suggestion_id=suggestion.pk, actor=Actor.person(finance), version=suggestion.version, reason_code="bad_timing"
    )


def test_the_sample_goes_on_measuring_and_a_slip_ends_it(
    granted: AutomationGrant, fresh: Any, finance: Any, lead: Any, run_jobs: Any, mailoutbox: Any
) -> None:
    lead.email = "lead@example.com"
    lead.save()
    queued = fresh()
    queued.executions.update(not_before=timezone.now() + timedelta(hours=1))
    for _ in range(4):
        override(fresh, finance)
    assert fresh().state == State.PENDING, "the figures count before the task has run"
    run_jobs()
    granted.refresh_from_db()
    assert not granted.is_live
    assert "rolling lower bound is 31.2 %" in granted.revoked_why
    assert granted.revoked_by_name == "system:automation"
    assert AuditEntry.objects.filter(action="automation.revoked", account="acct_1").count() == 1
    queued.refresh_from_db()
    assert queued.state == State.STALE
    [mail] = mailoutbox
    assert mail.to == ["lead@example.com"]
    assert "Back to review" in mail.subject


def test_one_override_that_leaves_it_above_the_bar_ends_nothing(
    granted: AutomationGrant, fresh: Any, finance: Any, run_jobs: Any
) -> None:
    override(fresh, finance)
    run_jobs()
    granted.refresh_from_db()
    assert granted.is_live


def test_a_new_version_of_the_rules_ends_it(granted: AutomationGrant, fresh: Any, run_jobs: Any) -> None:
    queued = fresh()
    queued.executions.update(not_before=timezone.now() + timedelta(hours=1))
    fresh(suggested_by="rules test v2")
    run_jobs()
    granted.refresh_from_db()
    assert "made by rules test v2 now, it was earned by rules test v1" in granted.revoked_why
    queued.refresh_from_db()
    assert queued.state == State.STALE


@pytest.mark.parametrize(
    ("author", "other"),
    [
        ("model m-1, prompt choose-v1", "model m-2, prompt choose-v1"),
        ("model m-1, prompt choose-v1", "model m-1, prompt choose-v2"),
    ],
)
def test_another_model_or_prompt_ends_it(
    policy: Policy, history: Any, lead: Any, fresh: Any, run_jobs: Any, author: str, other: str
) -> None:
    history(suggested_by=author)
    one = grant(lead, Slot("test_payout", "acct_1", BAND, author))
    fresh(suggested_by=other)
    run_jobs()
    one.refresh_from_db()
    assert not one.is_live


def test_the_sweep_finds_what_nobody_told_it_of(granted: AutomationGrant, policy: Policy, run_jobs: Any) -> None:
    Policy.objects.filter(pk=policy.pk).update(automation_bar={**BAR, "lower_bound": "0.95"})
    assert tasks.sweep() == 1
    granted.refresh_from_db()
    assert not granted.is_live


def test_a_policy_that_does_not_say_auto_any_more_ends_it(granted: AutomationGrant, policy: Policy) -> None:
    Policy.objects.filter(pk=policy.pk).update(mode="review")
    assert tasks.sweep() == 1
    granted.refresh_from_db()
    assert "the policy does not say auto" in granted.revoked_why


def test_what_was_approved_on_a_grant_that_ended_is_not_begun(
    granted: AutomationGrant, fresh: Any, lead: Any, bank: Any
) -> None:
    suggestion = fresh()
    automation.revoke(grant_id=granted.pk, why="I want to look myself", actor=Actor.person(lead))
    executions.execute(suggestion.executions.get().pk)
    suggestion.refresh_from_db()
    assert suggestion.state == State.STALE
    assert bank.effects == {}


def test_a_lead_who_switches_it_off_sends_back_what_has_not_begun_and_mails_nobody(
    granted: AutomationGrant, fresh: Any, lead: Any, run_jobs: Any, mailoutbox: Any
) -> None:
    suggestion = fresh()
    suggestion.executions.update(not_before=timezone.now() + timedelta(hours=1))  # still to be taken back
    assert automation.revoke(grant_id=granted.pk, why="holidays", actor=Actor.person(lead))
    assert not automation.revoke(grant_id=granted.pk, why="twice", actor=Actor.person(lead))
    run_jobs()
    suggestion.refresh_from_db()
    assert suggestion.state == State.STALE
    assert suggestion.executions.get().state == "dropped"
    assert mailoutbox == []


def test_what_a_person_approved_is_left_alone(
    granted: AutomationGrant, fresh: Any, finance: Any, run_jobs: Any
) -> None:
    suggestion = fresh(flags=[{"code": "x", "text": "look"}])
    services.approve(suggestion_id=suggestion.pk, actor=Actor.person(finance), version=suggestion.version)
    automation.revoke(grant_id=granted.pk, why="slipped", actor=Actor.system("automation"))
    assert tasks.recall(granted.pk) == 0
    executions.execute(suggestion.executions.get().pk)
    suggestion.refresh_from_db()
    assert suggestion.state == State.EXECUTED


def test_it_can_be_earned_again_after_it_was_lost(granted: AutomationGrant, lead: Any) -> None:
    automation.revoke(grant_id=granted.pk, why="holidays", actor=Actor.person(lead))
    again = grant(lead)
    assert again.pk != granted.pk
    assert again.is_live


def test_what_would_have_been_carried_out_leaves_out_flagged_and_large_ones(
    policy: Policy, history: Any, finance: Any
) -> None:
    history(4)
    history(2, flags=[{"code": "x", "text": "x"}])
    history(1, amount=10_000)
    history(1, overridden=1)
    found = bars.would_have(SLOT, [policy])
    assert (found.count, found.money) == (5, "USD 250.00")
    assert [one.reviewer for one in found.overridden] == [finance]


def test_bands_that_are_counted_afresh_leave_the_evidence_as_it_was(granted: AutomationGrant, policy: Policy) -> None:
    tally.rebuild()
    assert bars.evidence(SLOT, Bar.of([policy])).verdicts == 6


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_once_it_is_revoked_nothing_more_begins(granted: AutomationGrant, fresh: Any, lead: Any, bank: Any) -> None:
    """Many workers begin while a lead switches it off: whatever begins has begun before the click returned."""
    ready = [fresh().executions.get() for _ in range(12)]
    gate, returned = threading.Barrier(5), threading.Event()
    late: list[int] = []

    def work(mine: list[Execution]) -> None:
        try:
            gate.wait()
            for execution in mine:
                after = returned.is_set()
                if executions.begin(execution.pk, dict(bank.facts)) and after:
                    late.append(execution.pk)
        finally:
            connections.close_all()

    def switch_off() -> None:
        try:
            gate.wait()
            automation.revoke(grant_id=granted.pk, why="stop", actor=Actor.person(lead))
            returned.set()
        finally:
            connections.close_all()

    threads = [threading.Thread(target=work, args=(ready[index::4],)) for index in range(4)]
    threads.append(threading.Thread(target=switch_off))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert late == []
    assert {one.state for one in Execution.objects.filter(pk__in=[one.pk for one in ready])} <= {"executing", "dropped"}


def test_what_is_written_at_stripe_of_a_policys_approval_names_the_policy(granted: AutomationGrant, fresh: Any) -> None:
    """No `None` where a user's id would stand."""
    from settlements import actions

    assert actions._metadata(fresh())["billingops_approved_by"] == "policy"
