"""Stripe, the banks and one customer as they truly are. The house reads from here; only `pay` and the script change it.

Amounts in minor units, times aware (UTC).
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Any

from billingops.stripe.facts import (
    ChargeFacts,
    CustomerFacts,
    DisputeFacts,
    InvoiceFacts,
    PaymentFailure,
    PaymentMethodFacts,
    SubscriptionFacts,
)
from dunning.facts import Snapshot

CUSTOMER, SUBSCRIPTION = "cus_1", "sub_1"
PAID_CHARGE = "ch_paid"  # of long ago: what is disputed
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
STRIPE_TRIES = 8  # https://docs.stripe.com/billing/revenue-recovery/smart-retries: 8 tries within 2 weeks
# Stripe itself does not repeat these: https://docs.stripe.com/billing/revenue-recovery/smart-retries
STRIPE_STOPS = frozenset(
    {
        "incorrect_number", "lost_card", "pickup_card", "stolen_card", "revocation_of_authorization",
        "revocation_of_all_authorizations", "authentication_required", "highest_risk_level", "transaction_not_allowed",
    }
)  # fmt: skip


@dataclass
class Card:
    """A payment method. `number` stands for the card or account behind it: its fingerprint. `told`: whether Stripe
    shows that. `agreed`: saved so that it may be charged while the customer is away."""

    id: str
    type: str
    brand: str
    number: str
    expires: date | None = None
    told: bool = True
    agreed: bool = True

    def facts(self) -> PaymentMethodFacts:
        mark = self.number if self.told else ""
        return PaymentMethodFacts(self.id, self.type, self.brand, mark, CUSTOMER, self.expires)

    def data(self) -> dict[str, Any]:
        kind: dict[str, Any] = {"brand": self.brand or None, "fingerprint": self.number if self.told else None}
        if self.expires:
            kind |= {"exp_year": self.expires.year, "exp_month": self.expires.month}
        return {
            "id": self.id, "type": self.type, "customer": CUSTOMER, self.type: kind,
            "allow_redisplay": "always" if self.agreed else "limited",
        }  # fmt: skip


@dataclass
class Charge:
    """An attempt. `known_at`: when its result is known (a debit's: days later); `failure` None: it went through."""

    id: str
    at: datetime
    invoice: str
    card: Card
    number: str
    by: str
    failure: PaymentFailure | None
    known_at: datetime
    expires: date | None = None
    heard: bool = False
    facts: ChargeFacts | None = None

    @property
    def failed(self) -> bool:
        return self.failure is not None


@dataclass
class Invoice:
    id: str
    amount: int
    currency: str
    created: datetime
    automatic: bool = True
    status: str = "open"
    attempt_count: int = 0
    auto_advance: bool = True
    next_attempt: datetime | None = None
    own_method: str = ""
    first_failed_at: datetime | None = None
    paid_at: datetime | None = None
    ended_at: datetime | None = None
    pending: Charge | None = None
    charges: list[Charge] = field(default_factory=list)

    @property
    def owed(self) -> bool:
        return self.status == "open"


@dataclass
class World:
    rng: random.Random
    now: datetime
    zone: str
    place: str  # the zone they truly live in
    country: str
    currency: str
    since: datetime
    codes: dict[str, list[PaymentFailure]]  # what the bank behind each number answers, in turn
    luck: float
    email: str = "a@example.com"
    default: str = ""
    cards: dict[str, Card] = field(default_factory=dict)
    invoices: dict[str, Invoice] = field(default_factory=dict)
    charges: list[Charge] = field(default_factory=list)
    has_subscription: bool = True
    status: str = "active"
    price: str = "price_big"
    paused: str = ""
    grace: str = ""
    cancelled_at: datetime | None = None
    disputes: int = 0  # open ones, of a charge of long ago
    settled_disputes: int = 0
    count: int = 0

    # -- what Stripe shows -------------------------------------------------------------------------------------------

    def on_file(self, invoice: Invoice) -> Card | None:
        return self.cards.get(invoice.own_method) or self.cards.get(self.default)

    def invoice_facts(self, invoice: Invoice) -> InvoiceFacts:
        left = invoice.amount if invoice.status in ("open", "uncollectible") else 0
        return InvoiceFacts(
            id=invoice.id, account="", status=invoice.status, currency=invoice.currency, total=invoice.amount,
            amount_due=invoice.amount, amount_paid=invoice.amount - left, amount_remaining=left,
            created=invoice.created, customer_id=CUSTOMER, attempt_count=invoice.attempt_count,
            next_payment_attempt=invoice.next_attempt if invoice.owed else None,
            collection_method="charge_automatically" if invoice.automatic else "send_invoice",
            subscription_id=SUBSCRIPTION if self.has_subscription else "", payment_intent_id=f"pi_{invoice.id}",
            default_payment_method_id=invoice.own_method, auto_advance=invoice.auto_advance,
        )  # fmt: skip

    def list_charges(self) -> list[ChargeFacts]:
        """As GET /v1/charges?customer=… shows them, whoever has heard of them: newest first."""
        old = ChargeFacts(
            id=PAID_CHARGE, account="", amount=100, currency=self.currency, status="succeeded", created=self.since,
            customer_id=CUSTOMER, disputed=bool(self.disputes or self.settled_disputes),
        )  # fmt: skip
        return [*(self._shown(one) for one in reversed(self.charges)), old]

    def _shown(self, charge: Charge) -> ChargeFacts:
        if charge.facts is not None:
            return charge.facts
        return ChargeFacts(
            id=charge.id, account="", amount=self.invoices[charge.invoice].amount, currency=self.currency,
            status="pending" if charge.known_at > self.now else "succeeded", created=charge.at, customer_id=CUSTOMER,
            payment_intent_id=f"pi_{charge.invoice}", payment_method_id=charge.card.id, card_brand=charge.card.brand,
            card_fingerprint=charge.number if charge.card.told else "",
            moved_at=None if charge.known_at > self.now else charge.known_at,
        )  # fmt: skip

    def list_disputes(self, charge: str) -> tuple[DisputeFacts, ...]:
        """As GET /v1/disputes?charge=… shows them."""
        states = ["needs_response"] * self.disputes + ["won"] * self.settled_disputes if charge == PAID_CHARGE else []
        return tuple(
            DisputeFacts(f"du_{n}", "", 100, self.currency, state, "general", self.now, charge)
            for n, state in enumerate(states)
        )

    def customer_facts(self) -> CustomerFacts:
        return CustomerFacts(
            id=CUSTOMER, account="", created=self.since, email=self.email, country=self.country,
            default_payment_method_id=self.default if self.default in self.cards else "",
            metadata={"timezone": self.zone} if self.zone else {},
        )  # fmt: skip

    def subscription_facts(self) -> SubscriptionFacts | None:
        if not self.has_subscription:
            return None
        return SubscriptionFacts(
            id=SUBSCRIPTION, account="", status=self.status, customer_id=CUSTOMER, created=self.since,
            items=(("si_1", self.price, "prod_1", 1),), paused=self.paused,
            metadata={"grace_period_until": self.grace} if self.grace else {},
        )  # fmt: skip

    def last_failed(self, invoice: Invoice) -> Charge | None:
        return next((one for one in reversed(invoice.charges) if one.failed and one.known_at <= self.now), None)

    def snapshot(self, invoice: Invoice, dispute_open: bool) -> Snapshot:
        """As facts.read(live=True) makes it. What it shows is not in the mirror by that: its event brings it there."""
        charge = self.last_failed(invoice)
        failed = PaymentMethodFacts()
        if charge is not None:
            mark = charge.number if charge.card.told else ""
            failed = PaymentMethodFacts(charge.card.id, charge.card.type, charge.card.brand, mark)
        card = self.on_file(invoice)
        return Snapshot(
            self.invoice_facts(invoice),
            (charge.failure if charge else None) or PaymentFailure(),
            self.customer_facts(),
            self.subscription_facts(),
            dispute_open,
            failed,
            card.facts() if card else PaymentMethodFacts(),
        )

    # -- what happens to money ---------------------------------------------------------------------------------------

    def pay(self, invoice: Invoice, card: Card, by: str) -> Charge | None:
        """One attempt; None where Stripe refuses the call itself. A debit's result comes later (`settle`)."""
        if not invoice.owed or invoice.pending is not None:
            return None
        failure = self._answer(card, invoice)
        delay = timedelta(days=self.rng.randint(3, 6)) if card.type != "card" else timedelta()
        self.count += 1
        charge = Charge(
            f"ch_{self.count}", self.now, invoice.id, card, card.number, by, failure, self.now + delay, card.expires
        )  # fmt: skip
        self.charges.append(charge)
        invoice.charges.append(charge)
        if by == "stripe":
            invoice.attempt_count += 1
            invoice.next_attempt = None
        if delay:
            invoice.pending = charge
        else:
            self.settle(charge)
        return charge

    def buy(self) -> None:
        """The customer pays for something else, that is no case of ours."""
        card = next((one for one in self.cards.values() if one.type == "card"), None)
        if card is not None:
            self.count += 1
            other = Invoice(f"in_other_{self.count}", 100, self.currency, self.now, status="paid", paid_at=self.now)
            self.invoices[other.id] = other
            charge = Charge(f"ch_{self.count}", self.now, other.id, card, card.number, "customer", None, self.now)
            self.charges.append(charge)

    def settle(self, charge: Charge) -> None:
        """Its result is there."""
        invoice = self.invoices[charge.invoice]
        if invoice.pending is charge:
            invoice.pending = None
        if charge.failure is None:
            if invoice.owed:
                self.end(invoice, "paid")
            return
        charge.failure = _at(charge, max(charge.known_at, charge.at))
        invoice.first_failed_at = invoice.first_failed_at or self.now
        charge.facts = ChargeFacts(
            id=charge.id, account="", amount=invoice.amount, currency=invoice.currency, status="failed",
            created=charge.at, customer_id=CUSTOMER, payment_intent_id=f"pi_{invoice.id}", invoice_id=invoice.id,
            payment_method_id=charge.card.id, card_brand=charge.card.brand,
            card_fingerprint=charge.number if charge.card.told else "",
            failure=charge.failure,
        )  # fmt: skip
        code = charge.failure.decline_code or charge.failure.code
        tries = invoice.attempt_count < STRIPE_TRIES and code not in STRIPE_STOPS and invoice.auto_advance
        if charge.by == "stripe" and tries and invoice.owed and invoice.automatic and self.cancelled_at is None:
            invoice.next_attempt = self.now + timedelta(hours=self.rng.randint(6, 96))

    def end(self, invoice: Invoice, status: str) -> None:
        invoice.status, invoice.ended_at, invoice.next_attempt = status, self.now, None
        if status == "paid":
            invoice.paid_at = self.now
            if self.status == "past_due" and not any(one.owed for one in self.invoices.values()):
                self.status = "active"

    def cancel(self) -> None:
        """At once. Stripe no longer collects its open invoices by itself."""
        self.status, self.cancelled_at = "canceled", self.cancelled_at or self.now
        for invoice in self.invoices.values():
            invoice.next_attempt, invoice.auto_advance = None, False

    def _answer(self, card: Card, invoice: Invoice) -> PaymentFailure | None:
        rest = self.codes[card.number]
        failure = rest.pop(0) if len(rest) > 1 else rest[0]
        if self.rng.random() < self.luck and invoice.charges:
            return None
        if card.expires and card.expires < self.now.date():
            return PaymentFailure("expired_card", "expired_card", payment_method_type="card", card_brand=card.brand)
        return failure


def _at(charge: Charge, at: datetime) -> PaymentFailure:
    failure, card = charge.failure, charge.card
    assert failure is not None
    return replace(
        failure, payment_method_id=card.id, payment_method_type=card.type, card_brand=card.brand, charge_id=charge.id,
        payment_intent_id=f"pi_{charge.invoice}", at=at, card_expires=charge.expires,
    )  # fmt: skip
