"""What dunning knows of an unpaid invoice: a snapshot from Stripe or the mirror, and the part of it that is sealed.

`sealed` is what a person approves on: if any of it is different when the step is to be carried out, the suggestion goes
back. It holds nothing that changes by the mere passing of time, and no personal data.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from billingops.stripe import mirrored, sync
from billingops.stripe.facts import (
    ChargeFacts,
    CustomerFacts,
    InvoiceFacts,
    PaymentFailure,
    PaymentMethodFacts,
    SubscriptionFacts,
)
from billingops.stripe.models import MirroredObject
from dunning import methods, reasons
from dunning.messages import bundle, shelf, texts
from dunning.plan import steps
from dunning.plan.question import is_another
from dunning.plan.steps import GRACE, NOTIFY, RETRY
from dunning.reasons import Category

OPEN_DISPUTES = ("needs_response", "under_review", "warning_needs_response", "warning_under_review")
MAX_CHARGES = 200  # of a customer's newest, whatever became of them: far above every network's cap
NEVER_AGAIN = (Category.HARD, Category.FRAUD)


@dataclass(frozen=True)
class Snapshot:
    """One unpaid invoice and what stands around it. `failure` has empty codes when Stripe names none. `failed` and
    `on_file`: the payment method that failed, and the one that would be charged now."""

    invoice: InvoiceFacts
    failure: PaymentFailure
    customer: CustomerFacts | None
    subscription: SubscriptionFacts | None
    dispute_open: bool
    failed: PaymentMethodFacts = field(default_factory=PaymentMethodFacts)
    on_file: PaymentMethodFacts = field(default_factory=PaymentMethodFacts)

    @property
    def method_on_file(self) -> str:
        """What `Invoice.pay` would charge: the invoice's own method, else the subscription's, else the customer's.
        Source: https://docs.stripe.com/billing/revenue-recovery/smart-retries#payment-method-ordering"""
        return (
            self.invoice.default_payment_method_id
            or (self.subscription.default_payment_method_id if self.subscription else "")
            or (self.customer.default_payment_method_id if self.customer else "")
        )

    @property
    def has_new_method(self) -> bool:
        """Whether another card or account would be charged than the one that failed."""
        return is_another(self.failed, self.on_file)

    @property
    def owed(self) -> bool:
        return self.invoice.status == "open" and self.invoice.amount_remaining > 0

    @property
    def paid(self) -> int:
        """What was paid of the invoice in all, minor units: out of band too, but no credit."""
        return self.invoice.paid_in_all

    @property
    def email(self) -> str:
        return self.customer.email if self.customer and not self.customer.deleted else ""


def read(invoice_id: str, account: str, *, live: bool) -> Snapshot | None:
    """The invoice as it is now. `live` asks Stripe, otherwise the mirror answers; None when it is not there.

    Raises billingops.stripe.errors.Ambiguous or Throttled when Stripe gives no answer.
    """
    invoice = sync.invoice_facts(invoice_id, account, live=live)
    if invoice is None:
        return None
    customer = sync.customer_facts(invoice.customer_id, account, live=live) if invoice.customer_id else None
    subscription = (
        sync.subscription_facts(invoice.subscription_id, account, live=live) if invoice.subscription_id else None
    )
    failure = sync.payment_failure(invoice_id, account, live=live) or PaymentFailure()
    snapshot = Snapshot(invoice, failure, customer, subscription, has_open_dispute(invoice.customer_id, account))
    failed = methods.failed_one(failure, account, live=live)
    on_file = methods.read(snapshot.method_on_file, account, live=live)
    return replace(snapshot, failed=failed, on_file=on_file)


def has_open_dispute(customer: str, account: str) -> bool:
    """Whether any charge of the customer is disputed now, as far as the mirror knows. One statement."""
    if not customer:
        return False
    return MirroredObject.objects.filter(
        object_type="dispute", customer_id=customer, account=account, status__in=OPEN_DISPUTES
    ).exists()


@dataclass(frozen=True, slots=True)
class CardRecord:
    """Declined charges of one card in the last day and in the last 30 days, Stripe's own attempts included; and how it
    was once declined for good ("" when it never was)."""

    last_day: int = 0
    last_30_days: int = 0
    refused_for_good: str = ""


def charges_of(method: PaymentMethodFacts, charges: Sequence[ChargeFacts]) -> list[ChargeFacts]:
    """Those of one card. Its fingerprint decides where it is known: one card may be saved under several ids, and one id
    may stand for another card than before, when the network has told Stripe of a new one."""
    prints = {method.fingerprint} - {""} or {
        charge.card_fingerprint for charge in charges if charge.payment_method_id == method.id
    } - {""}
    return [
        charge
        for charge in charges
        if charge.card_fingerprint in prints
        or (charge.payment_method_id == method.id and not (charge.card_fingerprint and prints))
    ]


def declined_of(customer: str) -> list[ChargeFacts]:
    """The customer's declined charges that the mirror has, newest first. Two statements."""
    return mirrored.trouble_of([customer]).declined[customer] if customer else []


def card_record(method: PaymentMethodFacts, declined: Sequence[ChargeFacts], now: datetime) -> CardRecord:
    """What these declined charges of its customer say of a card. Pure.

    The networks count attempts after a decline, so charges that went through are left out. One card may be saved under
    several payment methods: its fingerprint decides where it is known.
    """
    if not method.id:
        return CardRecord()
    same = charges_of(method, declined)
    return CardRecord(
        sum(charge.created >= now - timedelta(days=1) for charge in same),
        sum(charge.created >= now - timedelta(days=30) for charge in same),
        _refused_for_good(same),
    )


def _refused_for_good(charges: Iterable[ChargeFacts]) -> str:
    """How one of them was declined so that it must never be charged again, "" when none was."""
    verdicts = (reasons.judge(charge.failure) for charge in charges if charge.failure)
    return next((verdict.words for verdict in verdicts if verdict.category in NEVER_AGAIN), "")


@dataclass(frozen=True, slots=True)
class DebitRecord:
    """How often one invoice was debited from one account and came back, and whether the bank refused the account for
    good ("" when it did not)."""

    presented: int = 0
    refused_for_good: str = ""


def debit_record(method: PaymentMethodFacts, intents: Container[str], declined: Sequence[ChargeFacts]) -> DebitRecord:
    """What these returned debits of its customer say of an account, for the invoice of those payment intents. Pure."""
    if not method.id:
        return DebitRecord()
    same = charges_of(method, declined)
    return DebitRecord(sum(charge.payment_intent_id in intents for charge in same), _refused_for_good(same))


def sealed(
    kind: str, snapshot: Snapshot, params: Mapping[str, Any] | None = None, *, live: bool = True
) -> dict[str, Any]:
    """The facts that a suggestion of `kind` stands on, JSON only. `params`: the suggestion's own, for kinds that name a
    payment method or a price; these are read from Stripe (`live`, never inside a transaction) or from the mirror."""
    params = params or {}
    invoice, failure = snapshot.invoice, snapshot.failure
    facts: dict[str, Any] = {
        "invoice": invoice.id,
        "invoice_number": invoice.number,
        "invoice_status": invoice.status,
        "currency": invoice.currency,
        "amount_remaining": invoice.amount_remaining,
        "attempt_count": invoice.attempt_count,
        "last_charge": failure.charge_id,
        "customer": invoice.customer_id,
        "subscription": invoice.subscription_id,
        "dispute_open": snapshot.dispute_open,
    }
    if kind in (RETRY, NOTIFY):
        facts["payment_method"] = snapshot.method_on_file
        facts["failure"] = {
            "code": failure.code,
            "decline_code": failure.decline_code,
            "advice_code": failure.advice_code,
            "network_decline_code": failure.network_decline_code,
            "network_advice_code": failure.network_advice_code,
            "card_brand": failure.card_brand,
            "payment_method": failure.payment_method_id,
        }
    if kind == RETRY:
        facts["new_method"] = snapshot.has_new_method
        facts["collection_method"] = invoice.collection_method
        facts["stripe_retries"] = invoice.auto_advance and invoice.next_payment_attempt is not None
    if kind == RETRY and params.get("method"):
        # Another one than Stripe would take: whether it is still the customer's, and which card it stands for.
        facts |= _named_method(snapshot, params["method"], live)
    if kind == GRACE:
        facts["subscription_status"] = snapshot.subscription.status if snapshot.subscription else ""
    if kind in SEALERS:
        facts |= SEALERS[kind](snapshot, params, live)
    return facts


def _named_method(snapshot: Snapshot, method_id: str, live: bool) -> dict[str, Any]:
    shelved = None if live else shelf.method(method_id)
    method = shelved or methods.read(method_id, snapshot.invoice.account, live=live)
    return {
        "payment_method": method_id,
        "payment_method_customer": method.customer_id,
        "payment_method_fingerprint": method.fingerprint,
    }


def _of_service(snapshot: Snapshot) -> dict[str, Any]:
    """What every step on a subscription stands on."""
    subscription = snapshot.subscription
    if subscription is None:
        return {"subscription_status": ""}
    return {
        "subscription_status": subscription.status,
        "cancel_at_period_end": subscription.cancel_at_period_end,
        "paused": subscription.paused,
    }


def _notice(snapshot: Snapshot, params: Mapping[str, Any], live: bool) -> dict[str, Any]:
    """The other invoices that the message speaks of, nothing for a message about one; what it thanks for."""
    invoice = snapshot.invoice
    if texts.text_of(params.get("template", "")).thanks:
        return {"amount_paid": snapshot.paid}
    others = [one for one in params.get("invoices", ()) if one != invoice.id]
    if not others:
        return {}
    return {"bundle": bundle.sealed(invoice.id, shelf.invoices(others, invoice.account, live=live))}


def _take_over(snapshot: Snapshot, params: Mapping[str, Any], live: bool) -> dict[str, Any]:
    return {
        "auto_advance": snapshot.invoice.auto_advance,
        "collection_method": snapshot.invoice.collection_method,
        "subscription_status": snapshot.subscription.status if snapshot.subscription else "",
    }


def _default_method(snapshot: Snapshot, params: Mapping[str, Any], live: bool) -> dict[str, Any]:
    subscription, customer = snapshot.subscription, snapshot.customer
    return {
        **_named_method(snapshot, params.get("method", ""), live),
        "customer_default": customer.default_payment_method_id if customer else "",
        "subscription_default": subscription.default_payment_method_id if subscription else "",
    }


def _end_grace(snapshot: Snapshot, params: Mapping[str, Any], live: bool) -> dict[str, Any]:
    metadata = snapshot.subscription.metadata if snapshot.subscription else {}
    return {**_of_service(snapshot), "grace_period_until": metadata.get("grace_period_until", "")}


def _pause(snapshot: Snapshot, params: Mapping[str, Any], live: bool) -> dict[str, Any]:
    until = snapshot.subscription.paused_until if snapshot.subscription else None
    return {**_of_service(snapshot), "paused_until": until.isoformat() if until else ""}


def _downgrade(snapshot: Snapshot, params: Mapping[str, Any], live: bool) -> dict[str, Any]:
    account, subscription = snapshot.invoice.account, snapshot.subscription
    items = subscription.items if subscription else ()
    now = next((item for item in items if item[0] == params.get("item")), ("", "", "", 0))
    return {
        **_of_service(snapshot),
        "quantity": now[3],
        "price_now": _price(now[1], account, live),
        "price_then": _price(params.get("price", ""), account, live),
    }


def _price(price_id: str, account: str, live: bool) -> dict[str, Any]:
    shelved = None if live else shelf.price(price_id)
    price = shelved or (sync.price_facts(price_id, account, live=live) if price_id else None)
    if price is None:
        return {"id": price_id, "active": False}
    return {
        "id": price.id,
        "active": price.active,
        "currency": price.currency,
        "unit_amount": price.unit_amount,
        "interval": price.interval,
        "interval_count": price.interval_count,
        "product": price.product_id,
    }


def _giving_up(snapshot: Snapshot, params: Mapping[str, Any], live: bool) -> dict[str, Any]:
    """What cannot be taken back: another payment method on file is reason enough to think again."""
    return {**_of_service(snapshot), "payment_method": snapshot.method_on_file}


def _cancel(snapshot: Snapshot, params: Mapping[str, Any], live: bool) -> dict[str, Any]:
    ends = snapshot.subscription.current_period_end if snapshot.subscription else None
    return {**_giving_up(snapshot, params, live), "period_end": ends.isoformat() if ends else ""}


SEALERS: dict[str, Callable[[Snapshot, Mapping[str, Any], bool], dict[str, Any]]] = {
    NOTIFY: _notice,
    steps.TAKE_OVER: _take_over,
    steps.DEFAULT_METHOD: _default_method,
    steps.END_GRACE: _end_grace,
    steps.PAUSE: _pause,
    steps.RESUME: _pause,
    steps.DOWNGRADE: _downgrade,
    steps.UNCOLLECTIBLE: _giving_up,
    steps.CANCEL: _cancel,
}
