"""Policies: who must look at what, up to where, when and whereto; and what was carried out under them so far."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.db.models import Q
from simple_history.models import HistoricalRecords


def default_bar() -> dict[str, Any]:
    """The evidence that `auto` asks for: the Wilson lower bound of agreement, the verdicts and the days behind it."""
    return {"lower_bound": "0.99", "verdicts": 400, "days": 90}


_SHARE = (MinValueValidator(Decimal(0)), MaxValueValidator(Decimal(50)))


class Policy(models.Model):
    """What the gate asks for, per kind × account; the narrowest wins (approvals/policies). Set by `import_config` and
    in the admin, through policies/changing.py alone. Amounts: whole minor units per currency, {"usd": 1000000}.

    A policy of all kinds (`*`) speaks to each kind by itself: its caps count each kind apart.
    """

    class Mode(models.TextChoices):
        OFF = "off", "off"
        SHADOW = "shadow", "shadow"
        REVIEW = "review", "review"
        AUTO = "auto", "auto"

    kind = models.CharField(max_length=40, help_text='a kind, or "*"')
    account = models.CharField(max_length=64, blank=True, default="", help_text='"" applies to all accounts')
    mode = models.CharField(max_length=8, choices=Mode.choices, default=Mode.REVIEW)
    review_over = models.JSONField(default=dict, blank=True, help_text="over it a person reviews, even under auto")
    two_approvers_over = models.JSONField(
        default=dict, blank=True, help_text='minor units per currency: {"usd": 1000000}'
    )
    auto_under = models.JSONField(default=dict, blank=True, help_text="auto holds below it, in these currencies only")
    caps = models.JSONField(
        default=dict,
        blank=True,
        help_text='{"action": {"sum": {…}}, "customer_day" | "account_day" | "day": {"count": 3, "sum": {…}}}',
    )
    destinations = models.JSONField(default=list, blank=True, help_text="where money may go (acct_…); empty: anywhere")
    cool_down_hours = models.PositiveIntegerField(
        default=0, help_text="no money goes there so soon after the destination's bank details changed"
    )
    expires_hours = models.PositiveIntegerField(null=True, blank=True, help_text="empty: SUGGESTION_EXPIRES_DAYS")
    timezone = models.CharField(max_length=64, blank=True, default="", help_text='of days and hours; "": TIME_ZONE')
    hours = models.JSONField(
        default=dict, blank=True, help_text='{"days": ["mon", …], "from": "09:00", "to": "17:00"}; empty: always'
    )
    undo_seconds = models.PositiveIntegerField(default=0, help_text="from the approval to when it is carried out")
    # What automation is measured by; see approvals/automation.py.
    automation_bar = models.JSONField(default=default_bar)
    bands = models.JSONField(default=dict, blank=True, help_text='upper bounds, ascending: {"usd": [5000, 50000]}')
    blind_percent = models.DecimalField(max_digits=4, decimal_places=2, default=Decimal(0), validators=_SHARE)
    seed_percent = models.DecimalField(max_digits=4, decimal_places=2, default=Decimal(0), validators=_SHARE)
    version = models.PositiveIntegerField(default=1)
    updated_at = models.DateTimeField(auto_now=True)

    history = HistoricalRecords()

    class Meta:
        ordering = ["kind", "account"]
        verbose_name_plural = "policies"
        constraints = [models.UniqueConstraint(fields=["kind", "account"], name="one_policy_per_kind_and_account")]

    def __str__(self) -> str:
        return f"{self.kind} · {self.account or 'all accounts'} · {self.mode} v{self.version}"

    @property
    def name(self) -> str:
        """`policy seller_payout · all accounts`"""
        return f"policy {self.kind} · {self.account or 'all accounts'}"


class PolicyUsage(models.Model):
    """What was carried out in one quarter of an hour, per kind and key. A day in any time zone is a sum of quarters.

    Written by policies/usage.py inside the transaction that begins an execution, given back when nothing happened.
    """

    class Scope(models.TextChoices):
        CUSTOMER = "customer", "customer"
        ACCOUNT = "account", "account"
        KIND = "kind", "kind"

    kind = models.CharField(max_length=40)
    scope = models.CharField(max_length=8, choices=Scope.choices)
    key = models.CharField(max_length=64, blank=True, default="", help_text="the customer, the account, or nothing")
    quarter = models.DateTimeField(help_text="when the quarter of an hour began, UTC")
    currency = models.CharField(max_length=3, blank=True, default="", help_text='"": without an amount')
    count = models.PositiveIntegerField(default=0)
    amount = models.BigIntegerField(default=0, help_text="minor units of the currency")

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["kind", "scope", "key", "quarter", "currency"], name="one_usage_row_per_quarter"
            ),
            models.CheckConstraint(condition=Q(count__gte=0, amount__gte=0), name="usage_is_not_negative"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.scope} {self.key} {self.quarter:%Y-%m-%d %H:%M}: {self.count}"
