"""How the codes of one failure are weighed: what forbids wins, secrets stay, debits and wallets keep their rules."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billingops.stripe.facts import PaymentFailure
from dunning import reasons
from dunning.reasons import CardTrouble, Category, Family, Fixer, Retry, Told, card_trouble, days_left, judge
from dunning.tests.factories import failure

ROWS = list(reasons.every_row())
DECLINE_CODES = ["", "a_code_of_next_year", *reasons.DECLINES, *reasons.LOCAL]
ERROR_CODES = ["", "card_declined", "unheard_of", *reasons.ERROR_CODES, *reasons.DEBITS]
NETWORK_CODES = ["", "ZZ", *(row.code for row in ROWS if row.scheme)]
ANY_FAILURE = st.builds(
    PaymentFailure,
    code=st.sampled_from(ERROR_CODES),
    decline_code=st.sampled_from(DECLINE_CODES),
    advice_code=st.sampled_from(["", *reasons.ADVICES]),
    network_decline_code=st.sampled_from(NETWORK_CODES),
    network_advice_code=st.sampled_from(["", *reasons.MASTERCARD_ADVICES]),
    outcome_type=st.sampled_from(["", "issuer_declined", "blocked", "invalid"]),
    outcome_reason=st.sampled_from(["", *reasons.OUTCOME_REASONS]),
    risk_level=st.sampled_from(["", "normal", "elevated", "highest"]),
    payment_method_id=st.sampled_from(["", "pm_1"]),
    payment_method_type=st.sampled_from(["", "customer_balance", *reasons.SHAPES]),
    card_brand=st.sampled_from(["", "visa", "mastercard", "amex", "discover"]),
    card_country=st.sampled_from(["", "DE", "IN"]),
    charge_id=st.sampled_from(["", "ch_1"]),
)
CARD_ROWS = sorted((row for row in reasons.DECLINES.values() if row.forbids), key=lambda row: row.code)
DEBIT_ROWS = sorted((row for row in reasons.DEBITS.values() if row.forbids), key=lambda row: row.code)


def of(kind: str, **codes: str) -> PaymentFailure:
    """A failure of a payment method that is no card."""
    return failure(**{"code": "", "card_brand": "", "payment_method_type": kind, **codes})


# -- what forbids wins, and secrets stay ------------------------------------------------------------------------------
@given(ANY_FAILURE, st.sampled_from(CARD_ROWS))
def test_no_other_code_makes_a_forbidding_decline_retryable(other: PaymentFailure, row: reasons.Reason) -> None:
    # Under a wallet or a debit the same word may be another table's: there it is tested as that table's.
    kind = "card" if other.payment_method_type in reasons.SHAPES else other.payment_method_type
    changed = failure(**{**fields(other), "decline_code": row.code, "payment_method_type": kind})
    assert not judge(changed).may_retry


@given(ANY_FAILURE, st.sampled_from(DEBIT_ROWS), st.sampled_from(sorted(reasons.SCHEMES)))
def test_no_other_code_makes_a_forbidding_debit_retryable(
    other: PaymentFailure, row: reasons.Reason, kind: str
) -> None:
    assert not judge(failure(**{**fields(other), "code": row.code, "payment_method_type": kind})).may_retry


@given(ANY_FAILURE)
def test_a_verdict_permits_only_what_every_row_permits(any_failure: PaymentFailure) -> None:
    verdict = judge(any_failure)
    rows = [reasons.row_of(any_failure), reasons.network_row(any_failure)]
    forbidden = any(row is not None and row.forbids for row in rows)
    advised = any_failure.advice_code in ("do_not_try_again", "confirm_card_data")
    blocked = any_failure.outcome_type == "blocked" or any_failure.risk_level == "highest"
    if forbidden or advised or blocked:
        assert not verdict.may_retry
        assert verdict.retry == Retry.NEVER


@given(ANY_FAILURE)
def test_a_secret_is_told_as_a_plain_decline(any_failure: PaymentFailure) -> None:
    verdict = judge(any_failure)
    rows = [reasons.row_of(any_failure), reasons.network_row(any_failure)]
    if any(row is not None and row.secret for row in rows):
        assert verdict.secret
    if verdict.secret or verdict.category == Category.FRAUD:
        assert verdict.told == Told.DECLINED


@given(ANY_FAILURE)
def test_every_verdict_says_who_can_mend_it_and_where_that_is_published(any_failure: PaymentFailure) -> None:
    verdict = judge(any_failure)
    assert verdict.words
    assert verdict.basis
    assert verdict.source
    assert verdict.who in Fixer
    assert verdict.debit == (verdict.result_days > 0) or not any_failure.payment_method_type


def fields(given_one: PaymentFailure) -> dict[str, Any]:
    return {name: getattr(given_one, name) for name in PaymentFailure.__dataclass_fields__ if name != "at"}


# -- cards -------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("codes", "category", "told"),
    [
        ({"decline_code": "insufficient_funds"}, Category.LATER, Told.INSUFFICIENT_FUNDS),
        ({"decline_code": "expired_card"}, Category.CUSTOMER, Told.EXPIRED_CARD),
        ({"decline_code": "do_not_honor"}, Category.CONTESTED, Told.CONTACT_BANK),
        ({"decline_code": "authentication_required"}, Category.CUSTOMER, Told.CONFIRM_PAYMENT),
        ({"decline_code": "stolen_card"}, Category.FRAUD, Told.DECLINED),
        ({"decline_code": "processing_error"}, Category.SOON, Told.TRY_AGAIN),
        ({"decline_code": "duplicate_transaction"}, Category.OURS, Told.NOTHING),
        # the bank's own answer says what Stripe leaves out
        ({"decline_code": "do_not_honor", "network_decline_code": "54"}, Category.CUSTOMER, Told.EXPIRED_CARD),
        ({"decline_code": "do_not_honor", "network_decline_code": "59"}, Category.CONTESTED, Told.DECLINED),
        ({"decline_code": "", "network_decline_code": "51"}, Category.LATER, Told.INSUFFICIENT_FUNDS),
        ({"decline_code": "do_not_honor", "network_decline_code": "1A"}, Category.CUSTOMER, Told.CONFIRM_PAYMENT),
        (
            {"decline_code": "do_not_honor", "network_decline_code": "187", "card_brand": "amex"},
            Category.CUSTOMER,
            Told.ANOTHER_METHOD,
        ),
        # Stripe's advice
        (
            {"decline_code": "generic_decline", "advice_code": "confirm_card_data"},
            Category.CUSTOMER,
            Told.CHECK_DETAILS,
        ),
        ({"decline_code": "generic_decline", "advice_code": "do_not_try_again"}, Category.HARD, Told.ANOTHER_METHOD),
        # another code of the same failure forbids
        ({"decline_code": "generic_decline", "code": "expired_card"}, Category.CUSTOMER, Told.EXPIRED_CARD),
    ],
)
def test_a_cards_codes_say_what_may_be_done_and_told(codes: dict[str, str], category: Category, told: Told) -> None:
    verdict = judge(failure(**codes))
    assert (verdict.category, verdict.told) == (category, told)
    assert (verdict.debit, verdict.result_days, verdict.max_retries) == (False, 0, None)


def test_a_payment_that_stripe_thought_hopeless_is_no_secret() -> None:
    hopeless = failure(
        "generic_decline",
        outcome_type="blocked",
        outcome_reason="low_probability_of_authorization",
        risk_level="normal",
    )
    assert (judge(hopeless).category, judge(hopeless).secret) == (Category.HARD, False)


def test_a_payment_that_a_rule_of_ours_blocked_is_a_secret() -> None:
    verdict = judge(failure("generic_decline", outcome_type="blocked", outcome_reason="rule"))
    assert (verdict.category, verdict.secret, verdict.told) == (Category.FRAUD, True, Told.DECLINED)


def test_a_card_declined_too_often_rests_for_a_day() -> None:
    verdict = judge(failure("", code="card_decline_rate_limit_exceeded"))
    assert (verdict.retry, verdict.wait) == (Retry.LATER, timedelta(hours=24))


def test_a_card_issued_in_india_is_not_charged_again_without_the_customer() -> None:
    verdict = judge(failure("insufficient_funds", card_country="IN"))
    assert (verdict.category, verdict.who, verdict.told) == (Category.CUSTOMER, Fixer.CUSTOMER, Told.CONFIRM_PAYMENT)
    assert "India" in verdict.basis


# -- debits ------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("kind", "codes", "retry", "told"),
    [
        ("us_bank_account", {"code": "insufficient_funds"}, Retry.LATER, Told.INSUFFICIENT_FUNDS),
        ("us_bank_account", {"network_decline_code": "R09"}, Retry.LATER, Told.INSUFFICIENT_FUNDS),
        ("us_bank_account", {"code": "insufficient_funds", "network_decline_code": "R10"}, Retry.NEVER, Told.MANDATE),
        ("us_bank_account", {"code": "account_closed"}, Retry.NEVER, Told.BANK_DETAILS),
        ("us_bank_account", {"code": "debit_not_authorized"}, Retry.NEVER, Told.MANDATE),
        ("us_bank_account", {"code": "generic_could_not_process"}, Retry.NEVER, Told.CONTACT_BANK),
        ("us_bank_account", {"code": "a_code_of_next_year"}, Retry.NEVER, Told.CONTACT_BANK),
        ("sepa_debit", {"code": "insufficient_funds"}, Retry.LATER, Told.INSUFFICIENT_FUNDS),
        ("sepa_debit", {"network_decline_code": "AM04"}, Retry.LATER, Told.INSUFFICIENT_FUNDS),
        ("sepa_debit", {"network_decline_code": "MS03"}, Retry.LATER, Told.DECLINED),
        ("sepa_debit", {"network_decline_code": "AC04"}, Retry.NEVER, Told.BANK_DETAILS),
        ("sepa_debit", {"network_decline_code": "MD01"}, Retry.NEVER, Told.MANDATE),
        ("sepa_debit", {"code": "debit_disputed"}, Retry.NEVER, Told.DECLINED),
        ("sepa_debit", {"code": "refer_to_customer"}, Retry.NEVER, Told.CONTACT_BANK),
        ("bacs_debit", {"network_decline_code": "0"}, Retry.LATER, Told.INSUFFICIENT_FUNDS),
        ("bacs_debit", {"code": "bank_ownership_changed"}, Retry.NEVER, Told.BANK_DETAILS),
        ("acss_debit", {"network_decline_code": "901"}, Retry.LATER, Told.INSUFFICIENT_FUNDS),
        ("acss_debit", {"network_decline_code": "903"}, Retry.NEVER, Told.MANDATE),
        ("au_becs_debit", {"network_decline_code": "6"}, Retry.LATER, Told.INSUFFICIENT_FUNDS),
        ("nz_bank_account", {"network_decline_code": "3"}, Retry.NEVER, Told.BANK_DETAILS),
    ],
)
def test_a_debits_codes_say_what_may_be_done_and_told(
    kind: str, codes: dict[str, str], retry: Retry, told: Told
) -> None:
    verdict = judge(of(kind, **codes))
    scheme = reasons.SCHEMES[kind]
    assert (verdict.retry, verdict.told) == (retry, told)
    assert (verdict.debit, verdict.result_days, verdict.max_retries) == (True, scheme.result_days, scheme.max_retries)


def test_a_debit_for_lack_of_funds_waits_for_a_bank_day() -> None:
    assert judge(of("us_bank_account", code="insufficient_funds")).wait == timedelta(days=1)


def test_that_somebody_may_have_died_is_never_said_and_a_person_looks_at_it() -> None:
    for verdict in (judge(of("sepa_debit", network_decline_code="MD07")), judge(of("x", code="recipient_deceased"))):
        assert (verdict.secret, verdict.told, verdict.who, verdict.may_retry) == (True, Told.DECLINED, Fixer.US, False)


def test_one_return_code_means_another_thing_to_another_bank() -> None:
    assert judge(of("bacs_debit", network_decline_code="6")).retry == Retry.NEVER
    assert judge(of("au_becs_debit", network_decline_code="6")).retry == Retry.LATER


# -- wallets -----------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("kind", "codes", "retry", "told"),
    [
        ("paypal", {"decline_code": "insufficient_funds"}, Retry.LATER, Told.INSUFFICIENT_FUNDS),
        ("paypal", {"decline_code": "invalid_billing_agreement"}, Retry.NEVER, Told.MANDATE),
        ("paypal", {"decline_code": "expired_card"}, Retry.NEVER, Told.WALLET_ACCOUNT),
        ("paypal", {"code": "payment_method_provider_decline"}, Retry.LATER, Told.WALLET_ACCOUNT),
        ("klarna", {"code": "payment_method_customer_decline"}, Retry.NEVER, Told.WALLET_ACCOUNT),
        ("klarna", {"decline_code": "partner_high_risk_customer"}, Retry.NEVER, Told.DECLINED),
        ("cashapp", {"network_decline_code": "PAYMENT_DECLINED_LIMIT_REACHED"}, Retry.LATER, Told.LIMIT),
        ("cashapp", {"network_decline_code": "PAYMENT_DECLINED_RISK"}, Retry.NEVER, Told.DECLINED),
        ("amazon_pay", {"code": "payment_method_provider_timeout"}, Retry.SOON, Told.TRY_AGAIN),
        ("link", {"decline_code": "insufficient_funds"}, Retry.LATER, Told.INSUFFICIENT_FUNDS),
        ("ideal", {"code": "payment_method_provider_decline"}, Retry.NEVER, Told.ANOTHER_METHOD),
    ],
)
def test_a_wallets_codes_say_what_may_be_done_and_told(
    kind: str, codes: dict[str, str], retry: Retry, told: Told
) -> None:
    verdict = judge(of(kind, **codes))
    assert (verdict.retry, verdict.told, verdict.debit) == (retry, told, False)


def test_a_card_in_a_phone_is_a_card() -> None:
    in_phone = judge(failure("expired_card", wallet="apple_pay"))
    assert (in_phone.told, in_phone.family) == (Told.EXPIRED_CARD, Family.CARD)


# -- cards whose time runs out ----------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("expires", "now", "trouble"),
    [
        (None, datetime(2026, 11, 24, tzinfo=UTC), CardTrouble.NONE),
        (date(2027, 3, 31), datetime(2026, 11, 24, tzinfo=UTC), CardTrouble.NONE),
        (date(2026, 11, 30), datetime(2026, 11, 24, tzinfo=UTC), CardTrouble.ABOUT_TO_EXPIRE),
        (date(2026, 11, 30), datetime(2026, 11, 30, 23, 59, tzinfo=UTC), CardTrouble.ABOUT_TO_EXPIRE),
        # it is still the 30th in the west
        (date(2026, 11, 30), datetime(2026, 12, 1, 11, 59, tzinfo=UTC), CardTrouble.ABOUT_TO_EXPIRE),
        (date(2026, 11, 30), datetime(2026, 12, 1, 12, 0, tzinfo=UTC), CardTrouble.EXPIRED),
    ],
)
def test_a_card_expires_when_its_last_day_has_ended_everywhere(
    expires: date | None, now: datetime, trouble: CardTrouble
) -> None:
    assert card_trouble(expires, now) == trouble


def test_no_trouble_is_falsy_and_trouble_has_its_row() -> None:
    now = datetime(2026, 11, 24, 12, tzinfo=UTC)
    assert not card_trouble(date(2030, 1, 31), now)
    soon, past = card_trouble(date(2026, 11, 30), now), card_trouble(date(2026, 10, 31), now)
    assert (soon.reason.told, past.reason.told) == (Told.EXPIRING_CARD, Told.EXPIRED_CARD)  # type: ignore[union-attr]
    assert (days_left(date(2026, 11, 30), now), days_left(date(2026, 10, 31), now)) == (6, -24)
    assert CardTrouble.NONE.reason is None
