"""Stripe's objects as they stand now, as lines of the timeline. Pure: no database, no network, no clock.

A line can be made again at any time and from the mirror alone; made again it is the same line.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from billingops.stripe.facts import (
    ChargeFacts,
    CreditNoteFacts,
    CustomerFacts,
    DisputeFacts,
    InvoiceFacts,
    PaymentFailure,
    RefundFacts,
    SubscriptionFacts,
)
from support.drafts import Draft, small
from support.models import TimelineEntry

Kind = TimelineEntry.Kind


def of_invoice(invoice: InvoiceFacts) -> list[Draft]:
    """A draft is no line yet. "Settled" only where no charge brought the money; a charge has its own line."""
    if not invoice.customer_id or invoice.status in ("", "draft"):
        return []

    def line(side: str, at: datetime, kind: str, what: str, amount: int, state: str, **facts: Any) -> Draft:
        return Draft(
            root=invoice.id,
            side=side,
            customer=invoice.customer_id,
            account=invoice.account,
            at=at,
            kind=kind,
            what=what,
            state=state,
            amount=amount,
            currency=invoice.currency,
            object_id=invoice.id,
            subject=invoice.id,
            facts=small(number=invoice.number, **facts),
        )

    waits = invoice.status in ("open", "uncollectible")
    found = [
        line(
            "issued",
            invoice.finalized_at or invoice.created,
            Kind.INVOICE,
            "invoice.issued",
            invoice.total,
            invoice.status,
            billing_reason=invoice.billing_reason,
            collection_method=invoice.collection_method,
            amount_due=invoice.amount_due,
            amount_paid=invoice.amount_paid,
            amount_remaining=invoice.amount_remaining if waits else None,
            attempts=invoice.attempt_count,
            next_attempt=invoice.next_payment_attempt if waits else None,
            due=invoice.due_date if waits else None,
            subscription=invoice.subscription_id,
        )
    ]
    if invoice.is_paid and not invoice.charge_id and (invoice.amount_paid or invoice.paid_out_of_band):
        paid = invoice.amount_paid or invoice.amount_due
        how = "out_of_band" if invoice.paid_out_of_band else "without_charge"
        at = invoice.paid_at or invoice.created
        found.append(line("settled", at, Kind.PAYMENT, "payment.settled", paid, "succeeded", how=how))
    if invoice.status == "void":
        at = invoice.voided_at or invoice.finalized_at or invoice.created
        found.append(line("voided", at, Kind.INVOICE, "invoice.voided", invoice.total, "void"))
    if invoice.status == "uncollectible" or invoice.uncollectible_at:
        at = invoice.uncollectible_at or invoice.finalized_at or invoice.created
        left = invoice.amount_remaining
        found.append(line("written_off", at, Kind.INVOICE, "invoice.written_off", left, invoice.status))
    return found


def of_attempt(invoice: InvoiceFacts, failure: PaymentFailure | None, at: datetime) -> Draft | None:
    """A failed attempt that left no charge behind (no card on file, a confirmation that never came).

    `invoice` as the event sent it: its count of attempts names the line.
    """
    if not invoice.customer_id:
        return None
    return Draft(
        root=invoice.id,
        side=f"attempt-{invoice.attempt_count}",
        customer=invoice.customer_id,
        account=invoice.account,
        at=at,
        kind=Kind.PAYMENT_FAILED,
        what="payment.not_attempted",
        state="failed",
        amount=invoice.amount_remaining,
        currency=invoice.currency,
        object_id=invoice.id,
        subject=invoice.id,
        facts=small(number=invoice.number, attempt=invoice.attempt_count, **_failure(failure)),
    )


def of_charge(charge: ChargeFacts) -> list[Draft]:
    if not charge.customer_id:
        return []
    failed = charge.status == "failed"
    return [
        Draft(
            root=charge.id,
            side="payment",
            customer=charge.customer_id,
            account=charge.account,
            at=charge.created,
            kind=Kind.PAYMENT_FAILED if failed else Kind.PAYMENT,
            what="payment.failed" if failed else "payment.made",
            state=charge.status,
            amount=charge.amount,
            currency=charge.currency,
            object_id=charge.id,
            subject=charge.invoice_id,
            facts=small(
                **{"card_brand": charge.card_brand, **(_failure(charge.failure) if failed else {})},
                payment_intent=charge.payment_intent_id,
                amount_refunded=charge.amount_refunded or None,
                disputed=charge.disputed or None,
            ),
        )
    ]


def of_refund(refund: RefundFacts, *, customer: str, invoice: str) -> list[Draft]:
    facts = small(reason=refund.reason, charge=refund.charge_id)
    return _of_charge_child(refund, "refund", Kind.REFUND, "refund.made", customer, invoice, facts)


def of_dispute(dispute: DisputeFacts, *, customer: str, invoice: str) -> list[Draft]:
    facts = small(
        reason=dispute.reason, charge=dispute.charge_id, due_by=dispute.due_by, inquiry=dispute.is_inquiry or None
    )
    what = "dispute.inquiry" if dispute.is_inquiry else "dispute.opened"
    return _of_charge_child(dispute, "dispute", Kind.DISPUTE, what, customer, invoice, facts)


def _of_charge_child(
    thing: RefundFacts | DisputeFacts,
    side: str,
    kind: str,
    what: str,
    customer: str,
    invoice: str,
    facts: dict[str, Any],
) -> list[Draft]:
    if not customer:
        return []
    return [
        Draft(
            root=thing.id,
            side=side,
            customer=customer,
            account=thing.account,
            at=thing.created,
            kind=kind,
            what=what,
            state=thing.status,
            amount=thing.amount,
            currency=thing.currency,
            object_id=thing.id,
            subject=invoice,
            facts=facts,
        )
    ]


def of_credit_note(note: CreditNoteFacts) -> list[Draft]:
    if not note.customer_id:
        return []
    return [
        Draft(
            root=note.id,
            side="credit_note",
            customer=note.customer_id,
            account=note.account,
            at=note.created,
            kind=Kind.CREDIT_NOTE,
            what="credit_note.issued",
            state=note.status,
            amount=note.amount,
            currency=note.currency,
            object_id=note.id,
            subject=note.invoice_id,
            facts=small(number=note.number, reason=note.reason, refunds=list(note.refund_ids)),
        )
    ]


def of_subscription(subscription: SubscriptionFacts) -> list[Draft]:
    """The line of its start carries its present state, plan and period: the head of the page reads them there."""
    if not subscription.customer_id:
        return []

    def line(side: str, at: datetime, what: str, **facts: Any) -> Draft:
        return Draft(
            root=subscription.id,
            side=side,
            customer=subscription.customer_id,
            account=subscription.account,
            at=at,
            kind=Kind.SUBSCRIPTION,
            what=what,
            state=subscription.status,
            object_id=subscription.id,
            facts=small(**facts),
        )

    found = [
        line(
            "started",
            subscription.created,
            "subscription.started",
            items=plan_of(subscription),
            period_start=subscription.current_period_start,
            period_end=subscription.current_period_end,
            cancels_at_period_end=subscription.cancel_at_period_end or None,
        )
    ]
    if subscription.status in ("canceled", "incomplete_expired"):
        at = subscription.canceled_at or subscription.created
        found.append(line("ended", at, "subscription.ended", items=plan_of(subscription)))
    return found


def of_customer(customer: CustomerFacts) -> list[Draft]:
    if customer.deleted or not customer.created:
        return []
    return [
        Draft(
            root=customer.id,
            side="created",
            customer=customer.id,
            account=customer.account,
            at=customer.created,
            kind=Kind.CUSTOMER,
            what="customer.created",
            object_id=customer.id,
            facts=small(country=customer.country, delinquent=customer.delinquent or None),
        )
    ]


def plan_of(subscription: SubscriptionFacts) -> list[list[Any]]:
    """`[[price, product, quantity], …]`, in an order that does not depend on Stripe's."""
    return sorted([price, product, quantity] for _, price, product, quantity in subscription.items)


def _failure(failure: PaymentFailure | None) -> dict[str, Any]:
    if failure is None:
        return {}
    return {
        "code": failure.code,
        "decline_code": failure.decline_code,
        "advice_code": failure.advice_code,
        "network_decline_code": failure.network_decline_code,
        "network_advice_code": failure.network_advice_code,
        "outcome_type": failure.outcome_type,
        "risk_level": failure.risk_level,
        "card_brand": failure.card_brand,
    }
