"""Why a payment failed, and what that means for another attempt: closed tables, each row with its source. Pure.

The published list of Stripe's decline codes is complete as of the page named below; a code that is not in it is judged
like `generic_decline`, few and spaced attempts. `judge` weighs the codes of one failure against each other.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from billingops.stripe.facts import PaymentFailure

CODES = "https://docs.stripe.com/declines/codes"
ADVICE = "https://docs.stripe.com/declines/card#retrying-issuer-declines"
NO_RETRY = "https://docs.stripe.com/billing/revenue-recovery/smart-retries#non-retryable-decline-codes"
ERRORS = "https://docs.stripe.com/error-codes"
MASTERCARD = "Mastercard merchant advice codes, as published by acquirers: https://docs.everonet.com/en-us/gateway/developer-portal/appendix/mastercard-merchant-advice-code"
VISA = "Visa decline category 1, as published by acquirers: https://developers.tabapay.com/docs/excessive-retry-rules"


class Category(StrEnum):
    """What may come next for the same payment method."""

    SOON = "soon"  # a technical fault: again within hours
    LATER = "later"  # no money there now: again after days
    CONTESTED = "contested"  # no reason given: few attempts, days apart
    CUSTOMER = "customer"  # only the customer can change the result
    HARD = "hard"  # never again without another payment method
    FRAUD = "fraud"  # like hard, and the reason is not for the customer
    OURS = "ours"  # the mistake is on the platform's side

    @property
    def label(self) -> str:
        return _LABELS[self]


_LABELS = {
    Category.SOON: "technical fault",
    Category.LATER: "no funds now",
    Category.CONTESTED: "no reason given",
    Category.CUSTOMER: "the customer must act",
    Category.HARD: "needs another payment method",
    Category.FRAUD: "fraud-like, reason not for the customer",
    Category.OURS: "ours to correct",
}
RETRYABLE = frozenset({Category.SOON, Category.LATER, Category.CONTESTED})


@dataclass(frozen=True, slots=True)
class Decline:
    """One published code. `words` is for staff; `secret` forbids to tell it, or anything narrower than "declined"."""

    code: str
    category: Category
    words: str
    source: str = CODES
    secret: bool = False


@dataclass(frozen=True, slots=True)
class Advice:
    """What Stripe or the card network advises. `category` None leaves the decline code's; `wait` is the least pause."""

    code: str
    category: Category | None
    words: str
    source: str
    wait: timedelta | None = None


_SOON, _LATER, _CONTESTED = Category.SOON, Category.LATER, Category.CONTESTED
_CUSTOMER, _HARD, _FRAUD, _OURS = Category.CUSTOMER, Category.HARD, Category.FRAUD, Category.OURS

DECLINES: dict[str, Decline] = {
    row.code: row
    for row in (
        Decline("approve_with_id", _CONTESTED, "the bank asks for identification"),
        Decline("authentication_required", _CUSTOMER, "the customer must confirm the payment (3D Secure)", NO_RETRY),
        Decline("call_issuer", _CONTESTED, "declined, the bank gives no reason"),
        Decline("card_not_supported", _CUSTOMER, "the card does not allow this kind of purchase"),
        Decline("card_velocity_exceeded", _LATER, "over the card's balance, credit or spending limit"),
        Decline("currency_not_supported", _CUSTOMER, "the card does not support the currency"),
        Decline("do_not_honor", _CONTESTED, "declined, the bank gives no reason"),
        Decline("do_not_try_again", _HARD, "the bank asks not to try again"),
        Decline("duplicate_transaction", _OURS, "the same amount was just charged to this card"),
        Decline("expired_card", _CUSTOMER, "the card has expired"),
        Decline("fraudulent", _FRAUD, "Stripe suspects fraud", secret=True),
        Decline("generic_decline", _CONTESTED, "declined, the bank gives no reason"),
        Decline("highest_risk_level", _FRAUD, "Stripe rates the risk as highest", NO_RETRY, secret=True),
        Decline("incorrect_address", _CUSTOMER, "the billing address is incorrect", ERRORS),
        Decline("incorrect_cvc", _CUSTOMER, "the security code is incorrect"),
        Decline("incorrect_number", _CUSTOMER, "the card number is incorrect", NO_RETRY),
        Decline("incorrect_pin", _CUSTOMER, "the PIN is incorrect"),
        Decline("incorrect_zip", _CUSTOMER, "the postal code is incorrect"),
        Decline("insufficient_funds", _LATER, "insufficient funds"),
        Decline("invalid_account", _HARD, "the card or its account is invalid"),
        Decline("invalid_amount", _OURS, "the amount is invalid or above what is allowed"),
        Decline("invalid_cvc", _CUSTOMER, "the security code is incorrect"),
        Decline("invalid_expiry_month", _CUSTOMER, "the expiration month is invalid"),
        Decline("invalid_expiry_year", _CUSTOMER, "the expiration year is invalid"),
        Decline("invalid_number", _CUSTOMER, "the card number is incorrect"),
        Decline("invalid_pin", _CUSTOMER, "the PIN is incorrect"),
        Decline("issuer_not_available", _SOON, "the bank could not be reached"),
        Decline("lost_card", _FRAUD, "the card is reported lost", NO_RETRY, secret=True),
        Decline("merchant_blacklist", _FRAUD, "it matches the platform's block list", secret=True),
        Decline("new_account_information_available", _HARD, "the card or its account is no longer valid"),
        Decline("no_action_taken", _CONTESTED, "declined, the bank gives no reason"),
        Decline("not_permitted", _HARD, "the bank does not permit the payment"),
        Decline("offline_pin_required", _CUSTOMER, "the card asks for a PIN"),
        Decline("online_or_offline_pin_required", _CUSTOMER, "the card asks for a PIN"),
        Decline("pickup_card", _FRAUD, "the card is to be withdrawn, perhaps lost or stolen", NO_RETRY, secret=True),
        Decline("pin_try_exceeded", _CUSTOMER, "too many PIN attempts"),
        Decline("processing_error", _SOON, "a fault while processing the card"),
        Decline("reenter_transaction", _SOON, "the bank could not process it and asks for another attempt"),
        Decline("restricted_card", _FRAUD, "the card is restricted, perhaps lost or stolen", secret=True),
        Decline("revocation_of_all_authorizations", _HARD, "the customer has revoked all charges", NO_RETRY),
        Decline("revocation_of_authorization", _HARD, "the customer has revoked this charge", NO_RETRY),
        Decline("security_violation", _FRAUD, "the bank reports a security violation", secret=True),
        Decline("service_not_allowed", _HARD, "the card does not allow this service"),
        Decline("stolen_card", _FRAUD, "the card is reported stolen", NO_RETRY, secret=True),
        Decline("stop_payment_order", _HARD, "the customer has stopped this payment at the bank"),
        Decline("testmode_decline", _OURS, "a test card was used"),
        Decline("transaction_not_allowed", _HARD, "the bank does not allow this transaction"),
        Decline("try_again_later", _SOON, "the bank asks for an attempt later"),
        Decline("withdrawal_count_limit_exceeded", _LATER, "over the card's balance or credit limit"),
    )
}

# Error codes that come without a decline code, other payment methods' included.
ERROR_CODES: dict[str, Decline] = {
    row.code: row
    for row in (
        Decline("authentication_required", _CUSTOMER, "the customer must confirm the payment (3D Secure)", ERRORS),
        Decline("bank_account_unusable", _HARD, "the bank account cannot be used", ERRORS),
        Decline("card_decline_rate_limit_exceeded", _LATER, "the card was declined too often today", ERRORS),
        Decline("card_declined", _CONTESTED, "declined, no reason given", ERRORS),
        Decline("debit_not_authorized", _HARD, "the customer says the debit was not authorised", ERRORS),
        Decline("expired_card", _CUSTOMER, "the card has expired", ERRORS),
        Decline("incorrect_cvc", _CUSTOMER, "the security code is incorrect", ERRORS),
        Decline("incorrect_number", _CUSTOMER, "the card number is incorrect", ERRORS),
        Decline("incorrect_zip", _CUSTOMER, "the postal code is incorrect", ERRORS),
        Decline("insufficient_funds", _LATER, "insufficient funds", ERRORS),
        Decline("payment_intent_action_required", _CUSTOMER, "the customer must confirm the payment", ERRORS),
        Decline("payment_intent_authentication_failure", _CUSTOMER, "the customer failed the confirmation", ERRORS),
        Decline("payment_intent_mandate_invalid", _HARD, "the mandate is not valid", ERRORS),
        Decline("payment_intent_payment_attempt_failed", _CONTESTED, "the payment method reports a failure", ERRORS),
        Decline("payment_method_bank_account_blocked", _HARD, "the bank account is blocked", ERRORS),
        Decline("payment_method_currency_mismatch", _OURS, "the payment method does not take this currency", ERRORS),
        Decline("payment_method_customer_decline", _CUSTOMER, "the customer declined the payment", ERRORS),
        Decline("payment_method_not_available", _SOON, "the payment provider was not available", ERRORS),
        Decline("payment_method_provider_decline", _CONTESTED, "the payment provider declined", ERRORS),
        Decline("payment_method_provider_timeout", _SOON, "the payment provider did not answer in time", ERRORS),
        Decline("payment_method_unactivated", _OURS, "the payment method is not activated for the platform", ERRORS),
        Decline("processing_error", _SOON, "a fault while processing the payment", ERRORS),
    )
}
UNKNOWN = Decline("", _CONTESTED, "declined, no reason given", CODES)
NO_METHOD = Decline("no_payment_method", _CUSTOMER, "no payment method is on file", NO_RETRY)
BLOCKED = Decline("blocked", _FRAUD, "Stripe blocked the payment as too risky", ADVICE, secret=True)

ADVICES: dict[str, Advice] = {
    row.code: row
    for row in (
        Advice("do_not_try_again", _HARD, "Stripe advises not to try this card again", ADVICE),
        Advice("try_again_later", _SOON, "Stripe advises to try again later", ADVICE),
        Advice("confirm_card_data", _CUSTOMER, "Stripe advises to have the card data confirmed", ADVICE),
    )
}
# Meanings differ by network; these hold for Mastercard alone.
MASTERCARD_ADVICES: dict[str, Advice] = {
    row.code: row
    for row in (
        Advice("01", _CUSTOMER, "new account information is available", MASTERCARD),
        Advice("02", _LATER, "cannot be approved now", MASTERCARD, timedelta(hours=72)),
        Advice("03", _HARD, "do not try again", MASTERCARD),
        Advice("04", _OURS, "the token does not fit the transaction", MASTERCARD),
        Advice("21", _HARD, "the customer has cancelled the recurring payment", MASTERCARD),
        Advice("22", _OURS, "the platform does not qualify for the product code", MASTERCARD),
        Advice("24", _LATER, "retry after 1 hour", MASTERCARD, timedelta(hours=1)),
        Advice("25", _LATER, "retry after 24 hours", MASTERCARD, timedelta(hours=24)),
        Advice("26", _LATER, "retry after 2 days", MASTERCARD, timedelta(days=2)),
        Advice("27", _LATER, "retry after 4 days", MASTERCARD, timedelta(days=4)),
        Advice("28", _LATER, "retry after 6 days", MASTERCARD, timedelta(days=6)),
        Advice("29", _LATER, "retry after 8 days", MASTERCARD, timedelta(days=8)),
        Advice("30", _LATER, "retry after 10 days", MASTERCARD, timedelta(days=10)),
        Advice("40", _HARD, "a prepaid card that cannot be topped up", MASTERCARD),
        Advice("41", _HARD, "a card for a single payment", MASTERCARD),
        Advice("42", _HARD, "the network's sanctions score is exceeded", MASTERCARD),
    )
}
# Response codes after which the issuer will never approve; each further attempt may be charged a fee.
VISA_NEVER = frozenset({"04", "07", "12", "14", "15", "41", "43", "46", "57", "R0", "R1", "R3"})
_VISA_SECRET = frozenset({"04", "07", "41", "43"})


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one failure means. `code` is the code the category rests on; `basis` says so in words, for staff."""

    category: Category
    code: str
    words: str
    basis: str
    secret: bool = False
    wait: timedelta | None = None

    @property
    def may_retry(self) -> bool:
        """Whether the same payment method may be charged again at all."""
        return self.category in RETRYABLE


def row_of(failure: PaymentFailure) -> Decline:
    """The table's row for the failure's own code, advice aside."""
    if failure.decline_code in DECLINES:
        return DECLINES[failure.decline_code]
    if failure.outcome_type == "blocked" or failure.risk_level == "highest":
        return BLOCKED
    if failure.decline_code:
        return UNKNOWN
    if failure.code in ERROR_CODES:
        return ERROR_CODES[failure.code]
    if not failure.code and not failure.payment_method_id and not failure.charge_id:
        return NO_METHOD
    return UNKNOWN


def judge(failure: PaymentFailure) -> Verdict:
    """Weigh a failure's codes. What forbids another attempt always wins; then Stripe's advice over the network's advice
    over the decline code. A secret stays one whatever the advice says."""
    row = row_of(failure)
    network = MASTERCARD_ADVICES.get(failure.network_advice_code) if failure.card_brand == "mastercard" else None
    stripe = ADVICES.get(failure.advice_code)
    visa_never = failure.card_brand == "visa" and failure.network_decline_code in VISA_NEVER
    blocked = failure.outcome_type == "blocked" or failure.risk_level == "highest"
    secret = row.secret or blocked or (visa_never and failure.network_decline_code in _VISA_SECRET)
    wait = network.wait if network else None

    def verdict(category: Category, code: str, basis: str) -> Verdict:
        return Verdict(category, code or failure.code, row.words, basis, secret, wait)

    own = f"decline code {row.code}" if row.code else "no known decline code"
    if row.category not in RETRYABLE and row.category != _OURS:
        return verdict(row.category, row.code, own)
    if blocked:
        return verdict(_FRAUD, row.code, "Stripe blocked the payment as too risky")
    if visa_never:
        category = _FRAUD if secret else _HARD
        return verdict(category, row.code, f"Visa's answer {failure.network_decline_code}: never to be approved")
    for advice in (stripe, network):
        if advice and advice.category and advice.category not in RETRYABLE:
            return verdict(advice.category, row.code, f"advice {advice.code}: {advice.words}")
    if row.category in (_LATER, _OURS):
        return verdict(row.category, row.code, own)
    for advice in (stripe, network):
        if advice and advice.category:
            return verdict(advice.category, row.code, f"advice {advice.code}: {advice.words}")
    return verdict(row.category, row.code, own)
