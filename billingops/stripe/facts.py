"""The typed, frozen facts that `reader.py` makes of Stripe's JSON. Nothing else in the house looks into that JSON.

Amounts: int, minor units of the object's `currency` (lower-case). Times: aware UTC datetimes. Ids: Stripe's, "" where
absent. `account`: the connected account whose object it is, "" for the platform's own.

The money that moves stands in facts_money.py, connected accounts in facts_accounts.py; import them all from here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from decimal import Decimal

from billingops.stripe.facts_accounts import AccountFacts
from billingops.stripe.facts_money import (
    BalanceTransactionFacts,
    CreditedLineFacts,
    CreditNoteFacts,
    DisputeFacts,
    FeeFacts,
    FeeRefundFacts,
    PayoutFacts,
    RefundFacts,
    ReversalFacts,
    TransferFacts,
)

__all__ = [
    "AccountFacts",
    "BalanceTransactionFacts",
    "ChargeFacts",
    "CreditNoteFacts",
    "CreditedLineFacts",
    "CustomerFacts",
    "DisputeFacts",
    "FeeFacts",
    "FeeRefundFacts",
    "InvoiceFacts",
    "InvoicePaymentFacts",
    "LineFacts",
    "MandateFacts",
    "PaymentFailure",
    "PaymentMethodFacts",
    "PayoutFacts",
    "PriceFacts",
    "RefundFacts",
    "ReversalFacts",
    "SubscriptionFacts",
    "TransferFacts",
]


@dataclass(frozen=True, slots=True)
class LineFacts:
    """One line of an invoice. `amount` is before discounts and without exclusive tax; `discount` is positive;
    `tax_inclusive` is the tax contained in `amount`, `tax_exclusive` the tax on top of it."""

    id: str
    amount: int
    currency: str
    discount: int = 0
    tax_inclusive: int = 0
    tax_exclusive: int = 0
    quantity: int = 1
    description: str = ""
    price_id: str = ""
    product_id: str = ""
    subscription_id: str = ""
    subscription_item_id: str = ""
    proration: bool = False
    period_start: datetime | None = None
    period_end: datetime | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    price_metadata: Mapping[str, str] = field(default_factory=dict)
    product_metadata: Mapping[str, str] = field(default_factory=dict)

    @property
    def base(self) -> int:
        """What may be shared out: line amount − its discounts, without tax (DESIGN, Money)."""
        return self.amount - self.discount - self.tax_inclusive


@dataclass(frozen=True, slots=True)
class PaymentFailure:
    """Why a payment failed, in Stripe's codes. Prefer `advice_code`, then `network_advice_code`, `decline_code`.

    `network_decline_code` is the card network's answer, or of a debit the bank's return code (R01, AM04…).
    `outcome_reason`: why Stripe itself blocked it, "" when it did not. `wallet`: apple_pay, google_pay… around a card.
    """

    code: str = ""
    decline_code: str = ""
    advice_code: str = ""
    network_decline_code: str = ""
    network_advice_code: str = ""
    outcome_type: str = ""
    risk_level: str = ""
    payment_method_id: str = ""
    payment_method_type: str = ""
    card_brand: str = ""
    card_country: str = ""
    charge_id: str = ""
    payment_intent_id: str = ""
    at: datetime | None = None
    outcome_reason: str = ""
    wallet: str = ""
    mandate_id: str = ""
    card_expires: date | None = None  # the last day the card was valid, as it stood then


@dataclass(frozen=True, slots=True)
class ChargeFacts:
    """`fee` and `net` (what is left of it) are in `balance_currency`, which is the account's own when Stripe converted:
    then `exchange_rate` is not None; `moved_at`: when the money came, days after `created` with a debit. All None or
    "" while the charge's balance transaction is not known.

    `transfer_destination`, `transfer_amount` (None: all of it), `transfer_id`: a destination charge's share.

    `parts`: of an invoice that several charges paid, each of them; the rest then says what they are together, under the
    name of the largest (see `together`).
    """

    id: str
    account: str
    amount: int
    currency: str
    status: str  # succeeded, pending, failed
    created: datetime
    amount_refunded: int = 0
    disputed: bool = False
    customer_id: str = ""
    payment_intent_id: str = ""
    invoice_id: str = ""
    balance_transaction_id: str = ""
    payment_method_id: str = ""
    card_brand: str = ""
    card_last4: str = ""
    card_fingerprint: str = ""
    transfer_group: str = ""
    transfer_destination: str = ""
    transfer_amount: int | None = None
    transfer_id: str = ""
    on_behalf_of: str = ""
    application_fee_amount: int | None = None
    application_fee_id: str = ""
    fee: int | None = None
    net: int | None = None
    balance_currency: str = ""
    exchange_rate: Decimal | None = None
    moved_at: datetime | None = None
    failure: PaymentFailure | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    parts: tuple[ChargeFacts, ...] = ()

    @property
    def converted(self) -> bool:
        """Whether it is known to have arrived in another currency."""
        return self.balance_currency not in ("", self.currency)

    @property
    def each(self) -> tuple[ChargeFacts, ...]:
        """The charges at Stripe that this is: itself, or its parts."""
        return self.parts or ((self,) if self.id else ())


def together(charges: Sequence[ChargeFacts]) -> ChargeFacts:
    """Charges that paid one invoice (at least one, the largest first) as one payment: sums, and of each word the first
    that is out of the ordinary. Its fee is known when that of all is."""
    first = charges[0]
    if len(charges) == 1:
        return first
    fees = [one.fee for one in charges if one.fee is not None]
    nets = [one.net for one in charges if one.net is not None]
    odd_one = next((one for one in charges if one.converted), first)
    return replace(
        first,
        amount=sum(one.amount for one in charges),
        amount_refunded=sum(one.amount_refunded for one in charges),
        currency=next((one.currency for one in charges if one.currency != first.currency), first.currency),
        status=next((one.status for one in charges if one.status != "succeeded"), "succeeded"),
        disputed=any(one.disputed for one in charges),
        fee=sum(fees) if len(fees) == len(charges) else None,
        net=sum(nets) if len(nets) == len(charges) else None,
        balance_currency=odd_one.balance_currency,
        exchange_rate=odd_one.exchange_rate,
        transfer_destination=next((one.transfer_destination for one in charges if one.transfer_destination), ""),
        parts=tuple(charges),
    )


@dataclass(frozen=True, slots=True)
class InvoiceFacts:
    """`charge_id`: the charge of the payment that paid it, "" when paid out of band, by credit, or not at all; where
    several did (since 2025-05-28), that of the largest, and the others are `further_charges`. `from_balance`: what the
    customer's balance with Stripe paid of the total; below zero: what went to it, as a negative total does.
    `auto_advance`: whether Stripe collects it by itself. `finalization_error`: the code of what kept a draft from being
    finalized, "" when nothing did. `automatic_tax`: whether Stripe works out the tax; `tax_status`: how that went last
    (complete, failed, requires_location_inputs); `tax_disabled_reason`: why Stripe has turned it off."""

    id: str
    account: str
    status: str  # draft, open, paid, uncollectible, void
    currency: str
    total: int
    amount_due: int
    amount_paid: int
    amount_remaining: int
    created: datetime
    number: str = ""
    customer_id: str = ""
    subtotal: int = 0
    tax: int = 0
    attempt_count: int = 0
    next_payment_attempt: datetime | None = None
    due_date: datetime | None = None
    paid_at: datetime | None = None
    finalized_at: datetime | None = None
    voided_at: datetime | None = None
    uncollectible_at: datetime | None = None
    collection_method: str = "charge_automatically"
    billing_reason: str = ""
    subscription_id: str = ""
    charge_id: str = ""
    further_charges: tuple[str, ...] = ()
    payment_intent_id: str = ""
    paid_out_of_band: bool = False
    from_balance: int = 0
    on_behalf_of: str = ""
    transfer_destination: str = ""
    hosted_invoice_url: str = ""
    default_payment_method_id: str = ""
    auto_advance: bool = True
    finalization_error: str = ""
    automatic_tax: bool = False
    tax_status: str = ""
    tax_disabled_reason: str = ""
    lines: tuple[LineFacts, ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)
    subscription_metadata: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_paid(self) -> bool:
        return self.status == "paid"

    @property
    def charge_ids(self) -> tuple[str, ...]:
        """All charges that paid it, the largest first."""
        return (self.charge_id, *self.further_charges) if self.charge_id else ()

    @property
    def paid_in_all(self) -> int:
        """What was paid of it: out of band too, but no credit, which lowers what is due."""
        return self.amount_paid or (self.amount_due if self.is_paid and self.paid_out_of_band else 0)


def nothing_due(invoice: InvoiceFacts) -> ChargeFacts:
    """In place of a payment, of an invoice with a negative total: that went to the customer's balance."""
    return ChargeFacts(
        id="",
        account=invoice.account,
        amount=0,
        currency=invoice.currency,
        status="succeeded",
        created=invoice.paid_at or invoice.created,
        customer_id=invoice.customer_id,
        invoice_id=invoice.id,
        fee=0,
        net=0,
    )


@dataclass(frozen=True, slots=True)
class SubscriptionFacts:
    """`paused`: what becomes of invoices while collection is paused (keep_as_draft, mark_uncollectible, void), "" when
    it is not; `paused_until`: when it goes on by itself."""

    id: str
    account: str
    status: str
    customer_id: str
    created: datetime
    currency: str = ""
    cancel_at_period_end: bool = False
    canceled_at: datetime | None = None
    current_period_start: datetime | None = None  # the earliest of its items'
    current_period_end: datetime | None = None
    default_payment_method_id: str = ""
    latest_invoice_id: str = ""
    items: tuple[tuple[str, str, str, int], ...] = ()  # (item id, price id, product id, quantity)
    paused: str = ""
    paused_until: datetime | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CustomerFacts:
    """`email` and `name` are personal data: they reach the mail we send and the page, never a log or a prompt."""

    id: str
    account: str
    created: datetime | None = None
    email: str = ""
    name: str = ""
    locale: str = ""
    country: str = ""
    currency: str = ""
    balance: int = 0
    delinquent: bool = False
    deleted: bool = False
    default_payment_method_id: str = ""
    metadata: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PaymentMethodFacts:
    """`fingerprint` is one number's whatever id it is saved under, "" where unknown. `brand` is a card's, as is
    `expires`, the last day it is valid. `customer_id`: "" when it is attached to nobody (any more). `blocked`: why a US
    bank account may be debited no more, `blocked_code` the return code that led to it, "" when it may."""

    id: str = ""
    type: str = ""
    brand: str = ""
    fingerprint: str = ""
    customer_id: str = ""
    expires: date | None = None
    wallet: str = ""
    country: str = ""
    blocked: str = ""
    blocked_code: str = ""


@dataclass(frozen=True, slots=True)
class MandateFacts:
    """The permission to debit a payment method. `reference` is what the customer's bank statement shows."""

    id: str
    account: str
    status: str  # active, inactive, pending
    type: str = ""  # multi_use, single_use
    payment_method_id: str = ""
    payment_method_type: str = ""
    reference: str = ""
    network_status: str = ""  # Bacs: accepted, pending, refused, revoked
    revoked_for: str = ""
    accepted_at: datetime | None = None

    @property
    def is_active(self) -> bool:
        return self.status == "active"


@dataclass(frozen=True, slots=True)
class PriceFacts:
    """`unit_amount`: None where the price has tiers or asks the customer. `interval`: "" for a one-time price."""

    id: str
    active: bool
    currency: str
    unit_amount: int | None = None
    interval: str = ""
    interval_count: int = 1
    product_id: str = ""
    product_name: str = ""


@dataclass(frozen=True, slots=True)
class InvoicePaymentFacts:
    """Which payment paid how much of which invoice (the object that replaced `invoice.charge`)."""

    id: str
    account: str
    invoice_id: str
    amount_requested: int
    amount_paid: int
    currency: str
    status: str  # open, paid, canceled
    created: datetime
    is_default: bool = False
    charge_id: str = ""
    payment_intent_id: str = ""
    paid_at: datetime | None = None
