"""What is paid to whom, and what it is made of. Written by payouts.py alone. Amounts: minor units of the row's
currency."""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from simple_history.models import HistoricalRecords

from billingops.money import format_money
from settlements.models.rules import ShareRule
from settlements.models.sellers import Seller
from settlements.querysets import PayoutRecordQuerySet
from settlements.states import PayoutState


class PayoutRecord(models.Model):
    """One transfer to a seller: of one invoice's earning (`invoice`), or of all that is due at the end of a period
    (`period`). Its items say what is in it. Its state follows the suggestion it came with; see payouts.follow."""

    State = PayoutState

    state = models.CharField(max_length=20, choices=PayoutState.choices, default=PayoutState.PENDING_REVIEW)
    seller = models.ForeignKey(Seller, on_delete=models.PROTECT, related_name="payouts")
    account = models.CharField(max_length=64, help_text="the seller's, copied: access is limited by it")
    invoice = models.CharField(max_length=255, blank=True, default="", help_text="in_…; empty for a period's payout")
    period = models.CharField(max_length=16, blank=True, default="", help_text="2026-11-22, 2026-W47 or 2026-11")
    invoice_number = models.CharField(max_length=64, blank=True, default="")
    charge = models.CharField(max_length=255, blank=True, default="")
    customer = models.CharField(max_length=64, blank=True, default="")
    currency = models.CharField(max_length=3)
    amount = models.BigIntegerField(help_text="the seller's share")
    fee_total = models.BigIntegerField(help_text="what the platform keeps of the same lines")
    amount_reversed = models.BigIntegerField(default=0)
    transfer = models.CharField(max_length=255, blank=True, default="")
    suggestion = models.ForeignKey(
        "approvals.Suggestion", null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    memo = models.TextField(blank=True, default="", help_text="what the seller is told")
    memo_by = models.CharField(max_length=120, blank=True, default="")
    flags = models.JSONField(default=list, blank=True)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    transferred_at = models.DateTimeField(null=True, blank=True, help_text="when Stripe's event confirmed it")

    history = HistoricalRecords()
    objects = PayoutRecordQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(
                fields=["invoice", "seller"],
                condition=~Q(state="cancelled") & ~Q(invoice=""),
                name="one_live_payout_per_invoice_and_seller",
            ),
            models.UniqueConstraint(
                fields=["seller", "currency", "period"],
                condition=~Q(state="cancelled") & ~Q(period=""),
                name="one_live_payout_per_period_and_seller",
            ),
            models.CheckConstraint(
                condition=(Q(invoice="") & ~Q(period="")) | (~Q(invoice="") & Q(period="")),
                name="payout_is_of_an_invoice_or_a_period",
            ),
            models.UniqueConstraint(fields=["transfer"], condition=~Q(transfer=""), name="one_payout_per_transfer"),
            models.CheckConstraint(
                condition=Q(amount__gt=0, amount_reversed__gte=0, amount_reversed__lte=F("amount")),
                name="payout_amounts_make_sense",
            ),
        ]
        indexes = [
            models.Index(fields=["state", "-id"], name="payout_state"),
            models.Index(fields=["account", "-id"], name="payout_account"),
            models.Index(fields=["seller", "currency", "state", "-id"], name="payout_usual"),
            models.Index(fields=["charge"], name="payout_charge"),
            models.Index(fields=["invoice"], name="payout_invoice"),
            models.Index(fields=["invoice_number"], name="payout_invoice_number"),
            models.Index(fields=["customer", "-id"], name="payout_customer"),
            models.Index(fields=["suggestion"], name="payout_suggestion"),
        ]

    def __str__(self) -> str:
        return f"{self.money} to {self.account} for {self.invoice_number or self.invoice or self.period}"

    @property
    def money(self) -> str:
        return format_money(self.amount, self.currency)


class PayoutLine(models.Model):
    """The computation of one invoice line: base − fee = share, by one version of one rule."""

    record = models.ForeignKey(PayoutRecord, on_delete=models.PROTECT, related_name="lines")
    line = models.CharField(max_length=255, help_text="the invoice line, il_…")
    description = models.CharField(max_length=255, blank=True, default="")
    quantity = models.BigIntegerField(default=1)
    rule = models.ForeignKey(ShareRule, on_delete=models.PROTECT, related_name="+")
    rule_version = models.PositiveIntegerField()
    base = models.BigIntegerField(help_text="line amount − its discounts, without tax")
    fee = models.BigIntegerField()
    share = models.BigIntegerField()

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["record", "line"], name="one_payout_line_per_invoice_line"),
            models.CheckConstraint(condition=Q(base=F("fee") + F("share")), name="payout_line_adds_up"),
        ]

    def __str__(self) -> str:
        return f"{self.line}: {self.base} − {self.fee} = {self.share}"


class PayoutItem(models.Model):
    """How much of which earning a payout settles; a debt that it nets is negative. The items add up to the payout.

    At most one payout at a time may hold an earning: that, and `never_paid_more_than_earned`, is what makes paying
    twice impossible, whatever schedules, replays, backfills and people do at once.
    """

    class State(models.TextChoices):
        IN_FLIGHT = "in_flight", "waits for the transfer"
        SETTLED = "settled", "transferred"
        RELEASED = "released", "not transferred"

    record = models.ForeignKey(PayoutRecord, on_delete=models.PROTECT, related_name="items")
    earning = models.ForeignKey("settlements.Earning", on_delete=models.PROTECT, related_name="items")
    state = models.CharField(max_length=12, choices=State.choices, default=State.IN_FLIGHT)
    amount = models.BigIntegerField(help_text="minor units of the payout's currency; negative: a debt that is netted")
    reversible = models.BigIntegerField(default=0, help_text="what of it can still be taken back of the transfer")

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(
                fields=["earning"], condition=Q(state="in_flight"), name="one_payout_at_a_time_per_earning"
            ),
            models.UniqueConstraint(fields=["record", "earning"], name="one_item_per_payout_and_earning"),
        ]

    def __str__(self) -> str:
        return f"{self.amount} of earning {self.earning_id} in payout {self.record_id}"
