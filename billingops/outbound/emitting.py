"""Telling: the event and its deliveries are written in the transaction of what they tell of (an outbox), so neither
exists without the other; the worker sends them once it holds."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from billingops import ids, jobs
from billingops.outbound.models import Delivery, Endpoint, OutgoingEvent

SEND = "billingops.outbound.tasks.send"


def emit(
    *,
    type: str,
    data: dict[str, Any],
    key: str,
    account: str = "",
    subject: str = "",
    sequence: int = 0,
    at: datetime | None = None,
) -> OutgoingEvent | None:
    """Tell every endpoint that wants it; None when `key` was told already.

    `data`: JSON, small, without personal data. `subject`: what it is about, whose events `sequence` counts. `at`: when
    it happened. To be called inside the transaction of the change; locks nothing that a verb of the gate holds.
    """
    if not connection.in_atomic_block:
        raise RuntimeError("An event is emitted in the transaction of what it tells of.")
    event = OutgoingEvent(
        type=type,
        data=data,
        key=key,
        account=account,
        subject=subject,
        sequence=sequence,
        created_at=at or timezone.now(),
    )
    try:
        with transaction.atomic():
            event.save()
    except IntegrityError:
        if OutgoingEvent.objects.filter(key=key).exists():
            return None
        raise
    endpoints = Endpoint.objects.filter(account__in={"", account}).order_by("id")
    hand_over(event, [endpoint for endpoint in endpoints if endpoint.wants(type)])
    return event


def hand_over(event: OutgoingEvent, endpoints: list[Endpoint]) -> list[Delivery]:
    """A delivery of `event` to each; those that are off or paused get theirs when they are on again."""
    made = Delivery.objects.bulk_create(
        [Delivery(event=event, endpoint=one, account=one.account, type=event.type) for one in endpoints]
    )
    for delivery in made:
        if delivery.endpoint.state == Endpoint.State.ACTIVE:
            jobs.enqueue(SEND, delivery.pk)
    return made


def body(event: OutgoingEvent) -> bytes:
    """What is sent and signed, the same bytes at every attempt."""
    whole = {
        "id": event.id,
        "type": event.type,
        "timestamp": event.created_at.isoformat().replace("+00:00", "Z"),
        "account": event.account,
        "subject": event.subject,
        "sequence": event.sequence,
        "data": event.data,
    }
    return ids.canonical(whole).encode("ascii")
