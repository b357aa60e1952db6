"""What is known of a seller's risk: the terms (from the config file), each account's scores, the holds they led to, and
the verifications asked for. All of it is about the account's verification and its payment data; none of it judges
whether a person pays their debts.

Nothing here holds a name, an address or a bank account: evidence says "differs", never what differs.
"""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models import Q
from django.utils import timezone

from billingops import access


class ScopedQuerySet(models.QuerySet[Any]):
    def visible_to(self, user: Any) -> ScopedQuerySet:
        return access.scope(self, user)  # type: ignore[return-value]


class RiskTerms(models.Model):
    """The `risk` section of the config file; the newest row counts. Written by config.py alone, never changed."""

    content = models.JSONField(default=dict, help_text="{bar, hold_bar, weights, high_risk_countries, high_risk_mccs}")
    imported_by = models.CharField(max_length=160)
    at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["-id"]
        verbose_name = "risk terms"
        verbose_name_plural = "risk terms"

    def __str__(self) -> str:
        return f"risk terms {self.pk}"


class RiskLook(models.Model):
    """When an account was last looked at, and when it is to be looked at again: at most once a minute however many
    events name it. Written by looking.py alone."""

    account = models.CharField(max_length=64, unique=True)
    due_at = models.DateTimeField(null=True, blank=True, help_text="empty: nothing is waiting")
    looked_at = models.DateTimeField(null=True, blank=True)
    event_id = models.CharField(max_length=255, blank=True, default="", help_text="the last event that asked for it")

    class Meta:
        indexes = [models.Index(fields=["due_at"], condition=Q(due_at__isnull=False), name="risk_look_due")]

    def __str__(self) -> str:
        return f"look at {self.account}"


class RiskAssessment(models.Model):
    """One score of one account. A new row only when something changed; the newest of an account is `latest`."""

    account = models.CharField(max_length=64)
    score = models.PositiveSmallIntegerField(help_text="0 to 100")
    parts = models.JSONField(default=list, help_text="[{code, label, points, weight, evidence, figures}]")
    version = models.CharField(max_length=40, help_text="of the table of parts")
    terms = models.ForeignKey(RiskTerms, null=True, blank=True, on_delete=models.PROTECT, related_name="+")
    facts_hash = models.CharField(max_length=64)
    event_id = models.CharField(max_length=255, blank=True, default="")
    latest = models.BooleanField(default=True)
    made_at = models.DateTimeField(default=timezone.now, editable=False)

    objects = ScopedQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["account"], condition=Q(latest=True), name="one_latest_score_per_account"),
            models.CheckConstraint(condition=Q(score__gte=0, score__lte=100), name="score_of_0_to_100"),
        ]
        indexes = [
            models.Index(fields=["account", "-id"], name="risk_account"),
            models.Index(fields=["-score", "-id"], condition=Q(latest=True), name="risk_by_score"),
        ]

    def __str__(self) -> str:
        return f"risk score {self.score} of {self.account}"


class RiskHold(models.Model):
    """Payouts to an account are held until somebody who may release them does so, or its verification is done.

    Written by holds.py alone."""

    class State(models.TextChoices):
        ACTIVE = "active", "active"
        RELEASED = "released", "released"

    account = models.CharField(max_length=64)
    state = models.CharField(max_length=8, choices=State.choices, default=State.ACTIVE)
    reason = models.CharField(max_length=500)
    score = models.PositiveSmallIntegerField(default=0, help_text="when it was placed")
    placed_by = models.CharField(max_length=160, help_text="the policy (the config file's terms), or the suggestion")
    suggestion = models.ForeignKey(
        "approvals.Suggestion", null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    event_id = models.CharField(max_length=255, blank=True, default="")
    since = models.DateTimeField(default=timezone.now, editable=False)
    until = models.DateTimeField(null=True, blank=True, help_text="ends by itself then; empty: when it is released")
    released_at = models.DateTimeField(null=True, blank=True)
    released_by = models.CharField(max_length=160, blank=True, default="")
    released_reason = models.CharField(max_length=500, blank=True, default="")
    score_at_release = models.PositiveSmallIntegerField(null=True, blank=True)

    objects = ScopedQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        verbose_name = "hold"
        permissions = [("release_hold", "Can release a hold on a seller's payouts")]
        constraints = [
            models.UniqueConstraint(fields=["account"], condition=Q(state="active"), name="one_active_hold_per_account")
        ]
        indexes = [
            models.Index(fields=["account", "-id"], name="risk_hold_account"),
            models.Index(fields=["state", "-id"], name="risk_hold_state"),
            models.Index(fields=["until"], condition=Q(state="active"), name="risk_hold_until"),
        ]

    def __str__(self) -> str:
        return f"hold on {self.account} since {self.since:%Y-%m-%d}"


class Verification(models.Model):
    """An enhanced verification that somebody asked for through the gate, until one is said to be done there."""

    account = models.CharField(max_length=64)
    asked_by = models.OneToOneField("approvals.Suggestion", on_delete=models.PROTECT, related_name="+")
    asked_at = models.DateTimeField(default=timezone.now, editable=False)
    done_by = models.OneToOneField(
        "approvals.Suggestion", null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    done_at = models.DateTimeField(null=True, blank=True)

    objects = ScopedQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["account"], condition=Q(done_at__isnull=True), name="one_open_verification_per_account"
            )
        ]

    def __str__(self) -> str:
        return f"verification of {self.account}"
