"""Invoices that were never charged: why Stripe could not finalise them, and cards whose time is running out.

A finalisation error stands in `invoice.last_finalization_error` and is cleared when the invoice is finalised; until
then it stays a draft and nothing is collected. Where automatic tax lacks the customer's location, Stripe since late
2024 finalises a subscription's invoice without tax and turns automatic tax off (`automatic_tax.disabled_reason`): the
payment is not stopped, but the tax is not there.
Sources: https://docs.stripe.com/tax/customer-locations#invoice-finalization-errors and
https://docs.stripe.com/api/invoices/object
"""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from enum import StrEnum

from dunning.reasons.rows import ERRORS, Category, Family, Reason, Told, keyed

INVOICE_OBJECT = "https://docs.stripe.com/api/invoices/object#invoice_object-automatic_tax"
CARD_OBJECT = "https://docs.stripe.com/api/payment_methods/object#payment_method_object-card-exp_month"
EXPIRING_EVENT = "https://docs.stripe.com/billing/revenue-recovery/customer-emails"
_CUSTOMER, _OURS = Category.CUSTOMER, Category.OURS
_NO_LOCATION = "the customer's address is not complete enough to work out the tax"


def _invoice(code: str, category: Category, told: Told, words: str, source: str = ERRORS) -> Reason:
    return Reason(code, category, told, words, source, Family.INVOICE)


# `last_finalization_error.code`, where it is not one of the other tables'.
INVOICES: dict[str, Reason] = keyed(
    _invoice("customer_tax_location_invalid", _CUSTOMER, Told.TAX_LOCATION, _NO_LOCATION),
    _invoice("invalid_tax_location", _CUSTOMER, Told.TAX_LOCATION, _NO_LOCATION),
    _invoice("shipping_address_invalid", _CUSTOMER, Told.TAX_LOCATION, "the delivery address does not serve for tax"),
    _invoice("tax_id_invalid", _CUSTOMER, Told.CHECK_DETAILS, "the tax number is invalid"),
    _invoice("tax_id_prohibited", _OURS, Told.NOTHING, "a tax number must not stand on this invoice"),
    _invoice("stripe_tax_inactive", _OURS, Told.NOTHING, "Stripe Tax is not set up for the account"),
    _invoice("taxes_calculation_failed", _OURS, Told.NOTHING, "the tax could not be worked out"),
    _invoice("failed_tax_calculation", _OURS, Told.NOTHING, "the tax could not be worked out"),
    _invoice("invoice_no_customer_line_items", _OURS, Told.NOTHING, "there is nothing to invoice"),
    _invoice("invoice_no_subscription_line_items", _OURS, Told.NOTHING, "there is nothing to invoice"),
    _invoice("invoice_no_payment_method_types", _OURS, Told.NOTHING, "no kind of payment method is active for it"),
    _invoice("invoice_upcoming_none", _OURS, Told.NOTHING, "there is no upcoming invoice"),
)
# `automatic_tax.status` and `automatic_tax.disabled_reason`.
TAX: dict[str, Reason] = keyed(
    _invoice("requires_location_inputs", _CUSTOMER, Told.TAX_LOCATION, _NO_LOCATION, INVOICE_OBJECT),
    _invoice("failed", _OURS, Told.NOTHING, "the tax could not be worked out", INVOICE_OBJECT),
    _invoice(
        "finalization_requires_location_inputs",
        _CUSTOMER,
        Told.TAX_LOCATION,
        "invoiced without tax: the customer's address is not complete enough",
        INVOICE_OBJECT,
    ),
    _invoice(
        "finalization_system_error", _OURS, Told.NOTHING, "invoiced without tax: a fault at Stripe", INVOICE_OBJECT
    ),
)
UNKNOWN_FINALIZATION = _invoice("finalization_failed", _OURS, Told.NOTHING, "Stripe could not finalise the invoice")
EXPIRED = _invoice("card_expired", _CUSTOMER, Told.EXPIRED_CARD, "the card on file has expired", CARD_OBJECT)
EXPIRING = _invoice(
    "card_about_to_expire", _CUSTOMER, Told.EXPIRING_CARD, "the card on file is about to expire", EXPIRING_EVENT
)

# Stripe sends `customer.source.expiring` and its own e-mail about a month ahead.
AHEAD = timedelta(days=30)
_LAST_ZONE = timedelta(hours=12)  # a day ends last at UTC−12


class CardTrouble(StrEnum):
    NONE = ""
    EXPIRED = "expired"
    ABOUT_TO_EXPIRE = "about_to_expire"

    @property
    def reason(self) -> Reason | None:
        return {CardTrouble.EXPIRED: EXPIRED, CardTrouble.ABOUT_TO_EXPIRE: EXPIRING}.get(self)


def days_left(expires: date | None, now: datetime) -> int | None:
    """Days on which the card is still good, today not counted; negative once it has expired, None where it has no end.

    `expires` is its last good day, `now` aware. A day counts until it has ended everywhere: the card is its bank's.
    """
    return None if expires is None else (expires - (now.astimezone(UTC) - _LAST_ZONE).date()).days


def card_trouble(expires: date | None, now: datetime, *, ahead: timedelta = AHEAD) -> CardTrouble:
    """Whether a card has expired, or will within `ahead`; falsy where it does neither."""
    left = days_left(expires, now)
    if left is None or left > ahead.days:
        return CardTrouble.NONE
    return CardTrouble.EXPIRED if left < 0 else CardTrouble.ABOUT_TO_EXPIRE
