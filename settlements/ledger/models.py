"""The journal: entries, their postings, and snapshots of balances. Append-only: triggers refuse a change, an entry that
does not balance, and a posting to an entry that is closed (triggers.py). Written by journal.py and snapshots.py alone.

An entry's postings are inserted first and the entry last, in one transaction: its insert is what closes and checks it.
Amounts: minor units of the entry's currency, debits positive, credits negative.
"""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils import timezone

from billingops.ids import uuid7
from billingops.money import format_money
from settlements.ledger.accounts import Account, Kind
from settlements.ledger.querysets import JournalEntryQuerySet, PostingQuerySet


class JournalEntry(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    key = models.CharField(max_length=300, unique=True, help_text="what it is of; the same is never posted twice")
    kind = models.CharField(max_length=20, choices=Kind.choices)
    book = models.CharField(max_length=64, blank=True, default="", help_text="whose Stripe balance; empty: platform's")
    seller = models.CharField(max_length=64, blank=True, default="", help_text="whose money; access is limited by it")
    currency = models.CharField(max_length=3)
    occurred_at = models.DateTimeField(help_text="Stripe's time of what happened")
    posted_at = models.DateTimeField(default=timezone.now)
    invoice = models.CharField(max_length=255, blank=True, default="")
    source = models.CharField(
        max_length=255, blank=True, default="", help_text="Stripe's: ch_, re_, du_, tr_, trr_, po_…"
    )
    balance_transaction = models.CharField(max_length=255, blank=True, default="", help_text="txn_…, where it is known")
    cash = models.BigIntegerField(default=0, help_text="the sum of its postings to cash: Stripe's net")
    fee = models.BigIntegerField(default=0, help_text="Stripe's fee in it")
    text = models.CharField(max_length=500, blank=True, default="", help_text="in words, no personal data")
    corrects = models.ForeignKey("self", null=True, blank=True, on_delete=models.PROTECT, related_name="corrections")
    suggestion = models.UUIDField(null=True, blank=True, help_text="the approved suggestion behind it")
    actor = models.CharField(max_length=150, blank=True, default="")

    objects = JournalEntryQuerySet.as_manager()

    class Meta:
        ordering = ["-occurred_at", "-id"]
        verbose_name_plural = "journal entries"
        indexes = [
            models.Index(fields=["-occurred_at", "-id"], name="journal_time"),
            models.Index(fields=["kind", "-occurred_at", "-id"], name="journal_kind"),
            models.Index(fields=["book", "-occurred_at", "-id"], name="journal_book"),
            models.Index(fields=["seller", "-occurred_at", "-id"], name="journal_seller"),
            models.Index(fields=["invoice"], condition=~Q(invoice=""), name="journal_invoice"),
            models.Index(fields=["source"], condition=~Q(source=""), name="journal_source"),
            models.Index(
                fields=["balance_transaction"], condition=~Q(balance_transaction=""), name="journal_balance_txn"
            ),
            models.Index(fields=["posted_at"], name="journal_posted"),
            # Reconciliation reads what moves cash from the index alone (docs/decisions/0025).
            models.Index(
                fields=["balance_transaction"],
                include=["id", "book", "currency", "cash", "fee"],
                condition=~Q(cash=0) | ~Q(fee=0),
                name="journal_moves",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} {self.source or self.invoice or self.key}"


class Posting(models.Model):
    """One line of an entry. `seller` and `invoice` say whose position it belongs to, "" the platform's."""

    id = models.BigAutoField(primary_key=True)
    entry = models.ForeignKey(JournalEntry, on_delete=models.PROTECT, related_name="postings")
    account = models.CharField(max_length=20, choices=Account.choices)
    seller = models.CharField(max_length=64, blank=True, default="")
    invoice = models.CharField(max_length=255, blank=True, default="")
    currency = models.CharField(max_length=3)
    amount = models.BigIntegerField(help_text="debit positive, credit negative")

    objects = PostingQuerySet.as_manager()

    class Meta:
        ordering = ["id"]
        constraints = [models.CheckConstraint(condition=~Q(amount=0), name="posting_moves_something")]
        indexes = [
            models.Index(fields=["account", "seller", "currency", "id"], include=["amount"], name="posting_balance"),
            models.Index(fields=["invoice"], condition=~Q(invoice=""), name="posting_invoice"),
        ]

    def __str__(self) -> str:
        side = "Dr" if self.amount > 0 else "Cr"
        return f"{side} {self.get_account_display()} {format_money(abs(self.amount), self.currency)}"

    @property
    def credit(self) -> int:
        """The amount as a credit has it: without the minus."""
        return -self.amount


class BalanceSnapshot(models.Model):
    """The sum of all postings of one account, seller and currency up to and including posting `through`."""

    account = models.CharField(max_length=20, choices=Account.choices)
    seller = models.CharField(max_length=64, blank=True, default="")
    currency = models.CharField(max_length=3)
    through = models.BigIntegerField(help_text="id of the last posting in it")
    amount = models.BigIntegerField(help_text="debits − credits")
    count = models.BigIntegerField(default=0, help_text="how many postings are in it")
    taken_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["account", "seller", "currency"]
        constraints = [
            models.UniqueConstraint(fields=["account", "seller", "currency"], name="one_snapshot_per_account")
        ]
        indexes = [models.Index(fields=["through"], name="snapshot_through")]

    def __str__(self) -> str:
        return f"{self.account} {self.seller} {format_money(self.amount, self.currency)}"
