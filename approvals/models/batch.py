"""A batch: what somebody chose to decide on at once, as it was when they chose it."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import models
from django.utils import timezone

from approvals.models.suggestion import Suggestion
from billingops import access
from billingops.ids import uuid7


class BatchQuerySet(models.QuerySet["Batch"]):
    def visible_to(self, user: Any) -> BatchQuerySet:
        """One's own; everybody's for who may read the audit log. None with a row outside of the reader's accounts."""
        rows = self if user.has_perm("approvals.view_auditentry") else self.filter(maker=user.pk)
        accounts = access.accounts_of(user)
        if accounts is None:
            return rows
        beyond = BatchItem.objects.filter(batch=models.OuterRef("pk")).exclude(suggestion__account__in=accounts)
        return rows.filter(~models.Exists(beyond))


class Batch(models.Model):
    """A frozen selection: nothing joins or leaves it after it was made. services/batches.py is its only writer.

    frozen → running → done | cancelled. `totals` is what the page showed: [{currency, amount, count}] of the rows that
    were ready, `amount` in minor units.
    """

    class Verb(models.TextChoices):
        APPROVE = "approve", "approve"
        REJECT = "reject", "reject"

    class State(models.TextChoices):
        FROZEN = "frozen", "not started"
        RUNNING = "running", "running"
        DONE = "done", "done"
        CANCELLED = "cancelled", "cancelled"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    verb = models.CharField(max_length=8, choices=Verb.choices)
    state = models.CharField(max_length=10, choices=State.choices, default=State.FROZEN)
    maker = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    maker_name = models.CharField(max_length=150, help_text="kept when the user is renamed or blanked")
    totals = models.JSONField(default=list, help_text="per currency, of the rows that were ready when it was frozen")
    ready = models.PositiveIntegerField(default=0, help_text="how many rows were ready when it was frozen")
    came_from = models.CharField(max_length=600, blank=True, default="", help_text="the queue's query string")
    comment = models.TextField(blank=True, default="")
    reason_code = models.CharField(max_length=64, blank=True, default="")
    second_factor = models.BooleanField(default=False, help_text="it was shown in the session that started the batch")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    started_at = models.DateTimeField(null=True, blank=True)
    worked_at = models.DateTimeField(null=True, blank=True, help_text="when the last chunk was done")
    finished_at = models.DateTimeField(null=True, blank=True)
    cancelled_by = models.CharField(max_length=150, blank=True, default="")

    objects = BatchQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        verbose_name_plural = "batches"
        indexes = [
            models.Index(fields=["maker", "-id"], name="batch_maker"),
            models.Index(fields=["state", "worked_at"], name="batch_state"),
        ]

    def __str__(self) -> str:
        return f"{self.get_verb_display()} {self.ready:,} · {self.maker_name}"

    @property
    def is_over(self) -> bool:
        return self.state in (Batch.State.DONE, Batch.State.CANCELLED)


class BatchItem(models.Model):
    """One row of a batch: the version, the seal and the sum that were shown, and what became of it."""

    class Outcome(models.TextChoices):
        READY = "ready", "to do"
        DONE = "done", "done"
        SKIPPED = "skipped", "skipped"
        CHANGED = "changed", "changed since it was selected"
        REFUSED = "refused", "left out"
        CANCELLED = "cancelled", "cancelled"

    batch = models.ForeignKey(Batch, on_delete=models.CASCADE, related_name="items")
    position = models.PositiveIntegerField()
    suggestion = models.ForeignKey(Suggestion, on_delete=models.PROTECT, related_name="+")
    version = models.PositiveIntegerField()
    seal = models.CharField(max_length=64, blank=True, default="")
    amount = models.BigIntegerField(null=True, blank=True)
    currency = models.CharField(max_length=3, blank=True, default="")
    outcome = models.CharField(max_length=10, choices=Outcome.choices, default=Outcome.READY)
    why = models.TextField(blank=True, default="", help_text="why it was left out or skipped")
    came_to = models.CharField(max_length=16, blank=True, default="", help_text="the suggestion's state after the step")

    class Meta:
        ordering = ["batch", "position"]
        constraints = [
            models.UniqueConstraint(fields=["batch", "suggestion"], name="one_item_per_suggestion_of_a_batch"),
        ]
        indexes = [models.Index(fields=["batch", "outcome", "position"], name="batch_item_outcome")]

    def __str__(self) -> str:
        return f"{self.position} of {self.batch_id}: {self.get_outcome_display()}"
