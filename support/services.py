"""The only writer of the timeline and of customers' contacts. Every function may be called again and changes nothing.

`record_*` take facts and bring the lines of one object up to date; events, receivers and the rebuild all call these, so
a line is the same whichever way it came. Nothing here talks to the network, but `owner_of` for a charge not mirrored.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from typing import Any

from django.db.models import Q
from django.utils import timezone

from approvals.signals import Change
from billingops.actors import Actor
from billingops.stripe import sync
from billingops.stripe.facts import (
    ChargeFacts,
    CreditNoteFacts,
    CustomerFacts,
    DisputeFacts,
    InvoiceFacts,
    InvoicePaymentFacts,
    RefundFacts,
    SubscriptionFacts,
)
from billingops.stripe.models import InvoicePayment, MirroredObject
from dunning.models import CaseNote, DunningCase, Message, SupportTask
from support import entries, steps
from support.drafts import SIDES, Draft, id_of
from support.models import CustomerContact, TimelineEntry

BATCH = 500
# An attempt without a charge and a failed charge of the same invoice this close together are one and the same failure.
ONE_FAILURE = timedelta(hours=1)
_COLUMNS = [field.name for field in TimelineEntry._meta.fields if not field.primary_key]


def store(drafts: Iterable[Draft]) -> int:
    """Write the lines, over what they were before; returns how many. One statement per BATCH."""
    rows = {
        draft.id: TimelineEntry(id=draft.id, **{name: getattr(draft, name) for name in _COLUMNS}) for draft in drafts
    }
    if rows:
        TimelineEntry.objects.bulk_create(
            rows.values(), batch_size=BATCH, update_conflicts=True, unique_fields=["id"], update_fields=_COLUMNS
        )
    return len(rows)


def _store_object(object_type: str, object_id: str, drafts: list[Draft]) -> int:
    """Store an object's lines and take back those it shows no longer (a payment's charge turned up after all)."""
    gone = {id_of(object_id, side) for side in SIDES[object_type]} - {draft.id for draft in drafts}
    if gone and len(SIDES[object_type]) > 1:
        TimelineEntry.objects.filter(id__in=gone).delete()
    return store(drafts)


# -- Stripe's objects --------------------------------------------------------------------------------------------------


def record_invoice(invoice: InvoiceFacts) -> int:
    if invoice.is_paid and not invoice.charge_id and (charge := _charge_of_invoice(invoice.id)):
        invoice = replace(invoice, charge_id=charge)
    count = _store_object("invoice", invoice.id, entries.of_invoice(invoice))
    link_payments(invoice.id, invoice.customer_id)
    return count


def record_charge(charge: ChargeFacts) -> int:
    if not charge.invoice_id:
        charge = replace(charge, invoice_id=_invoice_of_charge(charge.id, charge.payment_intent_id))
    count = _store_object("charge", charge.id, entries.of_charge(charge))
    if charge.invoice_id and charge.status == "failed":
        _settle_attempts(charge.invoice_id)
    if charge.invoice_id and (charge.amount_refunded or charge.disputed):
        _pass_on([charge.id], charge.customer_id, charge.invoice_id)
    return count


def record_invoice_payment(payment: InvoicePaymentFacts) -> int:
    """No line of its own: it says which charge belongs to which invoice."""
    link_payments(payment.invoice_id, "")
    if payment.status == "paid" and (payment.charge_id or payment.payment_intent_id):
        TimelineEntry.objects.filter(id=id_of(payment.invoice_id, "settled"), facts__how="without_charge").delete()
    return 0


def record_refund(refund: RefundFacts) -> int:
    customer, invoice = owner_of(refund.charge_id, refund.payment_intent_id, refund.account)
    return _store_object("refund", refund.id, entries.of_refund(refund, customer=customer, invoice=invoice))


def record_dispute(dispute: DisputeFacts) -> int:
    customer, invoice = owner_of(dispute.charge_id, dispute.payment_intent_id, dispute.account)
    return _store_object("dispute", dispute.id, entries.of_dispute(dispute, customer=customer, invoice=invoice))


def record_credit_note(note: CreditNoteFacts) -> int:
    return _store_object("credit_note", note.id, entries.of_credit_note(note))


def record_subscription(subscription: SubscriptionFacts) -> int:
    return _store_object("subscription", subscription.id, entries.of_subscription(subscription))


def record_customer(customer: CustomerFacts) -> int:
    """The customer's line and contact. Of a deleted customer the lines stay, name and address go."""
    if customer.deleted:
        forget_customer(customer.id)
        return 0
    CustomerContact.objects.update_or_create(
        customer=customer.id,
        defaults={
            "account": customer.account,
            "name": customer.name[:255],
            "email": customer.email[:512],
            "name_key": customer.name.lower()[:255],
            "email_key": customer.email.lower()[:512],
            "synced_at": timezone.now(),
        },
    )
    return _store_object("customer", customer.id, entries.of_customer(customer))


def forget_customer(customer_id: str) -> None:
    CustomerContact.objects.filter(pk=customer_id).delete()


def record_attempt(draft: Draft) -> None:
    """A failed attempt, unless a failed charge tells of the same one."""
    store([draft])
    _settle_attempts(draft.subject)


# -- what belongs together ---------------------------------------------------------------------------------------------


def owner_of(charge_id: str, payment_intent_id: str, account: str) -> tuple[str, str]:
    """(customer, invoice) of a charge: from its line, else from the mirror, else, once, from Stripe."""
    if not charge_id and payment_intent_id:
        charge_id = (
            MirroredObject.objects.filter(parent_id=payment_intent_id, object_type="charge", status="succeeded")
            .values_list("object_id", flat=True)
            .first()
            or ""
        )
    if not charge_id:
        return "", ""
    row = TimelineEntry.objects.filter(id=id_of(charge_id, "payment")).values_list("customer", "subject").first()
    if row:
        return row
    for live in (False, True):
        if charge := sync.charge_facts(charge_id, account, live=live):
            return charge.customer_id, charge.invoice_id or _invoice_of_charge(charge.id, charge.payment_intent_id)
    return "", ""


def link_payments(invoice_id: str, customer_id: str) -> None:
    """Name the invoice on the lines of the charges that were to pay it, and of their refunds and disputes: today's
    charge does not know its invoice, and the object that says so may arrive last."""
    pairs = InvoicePayment.objects.filter(invoice_id=invoice_id).values_list("charge_id", "payment_intent_id")
    charges = {charge for charge, _ in pairs if charge}
    intents = {intent for _, intent in pairs if intent}
    if intents:
        charges |= set(
            MirroredObject.objects.filter(parent_id__in=intents, object_type="charge").values_list(
                "object_id", flat=True
            )
        )
    if not charges:
        return
    lines = TimelineEntry.objects.filter(id__in=[id_of(charge, "payment") for charge in charges])
    if not lines.exclude(subject=invoice_id).update(subject=invoice_id):
        return
    customer_id = customer_id or lines.values_list("customer", flat=True).first() or ""
    _pass_on(charges, customer_id, invoice_id)
    _settle_attempts(invoice_id)


def _pass_on(charges: Iterable[str], customer_id: str, invoice_id: str) -> None:
    """Name the charges' invoice on the lines of their refunds and disputes."""
    kinds = (TimelineEntry.Kind.REFUND, TimelineEntry.Kind.DISPUTE)
    children = TimelineEntry.objects.filter(customer=customer_id, kind__in=kinds, facts__charge__in=list(charges))
    children.exclude(subject=invoice_id).update(subject=invoice_id)


def _invoice_of_charge(charge_id: str, payment_intent_id: str) -> str:
    wanted = Q(charge_id=charge_id)
    if payment_intent_id:
        wanted |= Q(payment_intent_id=payment_intent_id)
    return InvoicePayment.objects.filter(wanted).values_list("invoice_id", flat=True).first() or ""


def _charge_of_invoice(invoice_id: str) -> str:
    payments = InvoicePayment.objects.filter(invoice_id=invoice_id, status="paid")
    row = payments.exclude(charge_id="", payment_intent_id="").values_list("charge_id", "payment_intent_id").first()
    return (row[0] or row[1]) if row else ""


def _settle_attempts(invoice_id: str) -> None:
    """Drop the attempts that a failed charge of the invoice tells of as well, whichever came first."""
    failures = TimelineEntry.objects.filter(subject=invoice_id, kind=TimelineEntry.Kind.PAYMENT_FAILED)
    rows = list(failures.values_list("id", "what", "at"))
    charged = [at for _, what, at in rows if what == "payment.failed"]
    doubled = [
        pk
        for pk, what, at in rows
        if what == "payment.not_attempted" and any(abs(at - other) <= ONE_FAILURE for other in charged)
    ]
    if doubled:
        TimelineEntry.objects.filter(id__in=doubled).delete()


# -- our own rows ------------------------------------------------------------------------------------------------------


def record_case(case: DunningCase) -> int:
    return store(steps.of_case(case))


def record_note(note: CaseNote) -> int:
    return store(steps.of_note(note))


def record_message(message: Message) -> int:
    return store(steps.of_message(message))


def record_task(task: SupportTask) -> int:
    return store(steps.of_task(task))


def record_steps(changes: Iterable[Change], *, actor: Actor) -> int:
    return store(
        draft
        for change in changes
        for draft in steps.of_step(change.suggestion, previous=change.previous, who=actor.name)
    )


def record_history(row: Any, *, previous: str | None) -> int:
    """A row of a suggestion's history, for a rebuild."""
    who = (
        row.history_user.get_username() if row.history_user else (row.history_change_reason or "").rpartition(" · ")[2]
    )
    return store(steps.of_step(row, previous=previous, who=who))
