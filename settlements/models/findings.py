"""Why a seller is not paid, and what to do. Written by findings.py alone."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from django.utils import timezone
from simple_history.models import HistoricalRecords

from billingops.money import format_money
from settlements.querysets import FindingQuerySet
from settlements.states import FindingState


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
        NEGATIVE_BALANCE = "negative_balance", "the seller owes more than the limit"
        PAYOUT_FAILED = "payout_failed", "the seller's bank refused a payout"
        RISK_HOLD = "risk_hold", "held: verification suggested"
        FEE_MISMATCH = "fee_mismatch", "Stripe moved another share than the rule's"

    # Nothing at all is paid to the seller while one of these is open; the others concern an invoice, or ask for a look.
    PAUSING = (Code.ACCOUNT_RESTRICTED, Code.RISK_HOLD)

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
    looked_at = models.DateTimeField(null=True, blank=True, help_text="when the hourly sweep last looked again")
    closed_at = models.DateTimeField(null=True, blank=True)
    closed_reason = models.CharField(max_length=500, blank=True, default="")

    history = HistoricalRecords(excluded_fields=["looked_at"])
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
    def pauses(self) -> bool:
        return self.code in self.PAUSING

    @property
    def money(self) -> str:
        return format_money(self.amount, self.currency) if self.amount is not None else ""
