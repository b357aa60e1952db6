"""Runs of the back test, and the cases of each that are worth a look."""

from __future__ import annotations

from datetime import UTC, time

from django.db import models
from django.utils import timezone

from approvals.models.records import Decision
from approvals.models.suggestion import Suggestion
from billingops.ids import uuid7
from billingops.money import format_money


class BacktestRun(models.Model):
    """One replay of a stretch of the past; `figures` as backtest.Figures.as_json() gives them.

    `account`: the connected account it was limited to, "" for all of them.
    """

    class State(models.TextChoices):
        WAITING = "waiting", "waiting"
        RUNNING = "running", "running"
        DONE = "done", "done"
        FAILED = "failed", "failed"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    kind = models.CharField(max_length=40)
    since = models.DateTimeField()
    until = models.DateTimeField()
    account = models.CharField(max_length=64, blank=True, default="")
    rules = models.TextField(default="then", help_text="then, now, or the text of a config file")
    model = models.BooleanField(default=False, help_text="whether the model was asked")
    fill_gaps = models.BooleanField(default=False)
    state = models.CharField(max_length=8, choices=State.choices, default=State.WAITING)
    done = models.PositiveIntegerField(default=0, help_text="cases looked at so far")
    figures = models.JSONField(default=dict)
    error = models.CharField(max_length=500, blank=True, default="")
    started_by = models.CharField(max_length=160)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]
        verbose_name = "back test"
        permissions = [("run_backtest", "Can run back tests")]

    def __str__(self) -> str:
        return f"{self.kind} {self.period}"

    @property
    def period(self) -> str:
        """By its days where it begins and ends at midnight, else to the minute; UTC."""
        ends = [self.since.astimezone(UTC), self.until.astimezone(UTC)]
        whole = all(end.time() == time() for end in ends)
        return " to ".join(f"{end:%Y-%m-%d}" if whole else f"{end:%Y-%m-%d %H:%M}" for end in ends)

    @property
    def rules_label(self) -> str:
        return {"then": "as they stood then", "now": "as they stand now"}.get(self.rules, "of a config file")


class BacktestCase(models.Model):
    """A case in which the replay and the past differ, or that could not be replayed. Amounts in minor units."""

    class Outcome(models.TextChoices):
        SAME = "same", "the same"
        OTHER_AMOUNT = "other_amount", "another amount"
        OTHER_ACTION = "other_action", "another action"
        ONLY_REPLAY = "only_replay", "only the replay suggests something"
        ONLY_THEN = "only_then", "only then something was suggested"
        NOT_REPLAYED = "not_replayed", "could not be replayed"

    run = models.ForeignKey(BacktestRun, on_delete=models.CASCADE, related_name="cases")
    outcome = models.CharField(max_length=16, choices=Outcome.choices)
    at = models.DateTimeField()
    subject = models.CharField(max_length=255)
    account = models.CharField(max_length=64, blank=True, default="")
    customer = models.CharField(max_length=64, blank=True, default="")
    suggestion = models.ForeignKey(Suggestion, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    people_action = models.CharField(max_length=40, blank=True, default="")
    people_amount = models.BigIntegerField(null=True, blank=True)
    verdict = models.CharField(max_length=8, blank=True, default="")
    replay_action = models.CharField(max_length=40, blank=True, default="")
    replay_amount = models.BigIntegerField(null=True, blank=True)
    currency = models.CharField(max_length=3, blank=True, default="")
    reason = models.CharField(max_length=500, blank=True, default="")
    author = models.CharField(max_length=120, blank=True, default="")
    problem = models.CharField(max_length=300, blank=True, default="")
    of_today = models.PositiveSmallIntegerField(default=0, help_text="objects taken from today's mirror")

    class Meta:
        ordering = ["id"]
        verbose_name = "case of a back test"
        verbose_name_plural = "cases of back tests"
        indexes = [models.Index(fields=["run", "outcome", "id"], name="backtest_cases")]

    def __str__(self) -> str:
        return f"{self.subject}: {self.get_outcome_display()}"

    @property
    def verdict_label(self) -> str:
        """What people said of it, in words; "" for nothing."""
        return str(dict(Decision.Verdict.choices).get(self.verdict, self.verdict))

    @property
    def people_money(self) -> str:
        return format_money(self.people_amount, self.currency) if self.people_amount is not None else ""

    @property
    def replay_money(self) -> str:
        return format_money(self.replay_amount, self.currency) if self.replay_amount is not None else ""
