"""What a customer, or their mail server, has said about being written to."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils import timezone
from simple_history.models import HistoricalRecords

from dunning.models import Message


class ContactPreference(models.Model):
    """One channel of one customer; without a row all is well.

    The state that stops most is shown: a complaint, then a customer's own word, then a bounce. `address_hash` (keyed)
    is the address that bounced, whatever the state; another address at Stripe lifts a bounce and nothing else.
    """

    class State(models.TextChoices):
        OK = "ok", "may be used"
        BOUNCED = "bounced", "does not arrive"
        UNSUBSCRIBED = "unsubscribed", "unsubscribed"
        COMPLAINED = "complained", "complained"

    account = models.CharField(max_length=64, blank=True, default="")
    customer = models.CharField(max_length=64)
    channel = models.CharField(max_length=8, choices=Message.Channel.choices, default=Message.Channel.EMAIL)
    state = models.CharField(max_length=12, choices=State.choices, default=State.OK)
    since = models.DateTimeField(default=timezone.now)
    reason = models.CharField(max_length=300, blank=True, default="", help_text="in words, without the address")
    address_hash = models.CharField(max_length=64, blank=True, default="", help_text="of the address that bounced")
    version = models.PositiveIntegerField(default=1)
    created_at = models.DateTimeField(default=timezone.now)

    history = HistoricalRecords()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["customer", "account", "channel"], name="one_preference_per_channel"),
            models.CheckConstraint(
                condition=~Q(state="bounced") | ~Q(address_hash=""), name="bounce_is_about_an_address"
            ),
        ]
        indexes = [
            models.Index(fields=["state", "-id"], name="preference_state"),
            models.Index(fields=["account", "-id"], name="preference_account"),
        ]
        permissions = [("change_contact", "Can say how a customer may be written to")]

    def __str__(self) -> str:
        return f"{self.get_channel_display()} · {self.customer}"
