"""What became of a suggestion: people's decisions, and the attempts to carry it out."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone

from approvals.models.suggestion import Suggestion


class Decision(models.Model):
    """A verdict, with what was seen: the version, and the seal over everything that an approval binds to."""

    class Verdict(models.TextChoices):
        APPROVE = "approve", "approved"
        REJECT = "reject", "rejected"
        CANCEL = "cancel", "cancelled"
        RETRY = "retry", "asked for another attempt"
        EDIT = "edit", "edited"

    suggestion = models.ForeignKey(Suggestion, on_delete=models.PROTECT, related_name="decisions")
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        help_text="empty: a policy that a person set decided by itself",
    )
    actor_name = models.CharField(max_length=150, help_text="kept when the user is renamed or blanked")
    verdict = models.CharField(max_length=8, choices=Verdict.choices)
    version = models.PositiveIntegerField(help_text="the version of the suggestion that the person saw")
    revision = models.PositiveSmallIntegerField(default=1, help_text="each edit starts a new one")
    facts_hash = models.CharField(max_length=64)
    seal = models.CharField(max_length=64, blank=True, default="", help_text="sha256 over `sealed`")
    sealed = models.JSONField(default=dict, help_text="what the person saw, field by field; see sealing.py")
    changes = models.JSONField(default=list, help_text="of an edit: [{field, before, after}]")
    reason_code = models.CharField(max_length=64, blank=True, default="")
    comment = models.TextField(blank=True, default="")
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.actor_name} {self.get_verdict_display()}"


class Execution(models.Model):
    """One attempt to carry a suggestion out, with its own idempotency key, stored before the call."""

    class State(models.TextChoices):
        QUEUED = "queued", "queued"
        EXECUTING = "executing", "executing"
        EXECUTED = "executed", "executed"
        CONFIRMED = "confirmed", "confirmed"
        FAILED = "failed", "failed"
        UNKNOWN = "unknown", "unknown result"
        DROPPED = "dropped", "not carried out"

    suggestion = models.ForeignKey(Suggestion, on_delete=models.PROTECT, related_name="executions")
    attempt = models.PositiveSmallIntegerField()
    idempotency_key = models.CharField(max_length=120, unique=True)
    state = models.CharField(max_length=12, choices=State.choices, default=State.QUEUED)
    not_before = models.DateTimeField(default=timezone.now, help_text="carried out at this time or later")
    object_id = models.CharField(max_length=255, blank=True, default="")
    request_id = models.CharField(max_length=255, blank=True, default="")
    result = models.JSONField(default=dict)
    error_code = models.CharField(max_length=120, blank=True, default="")
    error = models.TextField(blank=True, default="")
    held = models.TextField(blank=True, default="", help_text="why policy makes it wait, in words")
    counted_at = models.DateTimeField(null=True, blank=True, help_text="counted against the caps; empty: not")
    tries = models.PositiveSmallIntegerField(default=0, help_text="look-ups and reads of the facts that did not answer")
    confirmed_event = models.CharField(max_length=255, blank=True, default="")
    queued_at = models.DateTimeField(default=timezone.now)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    confirmed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["suggestion", "attempt"], name="one_execution_per_attempt"),
            models.UniqueConstraint(
                fields=["suggestion"],
                condition=Q(state__in=["queued", "executing", "unknown", "executed", "confirmed"]),
                name="one_live_execution_per_suggestion",
            ),
        ]
        indexes = [models.Index(fields=["state", "not_before"], name="execution_due")]

    def __str__(self) -> str:
        return f"attempt {self.attempt}: {self.get_state_display()}"

    @staticmethod
    def new_key(suggestion_id: uuid.UUID, attempt: int) -> str:
        """A random tail makes the key of one database's attempt differ from that of a restored copy of it."""
        return f"billingops-{suggestion_id}-{attempt}-{uuid.uuid4().hex[:12]}"
