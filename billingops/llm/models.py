"""The record of every question put to a model. Written by `agents.py` alone; it never holds personal data."""

from __future__ import annotations

from datetime import datetime

from django.db import models
from django.db.models import Sum
from django.db.models.functions import Coalesce
from django.utils import timezone

from billingops.ids import uuid7


class AgentRunQuerySet(models.QuerySet["AgentRun"]):
    def tokens_since(self, agent: str, since: datetime) -> int:
        """Tokens in and out that `agent` has used since then; a run whose usage is unknown counts as nothing."""
        used = self.filter(agent=agent, created_at__gte=since).aggregate(
            used=Coalesce(Sum("tokens_in"), 0) + Coalesce(Sum("tokens_out"), 0)
        )
        return used["used"]

    def last_asked(self, since: datetime, count: int) -> list[tuple[str, datetime]]:
        """Outcome and time of the last `count` questions that reached for the server since then, newest first."""
        asked = self.filter(created_at__gte=since, calls__gt=0)
        return list(asked.order_by("-created_at").values_list("outcome", "created_at")[:count])


class AgentRun(models.Model):
    """One question: what was sent (after redaction), what came back, what became of it, what it cost.

    `cost_micro` is in millionths of the price table's currency (US dollars); empty when the table does not know the
    model. A question whose free text had to be proven harmless makes two calls; tokens and latency are their sum.
    """

    class Outcome(models.TextChoices):
        ANSWERED = "answered", "answered"
        REFUSED = "refused", "refused by the model"
        TRUNCATED = "truncated", "cut off"
        INVALID = "invalid", "not valid"
        TIMEOUT = "timeout", "too slow"
        ERROR = "error", "server error"
        OVER_BUDGET = "over_budget", "budget used up"
        RESTING = "resting", "not asked: server resting"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    agent = models.CharField(max_length=40)
    purpose = models.CharField(max_length=40)
    subject = models.CharField(max_length=255, help_text="the Stripe object or row of ours it is about; never sent")
    account = models.CharField(max_length=64, blank=True, default="")
    prompt = models.CharField(max_length=64)
    prompt_version = models.PositiveIntegerField()
    prompt_sha256 = models.CharField(max_length=64)
    model = models.CharField(max_length=120, help_text="as the server named it, or as it was asked for")
    input = models.JSONField(default=dict, help_text="the messages after redaction, and the names of facts left out")
    output = models.TextField(blank=True, default="", help_text="as the model wrote it, placeholders in place")
    check_output = models.TextField(blank=True, default="", help_text="the answer without the customer's free text")
    outcome = models.CharField(max_length=12, choices=Outcome.choices)
    reason = models.TextField(blank=True, default="", help_text="why the rules had to answer")
    calls = models.PositiveSmallIntegerField(default=0, help_text="requests sent, repeats included")
    tokens_in = models.PositiveIntegerField(null=True, blank=True)
    tokens_cached = models.PositiveIntegerField(null=True, blank=True)
    tokens_out = models.PositiveIntegerField(null=True, blank=True)
    latency_ms = models.PositiveIntegerField(default=0)
    cost_micro = models.BigIntegerField(null=True, blank=True)
    price_table = models.CharField(max_length=40, blank=True, default="")
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = AgentRunQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]  # uuid7: the order of creation
        indexes = [
            models.Index(fields=["agent", "created_at"], name="agentrun_agent_day"),
            models.Index(fields=["created_at"], name="agentrun_created"),
            models.Index(fields=["subject", "-id"], name="agentrun_subject"),
            models.Index(fields=["outcome", "-id"], name="agentrun_outcome"),
            models.Index(fields=["account", "-id"], name="agentrun_account"),
        ]

    def __str__(self) -> str:
        return f"{self.agent} {self.purpose} · {self.subject} · {self.get_outcome_display()}"
