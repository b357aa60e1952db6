"""The record of every question put to a model, written by `agents.py` alone, and what each agent may use in a day.

Neither ever holds personal data.
"""

from __future__ import annotations

from datetime import datetime

from django.db import models
from django.db.models import Sum
from django.db.models.functions import Coalesce
from django.utils import timezone
from simple_history.models import HistoricalRecords

from billingops.ids import uuid7


class AgentRunQuerySet(models.QuerySet["AgentRun"]):
    def used_since(self, since: datetime) -> dict[str, tuple[int, int]]:
        """Agent → (tokens counted against its budget, millionths of the price table's currency) since then."""
        used = (
            self.filter(created_at__gte=since)
            .order_by()
            .values("agent")
            .annotate(tokens=Coalesce(Sum("counted_tokens"), 0), cost=Coalesce(Sum("cost_micro"), 0))
        )
        return {row["agent"]: (row["tokens"], row["cost"]) for row in used}

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

    class Verdict(models.TextChoices):
        """What the checks said of the answer; empty when there was none to check."""

        PASSED = "passed", "passed every check"
        NO_JSON = "no_json", "no JSON"
        SCHEMA = "schema", "not as the schema says"
        PLACEHOLDER = "placeholder", "a placeholder that is not its own"
        ACTION = "action", "an action that is not permitted"
        OBJECTION = "objection", "refused by the agent's own check"
        MOVED = "moved", "moved with the customer's text"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    agent = models.CharField(max_length=40)
    agent_version = models.CharField(max_length=24, blank=True, default="", help_text="version and fingerprint")
    rules_version = models.CharField(max_length=60, blank=True, default="", help_text="the rules that answer instead")
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
    verdict = models.CharField(max_length=12, choices=Verdict.choices, blank=True, default="")
    decision = models.CharField(max_length=64, blank=True, default="", help_text="what the model chose, if it was used")
    baseline = models.CharField(max_length=64, blank=True, default="", help_text="what the rules alone would choose")
    reason = models.TextField(blank=True, default="", help_text="why the rules had to answer")
    calls = models.PositiveSmallIntegerField(default=0, help_text="requests sent, repeats included")
    tokens_in = models.PositiveIntegerField(null=True, blank=True)
    tokens_cached = models.PositiveIntegerField(null=True, blank=True)
    tokens_out = models.PositiveIntegerField(null=True, blank=True)
    counted_tokens = models.PositiveIntegerField(
        default=0, help_text="against the budget: as the server named them, or estimated where it did not"
    )
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


class AgentSetting(models.Model):
    """What an agent may use in one UTC day, and whether it asks at all. Set by the config file's `agents` section.

    An empty limit is the default of settings.py. `daily_cost` is in minor units of the price table's currency.
    """

    agent = models.CharField(max_length=40, unique=True)
    enabled = models.BooleanField(default=True, help_text="off: the rules alone answer")
    daily_tokens = models.BigIntegerField(null=True, blank=True)
    daily_cost = models.BigIntegerField(null=True, blank=True)
    customer_text = models.BooleanField(default=False, help_text="text typed by customers may be part of its questions")

    history = HistoricalRecords()

    class Meta:
        ordering = ["agent"]

    def __str__(self) -> str:
        return f"limits of {self.agent}"
