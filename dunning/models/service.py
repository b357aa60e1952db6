"""What we recommend the platform to do about the service of a subscription."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils import timezone
from simple_history.models import HistoricalRecords


class ServiceState(models.Model):
    """The state of service of one subscription whose payments failed; without a row it is active and always was.

    Changed by service_state.py alone. `since`: when the state began; `until`: when a grace period, or a pause with an
    end, is over. `sequence` counts what the platform was told.
    """

    class State(models.TextChoices):
        ACTIVE = "active", "active"
        GRACE = "grace", "grace period"
        SUSPENDED = "suspended", "suspended"
        RESTORED = "restored", "restored"  # active again after it was suspended

    class Reason(models.TextChoices):
        NONE = "", "–"
        GRANTED = "grace_granted", "a grace period was granted"
        GRACE_ENDED = "grace_ended", "the grace period has ended and something is still owed"
        PAUSED = "collection_paused", "collection is paused"
        HALTED = "subscription_paused", "the subscription is paused"
        UNPAID = "subscription_unpaid", "the subscription is unpaid"
        CANCELED = "subscription_canceled", "the subscription has ended"
        GIVEN_UP = "uncollectible", "what is owed was given up"
        SETTLED = "settled", "nothing is owed any more"
        RESUMED = "resumed", "what stood in the way is gone"

    account = models.CharField(max_length=64, blank=True, default="")
    customer = models.CharField(max_length=64, blank=True, default="")
    subscription = models.CharField(max_length=64)
    state = models.CharField(max_length=10, choices=State.choices, default=State.ACTIVE)
    reason = models.CharField(max_length=24, choices=Reason.choices, blank=True, default="")
    since = models.DateTimeField(default=timezone.now)
    until = models.DateTimeField(null=True, blank=True)
    sequence = models.PositiveIntegerField(default=0)
    updated_at = models.DateTimeField(auto_now=True)

    history = HistoricalRecords()

    class Meta:
        ordering = ["-id"]
        verbose_name = "state of service"
        verbose_name_plural = "states of service"
        constraints = [
            models.UniqueConstraint(fields=["subscription", "account"], name="one_service_state_per_subscription")
        ]
        indexes = [
            models.Index(fields=["customer", "-id"], name="service_customer"),
            models.Index(fields=["account", "-id"], name="service_account"),
            models.Index(fields=["state", "-id"], name="service_state"),
            models.Index(fields=["until"], name="service_grace", condition=Q(state="grace")),
        ]

    def __str__(self) -> str:
        return f"{self.subscription} · {self.get_state_display()}"
