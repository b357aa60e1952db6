"""Stripe's decline codes for cards: the published list, complete, the deprecated codes included."""

from __future__ import annotations

from functools import partial

from dunning.reasons.rows import ADVICE, CODES, NO_RETRY, Category, Family, Fixer, Reason, Told, keyed

_SOON, _LATER, _CONTESTED = Category.SOON, Category.LATER, Category.CONTESTED
_CUSTOMER, _HARD, _FRAUD, _OURS = Category.CUSTOMER, Category.HARD, Category.FRAUD, Category.OURS
_UNEXPLAINED = "declined, the bank gives no reason"
OUTCOMES = "https://docs.stripe.com/declines#blocked-payments"


def _card(
    code: str, category: Category, told: Told, words: str, source: str = CODES, *, who: Fixer | None = None
) -> Reason:
    return Reason(code, category, told, words, source, Family.CARD, fixer=who)


def _secret(code: str, words: str, source: str = CODES) -> Reason:
    """Fraud-like: never again, and never said. Stripe names fraudulent, lost_card, stolen_card and merchant_blacklist;
    the others are the ones whose published description says "possibly lost or stolen", or the bank's own suspicion."""
    return Reason(code, _FRAUD, Told.DECLINED, words, source, Family.CARD, secret=True)


_bank = partial(_card, category=_CONTESTED, told=Told.CONTACT_BANK, words=_UNEXPLAINED)
_details = partial(_card, category=_CUSTOMER, told=Told.CHECK_DETAILS)
_limit = partial(_card, category=_LATER, told=Told.LIMIT)

DECLINES: dict[str, Reason] = keyed(
    _card("approve_with_id", _CONTESTED, Told.CONTACT_BANK, "the bank asks for identification"),
    _card("authentication_not_handled", _CUSTOMER, Told.CONFIRM_PAYMENT, "charged without the confirmation it needs"),
    _card(
        "authentication_required",
        _CUSTOMER,
        Told.CONFIRM_PAYMENT,
        "the customer must confirm the payment (3D Secure)",
        NO_RETRY,
    ),
    _bank("call_issuer"),
    _card("card_not_supported", _CUSTOMER, Told.ANOTHER_METHOD, "the card does not allow this kind of purchase"),
    _limit("card_velocity_exceeded", words="over the card's balance, credit or spending limit"),
    _card("currency_not_supported", _CUSTOMER, Told.ANOTHER_METHOD, "the card does not support the currency"),
    _bank("do_not_honor"),
    _card("do_not_try_again", _HARD, Told.ANOTHER_METHOD, "the bank asks not to try again"),
    _card("duplicate_transaction", _OURS, Told.NOTHING, "the same amount was just charged to this card"),
    _card("expired_card", _CUSTOMER, Told.EXPIRED_CARD, "the card has expired"),
    _secret("fraudulent", "Stripe suspects fraud"),
    _bank("generic_decline"),
    _secret("highest_risk_level", "Stripe rates the risk as highest", NO_RETRY),
    _details("incorrect_address", words="the billing address is incorrect"),
    _details("incorrect_cvc", words="the security code is incorrect"),
    _details("incorrect_number", words="the card number is incorrect", source=NO_RETRY),
    _details("incorrect_pin", words="the PIN is incorrect"),
    _details("incorrect_zip", words="the postal code is incorrect"),
    _card("insufficient_funds", _LATER, Told.INSUFFICIENT_FUNDS, "insufficient funds"),
    _card("invalid_account", _HARD, Told.ANOTHER_METHOD, "the card or its account is invalid"),
    _card("invalid_amount", _OURS, Told.NOTHING, "the amount is invalid or above what is allowed"),
    _details("invalid_cvc", words="the security code is incorrect"),
    _details("invalid_expiry_month", words="the expiration month is invalid"),
    _details("invalid_expiry_year", words="the expiration year is invalid"),
    _details("invalid_number", words="the card number is incorrect"),
    _details("invalid_pin", words="the PIN is incorrect"),
    _card("issuer_not_available", _SOON, Told.TRY_AGAIN, "the bank could not be reached"),
    _secret("lost_card", "the card is reported lost", NO_RETRY),
    _secret("merchant_blacklist", "it matches the platform's block list"),
    _card(
        "mobile_device_authentication_required",
        _CUSTOMER,
        Told.CONFIRM_PAYMENT,
        "the customer must confirm the payment on the device",
    ),
    _card(
        "new_account_information_available",
        _HARD,
        Told.ANOTHER_METHOD,
        "the card or its account is no longer valid",
    ),
    _bank("no_action_taken"),
    _card("not_permitted", _HARD, Told.ANOTHER_METHOD, "the bank does not permit the payment"),
    _card("offline_pin_required", _CUSTOMER, Told.ANOTHER_METHOD, "the card asks for a PIN"),
    _card("online_or_offline_pin_required", _CUSTOMER, Told.ANOTHER_METHOD, "the card asks for a PIN"),
    _secret("pickup_card", "the card is to be withdrawn, perhaps lost or stolen", NO_RETRY),
    _card("pin_try_exceeded", _CUSTOMER, Told.ANOTHER_METHOD, "too many PIN attempts"),
    _card("processing_error", _SOON, Told.TRY_AGAIN, "a fault while processing the card"),
    _card("reenter_transaction", _SOON, Told.TRY_AGAIN, "the bank could not process it and asks for another attempt"),
    _secret("restricted_card", "the card is restricted, perhaps lost or stolen"),
    _card(
        "revocation_of_all_authorizations", _HARD, Told.ANOTHER_METHOD, "the customer has revoked all charges", NO_RETRY
    ),
    _card("revocation_of_authorization", _HARD, Told.ANOTHER_METHOD, "the customer has revoked this charge", NO_RETRY),
    _secret("security_violation", "the bank reports a security violation"),
    _card("service_not_allowed", _HARD, Told.ANOTHER_METHOD, "the card does not allow this service"),
    _secret("stolen_card", "the card is reported stolen", NO_RETRY),
    _card("stop_payment_order", _HARD, Told.ANOTHER_METHOD, "the customer has stopped this payment at the bank"),
    _card("testmode_decline", _OURS, Told.NOTHING, "a test card was used"),
    _card("transaction_not_allowed", _HARD, Told.ANOTHER_METHOD, "the bank does not allow this transaction", NO_RETRY),
    _card("try_again_later", _SOON, Told.TRY_AGAIN, "the bank asks for an attempt later"),
    _limit("withdrawal_count_limit_exceeded", words="over the card's balance or credit limit"),
)
# What Stripe itself did, without asking the bank: `outcome.type` is "blocked".
BLOCKED = _secret("blocked", "Stripe blocked the payment as too risky", ADVICE)
OUTCOME_REASONS: dict[str, Reason] = keyed(
    _secret("highest_risk_level", "Stripe rates the risk as highest", OUTCOMES),
    _secret("rule", "a rule of the platform's own fraud protection blocked it", OUTCOMES),
    _card(
        "low_probability_of_authorization",
        _HARD,
        Told.ANOTHER_METHOD,
        "Stripe did not ask the bank: it would hardly have agreed",
        OUTCOMES,
    ),
)
# A code of next year, or none at all: judged like `generic_decline`, few and spaced attempts.
UNKNOWN = _card("", _CONTESTED, Told.DECLINED, "declined, no reason given")
