"""The evidence that automation rests on: people's verdicts beside the suggestions', counted; what was granted on them;
the seeded checks of attention.

Comparison      one suggestion's verdict beside the person's; the source of both tallies
BandTally       its sums per kind × account × currency × band × author × blind × month
ReviewerTally   its sums per reviewer × kind × account × currency × month
AutomationGrant a lead's yes to one band, with the figures it rests on
SeededCheck     a suggestion made wrong on purpose; nothing that a reviewer sees names it before the verdict
BlindVerdict    what a reviewer said before the suggestion's verdict was shown

approvals/scoreboard writes the first three, approvals/automation the grants, seeds.py and blind.py the rest.
"""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from simple_history.models import HistoricalRecords

from approvals.models.suggestion import Suggestion

# The edges of the histogram of the time to decide, in seconds; the last bucket is open.
WAITS = (60, 180, 600, 1800, 3600, 7200, 14400, 28800, 43200, 86400, 172800, 345600, 604800)
WAIT_COLUMNS = tuple(f"wait_{index}" for index in range(len(WAITS) + 1))
COUNT_COLUMNS = ("verdicts", "agreed", "money", "overridden_money", "compared", "compared_agreed", "baseline_agreed")


class Comparison(models.Model):
    """What a person did with a suggestion, beside what was suggested. None where nobody decided, or it went stale.

    Carrying it out as it stands agrees; a rejection, an edit, or taking the approval back before it was tried
    overrides.
    The band is (over, up_to], in minor units of `currency`; `up_to` 0: no upper bound; both 0 without an amount.
    """

    class Verdict(models.TextChoices):
        APPROVE = "approve", "approved"
        REJECT = "reject", "rejected"
        EDIT = "edit", "edited"
        CANCEL = "cancel", "taken back"

    suggestion = models.OneToOneField(Suggestion, on_delete=models.PROTECT, related_name="comparison")
    kind = models.CharField(max_length=40)
    account = models.CharField(max_length=64, blank=True, default="")
    currency = models.CharField(max_length=3, blank=True, default="")
    over = models.BigIntegerField(default=0)
    up_to = models.BigIntegerField(default=0)
    author = models.CharField(max_length=120, help_text="who suggested it: rules, or model and prompt, with versions")
    amount = models.BigIntegerField(null=True, blank=True)
    flagged = models.BooleanField(default=False)
    blind = models.BooleanField(default=False)
    verdict = models.CharField(max_length=8, choices=Verdict.choices)
    agreed = models.BooleanField()
    baseline_agreed = models.BooleanField(
        null=True, blank=True, help_text="would the person have agreed with the rules alone; empty: no model was asked"
    )
    reviewer = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    seconds = models.PositiveBigIntegerField(help_text="from the suggestion to the verdict")
    at = models.DateTimeField()

    class Meta:
        ordering = ["-at"]
        indexes = [
            models.Index(fields=["kind", "account", "currency", "over", "author", "-at"], name="comparison_band"),
            models.Index(fields=["at"], name="comparison_at"),
        ]

    def __str__(self) -> str:
        return f"{self.get_verdict_display()} · {self.author}"


class Tally(models.Model):
    """Sums of comparisons. Money in minor units of `currency`; `compared`: those where a model was asked and used."""

    kind = models.CharField(max_length=40)
    account = models.CharField(max_length=64, blank=True, default="")
    currency = models.CharField(max_length=3, blank=True, default="")
    month = models.DateField(help_text="the first day of the month of the verdict, UTC")
    verdicts = models.BigIntegerField(default=0)
    agreed = models.BigIntegerField(default=0)
    money = models.BigIntegerField(default=0)
    overridden_money = models.BigIntegerField(default=0)
    compared = models.BigIntegerField(default=0)
    compared_agreed = models.BigIntegerField(default=0)
    baseline_agreed = models.BigIntegerField(default=0)

    class Meta:
        abstract = True


for _column in WAIT_COLUMNS:
    models.BigIntegerField(default=0).contribute_to_class(Tally, _column)


class BandTally(Tally):
    KEY = ("kind", "account", "currency", "over", "up_to", "author", "blind", "month")

    over = models.BigIntegerField(default=0)
    up_to = models.BigIntegerField(default=0)
    author = models.CharField(max_length=120)
    blind = models.BooleanField(default=False)

    class Meta:
        verbose_name = "row of the scoreboard"
        verbose_name_plural = "scoreboard"
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "account", "currency", "over", "up_to", "author", "blind", "month"],
                name="one_band_tally",
            )
        ]

    def __str__(self) -> str:
        return f"{self.kind} · {self.account or 'platform'} · {self.author} · {self.month}"


class ReviewerTally(Tally):
    KEY = ("kind", "account", "currency", "reviewer_id", "month")

    reviewer = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "account", "currency", "reviewer", "month"], name="one_reviewer_tally"
            )
        ]

    def __str__(self) -> str:
        return f"{self.kind} · {self.account or 'platform'} · reviewer {self.reviewer_id} · {self.month}"


class AutomationGrant(models.Model):
    """A lead's yes to one band of one author version, with the figures behind it. Ends by itself, or by a person."""

    kind = models.CharField(max_length=40)
    account = models.CharField(max_length=64, blank=True, default="")
    currency = models.CharField(max_length=3, blank=True, default="")
    over = models.BigIntegerField(default=0, help_text="minor units; amounts above it")
    up_to = models.BigIntegerField(default=0, help_text="minor units; amounts up to it; 0: no upper bound of its own")
    author = models.CharField(max_length=120, help_text="the version of rules, or model and prompt, that earned it")
    policy_id_at = models.BigIntegerField(null=True, blank=True, help_text="the policy it was given under")
    policy_version = models.PositiveIntegerField(default=0)
    evidence = models.JSONField(default=dict, help_text="the figures against the bar, as they stood")
    reason = models.TextField(blank=True, default="")
    granted_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    granted_by_name = models.CharField(max_length=150)
    granted_at = models.DateTimeField(default=timezone.now)
    revoked_at = models.DateTimeField(null=True, blank=True)
    revoked_by_name = models.CharField(max_length=150, blank=True, default="")
    revoked_why = models.TextField(blank=True, default="")

    history = HistoricalRecords()

    class Meta:
        ordering = ["-id"]
        verbose_name = "automated band"
        verbose_name_plural = "automation"
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "account", "currency", "over"],
                condition=Q(revoked_at__isnull=True),
                name="one_live_grant_per_band",
            )
        ]
        indexes = [models.Index(fields=["kind", "account", "revoked_at"], name="grant_of_kind")]
        permissions = [("grant_automation", "Can switch automation on and off for a band")]

    def __str__(self) -> str:
        return f"{self.kind} · {self.account or 'platform'} · {self.currency} over {self.over} · {self.author}"

    @property
    def is_live(self) -> bool:
        return self.revoked_at is None


class SeededCheck(models.Model):
    """A suggestion made wrong on purpose, from a copy of a real one. Shown to nobody before its verdict."""

    suggestion = models.OneToOneField(Suggestion, on_delete=models.PROTECT, related_name="seeded_check")
    source = models.ForeignKey(Suggestion, on_delete=models.PROTECT, related_name="+")
    flaw = models.CharField(max_length=32, help_text="wrong_amount, wrong_seller, wrong_customer, duplicated…")
    text = models.TextField(help_text="what is wrong with it, for the reviewer, after the verdict")
    made_at = models.DateTimeField(default=timezone.now)
    caught = models.BooleanField(null=True, blank=True, help_text="empty: nobody has decided")
    reviewer = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    decided_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"{self.flaw}: {'waiting' if self.caught is None else 'caught' if self.caught else 'missed'}"


class BlindVerdict(models.Model):
    """What a reviewer said they would do, before they were shown what was suggested."""

    suggestion = models.OneToOneField(Suggestion, on_delete=models.PROTECT, related_name="blind_verdict")
    actor = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    choice = models.CharField(max_length=40, help_text="carry_out, do_not, or the kind they would have chosen")
    reason_code = models.CharField(max_length=64, blank=True, default="")
    agreed = models.BooleanField()
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return self.choice
