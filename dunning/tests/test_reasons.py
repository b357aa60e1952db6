"""The tables of codes, and how one failure's codes are weighed against each other."""

from __future__ import annotations

from datetime import timedelta

import pytest

from dunning import reasons
from dunning.reasons import ADVICES, DECLINES, ERROR_CODES, MASTERCARD_ADVICES, Category, judge, row_of
from dunning.tests.factories import failure

# Stripe's "Decline codes" page (https://docs.stripe.com/declines/codes), card declines: 50, two of them deprecated.
PUBLISHED = [
    "authentication_required",
    "authentication_not_handled",
    "approve_with_id",
    "call_issuer",
    "card_not_supported",
    "card_velocity_exceeded",
    "currency_not_supported",
    "do_not_honor",
    "do_not_try_again",
    "duplicate_transaction",
    "expired_card",
    "fraudulent",
    "generic_decline",
    "incorrect_address",
    "incorrect_number",
    "incorrect_cvc",
    "incorrect_pin",
    "incorrect_zip",
    "insufficient_funds",
    "invalid_account",
    "invalid_amount",
    "invalid_cvc",
    "invalid_expiry_month",
    "invalid_expiry_year",
    "invalid_number",
    "invalid_pin",
    "issuer_not_available",
    "lost_card",
    "merchant_blacklist",
    "mobile_device_authentication_required",
    "new_account_information_available",
    "no_action_taken",
    "not_permitted",
    "offline_pin_required",
    "online_or_offline_pin_required",
    "pickup_card",
    "pin_try_exceeded",
    "processing_error",
    "reenter_transaction",
    "restricted_card",
    "revocation_of_all_authorizations",
    "revocation_of_authorization",
    "security_violation",
    "service_not_allowed",
    "stolen_card",
    "stop_payment_order",
    "testmode_decline",
    "transaction_not_allowed",
    "try_again_later",
    "withdrawal_count_limit_exceeded",
]
# Stripe's own retries never charge the same method again after these.
NEVER_BY_STRIPE = [
    "incorrect_number",
    "lost_card",
    "pickup_card",
    "stolen_card",
    "revocation_of_authorization",
    "revocation_of_all_authorizations",
    "authentication_required",
    "highest_risk_level",
    "transaction_not_allowed",
]
SECRET_BY_STRIPE = ["fraudulent", "lost_card", "merchant_blacklist", "stolen_card"]


def test_every_published_code_has_a_row() -> None:
    assert len(set(PUBLISHED)) == 50
    assert set(PUBLISHED) <= set(DECLINES)


def test_every_row_names_its_source_and_says_it_in_words() -> None:
    rows = [*DECLINES.values(), *ERROR_CODES.values(), *ADVICES.values(), *MASTERCARD_ADVICES.values()]
    assert all(row.source and row.words for row in rows)
    assert all(code == row.code for table in (DECLINES, ERROR_CODES) for code, row in table.items())


@pytest.mark.parametrize("code", NEVER_BY_STRIPE)
def test_what_stripe_never_retries_is_not_retryable_here(code: str) -> None:
    assert not judge(failure(code)).may_retry


@pytest.mark.parametrize("code", SECRET_BY_STRIPE)
@pytest.mark.parametrize("advice", ["", "try_again_later", "do_not_try_again", "confirm_card_data"])
def test_a_secret_reason_stays_secret_whatever_the_advice(code: str, advice: str) -> None:
    assert judge(failure(code, advice_code=advice)).secret


@pytest.mark.parametrize("code", sorted(DECLINES))
def test_stripes_advice_not_to_try_again_always_ends_the_retries(code: str) -> None:
    assert not judge(failure(code, advice_code="do_not_try_again")).may_retry


@pytest.mark.parametrize(
    "code", sorted(code for code, row in DECLINES.items() if row.category not in reasons.RETRYABLE)
)
def test_no_advice_makes_a_forbidden_code_retryable(code: str) -> None:
    assert not judge(failure(code, advice_code="try_again_later")).may_retry
    assert not judge(failure(code, card_brand="mastercard", network_advice_code="02")).may_retry


@pytest.mark.parametrize(
    ("codes", "category"),
    [
        ({"decline_code": "insufficient_funds"}, Category.LATER),
        ({"decline_code": "insufficient_funds", "advice_code": "try_again_later"}, Category.LATER),
        ({"decline_code": "processing_error"}, Category.SOON),
        ({"decline_code": "generic_decline"}, Category.CONTESTED),
        ({"decline_code": "generic_decline", "advice_code": "try_again_later"}, Category.SOON),
        ({"decline_code": "generic_decline", "advice_code": "confirm_card_data"}, Category.CUSTOMER),
        ({"decline_code": "generic_decline", "outcome_type": "blocked"}, Category.FRAUD),
        ({"decline_code": "generic_decline", "risk_level": "highest"}, Category.FRAUD),
        ({"decline_code": "duplicate_transaction"}, Category.OURS),
        ({"decline_code": "", "code": "expired_card"}, Category.CUSTOMER),
        ({"decline_code": "", "code": "payment_method_provider_timeout"}, Category.SOON),
        ({"decline_code": "a_code_of_next_year"}, Category.CONTESTED),
        ({"decline_code": "do_not_honor", "network_decline_code": "14"}, Category.HARD),
        ({"decline_code": "do_not_honor", "network_decline_code": "43"}, Category.FRAUD),
        ({"decline_code": "do_not_honor", "network_decline_code": "14", "card_brand": "amex"}, Category.CONTESTED),
        ({"decline_code": "do_not_honor", "network_advice_code": "03", "card_brand": "mastercard"}, Category.HARD),
        ({"decline_code": "do_not_honor", "network_advice_code": "03", "card_brand": "visa"}, Category.CONTESTED),
        ({"decline_code": "do_not_honor", "network_advice_code": "01", "card_brand": "mastercard"}, Category.CUSTOMER),
        ({"decline_code": "do_not_honor", "network_advice_code": "24", "card_brand": "mastercard"}, Category.LATER),
    ],
)
def test_codes_are_weighed(codes: dict[str, str], category: Category) -> None:
    assert judge(failure(**codes)).category == category


def test_the_network_says_how_long_to_wait() -> None:
    assert judge(failure("insufficient_funds", card_brand="mastercard", network_advice_code="28")).wait == timedelta(
        days=6
    )


def test_a_failure_without_any_payment_method_is_the_customers_to_mend() -> None:
    row = row_of(failure("", code="", payment_method_id="", charge_id=""))
    assert (row.code, row.category) == ("no_payment_method", Category.CUSTOMER)
