"""Complaints of customers about being written to, or about what they are asked to pay."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils import timezone
from simple_history.models import HistoricalRecords

from dunning.models import DunningCase, Message


class Complaint(models.Model):
    """While one is open the customer is not dunned. A person opens it, or a mail provider's report; a person closes it.

    `text` is what the person wrote down, never what arrived by mail.
    """

    class State(models.TextChoices):
        OPEN = "open", "open"
        CLOSED = "closed", "closed"

    class Source(models.TextChoices):
        PERSON = "person", "a person"
        REPORT = "report", "a mail provider's report"

    account = models.CharField(max_length=64, blank=True, default="")
    customer = models.CharField(max_length=64)
    message = models.ForeignKey(Message, null=True, blank=True, on_delete=models.PROTECT, related_name="complaints")
    case = models.ForeignKey(DunningCase, null=True, blank=True, on_delete=models.PROTECT, related_name="complaints")
    source = models.CharField(max_length=8, choices=Source.choices, default=Source.PERSON)
    state = models.CharField(max_length=8, choices=State.choices, default=State.OPEN)
    text = models.TextField()
    opened_by = models.CharField(max_length=160, help_text="kept when the user is renamed")
    opened_at = models.DateTimeField(default=timezone.now)
    closed_by = models.CharField(max_length=160, blank=True, default="")
    closed_at = models.DateTimeField(null=True, blank=True)
    result = models.TextField(blank=True, default="", help_text="what came of it")
    version = models.PositiveIntegerField(default=1)

    history = HistoricalRecords()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["customer", "account"], condition=Q(state="open"), name="one_open_complaint_per_customer"
            ),
            models.CheckConstraint(
                condition=Q(state="open", closed_at__isnull=True) | Q(state="closed", closed_at__isnull=False),
                name="complaint_closed_at_a_time",
            ),
        ]
        indexes = [
            models.Index(fields=["state", "-id"], name="complaint_state"),
            models.Index(fields=["customer", "state"], name="complaint_customer"),
            models.Index(fields=["account", "-id"], name="complaint_account"),
        ]
        permissions = [("handle_complaint", "Can open and close complaints")]

    def __str__(self) -> str:
        return f"Complaint · {self.customer}"
