"""What happened around a customer, as typed lines; and who a customer is, for those who may ask.

Only `support/services.py` writes here. An entry is a projection: made again from the same facts it is the same entry,
so events may come twice, late or out of order, and a rebuild changes nothing.
"""

from __future__ import annotations

import hashlib
import uuid

from django.db import models
from django.utils import timezone

from support.querysets import CustomerContactQuerySet, TimelineEntryQuerySet


def entry_id(source: str, rank: int) -> uuid.UUID:
    """The primary key of the entry that `source` stands for: `rank` (0–255), then 15 bytes of the source's hash.

    Stripe's times are whole seconds, so an invoice, its payment and its receipt often share one. The rank puts them in
    the order in which they follow from one another, the hash makes the order of equals the same on every machine.
    """
    return uuid.UUID(bytes=bytes([rank]) + hashlib.sha256(source.encode()).digest()[:15])


class TimelineEntry(models.Model):
    """One line. `what` is the code of its sentence (words.py), `state` the state of the object it is about.

    `amount`: int, minor units of `currency`, as Stripe says it (a refund is positive); both empty where there is none.
    `subject` is the invoice it belongs to, "" where there is none. `facts`: small, typed, no personal data.
    """

    class Kind(models.TextChoices):
        INVOICE = "invoice", "Invoice"
        PAYMENT = "payment", "Payment"
        PAYMENT_FAILED = "payment_failed", "Payment failed"
        REFUND = "refund", "Refund"
        DISPUTE = "dispute", "Dispute"
        CREDIT_NOTE = "credit_note", "Credit note"
        SUBSCRIPTION = "subscription", "Subscription"
        SUGGESTION = "suggestion", "Suggestion"
        DECISION = "decision", "Decision"
        EXECUTION = "execution", "Execution"
        MESSAGE = "message", "Message"
        DUNNING = "dunning", "Dunning"
        CUSTOMER = "customer", "Customer"

    id = models.UUIDField(primary_key=True, editable=False)
    source = models.CharField(max_length=300, help_text="the id is its hash: object or event, and which side of it")
    customer = models.CharField(max_length=64)
    account = models.CharField(max_length=64, blank=True, default="")
    at = models.DateTimeField()
    kind = models.CharField(max_length=16, choices=Kind.choices)
    what = models.CharField(max_length=48)
    state = models.CharField(max_length=40, blank=True, default="")
    amount = models.BigIntegerField(null=True, blank=True)
    currency = models.CharField(max_length=3, blank=True, default="")
    object_id = models.CharField(max_length=255, blank=True, default="")
    subject = models.CharField(max_length=255, blank=True, default="")
    facts = models.JSONField(default=dict)

    objects = TimelineEntryQuerySet.as_manager()

    class Meta:
        ordering = ["-at", "-id"]
        verbose_name = "timeline entry"
        verbose_name_plural = "customer timelines"
        indexes = [
            models.Index(fields=["customer", "-at", "-id"], name="timeline_customer"),
            models.Index(fields=["customer", "kind", "-at", "-id"], name="timeline_customer_kind"),
            # The head of the page adds up from this index alone.
            models.Index(fields=["customer", "kind", "state", "currency", "amount", "account"], name="timeline_sums"),
            models.Index(fields=["subject", "-at", "-id"], name="timeline_subject"),
        ]
        permissions = [("find_person", "Can see customers' names and e-mail addresses and search by them")]

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d %H:%M} {self.what} {self.object_id}"


class CustomerContact(models.Model):
    """Name and e-mail of a customer, in columns that an index answers (the mirror keeps them in JSON).

    Personal data: shown only with `support.find_person`, deleted when Stripe says that the customer is.
    """

    customer = models.CharField(max_length=64, primary_key=True)
    account = models.CharField(max_length=64, blank=True, default="")
    name = models.CharField(max_length=255, blank=True, default="")
    email = models.CharField(max_length=512, blank=True, default="")
    name_key = models.CharField(max_length=255, blank=True, default="", db_index=True)
    email_key = models.CharField(max_length=512, blank=True, default="", db_index=True)
    synced_at = models.DateTimeField(default=timezone.now)

    objects = CustomerContactQuerySet.as_manager()

    class Meta:
        ordering = ["customer"]

    def __str__(self) -> str:
        return self.customer
