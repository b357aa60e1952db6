"""The collect lane: what is charged again, when, and within which limits. Pure: no database."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from dunning.config import RuleConfig
from dunning.plan import calendar, caps, permits
from dunning.plan.facts import Done, Method
from dunning.plan.planner import plan
from dunning.plan.sequences import STANDARD, Sequence, Stripe, Timing
from dunning.plan.steps import NOTIFY, RETRY, TAKE_OVER, Lane
from dunning.tests.factories import DAY, NEW, NEW_CARD, NOW, OLD, SMART, failure, first, known, made, retry, times


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


def test_a_decline_without_a_reason_is_tried_again_days_apart_and_a_few_times() -> None:
    assert retry("generic_decline", attempt_count=4).reason_code == "no_reason_given"
    assert not made("generic_decline", attempt_count=5).first_of(Lane.COLLECT)


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


def test_a_card_of_no_known_network_has_the_strictest_cap_whatever_another_card_was() -> None:
    """The failed card was a Mastercard (35 in 30 days); of the one on file nobody knows."""
    mastercard = failure("insufficient_funds", card_brand="mastercard")
    unknown = Method("pm_new", "card", "", "fp_new", attempts=(NOW - 2 * DAY,) * 15)
    facts = known("insufficient_funds", failure=mastercard, methods=(unknown,))
    assert not plan(facts, STANDARD, NOW, RuleConfig()).first_of(Lane.COLLECT)
    assert "15 attempts in 30 days" in permits.refused(RETRY, facts, NOW, config=RuleConfig())


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
