"""What is proposed for which failure. Pure: no database."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billingops.stripe.facts import PaymentFailure
from dunning import reasons, rules, schedule
from dunning.config import RuleConfig
from dunning.reasons import ADVICES, DECLINES, MASTERCARD_ADVICES, judge
from dunning.rules import ESCALATE, GRACE, NOTIFY, RETRY, CaseHistory
from dunning.tests.factories import NEW_CARD, NOW, failure, history

CONFIG = RuleConfig()
TOMORROW = NOW + timedelta(days=1)
LONG_AGO = NOW - timedelta(days=800)


def kinds(given: PaymentFailure, past: CaseHistory, config: RuleConfig = CONFIG) -> list[str]:
    return [option.kind for option in rules.permitted(given, past, config, NOW)]


@pytest.mark.parametrize(
    ("code", "past", "kind", "reason"),
    [
        ("insufficient_funds", {}, RETRY, "no_funds_now"),
        ("processing_error", {}, RETRY, "technical_fault"),
        ("issuer_not_available", {}, RETRY, "technical_fault"),
        ("try_again_later", {}, RETRY, "technical_fault"),
        ("do_not_honor", {}, RETRY, "no_reason_given"),
        ("generic_decline", {"attempt_count": 2}, RETRY, "no_reason_given"),
        ("generic_decline", {"attempt_count": 3}, NOTIFY, "no_more_retries"),
        ("expired_card", {}, NOTIFY, "customer_must_act"),
        ("authentication_required", {}, NOTIFY, "customer_must_act"),
        ("incorrect_cvc", {}, NOTIFY, "customer_must_act"),
        ("revocation_of_authorization", {}, NOTIFY, "new_method_needed"),
        ("stolen_card", {}, NOTIFY, "new_method_needed"),
        ("fraudulent", {}, NOTIFY, "new_method_needed"),
        ("expired_card", {"notices_sent": 1}, NOTIFY, "no_reaction"),
        ("expired_card", {"notices_sent": 2}, ESCALATE, "notices_used"),
        ("expired_card", {"has_email": False}, ESCALATE, "no_email"),
        ("duplicate_transaction", {}, ESCALATE, "ours_to_correct"),
        ("insufficient_funds", {"attempt_count": 4}, ESCALATE, "attempts_used"),
        ("insufficient_funds", {"dispute_open": True}, ESCALATE, "dispute_open"),
        ("insufficient_funds", {"amount_remaining": 500_001}, ESCALATE, "large_amount"),
        ("insufficient_funds", {"amount_remaining": 500_000}, RETRY, "no_funds_now"),
        ("insufficient_funds", {"amount_remaining": 9_000_000, "currency": "pln"}, RETRY, "no_funds_now"),
        ("insufficient_funds", {"next_payment_attempt": TOMORROW}, NOTIFY, "stripe_retries"),
        ("insufficient_funds", {"next_payment_attempt": NOW - timedelta(hours=1)}, RETRY, "no_funds_now"),
        (
            "insufficient_funds",
            {"next_payment_attempt": TOMORROW, "customer_since": LONG_AGO},
            GRACE,
            "good_customer",
        ),
        (
            "insufficient_funds",
            {"next_payment_attempt": TOMORROW, "customer_since": LONG_AGO, "losses": 1},
            NOTIFY,
            "stripe_retries",
        ),
        (
            "insufficient_funds",
            {"next_payment_attempt": TOMORROW, "customer_since": LONG_AGO, "attempt_count": 2},
            NOTIFY,
            "stripe_retries",
        ),
        (
            "insufficient_funds",
            {"next_payment_attempt": TOMORROW, "customer_since": LONG_AGO, "has_subscription": False},
            NOTIFY,
            "stripe_retries",
        ),
        ("stolen_card", NEW_CARD, RETRY, "new_payment_method"),
        ("stolen_card", {"method_on_file": "pm_again"}, NOTIFY, "new_method_needed"),
        ("stolen_card", {"method_on_file": "pm_new", "method_fingerprint": ""}, NOTIFY, "new_method_needed"),
        ("stolen_card", {**NEW_CARD, "card_attempts_30_days": 40}, NOTIFY, "new_method_needed"),
        ("insufficient_funds", {**NEW_CARD, "refused_for_good": "stolen card"}, NOTIFY, "no_more_retries"),
        (
            "stolen_card",
            {"method_on_file": "pm_new", "method_type": "sepa_debit", "method_fingerprint": ""},
            RETRY,
            "new_payment_method",
        ),
        ("expired_card", {**NEW_CARD, "attempt_count": 5}, RETRY, "new_payment_method"),
        ("expired_card", {**NEW_CARD, "amount_remaining": 500_001}, ESCALATE, "large_amount"),
        ("insufficient_funds", {"automatic": False}, NOTIFY, "no_more_retries"),
        ("insufficient_funds", {"method_on_file": ""}, NOTIFY, "no_more_retries"),
    ],
)
def test_the_rules_choice(code: str, past: dict[str, Any], kind: str, reason: str) -> None:
    proposal = rules.decide(failure(code), history(**past), CONFIG, NOW)
    assert proposal is not None
    assert (proposal.kind, proposal.reason_code) == (kind, reason)
    assert proposal.rationale.endswith(".")
    assert proposal.version == "rules dunning v1"


@pytest.mark.parametrize("past", [{"status": "paid"}, {"status": "void"}, {"amount_remaining": 0}])
def test_nothing_is_proposed_when_nothing_is_owed(past: dict[str, Any]) -> None:
    assert rules.permitted(failure("insufficient_funds"), history(**past), CONFIG, NOW) == []


def test_an_open_dispute_leaves_only_a_person() -> None:
    assert kinds(failure("insufficient_funds"), history(dispute_open=True, **NEW_CARD)) == [ESCALATE]


def test_a_setting_allows_retries_beside_stripes_own() -> None:
    past = history(next_payment_attempt=TOMORROW)
    assert RETRY not in kinds(failure("insufficient_funds"), past)
    assert kinds(failure("insufficient_funds"), past, RuleConfig(retry_beside_stripe=True))[0] == RETRY


def test_insufficient_funds_wait_for_a_payday_two_days_away_or_more() -> None:
    proposal = rules.decide(failure("insufficient_funds"), history(), CONFIG, NOW)
    assert proposal is not None
    assert proposal.when == datetime(2026, 11, 27, 9, tzinfo=UTC)  # Tuesday noon + 2 days → Friday


def test_the_networks_pause_pushes_the_payday_back() -> None:
    given = failure("insufficient_funds", card_brand="mastercard", network_advice_code="29")
    proposal = rules.decide(given, history(), CONFIG, NOW)
    assert proposal is not None
    assert proposal.when is not None
    assert proposal.when >= NOW + timedelta(days=8)


@pytest.mark.parametrize(("attempt", "hours"), [(1, 1), (2, 6), (3, 24)])
def test_a_technical_fault_is_tried_again_within_hours(attempt: int, hours: int) -> None:
    proposal = rules.decide(failure("processing_error"), history(attempt_count=attempt), CONFIG, NOW)
    assert proposal is not None
    assert proposal.when == NOW + timedelta(hours=hours)


def test_a_fault_that_has_passed_by_now_is_tried_now() -> None:
    given = failure("processing_error", at=NOW - timedelta(hours=3))
    proposal = rules.decide(given, history(), CONFIG, NOW)
    assert proposal is not None
    assert (proposal.kind, proposal.when) == (RETRY, None)


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
    proposal = rules.decide(failure(code), history(), CONFIG, NOW)
    assert proposal is not None
    assert proposal.template == template


def test_a_secret_reason_is_flagged_for_the_reviewer() -> None:
    proposal = rules.decide(failure("stolen_card"), history(), CONFIG, NOW)
    assert proposal is not None
    assert "reason_secret" in dict(proposal.flags)


def test_a_used_up_card_is_not_charged_again() -> None:
    used = history(card_attempts_30_days=15)
    assert RETRY not in kinds(failure("insufficient_funds"), used)
    proposal = rules.decide(failure("insufficient_funds"), used, CONFIG, NOW)
    assert proposal is not None
    assert "network_cap" in dict(proposal.flags)


def test_a_failure_without_a_payment_method_makes_no_card_a_new_one() -> None:
    assert RETRY not in kinds(failure("stolen_card", payment_method_id=""), history(**NEW_CARD))


def test_bank_debits_are_retried_twice_at_most() -> None:
    debit = failure("", code="insufficient_funds", payment_method_type="us_bank_account", card_brand="")
    assert RETRY in kinds(debit, history(attempt_count=2))
    assert RETRY not in kinds(debit, history(attempt_count=3))


def test_no_second_grace_period_while_one_runs() -> None:
    past = history(next_payment_attempt=TOMORROW, customer_since=LONG_AGO, grace_until=TOMORROW)
    assert GRACE not in kinds(failure("insufficient_funds"), past)


# -- properties --------------------------------------------------------------------------------------------------------
failures = st.builds(
    PaymentFailure,
    code=st.sampled_from(["", "card_declined", "expired_card", "processing_error", "insufficient_funds"]),
    decline_code=st.sampled_from(["", "unheard_of", *DECLINES]),
    advice_code=st.sampled_from(["", *ADVICES]),
    network_decline_code=st.sampled_from(["", "05", "14", "43", "51", "R1"]),
    network_advice_code=st.sampled_from(["", *MASTERCARD_ADVICES]),
    outcome_type=st.sampled_from(["", "issuer_declined", "blocked"]),
    risk_level=st.sampled_from(["", "normal", "highest"]),
    payment_method_id=st.sampled_from(["", "pm_old"]),
    payment_method_type=st.sampled_from(["card", "us_bank_account"]),
    card_brand=st.sampled_from(["visa", "mastercard", "amex", ""]),
    charge_id=st.sampled_from(["", "ch_1"]),
    at=st.one_of(st.none(), st.integers(min_value=0, max_value=80).map(lambda days: NOW - timedelta(days=days))),
)
pasts = st.builds(
    CaseHistory,
    status=st.sampled_from(["open", "open", "open", "paid", "void", "uncollectible"]),
    amount_remaining=st.integers(min_value=0, max_value=2_000_000),
    currency=st.sampled_from(["usd", "eur", "jpy", "pln"]),
    attempt_count=st.integers(min_value=0, max_value=9),
    next_payment_attempt=st.one_of(st.none(), st.just(NOW - timedelta(days=1)), st.just(TOMORROW)),
    automatic=st.booleans(),
    has_subscription=st.booleans(),
    method_on_file=st.sampled_from(["", "pm_old", "pm_new"]),
    method_type=st.sampled_from(["", "card", "link", "us_bank_account"]),
    method_brand=st.sampled_from(["", "visa", "mastercard"]),
    method_fingerprint=st.sampled_from(["", "fp_old", "fp_new"]),
    failed_fingerprint=st.sampled_from(["", "fp_old"]),
    has_email=st.booleans(),
    notices_sent=st.integers(min_value=0, max_value=4),
    grace_until=st.one_of(st.none(), st.just(TOMORROW)),
    customer_since=st.one_of(st.none(), st.just(LONG_AGO), st.just(NOW)),
    losses=st.integers(min_value=0, max_value=2),
    dispute_open=st.booleans(),
    card_attempts_day=st.integers(min_value=0, max_value=12),
    card_attempts_30_days=st.integers(min_value=0, max_value=40),
    refused_for_good=st.sampled_from(["", "", "stolen card"]),
)
configs = st.builds(RuleConfig, retry_beside_stripe=st.booleans())


@given(failures, pasts, configs)
def test_a_method_that_must_not_be_charged_again_never_is(
    given_failure: PaymentFailure, past: CaseHistory, config: RuleConfig
) -> None:
    for option in rules.permitted(given_failure, past, config, NOW):
        if option.kind == RETRY:
            known = given_failure.payment_method_id and past.method_on_file
            new_method = known and past.method_on_file != given_failure.payment_method_id
            same_card = past.failed_fingerprint and past.method_fingerprint == past.failed_fingerprint
            assert (new_method and not same_card) or judge(given_failure).category in reasons.RETRYABLE
            assert not past.refused_for_good
            assert past.method_on_file
            assert past.automatic
            assert not past.dispute_open


@given(failures, pasts, configs)
def test_no_retry_of_any_card_beyond_its_networks_caps(
    given_failure: PaymentFailure, past: CaseHistory, config: RuleConfig
) -> None:
    used_up = schedule.over_cap(
        past.method_brand or given_failure.card_brand,
        last_day=past.card_attempts_day,
        last_30_days=past.card_attempts_30_days,
    )
    if used_up:
        assert RETRY not in kinds(given_failure, past, config)


@given(failures, pasts, configs)
def test_whatever_is_owed_gets_a_proposal_and_each_kind_once(
    given_failure: PaymentFailure, past: CaseHistory, config: RuleConfig
) -> None:
    found = kinds(given_failure, past, config)
    owed = past.status == "open" and past.amount_remaining > 0
    assert bool(found) is owed
    assert len(found) == len(set(found))
    assert not owed or ESCALATE in found


@given(failures, pasts, configs)
def test_times_lie_ahead_and_messages_stay_within_their_number(
    given_failure: PaymentFailure, past: CaseHistory, config: RuleConfig
) -> None:
    for option in rules.permitted(given_failure, past, config, NOW):
        assert option.when is None or option.when > NOW
        assert option.until is None or option.until > NOW
        if option.kind == NOTIFY:
            assert past.notices_sent < config.max_notices
            assert past.has_email
            assert option.template
            assert option.deadline is not None
        if option.kind == GRACE:
            assert past.has_subscription
