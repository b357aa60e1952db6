"""The worker's part: send at once, send what is due, forget what is old."""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS
from django.utils import timezone

from billingops import jobs
from billingops.outbound import delivering
from billingops.outbound.models import Delivery, DeliveryAttempt, OutgoingEvent

WORK_SECONDS = 45  # one attempt more stays below the queue's time-out for a task
FORGET_AT_ONCE, FORGET_ROUNDS = 1000, 50


def send(delivery_id: int) -> str:
    """One attempt, right after the event."""
    return delivering.attempt(delivery_id)


@jobs.every(1, name="outbound-work")
def work() -> dict[str, int]:
    """What is due: attempts whose back-off is over, what a dead worker held, what was replayed."""
    counts = delivering.work(seconds=WORK_SECONDS)
    if counts["left"]:
        jobs.enqueue("billingops.outbound.tasks.work")
    return counts


@jobs.every(24 * 60, name="outbound-retention")
def forget_old_events() -> int:
    """Delete events of `OUTBOUND_RETENTION_DAYS` ago (90) with their deliveries and attempts, bounded a day."""
    before = timezone.now() - timedelta(days=settings.OUTBOUND_RETENTION_DAYS)
    deleted = 0
    for _ in range(FORGET_ROUNDS):
        old = OutgoingEvent.objects.filter(created_at__lt=before).order_by("created_at")
        ids = list(old.values_list("id", flat=True)[:FORGET_AT_ONCE])
        if not ids:
            break
        deliveries = list(Delivery.objects.filter(event__in=ids).values_list("pk", flat=True))
        DeliveryAttempt.objects.filter(delivery__in=deliveries)._raw_delete(using=DEFAULT_DB_ALIAS)
        Delivery.objects.filter(pk__in=deliveries)._raw_delete(using=DEFAULT_DB_ALIAS)
        deleted += OutgoingEvent.objects.filter(pk__in=ids)._raw_delete(using=DEFAULT_DB_ALIAS)
    return deleted
