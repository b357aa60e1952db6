"""What came back to a message: what a customer wrote, and what mail servers and providers reported."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils import timezone
from simple_history.models import HistoricalRecords

from dunning.contact.querysets import ReplyQuerySet
from dunning.models import DunningCase, Message


class Reply(models.Model):
    """An answer to a message, as the customer wrote it: data, never an instruction to anybody or anything.

    Capped, without HTML, links and card numbers; attachments are counted and not kept. The text goes after the time
    that `CONTACT["reply_days"]` says. Until a person has handled it, nothing is sent to the customer by itself.
    """

    message = models.ForeignKey(Message, on_delete=models.PROTECT, related_name="replies")
    case = models.ForeignKey(DunningCase, on_delete=models.PROTECT, related_name="replies")
    account = models.CharField(max_length=64, blank=True, default="")
    customer = models.CharField(max_length=64)
    key = models.CharField(max_length=64, unique=True, help_text="hash of its Message-ID")
    received_at = models.DateTimeField(default=timezone.now)
    subject = models.CharField(max_length=200, blank=True, default="")
    text = models.TextField(blank=True, default="")
    is_cut = models.BooleanField(default=False, help_text="it was longer than what is kept")
    attachments = models.PositiveSmallIntegerField(default=0)
    same_address = models.BooleanField(
        default=False, help_text="it names the address that was written to as its sender"
    )
    handled_by = models.CharField(max_length=160, blank=True, default="", help_text="kept when the user is renamed")
    handled_at = models.DateTimeField(null=True, blank=True)
    handled_note = models.TextField(blank=True, default="")
    text_deleted_at = models.DateTimeField(null=True, blank=True)
    version = models.PositiveIntegerField(default=1)

    history = HistoricalRecords(excluded_fields=["subject", "text"])  # else the words would outlive their time there
    objects = ReplyQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        verbose_name_plural = "replies"
        indexes = [
            models.Index(fields=["case", "-id"], name="reply_case"),
            models.Index(fields=["customer", "-id"], name="reply_customer"),
            models.Index(fields=["account", "-id"], name="reply_account"),
            models.Index(fields=["customer"], name="reply_waiting", condition=Q(handled_at__isnull=True)),
            models.Index(fields=["received_at"], name="reply_with_text", condition=Q(text_deleted_at__isnull=True)),
        ]
        permissions = [("handle_reply", "Can mark customers' answers as handled")]

    def __str__(self) -> str:
        return f"Answer of {self.customer}"

    @property
    def is_waiting(self) -> bool:
        return self.handled_at is None

    @property
    def state(self) -> str:
        """For lines of a timeline."""
        return "waiting" if self.is_waiting else "done"

    def get_state_display(self) -> str:
        return "waits for a person" if self.is_waiting else "handled"


class Receipt(models.Model):
    """What was reported about a message, once: by a mail server, a provider, or the customer's own auto-reply.

    `key` makes taking the same report in again change nothing. Written once, never changed; holds no address, no text.
    """

    class Kind(models.TextChoices):
        DELIVERED = "delivered", "delivered"
        DELAYED = "delayed", "delayed"
        SOFT_BOUNCE = "soft", "did not arrive this time"
        HARD_BOUNCE = "hard", "cannot arrive"
        COMPLAINT = "complaint", "reported as unwanted"
        UNSUBSCRIBED = "unsubscribed", "unsubscribed at the provider"
        AUTO_REPLY = "auto", "automatic answer"
        REPLY = "reply", "answer"

    message = models.ForeignKey(Message, on_delete=models.PROTECT, related_name="receipts")
    account = models.CharField(max_length=64, blank=True, default="")
    customer = models.CharField(max_length=64)
    kind = models.CharField(max_length=12, choices=Kind.choices)
    key = models.CharField(max_length=64, unique=True, help_text="hash of what names the report")
    source = models.CharField(max_length=40, help_text="mail, or the provider's name")
    code = models.CharField(max_length=16, blank=True, default="", help_text="the enhanced status code, RFC 3463")
    words = models.CharField(max_length=200, blank=True, default="", help_text="ours, never the server's own")
    received_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-id"]
        verbose_name = "delivery report"
        indexes = [
            models.Index(fields=["kind", "-id"], name="receipt_kind"),
            models.Index(fields=["account", "-id"], name="receipt_account"),
            models.Index(fields=["customer", "-id"], name="receipt_customer"),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} · {self.customer}"
