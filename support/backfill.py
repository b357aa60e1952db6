"""The timeline made again from what is already here: the mirror, the gate, dunning, the inbox. Calls nothing outside.

Safe to interrupt and to run again: every line is written over itself. Order matters only for speed: charges come before
their refunds and disputes, so that these find their customer without a look into the mirror.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from django.db.models import Model, QuerySet
from djstripe import models as stripe_models

from approvals.models import Suggestion
from billingops.inbox.models import InboundEvent
from billingops.stripe import models as mirror
from dunning.models import CaseNote, DunningCase, Message, SupportTask
from support import services
from support.event_handlers import OBJECTS, TOLD_BY_EVENT, record_change

CHUNK = 500
# In this order; the invoice payments come after the charges, whose lines they name the invoice on.
MIRRORED: tuple[tuple[str, type[Model]], ...] = (
    ("customer", stripe_models.Customer),
    ("subscription", stripe_models.Subscription),
    ("charge", stripe_models.Charge),
    ("invoice", stripe_models.Invoice),
    ("invoice_payment", mirror.InvoicePayment),
    ("refund", stripe_models.Refund),
    ("dispute", stripe_models.Dispute),
    ("credit_note", mirror.CreditNote),
)


@dataclass(frozen=True)
class Progress:
    """`done` of a `step` (customer, charge, …, event); `finished` when it was the last of them."""

    step: str
    done: int
    finished: bool = False


def backfill_timeline(customer: str = "") -> Iterator[Progress]:
    """Make the lines of `customer`, or of everybody, again. Yields after each CHUNK of objects."""
    for object_type, model in MIRRORED:
        yield from _work(object_type, _objects(object_type, model, customer), _record_object(object_type))
    yield from _work("case", _own(DunningCase.objects.all(), customer), services.record_case)
    yield from _work("note", _notes(customer), services.record_note)
    yield from _work("message", _own(Message.objects.select_related("case"), customer), services.record_message)
    yield from _work("task", _own(SupportTask.objects.select_related("case"), customer), services.record_task)
    yield from _work("suggestion", _own(Suggestion.objects.filter(is_seeded=False), customer), _record_suggestion)
    yield from _work("event", _events(customer), _record_event)


def _work(step: str, rows: Iterable[Any], record: Callable[[Any], Any]) -> Iterator[Progress]:
    done = 0
    for done, row in enumerate(rows, start=1):
        record(row)
        if done % CHUNK == 0:
            yield Progress(step, done)
    yield Progress(step, done, finished=True)


def _by_key(queryset: QuerySet[Any]) -> Iterator[Any]:
    """All rows along the primary key, CHUNK at a time: no long-lived cursor, little memory."""
    last = None
    while chunk := list((queryset.filter(pk__gt=last) if last is not None else queryset).order_by("pk")[:CHUNK]):
        yield from chunk
        last = chunk[-1].pk


def _own(queryset: QuerySet[Any], customer: str) -> Iterator[Any]:
    return _by_key(queryset.filter(customer=customer) if customer else queryset)


def _notes(customer: str) -> Iterator[CaseNote]:
    notes = CaseNote.objects.select_related("case")
    return _by_key(notes.filter(case__customer=customer) if customer else notes)


def _objects(object_type: str, model: type[Model], customer: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """(account, Stripe's JSON) of every mirrored object of a type."""
    queryset = model._default_manager.all()
    if customer:
        queryset = queryset.filter(id__in=list(_ids_of(customer, object_type)))
    for row in _by_key(queryset):
        account = row.account if hasattr(row, "account") else row.djstripe_owner_account_id
        yield account or "", row.stripe_data


def _ids_of(customer: str, object_type: str) -> Iterable[str]:
    """The ids of a customer's objects of a type."""
    if object_type == "customer":
        return [customer]
    if object_type == "invoice_payment":
        invoices = list(_ids_of(customer, "invoice"))
        return mirror.InvoicePayment.objects.filter(invoice_id__in=invoices).values_list("id", flat=True)
    index = mirror.MirroredObject.objects.filter(customer_id=customer, object_type=object_type)
    return index.values_list("object_id", flat=True)


def _record_object(object_type: str) -> Callable[[tuple[str, dict[str, Any]]], int]:
    return lambda row: OBJECTS[object_type](row[1], row[0])


def _record_suggestion(suggestion: Suggestion) -> None:
    previous: str | None = None
    for row in suggestion.history.select_related("history_user").order_by("history_id"):
        if row.state != previous:
            services.record_history(row, previous=previous)
        previous = row.state


def _events(customer: str) -> Iterator[InboundEvent]:
    events = InboundEvent.objects.filter(type__in=TOLD_BY_EVENT)
    if not customer:
        return _by_key(events)
    ids = [customer]
    for object_type in ("subscription", "invoice", "dispute"):
        ids += _ids_of(customer, object_type)
    return _by_key(events.filter(object_id__in=ids))


def _record_event(event: InboundEvent) -> None:
    record_change(
        event.event_id, event.type, event.account, event.created_at, event.data_object, event.previous_attributes
    )
