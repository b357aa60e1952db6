"""What reconciliation keeps: its runs, how far each book was looked at, and the differences. A pair that agrees by id
has no row here; see docs/decisions/0025.

Amounts: minor units of the item's currency. `account` is whose Stripe balance it is about, "" the platform's.
"""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.utils import timezone
from simple_history.models import HistoricalRecords

from billingops.money import format_money
from settlements.reconciliation.querysets import ItemQuerySet
from settlements.reconciliation.states import OPEN, Cause, How, State


class ReconciliationItem(models.Model):
    """What belongs together and does not simply agree by id: one or several balance transactions of Stripe's, one or
    several journal entries, the difference, and its probable cause. Written by the engine and services alone.

    difference = ledger − stripe (net). `expected` ones come and go without history.
    """

    State: ClassVar = State
    Cause: ClassVar = Cause

    state = models.CharField(max_length=20, choices=State.choices, default=State.MISSING_IN_LEDGER)
    how = models.CharField(max_length=12, choices=How.choices, blank=True, default="")
    cause = models.CharField(max_length=24, choices=Cause.choices, blank=True, default="")
    account = models.CharField(max_length=64, blank=True, default="")
    currency = models.CharField(max_length=3)
    family = models.CharField(max_length=20, blank=True, default="", help_text="charge, refund, payout…")
    reference = models.CharField(max_length=255, blank=True, default="", help_text="Stripe's object behind it")
    stripe = models.BigIntegerField(default=0, help_text="the sum of the transactions' net")
    ledger = models.BigIntegerField(default=0, help_text="the sum of the entries' cash")
    stripe_fee = models.BigIntegerField(default=0)
    ledger_fee = models.BigIntegerField(default=0)
    difference = models.BigIntegerField(default=0, help_text="ledger − stripe")
    transactions = models.PositiveIntegerField(default=0)
    entries = models.PositiveIntegerField(default=0)
    occurred_at = models.DateTimeField(default=timezone.now, help_text="of the earliest member")
    due_at = models.DateTimeField(null=True, blank=True, help_text="of an expected one: when its grace time is over")
    text = models.TextField(blank=True, default="", help_text="the probable cause in words")
    text_by = models.CharField(max_length=120, blank=True, default="")
    evidence = models.JSONField(default=dict, blank=True, help_text="ids, amounts and dates; no personal data")
    reason = models.CharField(max_length=500, blank=True, default="", help_text="a person's, of a match by hand")
    suggestion = models.UUIDField(null=True, blank=True, help_text="the correction at the gate")
    found_at = models.DateTimeField(default=timezone.now, editable=False)
    closed_at = models.DateTimeField(null=True, blank=True)
    closed_by = models.CharField(max_length=150, blank=True, default="")

    history = HistoricalRecords()
    objects = ItemQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        permissions = [
            ("match_by_hand", "Can match and unmatch by hand"),
            ("suggest_correction", "Can suggest corrections"),
            ("write_off", "Can suggest writing off differences up to the limit"),
            ("write_off_any", "Can suggest writing off differences of any size"),
            ("run_reconciliation", "Can start a run"),
        ]
        indexes = [
            models.Index(fields=["state", "-id"], name="recon_item_state"),
            models.Index(fields=["account", "-id"], name="recon_item_account"),
            models.Index(fields=["account", "currency", "occurred_at"], name="recon_item_month"),
            models.Index(fields=["reference"], condition=~Q(reference=""), name="recon_item_reference"),
            models.Index(
                fields=["account", "currency", "state", "stripe", "ledger"],
                condition=Q(state__in=[str(state) for state in OPEN]),
                name="recon_item_open",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_state_display()} · {self.reference or self.pk}"

    @property
    def money(self) -> str:
        return format_money(self.difference, self.currency)

    @property
    def ledger_currency(self) -> str:
        """What the ledger's side is in: another currency than Stripe's where the two are mixed up."""
        named = {str(one.get("currency") or self.currency) for one in (self.evidence or {}).get("entries") or [{}]}
        return self.currency if self.currency in named else min(named)

    @property
    def is_open(self) -> bool:
        return self.state in OPEN


class ReconciliationLink(models.Model):
    """One member of an item, with the figures that were compared: when they change, it is looked at again. A
    transaction or an entry belongs to one item at most."""

    item = models.ForeignKey(ReconciliationItem, on_delete=models.CASCADE, related_name="links")
    transaction = models.OneToOneField(
        "mirror.MirroredBalanceTransaction", null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    entry = models.OneToOneField(
        "ledger.JournalEntry", null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    net = models.BigIntegerField()
    fee = models.BigIntegerField(default=0)
    currency = models.CharField(max_length=3)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.CheckConstraint(
                condition=Q(transaction=None, entry__isnull=False) | Q(transaction__isnull=False, entry=None),
                name="recon_link_has_one_side",
            )
        ]

    def __str__(self) -> str:
        return f"{self.transaction_id or self.entry_id} in {self.item_id}"


class Watermark(models.Model):
    """How far one book was looked at, or ("*") all of them: whatever was synced or posted later is new to the next run.
    A book that was looked at by itself goes by the later of the two."""

    account = models.CharField(max_length=64, blank=True, default="", unique=True)
    through = models.DateTimeField()
    full_at = models.DateTimeField(null=True, blank=True, help_text="when all of it was last looked at")
    seen_at = models.DateTimeField(null=True, blank=True, help_text="when it ended: no look met what came later")

    class Meta:
        ordering = ["account"]

    def __str__(self) -> str:
        return f"{self.account or 'platform'} to {self.through:%Y-%m-%d %H:%M}"


class Run(models.Model):
    """One look: what was looked at, what was found."""

    class Mode(models.TextChoices):
        FULL = "full", "everything"
        DELTA = "delta", "what is new"

    account = models.CharField(max_length=64, blank=True, default="")
    every_book = models.BooleanField(default=False, help_text="the platform's and all connected accounts'")
    mode = models.CharField(max_length=8, choices=Mode.choices, default=Mode.DELTA)
    trigger = models.CharField(max_length=60, help_text="schedule, command, a person, or the event's type")
    event_id = models.CharField(max_length=255, blank=True, default="")
    actor = models.CharField(max_length=150, blank=True, default="")
    started_at = models.DateTimeField(default=timezone.now)
    duration_ms = models.PositiveIntegerField(default=0)
    transactions = models.BigIntegerField(default=0, help_text="looked at")
    entries = models.BigIntegerField(default=0, help_text="looked at")
    agreed = models.BigIntegerField(default=0, help_text="transactions that agree with an entry by id")
    opened = models.PositiveIntegerField(default=0)
    closed = models.PositiveIntegerField(default=0)
    counts = models.JSONField(default=dict, blank=True, help_text="items after it, by state")
    differences = models.JSONField(default=dict, blank=True, help_text="sum of the open differences per currency")

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["account", "-id"], name="recon_run_account")]

    def __str__(self) -> str:
        return f"{self.get_mode_display()}, {self.started_at:%Y-%m-%d %H:%M}"


class PayoutCheck(models.Model):
    """Whether an automatic payout is the sum of the transactions that Stripe says it holds."""

    payout = models.CharField(max_length=255, help_text="po_…")
    account = models.CharField(max_length=64, blank=True, default="")
    currency = models.CharField(max_length=3)
    amount = models.BigIntegerField(help_text="the payout's")
    held = models.BigIntegerField(help_text="the sum of the net of its transactions")
    transactions = models.PositiveIntegerField(default=0)
    checked_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-id"]
        constraints = [models.UniqueConstraint(fields=["payout"], name="one_check_per_payout")]
        indexes = [models.Index(fields=["account", "-id"], name="recon_payout_account")]

    def __str__(self) -> str:
        return f"{self.payout}: {format_money(self.amount - self.held, self.currency)} apart"

    @property
    def ties(self) -> bool:
        return self.amount == self.held
