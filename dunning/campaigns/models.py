"""Campaigns, their versions, and the A/B tests between versions. Written by services.py alone.

`account`: the connected account whose cases a campaign takes, "" for all accounts. A version is never edited once it
has been in use, so that a case can follow it to its end; a change is a new version.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from simple_history.models import HistoricalRecords

from billingops import access
from dunning.campaigns import content
from dunning.campaigns.arms import Arm
from dunning.campaigns.segments import Segment
from dunning.plan.sequences import Sequence

MAX_NOTE = 300


class ScopedQuerySet(models.QuerySet[Any]):
    """Campaigns for all accounts are for everybody to see: they say what happens to one's own cases."""

    def visible_to(self, user: Any, field: str = "account") -> ScopedQuerySet:
        accounts = access.accounts_of(user)
        return self if accounts is None else self.filter(**{f"{field}__in": [*accounts, ""]})


class Campaign(models.Model):
    """`name` is what cases remember it by: it never changes, and no two campaigns share one."""

    name = models.SlugField(max_length=60, unique=True)
    account = models.CharField(max_length=64, blank=True, default="", help_text="empty: all accounts")
    priority = models.IntegerField(default=0, help_text="the higher one wins where two campaigns match a case")
    active = models.BooleanField(default=True, help_text="off: takes no new cases; running ones go on")
    description = models.CharField(max_length=300, blank=True, default="")
    version = models.PositiveIntegerField(default=1, help_text="rises with every change of what stands here")
    created_by = models.CharField(max_length=160)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    history = HistoricalRecords()
    objects = ScopedQuerySet.as_manager()

    class Meta:
        ordering = ["-priority", "name"]
        permissions = [("design_campaign", "Can design campaigns, activate them and test them against each other")]
        constraints = [models.CheckConstraint(condition=~Q(name="standard"), name="standard_is_no_campaign")]

    def __str__(self) -> str:
        return self.name


class CampaignVersion(models.Model):
    """`segment`, `sequence`: see content.py. `revision` rises with each saving of a draft."""

    class State(models.TextChoices):
        DRAFT = "draft", "draft"
        TRIAL = "trial", "in an A/B test"
        ACTIVE = "active", "active"
        RETIRED = "retired", "retired"

    campaign = models.ForeignKey(Campaign, on_delete=models.PROTECT, related_name="versions")
    account = models.CharField(max_length=64, blank=True, default="", help_text="the campaign's")
    number = models.PositiveIntegerField()
    segment = models.JSONField(default=dict, blank=True)
    sequence = models.JSONField(default=dict, blank=True)
    note = models.CharField(max_length=300, blank=True, default="", help_text="what is different, and why")
    state = models.CharField(max_length=8, choices=State.choices, default=State.DRAFT)
    revision = models.PositiveIntegerField(default=1)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    created_by_name = models.CharField(max_length=160)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    activated_by_name = models.CharField(max_length=160, blank=True, default="")
    activated_at = models.DateTimeField(null=True, blank=True, help_text="when it last began to take cases")
    retired_at = models.DateTimeField(null=True, blank=True)

    history = HistoricalRecords()
    objects = ScopedQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        verbose_name = "version of a campaign"
        verbose_name_plural = "versions of campaigns"
        constraints = [
            models.UniqueConstraint(fields=["campaign", "number"], name="campaign_version_number"),
            models.UniqueConstraint(
                fields=["campaign"], condition=Q(state="active"), name="one_active_version_per_campaign"
            ),
        ]
        indexes = [models.Index(fields=["state"], condition=Q(state="active"), name="campaign_active_version")]

    def __str__(self) -> str:
        return f"{self.campaign.name} v{self.number}"

    @property
    def is_draft(self) -> bool:
        return self.state == self.State.DRAFT

    def read_segment(self) -> Segment:
        return content.read_segment(self.segment)

    def read_sequence(self) -> Sequence:
        return content.read_sequence(self.sequence, name=self.campaign.name, version=self.number)


class Experiment(models.Model):
    """An A/B test between versions of one campaign. `arms`: [{name, version, weight}], the first is what holds anyway.

    Nothing of it changes once it has begun, so that a customer is in one arm for good. `baseline_percent` (what the
    first arm is expected to recover) and `difference_points` (what is worth knowing) fix the sample beforehand.
    """

    class State(models.TextChoices):
        RUNNING = "running", "running"
        STOPPED = "stopped", "stopped"

    campaign = models.ForeignKey(Campaign, on_delete=models.PROTECT, related_name="experiments")
    account = models.CharField(max_length=64, blank=True, default="", help_text="the campaign's")
    arms = models.JSONField(default=list)
    seed = models.BigIntegerField()
    window_days = models.PositiveSmallIntegerField(default=28, help_text="how long a case is given before it counts")
    baseline_percent = models.DecimalField(max_digits=5, decimal_places=2)
    difference_points = models.DecimalField(max_digits=5, decimal_places=2)
    state = models.CharField(max_length=8, choices=State.choices, default=State.RUNNING)
    started_at = models.DateTimeField(default=timezone.now, editable=False)
    started_by_name = models.CharField(max_length=160)
    stopped_at = models.DateTimeField(null=True, blank=True)
    stopped_by_name = models.CharField(max_length=160, blank=True, default="")
    stopped_reason = models.CharField(max_length=500, blank=True, default="")

    history = HistoricalRecords()
    objects = ScopedQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        verbose_name = "A/B test"
        constraints = [
            models.UniqueConstraint(
                fields=["campaign"], condition=Q(state="running"), name="one_running_test_per_campaign"
            ),
            models.CheckConstraint(
                condition=Q(state="running", stopped_at__isnull=True) | Q(state="stopped", stopped_at__isnull=False),
                name="test_stopped_at_a_time",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.campaign.name}: {' against '.join(arm.name for arm in self.read_arms())}"

    def read_arms(self) -> tuple[Arm, ...]:
        return tuple(Arm(one["name"], one["version"], one["weight"]) for one in self.arms)
