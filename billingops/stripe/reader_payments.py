"""reader.py's room for payment methods, mandates and why a payment failed.

Pure, like reader.py, which gives these names on.
"""

from __future__ import annotations

from calendar import monthrange
from datetime import date
from typing import Any

from billingops.stripe.facts import MandateFacts, PaymentFailure, PaymentMethodFacts
from billingops.stripe.shapes import Json, dig, expanded, ident, items_of, latest_intent, payment_of, plain, text, when

# Failures whose decline code only the charge's outcome names.
_DECLINES = frozenset({"card_declined", "payment_method_provider_decline"})


def read_payment_failure(data: Any) -> PaymentFailure | None:
    """Why a charge, a payment intent or a setup of one failed; None when it did not fail."""
    source = plain(data)
    if source.get("object") == "charge":
        return _failure_of_charge(source) if source.get("status") == "failed" else None
    error = source.get("last_payment_error") if "last_payment_error" in source else source.get("last_setup_error")
    latest = expanded(source.get("latest_charge"))
    if latest.get("status") == "failed":
        return _failure_of_charge(latest, error or {})
    if error:
        return _failure_of_error(error, ident(source))
    if source.get("object") == "payment_intent" and source.get("status") == "requires_action":
        # Nothing was declined: the customer has to say yes to their bank (3-D Secure) before anything is charged.
        wanted = {"code": "authentication_required", "payment_method": source.get("payment_method")}
        return _failure_of_error(wanted, ident(source))
    return None


def _failure_of_charge(charge: Json, error: Json | None = None) -> PaymentFailure:
    """`error` (the payment intent's last error) fills in what an older charge does not say."""
    outcome, method = charge.get("outcome") or {}, charge.get("payment_method_details") or {}
    card, error = method.get("card") or {}, error or {}
    reason = text(outcome.get("reason"))
    return PaymentFailure(
        code=text(charge.get("failure_code")) or text(error.get("code")),
        decline_code=text(error.get("decline_code")) or (reason if charge.get("failure_code") in _DECLINES else ""),
        advice_code=text(outcome.get("advice_code")) or text(error.get("advice_code")),
        network_decline_code=text(outcome.get("network_decline_code")) or text(error.get("network_decline_code")),
        network_advice_code=text(outcome.get("network_advice_code")) or text(error.get("network_advice_code")),
        outcome_type=text(outcome.get("type")),
        outcome_reason=reason if outcome.get("type") == "blocked" else "",
        risk_level=text(outcome.get("risk_level")),
        payment_method_id=ident(charge.get("payment_method")),
        payment_method_type=text(method.get("type")),
        card_brand=text(card.get("brand")),
        card_country=text(card.get("country")),
        card_expires=_last_day(card.get("exp_year"), card.get("exp_month")),
        wallet=text(dig(card, "wallet", "type")),
        mandate_id=ident(dig(method, text(method.get("type")), "mandate")),
        charge_id=text(charge.get("id")),
        payment_intent_id=ident(charge.get("payment_intent")),
        at=when(charge.get("created")),
    )


def _failure_of_error(error: Json, intent_id: str) -> PaymentFailure:
    method = error.get("payment_method") or {}
    card = expanded(method).get("card") or {}
    return PaymentFailure(
        code=text(error.get("code")),
        decline_code=text(error.get("decline_code")),
        advice_code=text(error.get("advice_code")),
        network_decline_code=text(error.get("network_decline_code")),
        network_advice_code=text(error.get("network_advice_code")),
        payment_method_id=ident(method),
        payment_method_type=text(expanded(method).get("type")),
        card_brand=text(card.get("brand")),
        card_country=text(card.get("country")),
        wallet=text(dig(card, "wallet", "type")),
        charge_id=ident(error.get("charge")),
        payment_intent_id=intent_id,
    )


def read_collecting(data: Any) -> dict[str, str]:
    """Every payment intent that collects, or has collected, an invoice → its status, "" where the payload has no more
    than its id. `processing`: a debit is on its way, which takes days.
    Source: https://docs.stripe.com/payments/paymentintents/lifecycle"""
    invoice = plain(data)
    intents = [payment_of(payment)[0] for payment in items_of(invoice.get("payments"))] + [latest_intent(invoice)]
    return {ident(intent): text(expanded(intent).get("status")) for intent in intents if intent}


def read_payment_method(data: Any) -> PaymentMethodFacts:
    method = plain(data)
    kind = text(method.get("type"))
    return PaymentMethodFacts(
        id=text(method.get("id")),
        type=kind,
        brand=text(dig(method, kind, "brand")),
        fingerprint=text(dig(method, kind, "fingerprint")),
        customer_id=ident(method.get("customer")),
        expires=_last_day(dig(method, kind, "exp_year"), dig(method, kind, "exp_month")),
        wallet=text(dig(method, kind, "wallet", "type")),
        country=text(dig(method, kind, "country")),
        blocked=text(dig(method, kind, "status_details", "blocked", "reason")),
        blocked_code=text(dig(method, kind, "status_details", "blocked", "network_code")),
    )


def _last_day(year: Any, month: Any) -> date | None:
    """The last day of a card's last month."""
    if not (isinstance(year, int) and isinstance(month, int) and 1 <= month <= 12):
        return None
    return date(year, month, monthrange(year, month)[1])


def read_mandate(data: Any, account: str = "") -> MandateFacts:
    """`network_status` and `revoked_for` are what the Bacs network says; other schemes have none."""
    mandate = plain(data)
    details = mandate.get("payment_method_details") or {}
    kind = text(details.get("type"))
    return MandateFacts(
        id=text(mandate.get("id")),
        account=account,
        status=text(mandate.get("status")),
        type=text(mandate.get("type")),
        payment_method_id=ident(mandate.get("payment_method")),
        payment_method_type=kind,
        reference=text(dig(details, kind, "reference")),
        network_status=text(dig(details, kind, "network_status")),
        revoked_for=text(dig(details, kind, "revocation_reason")),
        accepted_at=when(dig(mandate, "customer_acceptance", "accepted_at")),
    )
