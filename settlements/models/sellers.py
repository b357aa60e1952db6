"""Who is paid out, on which terms. Rows come from `import_config` (config.py) alone."""

from __future__ import annotations

from django.db import models
from django.utils import timezone
from simple_history.models import HistoricalRecords


class Seller(models.Model):
    """Who is paid out: a connected account. A seller that is not active gets no payout, but a finding."""

    class Schedule(models.TextChoices):
        PER_INVOICE = "per_invoice", "per invoice"
        DAILY = "daily", "daily"
        WEEKLY = "weekly", "weekly, Monday to Sunday"
        MONTHLY = "monthly", "monthly"

    class FeesBy(models.TextChoices):
        PLATFORM = "platform", "the platform"
        SELLER = "seller", "the seller"

    class Recovery(models.TextChoices):
        """How money that a seller already has is taken back after a refund or a lost dispute."""

        REVERSAL = "reversal", "by reversing the transfer"
        OFFSET = "offset", "out of later earnings"

    account = models.CharField(max_length=64, unique=True, help_text="the connected account, acct_…")
    name = models.CharField(max_length=120)
    schedule = models.CharField(max_length=16, choices=Schedule.choices, default=Schedule.PER_INVOICE)
    minimum_payout = models.JSONField(
        default=dict, blank=True, help_text='minor units per currency, {"usd": 100}; less is carried forward'
    )
    hold_days = models.PositiveIntegerField(default=0, help_text="days from the payment to the day it may be paid out")
    reserve_percent = models.DecimalField(
        max_digits=9, decimal_places=6, default=0, help_text="of each share, kept back for `reserve_days`"
    )
    reserve_days = models.PositiveIntegerField(default=0)
    tax_withholding_percent = models.DecimalField(
        max_digits=9, decimal_places=6, default=0, help_text="of each share, withheld for the tax office"
    )
    stripe_fees = models.CharField(
        max_length=8, choices=FeesBy.choices, default=FeesBy.PLATFORM, help_text="who bears Stripe's processing fees"
    )
    recovery = models.CharField(max_length=8, choices=Recovery.choices, default=Recovery.REVERSAL)
    negative_limit = models.JSONField(
        default=dict, blank=True, help_text='minor units per currency, {"usd": 50000}; a debt above it raises an alert'
    )
    active = models.BooleanField(default=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    history = HistoricalRecords()

    class Meta:
        ordering = ["account"]

    def __str__(self) -> str:
        return f"{self.name} ({self.account})"


class SellerBankChange(models.Model):
    """A change of the bank account that a seller's money goes on to, as Stripe reported it; see bank_changes.py."""

    account = models.CharField(max_length=64)
    what = models.CharField(max_length=12, help_text="created, updated or deleted")
    external_account = models.CharField(max_length=255, blank=True, default="", help_text="ba_… or card_…")
    event_id = models.CharField(max_length=255, unique=True)
    at = models.DateTimeField(help_text="Stripe's time of the event")

    class Meta:
        ordering = ["-at"]
        indexes = [models.Index(fields=["account", "-at"], name="bank_change_account")]

    def __str__(self) -> str:
        return f"bank details of {self.account} {self.what} {self.at:%Y-%m-%d %H:%M}"
