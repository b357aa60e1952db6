"""Stripe's events become lines of the customer's timeline. Safe to call twice, late and out of order."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from billingops.inbox.routes import EventNote, on
from billingops.stripe import reader, sync
from support import changes, entries, services
from support.drafts import id_of
from support.models import TimelineEntry

OBJECTS: dict[str, Callable[[Any, str], int]] = {
    "customer": lambda data, account: services.record_customer(reader.read_customer(data, account)),
    "subscription": lambda data, account: services.record_subscription(reader.read_subscription(data, account)),
    "invoice": lambda data, account: services.record_invoice(reader.read_invoice(data, account)),
    "charge": lambda data, account: services.record_charge(reader.read_charge(data, account)),
    "invoice_payment": lambda data, account: services.record_invoice_payment(
        reader.read_invoice_payment(data, account)
    ),
    "refund": lambda data, account: services.record_refund(reader.read_refund(data, account)),
    "dispute": lambda data, account: services.record_dispute(reader.read_dispute(data, account)),
    "credit_note": lambda data, account: services.record_credit_note(reader.read_credit_note(data, account)),
}
FIRST_SIDE = {
    "subscription": "started",
    "invoice": "issued",
    "charge": "payment",
    "refund": "refund",
    "dispute": "dispute",
    "credit_note": "credit_note",
}
# The types that say something no object remembers; a rebuild reads them again from the inbox.
TOLD_BY_EVENT = (
    "customer.updated",
    "customer.deleted",
    "customer.subscription.updated",
    "invoice.payment_failed",
    "charge.dispute.closed",
    "charge.dispute.funds_withdrawn",
    "charge.dispute.funds_reinstated",
)

# The drain hands the same refreshed object to each event that names it; one look at it is enough.
_looked_at: OrderedDict[int, tuple[Any, str]] = OrderedDict()
REMEMBERED = 512


@on(
    *TOLD_BY_EVENT,
    "customer.created",
    "customer.subscription.created",
    "customer.subscription.deleted",
    "customer.subscription.paused",
    "customer.subscription.resumed",
    "invoice.created",
    "invoice.finalized",
    "invoice.updated",
    "invoice.paid",
    "invoice.payment_succeeded",
    "invoice.payment_action_required",
    "invoice.voided",
    "invoice.marked_uncollectible",
    "invoice.overdue",
    "invoice_payment.paid",
    "charge.succeeded",
    "charge.pending",
    "charge.failed",
    "charge.updated",
    "charge.refunded",
    "charge.refund.updated",
    "charge.dispute.created",
    "charge.dispute.updated",
    "refund.created",
    "refund.updated",
    "refund.failed",
    "credit_note.created",
    "credit_note.updated",
    "credit_note.voided",
)
def tell(note: EventNote) -> None:
    """Bring the object's lines up to date, then add what only this event says."""
    look_at(note)
    record_change(note.event_id, note.type, note.account, note.created, note.data, note.previous)


def look_at(note: EventNote) -> None:
    """The object as it is now; where Stripe no longer has it, as the event sent it unless we know better already."""
    if note.object_type not in OBJECTS or not note.object_id:
        return
    if note.current is None:
        side = FIRST_SIDE.get(note.object_type)
        known = side and TimelineEntry.objects.filter(id=id_of(note.object_id, side)).exists()
        if known or note.object_type == "customer":
            return
    state = note.current if note.current is not None else note.data
    seen = _looked_at.get(id(state))  # the reference kept in it keeps the id from being used again
    if seen and seen[0] is state and seen[1] == note.account:
        return
    OBJECTS[note.object_type](state, note.account)
    _looked_at[id(state)] = (state, note.account)
    while len(_looked_at) > REMEMBERED:
        _looked_at.popitem(last=False)


def record_change(
    event_id: str, event_type: str, account: str, at: Any, data: dict[str, Any], previous: dict[str, Any]
) -> None:
    """The line of one event of TOLD_BY_EVENT, from the event alone."""
    if event_type == "invoice.payment_failed":
        invoice = reader.read_invoice(data, account)
        failure = sync.payment_failure(invoice.id, account, live=False)
        if draft := entries.of_attempt(invoice, None if failure and failure.charge_id else failure, at):
            services.record_attempt(draft)
        return
    draft = None
    if event_type == "customer.subscription.updated":
        before, after = reader.read_subscription({**data, **previous}, account), reader.read_subscription(data, account)
        draft = changes.subscription_change(event_id=event_id, at=at, before=before, after=after)
    elif event_type == "customer.deleted":
        services.forget_customer(str(data.get("id") or ""))
        gone = reader.read_customer({**data, "deleted": True}, account)
        draft = changes.customer_change(event_id=event_id, at=at, before=gone, after=gone)
    elif event_type == "customer.updated":
        was, now = reader.read_customer(_merged(data, previous), account), reader.read_customer(data, account)
        draft = changes.customer_change(event_id=event_id, at=at, before=was, after=now)
    elif event_type.startswith("charge.dispute."):
        dispute = reader.read_dispute(data, account)
        customer, invoice_id = services.owner_of(dispute.charge_id, dispute.payment_intent_id, account)
        draft = changes.dispute_step(
            event_id=event_id, event_type=event_type, at=at, dispute=dispute, customer=customer, invoice=invoice_id
        )
    if draft:
        services.store([draft])


def _merged(data: dict[str, Any], previous: dict[str, Any]) -> dict[str, Any]:
    """`previous_attributes` laid over the object: a nested object names only the keys of it that changed."""
    result = dict(data)
    for key, old in previous.items():
        new = result.get(key)
        result[key] = _merged(new, old) if isinstance(new, dict) and isinstance(old, dict) else old
    return result
