"""Messages to customers, as they were sent."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils import timezone
from simple_history.models import HistoricalRecords

from approvals.models import Suggestion
from dunning.models.cases import DunningCase
from dunning.querysets import MessageQuerySet
from dunning.states import MessageState


class Message(models.Model):
    """One message to a customer, exactly as it was sent but for the personal portal link, which opens the customer's
    billing to whoever holds it and is therefore kept nowhere: `{link}` stands in its place.

    The address is looked up when it is sent and not kept either; `address_hash` (keyed) can prove a suspected one.
    """

    class Channel(models.TextChoices):
        EMAIL = "email", "e-mail"
        PHONE = "phone", "phone"
        POST = "post", "post"

    suggestion = models.OneToOneField(Suggestion, on_delete=models.PROTECT, related_name="dunning_message")
    case = models.ForeignKey(DunningCase, on_delete=models.PROTECT, related_name="messages")
    account = models.CharField(max_length=64, blank=True, default="")
    customer = models.CharField(max_length=64)
    channel = models.CharField(max_length=8, choices=Channel.choices, default=Channel.EMAIL)
    template = models.CharField(max_length=40)
    language = models.CharField(max_length=12)
    brand = models.CharField(max_length=40, blank=True, default="", help_text="the brand's slug at sending")
    tone = models.CharField(max_length=12, blank=True, default="")
    invoices = models.JSONField(default=list, blank=True, help_text="every invoice it speaks of, ids")
    subject = models.CharField(max_length=200)
    body_text = models.TextField()
    body_html = models.TextField()
    state = models.CharField(max_length=8, choices=MessageState.choices, default=MessageState.DRAFT)
    message_id = models.CharField(max_length=255, help_text="the e-mail's Message-ID header")
    address_hash = models.CharField(max_length=64, blank=True, default="")
    portal_session = models.CharField(max_length=255, blank=True, default="")
    error = models.CharField(max_length=500, blank=True, default="")
    created_at = models.DateTimeField(default=timezone.now)
    sending_at = models.DateTimeField(null=True, blank=True)
    sent_at = models.DateTimeField(null=True, blank=True)
    provider_id = models.CharField(max_length=255, blank=True, default="", help_text="the mail provider's own id")
    delivered_at = models.DateTimeField(null=True, blank=True)
    bounced_at = models.DateTimeField(null=True, blank=True)
    bounce = models.CharField(max_length=120, blank=True, default="", help_text="why, without the address")
    complained_at = models.DateTimeField(null=True, blank=True)
    answered_at = models.DateTimeField(null=True, blank=True, help_text="the customer's first answer")

    history = HistoricalRecords()
    objects = MessageQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["state", "-id"], name="message_state"),
            models.Index(fields=["customer", "-id"], name="message_customer"),
            models.Index(fields=["account", "-id"], name="message_account"),
            models.Index(fields=["case", "state"], name="message_case"),
            models.Index(fields=["message_id"], name="message_message_id"),
            models.Index(fields=["customer", "sent_at"], name="message_sent_to", condition=Q(sent_at__isnull=False)),
        ]

    def __str__(self) -> str:
        return f"{self.subject} · {self.customer}"
