"""What a seller earned of an invoice, and what has become of it since: one row per invoice and seller, the seller's
subledger. Written by earnings.py alone, under the row's lock, together with the journal entries that say the same.

Amounts: minor units of the row's currency. What was computed when the invoice was paid never changes (`base` to
`reserve`, `lines`, `terms`); what happened since is in `taken` to `open`.
"""

from __future__ import annotations

from django.db import models
from django.db.models import F, Q
from django.utils import timezone

from billingops.money import format_money
from settlements.models.sellers import Seller
from settlements.querysets import EarningQuerySet


class Earning(models.Model):
    seller = models.ForeignKey(Seller, on_delete=models.PROTECT, related_name="earnings")
    account = models.CharField(max_length=64, help_text="the seller's, copied: access is limited by it")
    invoice = models.CharField(max_length=255)
    invoice_number = models.CharField(max_length=64, blank=True, default="")
    charge = models.CharField(max_length=255)
    customer = models.CharField(max_length=64, blank=True, default="")
    currency = models.CharField(max_length=3)
    moved_by_stripe = models.BooleanField(default=False, help_text="a destination charge: Stripe transfers by itself")
    paid_at = models.DateTimeField(help_text="when the customer's payment came in")
    due_on = models.DateField(help_text="first day (UTC) on which it may be paid out: paid_at and the hold days")
    reserve_until = models.DateField(null=True, blank=True, help_text="the day on which the reserve is released")
    # Computed when the invoice was paid.
    base = models.BigIntegerField(help_text="the seller's lines − discounts, without tax")
    fee = models.BigIntegerField(help_text="what the platform keeps of the base")
    share = models.BigIntegerField(help_text="base − fee")
    adjustment = models.BigIntegerField(default=0, help_text="of whole-volume tiers: what changes on earlier invoices")
    stripe_fee = models.BigIntegerField(default=0, help_text="the part of Stripe's fee that the seller bears")
    withheld = models.BigIntegerField(default=0, help_text="for the tax office")
    reserve = models.BigIntegerField(default=0, help_text="kept back until `reserve_until`")
    lines = models.JSONField(default=list, help_text="[{line, quantity, rule, rule_version, base, fee, share}]")
    terms = models.JSONField(default=dict, help_text="the seller's terms of that day")
    # What became of it.
    taken = models.BigIntegerField(
        default=0, help_text="of the share and its adjustment, by refunds, credit notes and lost disputes"
    )
    held = models.BigIntegerField(default=0, help_text="held because a dispute is open")
    reserve_left = models.BigIntegerField(default=0, help_text="of the reserve, not yet released or taken")
    claimed = models.BigIntegerField(default=0, help_text="to be taken back by a reversal, not yet reversed")
    paid = models.BigIntegerField(default=0, help_text="transferred, less what was reversed")
    open = models.BigIntegerField(default=0, help_text="what is payable now or when due; negative: the seller owes it")
    offset = models.BooleanField(
        default=False,
        help_text="nothing came of its reversal (rejected, expired, cancelled, failed): what is owed is netted instead",
    )
    moves = models.PositiveIntegerField(
        default=0, help_text="how often the books have moved since; numbers the entries"
    )
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(default=timezone.now)

    objects = EarningQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["invoice", "seller"], name="one_earning_per_invoice_and_seller"),
            models.CheckConstraint(condition=Q(base=F("fee") + F("share")), name="earning_adds_up"),
            models.CheckConstraint(
                condition=Q(moved_by_stripe=True)
                | Q(paid__lte=0)
                | Q(share__lt=0, paid__lte=F("adjustment"))  # a negative share that was refunded is nothing
                | Q(paid__lte=F("share") + F("adjustment") - F("stripe_fee") - F("withheld")),
                name="never_paid_more_than_earned",
            ),
            models.CheckConstraint(
                condition=Q(held__gte=0, claimed__gte=0, withheld__gte=0), name="earning_parts_make_sense"
            ),
        ]
        indexes = [
            models.Index(fields=["account", "-id"], name="earning_account"),
            models.Index(fields=["charge"], name="earning_charge"),
            models.Index(fields=["invoice_number"], name="earning_invoice_number"),
            models.Index(fields=["account", "currency", "due_on"], condition=~Q(open=0), name="earning_open"),
            models.Index(fields=["reserve_until"], condition=~Q(reserve_left=0), name="earning_reserve"),
            models.Index(fields=["account", "currency", "paid_at"], name="earning_paid_at"),
            models.Index(fields=["id"], condition=~Q(claimed=0), name="earning_claimed"),
            models.Index(fields=["id"], condition=~Q(held=0), name="earning_held"),
        ]

    def __str__(self) -> str:
        return f"{format_money(self.share, self.currency)} of {self.invoice_number or self.invoice} for {self.account}"

    @property
    def earned(self) -> int:
        """What the seller is to get of this invoice in the end, when nothing is taken back."""
        return self.share + self.adjustment - self.stripe_fee - self.withheld


class SettledLine(models.Model):
    """A line of a paid invoice that was shared out, or is the platform's own: once, for ever. Who had no part of it
    then has none later, whatever rules and metadata say by then; who had one earns it by this version of the rule.
    """

    invoice = models.CharField(max_length=255)
    line = models.CharField(max_length=255)
    base = models.BigIntegerField(help_text="the line − its discounts, without tax; minor units")
    rule = models.CharField(max_length=80, blank=True, default="", help_text='"" = the platform\'s own')
    rule_version = models.PositiveIntegerField(default=0)
    parts = models.JSONField(default=list, help_text="[[seller, weight]]; empty = the platform's own")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["invoice", "line"], name="a_line_is_shared_out_once")]

    def __str__(self) -> str:
        return f"{self.line} of {self.invoice}"
