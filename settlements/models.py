"""Sellers, the rules that share an invoice out, what is paid to whom because of which invoice, and what stands in the
way.

Sellers and rules come from `import_config` (config.py); payout records and findings are written by services.py alone.
Amounts: BigInteger, minor units of the row's currency.
"""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models import F, Q
from django.utils import timezone
from simple_history.models import HistoricalRecords

from billingops.money import format_money
from settlements.querysets import FindingQuerySet, PayoutRecordQuerySet, ShareRuleQuerySet
from settlements.states import FindingState, PayoutState


class Seller(models.Model):
    """Who is paid out: a connected account. A seller that is not active gets no payout, but a finding."""

    class Schedule(models.TextChoices):
        PER_INVOICE = "per_invoice", "per invoice"

    account = models.CharField(max_length=64, unique=True, help_text="the connected account, acct_…")
    name = models.CharField(max_length=120)
    schedule = models.CharField(max_length=16, choices=Schedule.choices, default=Schedule.PER_INVOICE)
    minimum_payout = models.JSONField(
        default=dict, blank=True, help_text='minor units per currency, {"usd": 100}; less is carried forward'
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


class ShareRule(models.Model):
    """One version of one rule. A row never changes, except that `valid_until` may be set once, when the rule is ended.

    Of a rule's versions the highest one that is valid on the day an invoice was paid counts.
    """

    class Share(models.TextChoices):
        PERCENT = "percent", "percent"
        FLAT_PER_UNIT = "flat_per_unit", "flat per unit"
        FLAT = "flat", "flat per line"

    class Match(models.TextChoices):
        PRICE = "price", "price"
        PRODUCT = "product", "product"
        NONE = "none", "anything"

    name = models.CharField(max_length=80)
    version = models.PositiveIntegerField()
    seller = models.ForeignKey(
        Seller,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="rules",
        help_text="empty: the rule of all sellers that have none of their own",
    )
    match_type = models.CharField(max_length=8, choices=Match.choices, default=Match.NONE)
    match_value = models.CharField(max_length=255, blank=True, default="", help_text="price_… or prod_…")
    share_type = models.CharField(max_length=16, choices=Share.choices)
    seller_percent = models.DecimalField(max_digits=9, decimal_places=6, null=True, blank=True)
    fee = models.BigIntegerField(null=True, blank=True, help_text="minor units that the platform keeps")
    currency = models.CharField(max_length=3, blank=True, default="", help_text="of the fee")
    valid_from = models.DateField(help_text="first day (UTC) on which an invoice's payment falls under it")
    valid_until = models.DateField(null=True, blank=True, help_text="first day on which it no longer does")
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    history = HistoricalRecords()
    objects = ShareRuleQuerySet.as_manager()

    class Meta:
        ordering = ["name", "-version"]
        constraints = [
            models.UniqueConstraint(fields=["name", "version"], name="one_row_per_rule_and_version"),
            models.CheckConstraint(
                condition=Q(share_type="percent", seller_percent__gte=0, seller_percent__lte=100, fee=None, currency="")
                | Q(
                    share_type__in=["flat", "flat_per_unit"],
                    seller_percent=None,
                    fee__gte=0,
                    currency__regex=r"^[a-z]{3}$",
                ),
                name="rule_has_the_numbers_of_its_type",
            ),
            models.CheckConstraint(
                condition=Q(match_type="none", match_value="") | (~Q(match_type="none") & ~Q(match_value="")),
                name="rule_names_what_it_matches",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} v{self.version}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if self.pk is not None and set(kwargs.get("update_fields") or ()) != {"valid_until"}:
            raise TypeError("A version of a rule never changes; a changed rule is a new version.")
        super().save(*args, **kwargs)

    @property
    def share_text(self) -> str:
        """`70 % to the seller`, `USD 5.00 per unit to the platform`."""
        if self.share_type == self.Share.PERCENT and self.seller_percent is not None:
            return f"{self.seller_percent.normalize():f} % to the seller"
        per = "unit" if self.share_type == self.Share.FLAT_PER_UNIT else "line"
        return f"{format_money(self.fee or 0, self.currency)} per {per} to the platform"

    @property
    def match_text(self) -> str:
        return f"{self.match_type} {self.match_value}" if self.match_value else "anything"


class PayoutRecord(models.Model):
    """What one seller gets of one invoice. Its state follows the suggestion it came with; see services.follow."""

    State = PayoutState

    state = models.CharField(max_length=20, choices=PayoutState.choices, default=PayoutState.PENDING_REVIEW)
    seller = models.ForeignKey(Seller, on_delete=models.PROTECT, related_name="payouts")
    account = models.CharField(max_length=64, help_text="the seller's, copied: access is limited by it")
    invoice = models.CharField(max_length=255)
    invoice_number = models.CharField(max_length=64, blank=True, default="")
    charge = models.CharField(max_length=255)
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
                condition=~Q(state="cancelled"),
                name="one_live_payout_per_invoice_and_seller",
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
        return f"{self.money} to {self.account} for {self.invoice_number or self.invoice}"

    @property
    def money(self) -> str:
        return format_money(self.amount, self.currency)

    @property
    def base_total(self) -> int:
        return self.amount + self.fee_total


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


class Finding(models.Model):
    """Why a seller is not paid for an invoice, and what to do. Closed by itself when a later look finds nothing."""

    State = FindingState

    class Code(models.TextChoices):
        MISSING_RULE = "missing_rule", "missing rule"
        UNKNOWN_SELLER = "unknown_seller", "unknown seller"
        ACCOUNT_RESTRICTED = "account_restricted", "account cannot receive money"
        WRONG_CURRENCY = "wrong_currency", "wrong currency"
        NON_POSITIVE = "non_positive", "nothing to pay"
        NO_CHARGE = "no_charge", "no charge to pay from"
        CHARGE_REFUNDED = "charge_refunded", "charge refunded"
        CHARGE_DISPUTED = "charge_disputed", "charge disputed"
        OVER_CHARGE = "over_charge", "shares exceed the payment"
        BELOW_MINIMUM = "below_minimum", "below the minimum payout"
        TAKE_BACK = "take_back", "take back after a transfer"
        ALREADY_TRANSFERRED = "already_transferred", "money is there already"
        UNEXPECTED_TRANSFER = "unexpected_transfer", "unexpected transfer"

    code = models.CharField(max_length=24, choices=Code.choices)
    state = models.CharField(max_length=12, choices=FindingState.choices, default=FindingState.OPEN)
    subject = models.CharField(max_length=255, help_text="the invoice, or the transfer")
    account = models.CharField(max_length=64, blank=True, default="", help_text="the seller's")
    text = models.TextField(help_text="what is wrong, what was not done, what to do")
    lines = models.JSONField(default=list, blank=True, help_text="the invoice lines concerned")
    amount = models.BigIntegerField(null=True, blank=True)
    currency = models.CharField(max_length=3, blank=True, default="")
    event_id = models.CharField(max_length=255, blank=True, default="")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    closed_at = models.DateTimeField(null=True, blank=True)
    closed_reason = models.CharField(max_length=500, blank=True, default="")

    history = HistoricalRecords()
    objects = FindingQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        permissions = [("dismiss_finding", "Can dismiss findings")]
        constraints = [
            models.UniqueConstraint(
                fields=["code", "subject", "account"], condition=Q(state="open"), name="one_open_finding_per_cause"
            ),
        ]
        indexes = [
            models.Index(fields=["state", "-id"], name="finding_state"),
            models.Index(fields=["state", "code", "account", "-id"], name="finding_state_code"),
            models.Index(fields=["subject", "state"], name="finding_subject"),
            models.Index(fields=["account", "-id"], name="finding_account"),
        ]

    def __str__(self) -> str:
        return f"{self.get_code_display()} · {self.subject}"

    @property
    def money(self) -> str:
        return format_money(self.amount, self.currency) if self.amount is not None else ""
