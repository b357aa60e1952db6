"""What comes next for which failure. Pure: no database."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billingops.stripe.facts import PaymentFailure
from dunning import reasons
from dunning.config import RuleConfig
from dunning.plan import calendar, caps, permits
from dunning.plan.facts import Done, Method, PlanFacts
from dunning.plan.planner import plan
from dunning.plan.sequences import STANDARD, Entry, Sequence, Stripe, Timing
from dunning.plan.steps import (
    CANCEL,
    END_GRACE,
    ESCALATE,
    GRACE,
    NOTIFY,
    PAUSE,
    RETRY,
    TAKE_OVER,
    UNCOLLECTIBLE,
    VERSION,
    Lane,
    Plan,
    Step,
)
from dunning.reasons import DECLINES, MASTERCARD_ADVICES, judge
from dunning.tests.factories import NEW, NOW, OLD, failure, known

DAY = timedelta(days=1)
TOMORROW = NOW + DAY
LONG_AGO = NOW - timedelta(days=800)
NEW_CARD: dict[str, Any] = {"methods": (NEW,)}
SMART: dict[str, Any] = {"next_payment_attempt": TOMORROW}


def made(code: str = "insufficient_funds", *, sequence: Sequence = STANDARD, **changes: Any) -> Plan:
    return plan(known(code, **changes), sequence, NOW, RuleConfig())


def first(code: str, **changes: Any) -> Step:
    step = made(code, **changes).next
    assert step is not None
    return step


def retry(code: str, **changes: Any) -> Step:
    step = made(code, **changes).first_of(Lane.COLLECT)
    assert step is not None
    return step


def times(found: Plan, kind: str) -> list[datetime]:
    return [step.at or NOW for step in found.steps if step.kind == kind]


@pytest.mark.parametrize(
    ("code", "changes", "kind", "reason"),
    [
        ("insufficient_funds", {}, RETRY, "no_funds_now"),
        ("processing_error", {}, RETRY, "technical_fault"),
        ("issuer_not_available", {}, RETRY, "technical_fault"),
        ("try_again_later", {}, RETRY, "technical_fault"),
        ("do_not_honor", {}, RETRY, "no_reason_given"),
        ("generic_decline", {"attempt_count": 6}, NOTIFY, "no_more_retries"),
        ("expired_card", {}, NOTIFY, "customer_must_act"),
        ("authentication_required", {}, NOTIFY, "customer_must_act"),
        ("incorrect_cvc", {}, NOTIFY, "customer_must_act"),
        ("revocation_of_authorization", {}, NOTIFY, "new_method_needed"),
        ("stolen_card", {}, NOTIFY, "new_method_needed"),
        ("fraudulent", {}, NOTIFY, "new_method_needed"),
        ("expired_card", {"unreachable": {"email": "no address"}}, ESCALATE, "no_email"),
        ("expired_card", {"unreachable": {"email": "it bounced"}}, ESCALATE, "no_email"),
        ("duplicate_transaction", {}, ESCALATE, "ours_to_correct"),
        ("insufficient_funds", {"attempt_count": 10}, ESCALATE, "attempts_used"),
        ("insufficient_funds", {"dispute_open": True}, ESCALATE, "dispute_open"),
        ("insufficient_funds", {"complaint_open": True}, ESCALATE, "complaint_open"),
        ("insufficient_funds", {"amount_remaining": 500_001}, ESCALATE, "large_amount"),
        ("insufficient_funds", {"amount_remaining": 500_000}, RETRY, "no_funds_now"),
        ("insufficient_funds", {"amount_remaining": 9_000_000, "currency": "pln"}, RETRY, "no_funds_now"),
        ("insufficient_funds", SMART, NOTIFY, "stripe_retries"),
        ("insufficient_funds", {"next_payment_attempt": NOW - timedelta(hours=1)}, RETRY, "no_funds_now"),
        ("insufficient_funds", {**SMART, "customer_since": LONG_AGO}, GRACE, "good_customer"),
        ("insufficient_funds", {**SMART, "customer_since": LONG_AGO, "losses": 1}, NOTIFY, "stripe_retries"),
        ("insufficient_funds", {**SMART, "customer_since": LONG_AGO, "attempt_count": 2}, NOTIFY, "stripe_retries"),
        (
            "insufficient_funds", {**SMART, "customer_since": LONG_AGO, "subscription_status": ""}, NOTIFY,
            "stripe_retries",
        ),
        ("stolen_card", NEW_CARD, RETRY, "new_payment_method"),
        ("stolen_card", {"methods": (replace(OLD, id="pm_again"),)}, NOTIFY, "new_method_needed"),
        ("stolen_card", {"methods": (replace(NEW, fingerprint=""),)}, NOTIFY, "new_method_needed"),
        ("stolen_card", {"methods": (replace(NEW, attempts=(NOW,) * 40),)}, NOTIFY, "new_method_needed"),
        ("stolen_card", {"methods": (replace(NEW, expires=NOW.date() - DAY),)}, NOTIFY, "new_method_needed"),
        ("insufficient_funds", {"methods": (replace(NEW, refused="stolen card"),)}, NOTIFY, "no_more_retries"),
        ("stolen_card", {"methods": (Method("pm_new", "sepa_debit"),)}, RETRY, "new_payment_method"),
        ("expired_card", {**NEW_CARD, "attempt_count": 5}, RETRY, "new_payment_method"),
        ("expired_card", {**NEW_CARD, "amount_remaining": 500_001}, ESCALATE, "large_amount"),
        ("insufficient_funds", {"automatic": False}, NOTIFY, "no_more_retries"),
        ("insufficient_funds", {"methods": ()}, NOTIFY, "no_more_retries"),
        ("insufficient_funds", {"grace_until": NOW - DAY}, END_GRACE, "grace_over"),
    ],
)  # fmt: skip
def test_the_first_step(code: str, changes: dict[str, Any], kind: str, reason: str) -> None:
    step = first(code, **changes)
    assert (step.kind, step.reason_code) == (kind, reason)
    assert step.rationale.endswith(".")
    assert step.version == VERSION == "rules dunning v2"


@pytest.mark.parametrize("changes", [{"status": "paid"}, {"status": "void"}, {"amount_remaining": 0}])
def test_nothing_is_planned_when_nothing_is_owed(changes: dict[str, Any]) -> None:
    assert made(**changes).steps == ()


def test_an_open_dispute_or_complaint_leaves_only_a_person() -> None:
    for given_fact in ("dispute_open", "complaint_open"):
        found = made("insufficient_funds", **{given_fact: True}, **NEW_CARD)
        assert [step.kind for step in found.steps] == [ESCALATE]
        assert found.held
        done = (Done(ESCALATE, NOW, found.steps[0].mark),)
        assert made("insufficient_funds", **{given_fact: True}, done=done).steps == ()


def test_insufficient_funds_wait_for_a_payday_two_days_away_or_more() -> None:
    assert first("insufficient_funds").at == datetime(2026, 11, 27, 8, tzinfo=UTC)  # Friday, 09:00 in Berlin


def test_paydays_are_counted_where_the_customer_lives_and_as_they_were_paid_before() -> None:
    assert retry("insufficient_funds", zone="Asia/Tokyo", country="JP").at == datetime(2026, 11, 27, 0, tzinfo=UTC)
    assert retry("insufficient_funds", paydays=(26,), failed_at=NOW - DAY).at == datetime(2026, 11, 26, 8, tzinfo=UTC)
    assert calendar.is_payday(date(2026, 11, 30), (31,))
    assert not calendar.is_payday(date(2026, 11, 29), (31,))


def test_the_networks_pause_pushes_the_payday_back() -> None:
    code = failure("insufficient_funds", card_brand="mastercard", network_advice_code="29")
    step = retry("", failure=code)
    assert step.at is not None
    assert step.at >= NOW + timedelta(days=8)


@pytest.mark.parametrize(("attempt", "hours"), [(1, 1), (2, 6), (3, 24)])
def test_a_technical_fault_is_tried_again_within_hours(attempt: int, hours: int) -> None:
    assert first("processing_error", attempt_count=attempt).at == NOW + timedelta(hours=hours)


def test_a_fault_that_has_passed_by_now_is_tried_now() -> None:
    step = first("processing_error", failed_at=NOW - timedelta(hours=3))
    assert (step.kind, step.at) == (RETRY, None)


@pytest.mark.parametrize(
    ("code", "template"),
    [
        ("expired_card", "card_expired"),
        ("authentication_required", "confirm_payment"),
        ("incorrect_zip", "check_details"),
        ("invalid_expiry_year", "check_details"),
        ("not_permitted", "new_method_needed"),
        ("stolen_card", "payment_failed"),
        ("lost_card", "payment_failed"),
        ("merchant_blacklist", "payment_failed"),
    ],
)
def test_the_message_fits_the_failure_and_keeps_a_secret(code: str, template: str) -> None:
    assert first(code).template == template


def test_a_decline_without_a_reason_is_tried_again_days_apart_and_a_few_times() -> None:
    assert retry("generic_decline", attempt_count=4).reason_code == "no_reason_given"
    assert not made("generic_decline", attempt_count=5).first_of(Lane.COLLECT)


def test_a_secret_reason_is_flagged_for_the_reviewer() -> None:
    assert "reason_secret" in dict(first("stolen_card").flags)


def test_a_used_up_card_is_not_charged_again() -> None:
    used = made("insufficient_funds", methods=(replace(OLD, attempts=(NOW,) * 15),))
    assert not used.first_of(Lane.COLLECT)
    assert "network_cap" in dict(used.steps[0].flags)


def test_retries_to_come_keep_within_the_cap_as_attempts_grow_old() -> None:
    earlier = tuple(NOW - timedelta(days=29, hours=number) for number in range(14))
    found = made("processing_error", methods=(replace(OLD, attempts=earlier),))
    tried = [*earlier]
    for at in times(found, RETRY):
        assert not caps.used_up("visa", tried, at)
        tried.append(at)


def test_a_failure_without_a_payment_method_makes_no_card_a_new_one() -> None:
    code = failure("stolen_card", payment_method_id="")
    assert not made("", failure=code, failed=Method(), **NEW_CARD).first_of(Lane.COLLECT)


def test_bank_debits_are_retried_twice_at_most() -> None:
    debit = failure("", code="insufficient_funds", payment_method_type="us_bank_account", card_brand="")
    bank = Method("pm_bank", "us_bank_account")
    shared: dict[str, Any] = {"failure": debit, "failed": bank, "methods": (bank,)}
    assert made("", attempt_count=2, **shared).first_of(Lane.COLLECT)
    assert not made("", attempt_count=3, **shared).first_of(Lane.COLLECT)


def test_another_saved_method_is_suggested_only_with_consent_and_once() -> None:
    saved = replace(NEW, place="saved")
    step = first("stolen_card", methods=(OLD, saved))
    assert (step.kind, step.reason_code, step.method) == (RETRY, "other_saved_method", "pm_new")
    assert "saved_method" in dict(step.flags)
    assert first("stolen_card", methods=(OLD, replace(saved, consent=False))).kind == NOTIFY
    done = (Done(RETRY, NOW, step.mark),)
    assert first("stolen_card", methods=(OLD, saved), done=done).kind == NOTIFY


# -- Stripe's own retries ----------------------------------------------------------------------------------------------


def test_where_stripe_tries_itself_we_advise_take_over_or_share_as_the_sequence_says() -> None:
    assert not made("insufficient_funds", **SMART).first_of(Lane.COLLECT)
    taken = made("insufficient_funds", sequence=replace(STANDARD, stripe=Stripe.TAKE_OVER), **SMART)
    assert [step.kind for step in taken.steps if step.lane == Lane.COLLECT] == [TAKE_OVER]
    beside = made("insufficient_funds", sequence=replace(STANDARD, stripe=Stripe.BESIDE), **SMART)
    assert times(beside, RETRY)
    assert plan(known(**SMART), STANDARD, NOW, RuleConfig(retry_beside_stripe=True)).next.kind == RETRY  # type: ignore[union-attr]


def test_all_attempts_come_out_of_one_budget() -> None:
    short = replace(STANDARD, max_attempts=3)
    assert len(times(made("insufficient_funds", sequence=short, attempt_count=1), RETRY)) == 2
    assert len(times(made("insufficient_funds", sequence=short, attempt_count=2), RETRY)) == 1


def test_a_fixed_ladder_counts_from_the_first_failure() -> None:
    fixed = Sequence("ladder", timing=Timing.FIXED, retry_days=(3, 5, 7))
    found = made("insufficient_funds", sequence=fixed)
    assert [(at - NOW).days for at in times(found, RETRY)] == [2, 4, 6]  # at nine, so not quite whole days


# -- messages ----------------------------------------------------------------------------------------------------------


def test_messages_keep_their_distances_and_grow_firmer_one_after_the_other() -> None:
    found = [step for step in made("expired_card").steps if step.kind == NOTIFY]
    assert [(step.template, step.tone) for step in found] == [
        ("card_expired", "friendly"), ("reminder", "friendly"), ("reminder", "firm"), ("reminder", "firm"),
        ("last_notice", "final"),
    ]  # fmt: skip
    days = [((step.at or NOW) - NOW).days for step in found]
    assert days == [0, 7, 14, 21, 28]


def test_a_case_found_late_begins_with_the_first_message_not_with_the_last_notice() -> None:
    late = made("expired_card", first_failed_at=NOW - timedelta(days=20), failed_at=NOW - timedelta(days=20))
    found = [step for step in late.steps if step.kind == NOTIFY]
    assert found[0].template == "card_expired"
    gaps = [(after.at or NOW) - (before.at or NOW) for before, after in pairwise(found)]
    assert all(gap >= DAY for gap in gaps)


def test_a_message_waits_for_a_retry_that_may_make_it_needless() -> None:
    found = made("insufficient_funds")
    assert times(found, NOTIFY)[0] > times(found, RETRY)[0]


def test_nobody_is_written_to_at_night_or_a_second_time_within_a_day() -> None:
    night = datetime(2026, 11, 24, 23, 30, tzinfo=UTC)  # half past midnight in Berlin
    step = plan(known("expired_card", failed_at=night, first_failed_at=night), STANDARD, night, RuleConfig()).next
    assert step is not None
    assert step.at == datetime(2026, 11, 25, 7, tzinfo=UTC)
    other = first("expired_card", last_message_at=NOW - timedelta(hours=3))
    assert other.at is not None
    assert other.at >= NOW + timedelta(hours=21)


def test_a_reminder_after_it_was_sent_is_not_sent_again() -> None:
    sent = NOW - timedelta(days=8)
    done = (Done(NOTIFY, sent, "0:notify_customer:email"),)
    past = {"first_failed_at": sent, "failed_at": sent, "messages": (sent,), "last_message_at": sent}
    assert first("expired_card", done=done, **past).template == "reminder"


def test_one_case_speaks_for_all_of_a_customer() -> None:
    follows = made("expired_card", spoken_for=True)
    assert not follows.first_of(Lane.TELL)
    assert follows.steps[0].at is not None  # nor is it handed over before the conversation has had its time
    assert "bundle" in dict(first("expired_card", bundle=("in_2", "in_3")).flags)


def test_an_answer_that_waits_for_a_person_stops_messages() -> None:
    assert not made("expired_card", answer_waiting=True).first_of(Lane.TELL)


# -- holds -------------------------------------------------------------------------------------------------------------


def test_a_promise_and_a_snooze_move_everything_behind_them() -> None:
    for name in ("promised_until", "snoozed_until"):
        until = NOW + timedelta(days=5)
        found = made("expired_card", **{name: until})
        assert found.until == until
        assert found.held
        assert all(step.at is not None and step.at >= until for step in found.steps)


def test_a_paused_case_plans_nothing() -> None:
    assert made("insufficient_funds", paused=True).steps == ()


def test_with_a_person_only_a_new_method_is_worth_a_step() -> None:
    assert made("insufficient_funds", escalated=True).steps == ()
    assert [step.reason_code for step in made("stolen_card", escalated=True, **NEW_CARD).steps] == [
        "new_payment_method"
    ]


# -- measures ----------------------------------------------------------------------------------------------------------

FINAL = replace(
    STANDARD,
    entries=(*STANDARD.entries, Entry(15, PAUSE), Entry(28, CANCEL), Entry(30, UNCOLLECTIBLE, over={"usd": 1})),
)


def test_measures_come_on_their_day_and_only_where_they_apply() -> None:
    found = made("expired_card", sequence=FINAL)
    days = {step.kind: ((step.at or NOW) - NOW).days for step in found.steps}
    assert days[PAUSE] == 14
    assert days[CANCEL] == 27
    assert UNCOLLECTIBLE not in days  # the invoice is in euro
    assert PAUSE not in {step.kind for step in made("expired_card", sequence=FINAL, collection_paused=True).steps}
    assert CANCEL not in {step.kind for step in made("expired_card", sequence=FINAL, subscription_status="").steps}


def test_no_second_grace_period_after_one() -> None:
    assert first("insufficient_funds", **SMART, customer_since=LONG_AGO, grace_until=TOMORROW).kind != GRACE


# -- properties --------------------------------------------------------------------------------------------------------
moments = st.integers(min_value=0, max_value=60 * 24).map(lambda hours: NOW - timedelta(hours=hours))
failures = st.builds(
    PaymentFailure,
    code=st.sampled_from(["", "card_declined", "expired_card", "processing_error", "insufficient_funds"]),
    decline_code=st.sampled_from(["", "unheard_of", *DECLINES]),
    advice_code=st.sampled_from(["", "do_not_try_again", "try_again_later", "confirm_card_data"]),
    network_decline_code=st.sampled_from(["", "05", "14", "43", "51", "R1"]),
    network_advice_code=st.sampled_from(["", *MASTERCARD_ADVICES]),
    outcome_type=st.sampled_from(["", "issuer_declined", "blocked"]),
    risk_level=st.sampled_from(["", "normal", "highest"]),
    payment_method_id=st.just("pm_old"),
    payment_method_type=st.sampled_from(["card", "us_bank_account"]),
    card_brand=st.sampled_from(["visa", "mastercard", "amex", ""]),
    charge_id=st.just("ch_1"),
)
methods = st.builds(
    Method,
    id=st.sampled_from(["pm_old", "pm_new", "pm_other"]),
    type=st.sampled_from(["", "card", "link", "us_bank_account"]),
    brand=st.sampled_from(["", "visa", "mastercard"]),
    fingerprint=st.sampled_from(["", "fp_old", "fp_new"]),
    place=st.sampled_from(["invoice", "customer", "saved"]),
    consent=st.booleans(),
    expires=st.sampled_from([None, NOW.date() - DAY, NOW.date() + 30 * DAY]),
    attempts=st.lists(moments, max_size=40).map(tuple),
    refused=st.sampled_from(["", "", "stolen card"]),
)
pasts = st.builds(
    PlanFacts,
    invoice=st.just("in_1"),
    status=st.sampled_from(["open", "open", "open", "paid", "void", "uncollectible"]),
    amount_remaining=st.integers(min_value=0, max_value=2_000_000),
    currency=st.sampled_from(["usd", "eur", "jpy", "pln"]),
    attempt_count=st.integers(min_value=0, max_value=9),
    failure=failures,
    failed_at=moments,
    first_failed_at=moments,
    failed=st.sampled_from([Method(), OLD, replace(OLD, fingerprint="")]),
    methods=st.lists(methods, max_size=3, unique_by=lambda one: one.id).map(tuple),
    automatic=st.booleans(),
    next_payment_attempt=st.sampled_from([None, NOW - DAY, TOMORROW]),
    subscription=st.just("sub_1"),
    subscription_status=st.sampled_from(["", "past_due", "canceled"]),
    zone=st.sampled_from(["", "Europe/Berlin", "America/Los_Angeles", "Asia/Kolkata", "Pacific/Auckland"]),
    country=st.sampled_from(["", "US", "RU", "DE", "XX"]),
    customer_since=st.sampled_from([None, LONG_AGO, NOW]),
    losses=st.integers(min_value=0, max_value=2),
    unreachable=st.sampled_from([{}, {"email": "no address"}]),
    messages=st.lists(moments, max_size=4).map(lambda found: tuple(sorted(found))),
    last_message_at=st.one_of(st.none(), moments),
    dispute_open=st.booleans(),
    complaint_open=st.booleans(),
    promised_until=st.sampled_from([None, NOW - DAY, TOMORROW]),
    paused=st.booleans(),
    escalated=st.booleans(),
    grace_until=st.sampled_from([None, NOW - DAY, TOMORROW]),
    spoken_for=st.booleans(),
)
sequences = st.builds(
    replace,
    st.sampled_from([STANDARD, FINAL, Sequence("ladder", timing=Timing.FIXED, retry_days=(3, 5, 7))]),
    stripe=st.sampled_from(list(Stripe)),
    max_attempts=st.integers(min_value=1, max_value=20),
)
CONFIG = RuleConfig()


@given(pasts, sequences)
def test_a_method_that_must_not_be_charged_again_never_is(past: PlanFacts, sequence: Sequence) -> None:
    for step in (found := plan(past, sequence, NOW, CONFIG)).steps + found.options:
        if step.kind != RETRY:
            continue
        method = next((one for one in past.methods if one.id == step.method), None) if step.method else past.on_file
        assert method is not None
        assert method.id
        assert method.consent
        assert not method.refused
        assert method.expires is None or method.expires >= NOW.date()
        assert past.automatic
        assert not past.dispute_open
        assert not past.complaint_open
        same = method.id == past.failed.id or (method.fingerprint and method.fingerprint == past.failed.fingerprint)
        assert not same or judge(past.failure).category in reasons.RETRYABLE


@given(pasts, sequences)
def test_what_is_due_now_may_be_done_now(past: PlanFacts, sequence: Sequence) -> None:
    """The planner and what is asked at the moment of a step agree; hours and pauses between messages are the step's."""
    for step in plan(past, sequence, NOW, CONFIG).steps:
        if step.at is None and step.kind in (RETRY, TAKE_OVER):
            assert not permits.refused(step.kind, past, NOW, config=CONFIG, method=step.method)
        if step.kind == NOTIFY:
            at = step.at or NOW
            later = replace(past, promised_until=None, messages_this_week=0)
            assert not permits.refused(NOTIFY, later, at, config=CONFIG, channel=step.channel)


@given(pasts, sequences)
def test_no_retry_of_any_card_beyond_its_networks_caps(past: PlanFacts, sequence: Sequence) -> None:
    found = plan(past, sequence, NOW, CONFIG)
    tried: dict[str, list[datetime]] = {one.id: list(one.attempts) for one in past.methods}
    for step in found.steps:
        if step.kind == RETRY:
            method = next(one for one in past.methods if one.id == (step.method or past.on_file.id))
            at = step.at or NOW
            if method.type in ("", "card", "link"):
                assert not caps.used_up(method.brand or past.failure.card_brand, tried[method.id], at)
            tried[method.id].append(at)


@given(pasts, sequences)
def test_times_lie_ahead_and_come_in_order(past: PlanFacts, sequence: Sequence) -> None:
    found = plan(past, sequence, NOW, CONFIG)
    assert all(step.at is None or step.at > NOW for step in found.steps)
    ordered = [step.at or NOW for step in found.steps]
    assert ordered == sorted(ordered)
    told = times(found, NOTIFY)
    assert all(after - before >= DAY for before, after in pairwise(told))
    assert len(told) + len(past.messages) <= max(sequence.max_messages, len(past.messages))
    assert len({option.kind for option in found.options}) == len(found.options)
    if not past.owed:
        assert not found.steps
        assert not found.options


# -- small print -------------------------------------------------------------------------------------------------------


def test_the_same_card_valid_for_longer_is_charged_again_when_it_had_expired() -> None:
    was, now_valid = NOW.date() - DAY, NOW.date() + 900 * DAY
    renewed = replace(OLD, expires=now_valid)
    facts = known("expired_card", failed=replace(OLD, expires=was), methods=(renewed,))
    step = plan(facts, STANDARD, NOW, RuleConfig()).first_of(Lane.COLLECT)
    assert step is not None
    assert step.reason_code == "new_payment_method"
    assert not permits.refused(RETRY, facts, NOW, config=RuleConfig())
    same = replace(facts, failed=renewed)
    assert not plan(same, STANDARD, NOW, RuleConfig()).first_of(Lane.COLLECT)
    stolen = replace(facts, failure=failure("stolen_card"))
    assert not plan(stolen, STANDARD, NOW, RuleConfig()).first_of(Lane.COLLECT)


def test_whoever_unsubscribed_gets_only_what_must_be_sent() -> None:
    found = made("expired_card", only_templates=frozenset({"last_notice"}))
    assert [step.template for step in found.steps if step.kind == NOTIFY] == ["last_notice"]


def test_a_country_whose_zones_share_no_open_hour_sleeps_by_its_first() -> None:
    night = datetime(2026, 11, 24, 22, tzinfo=UTC)  # one o'clock in Moscow
    quiet = {"quiet_from": 16, "quiet_until": 6}
    assert calendar.is_quiet(night, "", "RU", **quiet)
    opened = calendar.next_open(night, "", "RU", **quiet)
    assert opened - night < DAY
    assert not calendar.is_quiet(opened, "", "RU", **quiet)


def test_a_charge_that_nobody_decides_on_keeps_no_message_back() -> None:
    """Its time came and went while it waited for a person."""
    late = NOW - timedelta(days=9)
    facts = known("insufficient_funds", failed_at=late, first_failed_at=late, under_way=frozenset({RETRY}))
    message = plan(facts, STANDARD, NOW, RuleConfig()).first_of(Lane.TELL)
    assert message is not None
    undecided = plan(facts, STANDARD, NOW, RuleConfig()).first_of(Lane.COLLECT)
    if undecided is not None and undecided.at is None:
        assert message.at is None


def test_a_card_of_no_known_network_has_the_strictest_cap_whatever_another_card_was() -> None:
    """The failed card was a Mastercard (35 in 30 days); of the one on file nobody knows."""
    mastercard = failure("insufficient_funds", card_brand="mastercard")
    unknown = Method("pm_new", "card", "", "fp_new", attempts=(NOW - 2 * DAY,) * 15)
    facts = known("insufficient_funds", failure=mastercard, methods=(unknown,))
    assert not plan(facts, STANDARD, NOW, RuleConfig()).first_of(Lane.COLLECT)
    assert "15 attempts in 30 days" in permits.refused(RETRY, facts, NOW, config=RuleConfig())
