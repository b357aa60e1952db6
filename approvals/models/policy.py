"""Policies: who must look at what, per kind × account."""

from __future__ import annotations

from django.db import models
from simple_history.models import HistoricalRecords


class Policy(models.Model):
    """Who must look at what, per kind × account; the narrowest wins (policies.py). Comes from `import_config`."""

    class Mode(models.TextChoices):
        OFF = "off", "off"
        SHADOW = "shadow", "shadow"
        REVIEW = "review", "review"
        AUTO = "auto", "auto"

    kind = models.CharField(max_length=40, help_text='a kind, or "*"')
    account = models.CharField(max_length=64, blank=True, default="", help_text='"" applies to all accounts')
    mode = models.CharField(max_length=8, choices=Mode.choices, default=Mode.REVIEW)
    two_approvers_over = models.JSONField(
        default=dict, blank=True, help_text='minor units per currency: {"usd": 1000000}'
    )
    auto_under = models.JSONField(default=dict, blank=True, help_text="minor units per currency")
    version = models.PositiveIntegerField(default=1)
    updated_at = models.DateTimeField(auto_now=True)

    history = HistoricalRecords()

    class Meta:
        ordering = ["kind", "account"]
        verbose_name_plural = "policies"
        constraints = [models.UniqueConstraint(fields=["kind", "account"], name="one_policy_per_kind_and_account")]

    def __str__(self) -> str:
        return f"{self.kind} · {self.account or 'all accounts'} · {self.mode} v{self.version}"
