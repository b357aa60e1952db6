"""An event as Stripe sent it, and how far we are with it; and whether the worker has been woken.

Only intake.py inserts events, only drain.py moves rows on by itself, only services.py on behalf of a person.
"""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models import Q
from django.utils import timezone
from simple_history.models import HistoricalRecords

from billingops.inbox.querysets import InboundEventQuerySet


class InboundEvent(models.Model):
    """An event of Stripe, unique per event id and account ("" = the platform's own).

    `attempts` counts how often it was taken to work; `next_attempt_at` is when it may be taken (again). `error` names
    the last failure without personal data. `created_at` is Stripe's time, `received_at` ours.
    """

    class State(models.TextChoices):
        WAITING = "waiting", "waiting"
        PROCESSING = "processing", "in work"
        DONE = "done", "done"
        IGNORED = "ignored", "ignored"  # nobody here needs this type; kept as it came
        GONE = "gone", "object gone"  # Stripe no longer has the object
        PARKED = "parked", "parked"  # failed too often; a person replays or dismisses it
        DISMISSED = "dismissed", "dismissed"

    event_id = models.CharField(max_length=255)
    account = models.CharField(max_length=64, blank=True, default="")
    type = models.CharField(max_length=120)
    object_type = models.CharField(max_length=64, blank=True, default="")
    object_id = models.CharField(max_length=255, blank=True, default="")
    api_version = models.CharField(max_length=64, blank=True, default="")
    livemode = models.BooleanField(default=False)
    created_at = models.DateTimeField(help_text="Stripe's time of the event")
    received_at = models.DateTimeField(default=timezone.now)
    payload = models.JSONField()
    state = models.CharField(max_length=12, choices=State.choices, default=State.WAITING)
    attempts = models.PositiveIntegerField(default=0)
    next_attempt_at = models.DateTimeField(default=timezone.now)
    claimed_at = models.DateTimeField(null=True, blank=True)
    claimed_by = models.CharField(max_length=64, blank=True, default="")
    error = models.CharField(max_length=500, blank=True, default="")
    note = models.CharField(max_length=255, blank=True, default="")
    handled_at = models.DateTimeField(null=True, blank=True)
    dismissed_by = models.CharField(max_length=160, blank=True, default="")
    dismiss_reason = models.CharField(max_length=500, blank=True, default="")

    # A person's replay or dismissal only: the worker writes with bulk statements, which leave no history.
    history = HistoricalRecords(excluded_fields=["payload"])
    objects = InboundEventQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        verbose_name = "event"
        constraints = [models.UniqueConstraint(fields=["event_id", "account"], name="one_row_per_event_and_account")]
        indexes = [
            models.Index(fields=["next_attempt_at", "id"], condition=Q(state="waiting"), name="inbox_due"),
            models.Index(fields=["claimed_at"], condition=Q(state="processing"), name="inbox_in_work"),
            models.Index(fields=["state", "-id"], name="inbox_state"),
            models.Index(fields=["type", "-id"], name="inbox_type"),
            models.Index(fields=["account", "-id"], condition=~Q(account=""), name="inbox_account"),
            models.Index(fields=["object_id", "-created_at"], name="inbox_object"),
        ]
        permissions = [
            ("replay_inboundevent", "Can have an event processed again"),
            ("dismiss_inboundevent", "Can dismiss an event that failed"),
        ]

    def __str__(self) -> str:
        return f"{self.type} · {self.event_id}"

    @property
    def data_object(self) -> dict[str, Any]:
        """The event's `data.object` as sent."""
        return (self.payload.get("data") or {}).get("object") or {}

    @property
    def previous_attributes(self) -> dict[str, Any]:
        return (self.payload.get("data") or {}).get("previous_attributes") or {}


class WakeUp(models.Model):
    """Whether a drain waits in the queue, so that no second one is put there (waker.py)."""

    name = models.CharField(max_length=32, primary_key=True)
    requested_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"{self.name}: {self.requested_at or 'idle'}"
