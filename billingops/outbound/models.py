"""Who is told what, and how far we are with it.

Events and their deliveries are written by emitting.py in the transaction of what they tell of; only delivering.py moves
deliveries on by itself, only services.py on behalf of a person. `account`: the connected account, "" = the platform.
"""

from __future__ import annotations

from typing import Any

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from django.utils import timezone
from simple_history.models import HistoricalRecords

from billingops.ids import uuid7


def event_id() -> str:
    """ "evt_" and a UUID version 7 in hex: sorts by time, holds no full stop (the signature's separator)."""
    return f"evt_{uuid7().hex}"


class Endpoint(models.Model):
    """A URL that wants to be told. The platform's own (account "") is told of all accounts, a connected account's of
    that account alone. `types`: event types, empty = all.

    `failures` counts attempts in a row without a 2xx, since `failing_since`; `probe_at`: from the third on, when one
    delivery may be tried again. What waits for an endpoint that is off or paused is kept.
    """

    class State(models.TextChoices):
        ACTIVE = "active", "sending"
        OFF = "off", "switched off"  # by a person
        PAUSED = "paused", "paused"  # by us: it has not answered for days, or says that it is gone

    name = models.CharField(max_length=80)
    account = models.CharField(max_length=64, blank=True, default="")
    url = models.CharField(max_length=500)
    types = models.JSONField(default=list, blank=True)
    state = models.CharField(max_length=8, choices=State.choices, default=State.ACTIVE)
    timeout_seconds = models.PositiveSmallIntegerField(
        default=10, validators=[MinValueValidator(1), MaxValueValidator(30)]
    )
    paused_why = models.CharField(max_length=120, blank=True, default="")
    failures = models.PositiveIntegerField(default=0)
    failing_since = models.DateTimeField(null=True, blank=True)
    last_success_at = models.DateTimeField(null=True, blank=True)
    last_failure_at = models.DateTimeField(null=True, blank=True)
    probe_at = models.DateTimeField(null=True, blank=True)
    version = models.PositiveIntegerField(default=1)
    created_by = models.CharField(max_length=160, blank=True, default="")
    created_at = models.DateTimeField(default=timezone.now)

    # A person's changes and our pauses; the worker's figures are written by plain updates, which leave no history.
    history = HistoricalRecords(
        excluded_fields=["failures", "failing_since", "last_success_at", "last_failure_at", "probe_at"]
    )

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["account", "-id"], name="endpoint_account")]
        permissions = [("manage_endpoint", "Can add and change endpoints, their secrets and state")]

    def __str__(self) -> str:
        return self.name

    def wants(self, type: str) -> bool:
        return not self.types or type in self.types


class Secret(models.Model):
    """One key that an endpoint's messages are signed with; several are valid at a time while one replaces another.

    `sealed` is the key encrypted under DJANGO_SECRET_KEY (vault.py): in no log, export, history or page. `hint` is its
    last four characters, to tell one from the other.
    """

    endpoint = models.ForeignKey(Endpoint, on_delete=models.CASCADE, related_name="secrets")
    sealed = models.TextField(editable=False)
    hint = models.CharField(max_length=4)
    created_by = models.CharField(max_length=160, blank=True, default="")
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"secret …{self.hint}"


class OutgoingEvent(models.Model):
    """Something that happened, told once under `key`. Never changed. `sequence` rises with each event of `subject`."""

    id = models.CharField(primary_key=True, max_length=40, default=event_id, editable=False)
    key = models.CharField(max_length=255, unique=True)
    type = models.CharField(max_length=80)
    account = models.CharField(max_length=64, blank=True, default="")
    subject = models.CharField(max_length=120, blank=True, default="")
    sequence = models.PositiveIntegerField(default=0)
    data = models.JSONField(default=dict)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-id"]
        verbose_name = "outgoing event"
        indexes = [
            models.Index(fields=["account", "-id"], name="outgoing_account"),
            models.Index(fields=["type", "-id"], name="outgoing_type"),
            models.Index(fields=["subject", "-id"], name="outgoing_subject"),
            models.Index(fields=["created_at"], name="outgoing_created"),
        ]

    def __str__(self) -> str:
        return f"{self.type} · {self.id}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if not self._state.adding:
            raise TypeError("An outgoing event is never changed.")
        kwargs["force_insert"] = True
        super().save(*args, **kwargs)


class Delivery(models.Model):
    """One event on its way to one endpoint. `account` is the endpoint's, so that whoever is limited to an account sees
    what its own endpoints were sent.

    `attempts` counts since the last replay. `claim` and `lease_until`: whose attempt runs, and until when it is
    believed to live. `error`: the last attempt's in one word (sending.py), `status` its HTTP status.
    """

    class State(models.TextChoices):
        WAITING = "waiting", "waiting"
        DELIVERING = "delivering", "being delivered"
        DELIVERED = "delivered", "delivered"
        FAILED = "failed", "failed, tried again"
        GIVEN_UP = "given_up", "given up"

    event = models.ForeignKey(OutgoingEvent, on_delete=models.PROTECT, related_name="deliveries")
    endpoint = models.ForeignKey(Endpoint, on_delete=models.PROTECT, related_name="deliveries")
    account = models.CharField(max_length=64, blank=True, default="")
    type = models.CharField(max_length=80)
    state = models.CharField(max_length=10, choices=State.choices, default=State.WAITING)
    attempts = models.PositiveIntegerField(default=0)
    next_attempt_at = models.DateTimeField(default=timezone.now)
    claim = models.CharField(max_length=32, blank=True, default="")
    lease_until = models.DateTimeField(null=True, blank=True)
    status = models.PositiveSmallIntegerField(null=True, blank=True)
    error = models.CharField(max_length=24, blank=True, default="")
    response_ms = models.PositiveIntegerField(null=True, blank=True)
    replays = models.PositiveIntegerField(default=0)
    delivered_at = models.DateTimeField(null=True, blank=True)
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-id"]
        verbose_name_plural = "deliveries"
        constraints = [
            models.UniqueConstraint(fields=["event", "endpoint"], name="one_delivery_per_event_and_endpoint")
        ]
        indexes = [
            models.Index(
                fields=["endpoint", "next_attempt_at"],
                condition=Q(state__in=["waiting", "failed"]),
                name="delivery_due",
            ),
            models.Index(fields=["lease_until"], condition=Q(state="delivering"), name="delivery_in_work"),
            models.Index(fields=["state", "-id"], name="delivery_state"),
            models.Index(fields=["endpoint", "state", "-id"], name="delivery_endpoint"),
            models.Index(fields=["account", "-id"], name="delivery_account"),
            models.Index(fields=["type", "-id"], name="delivery_type"),
        ]
        permissions = [("replay_delivery", "Can have an event delivered again")]

    def __str__(self) -> str:
        return f"{self.type} · {self.event_id}"


class DeliveryAttempt(models.Model):
    """One POST, and what came of it. What the receiver answered is not kept."""

    delivery = models.ForeignKey(Delivery, on_delete=models.CASCADE, related_name="log")
    account = models.CharField(max_length=64, blank=True, default="")
    number = models.PositiveIntegerField()
    at = models.DateTimeField(default=timezone.now)
    status = models.PositiveSmallIntegerField(null=True, blank=True)
    error = models.CharField(max_length=24, blank=True, default="")
    response_ms = models.PositiveIntegerField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        verbose_name = "delivery attempt"
        indexes = [
            models.Index(fields=["delivery", "-id"], name="attempt_delivery"),
            models.Index(fields=["account", "-id"], name="attempt_account"),
            models.Index(fields=["at"], name="attempt_at"),
        ]

    def __str__(self) -> str:
        return f"attempt {self.number}: {self.status or self.error}"
