"""What holds of every plan, whatever the past and the sequence. Pure: no database."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from billingops.stripe.facts import PaymentFailure
from dunning import reasons
from dunning.config import RuleConfig
from dunning.plan import caps, permits
from dunning.plan.facts import Method, PlanFacts
from dunning.plan.planner import plan
from dunning.plan.sequences import STANDARD, Sequence, Stripe, Timing
from dunning.plan.steps import NOTIFY, RETRY, TAKE_OVER
from dunning.reasons import DECLINES, MASTERCARD_ADVICES, judge
from dunning.tests.factories import DAY, FINAL, LONG_AGO, NOW, OLD, TOMORROW, times

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
    grace_on_file=st.sampled_from([None, NOW - DAY, TOMORROW]),
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
