"""One case per unpaid invoice, and what people wrote down about it."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from django.conf import settings
from django.contrib.auth.models import Group
from django.db import models
from django.db.models import Q
from django.utils import timezone
from simple_history.models import HistoricalRecords

from approvals.models import Suggestion
from billingops.money import format_money
from billingops.stripe.facts import PaymentFailure
from dunning import reasons
from dunning.querysets import CaseQuerySet
from dunning.states import UNPAID, CaseState, ClosedReason


class DunningCase(models.Model):
    """An invoice whose payment has failed, from the first failure until it is paid or given up.

    `step` counts what we have considered; with `attempt_count` it makes a suggestion's dedupe key. It never goes back.
    `method_seen` is the payment method that the last plan reckoned with. `next_step_at`: when to think again.

    Money, in minor units: `amount_at_opening` was open and `paid_at_opening` paid when the case was opened.
    `amount_remaining` is open now, as last heard of, and stays as it was when the case ends. `recovered_amount` was
    paid since, in whole or in part, never more than was open; what was credited is not paid.
    """

    invoice = models.CharField(max_length=64)
    account = models.CharField(max_length=64, blank=True, default="")
    customer = models.CharField(max_length=64, blank=True, default="")
    subscription = models.CharField(max_length=64, blank=True, default="")
    invoice_number = models.CharField(max_length=64, blank=True, default="")
    currency = models.CharField(max_length=3)
    amount_remaining = models.BigIntegerField(help_text="what is open of it, minor units")
    amount_at_opening = models.BigIntegerField(default=0, help_text="what was open when the case was opened")
    paid_at_opening = models.BigIntegerField(default=0, help_text="what had been paid of it before")
    attempt_count = models.PositiveIntegerField(default=0, help_text="Stripe's count: its own schedule's attempts")
    by_hand_failures = models.PositiveIntegerField(
        default=0, help_text="failed attempts that Stripe's count leaves out: our retries, the customer's own"
    )
    code = models.CharField(max_length=64, blank=True, default="")
    decline_code = models.CharField(max_length=64, blank=True, default="")
    advice_code = models.CharField(max_length=64, blank=True, default="")
    network_decline_code = models.CharField(max_length=16, blank=True, default="")
    network_advice_code = models.CharField(max_length=16, blank=True, default="")
    outcome_type = models.CharField(max_length=32, blank=True, default="")
    risk_level = models.CharField(max_length=16, blank=True, default="")
    category = models.CharField(max_length=16, choices=[(item.value, item.label) for item in reasons.Category])
    payment_method = models.CharField(max_length=64, blank=True, default="", help_text="the one that failed")
    payment_method_type = models.CharField(max_length=32, blank=True, default="")
    card_brand = models.CharField(max_length=24, blank=True, default="")
    charge = models.CharField(max_length=64, blank=True, default="", help_text="the last failed one")
    state = models.CharField(max_length=12, choices=CaseState.choices, default=CaseState.OPEN)
    closed_reason = models.CharField(max_length=16, choices=ClosedReason.choices, blank=True, default="")
    recovered_by = models.CharField(
        max_length=40, blank=True, default="", help_text="the kind of our last step before it was paid"
    )
    step = models.PositiveSmallIntegerField(default=0)
    method_seen = models.CharField(max_length=64, blank=True, default="")
    suggestion = models.ForeignKey(
        Suggestion, null=True, blank=True, on_delete=models.PROTECT, related_name="+", help_text="the latest one"
    )
    opened_at = models.DateTimeField(default=timezone.now)
    last_failed_at = models.DateTimeField()
    next_step_at = models.DateTimeField(null=True, blank=True)
    grace_period_until = models.DateTimeField(null=True, blank=True)
    sequence = models.CharField(max_length=80, blank=True, default="", help_text="the campaign it follows")
    sequence_version = models.PositiveIntegerField(default=0)
    arm = models.CharField(max_length=40, blank=True, default="", help_text="of the campaign's A/B test")
    plan = models.JSONField(default=list, blank=True, help_text="the steps to come, as they were last planned")
    planned_at = models.DateTimeField(null=True, blank=True)
    spoken_for_by = models.ForeignKey(
        "self",
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="speaks_for",
        help_text="the case of the same customer whose messages speak of this invoice, too",
    )
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    owner_group = models.ForeignKey(
        Group, null=True, blank=True, on_delete=models.SET_NULL, related_name="+", help_text="handed to all of them"
    )
    promised_for = models.DateField(null=True, blank=True, help_text="the day the customer promised to pay by")
    promises_broken = models.PositiveSmallIntegerField(default=0)
    paused = models.BooleanField(default=False, help_text="a person stopped every step until they resume it")
    snoozed_until = models.DateTimeField(null=True, blank=True)
    escalated_at = models.DateTimeField(null=True, blank=True)
    sla_due_at = models.DateTimeField(null=True, blank=True, help_text="by when somebody should have acted on it")
    sla_level = models.PositiveSmallIntegerField(default=0, help_text="how often it was handed on for lateness")
    version = models.PositiveIntegerField(default=1, help_text="rises with each step a person takes on it")
    recovered_amount = models.BigIntegerField(default=0, help_text="what was paid of it since, minor units")
    closed_at = models.DateTimeField(null=True, blank=True)
    updated_at = models.DateTimeField(auto_now=True)

    history = HistoricalRecords()
    objects = CaseQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.UniqueConstraint(fields=["invoice", "account"], name="one_case_per_invoice"),
            models.CheckConstraint(condition=Q(currency__regex=r"^[a-z]{3}$"), name="case_has_currency"),
            models.CheckConstraint(
                condition=Q(state__in=list(UNPAID), closed_reason="")
                | (~Q(state__in=list(UNPAID)) & ~Q(closed_reason="")),
                name="case_closed_for_a_reason",
            ),
        ]
        indexes = [
            models.Index(fields=["state", "-id"], name="case_state"),
            models.Index(fields=["state", "account", "-id"], name="case_state_account"),
            models.Index(fields=["customer", "-id"], name="case_customer"),
            models.Index(fields=["subscription", "state"], name="case_subscription"),
            models.Index(fields=["category", "state"], name="case_category"),
            models.Index(fields=["next_step_at"], name="case_next_step", condition=Q(next_step_at__isnull=False)),
            models.Index(fields=["sla_due_at"], name="case_sla", condition=Q(sla_due_at__isnull=False)),
            models.Index(fields=["owner", "state"], name="case_owner"),
            models.Index(fields=["owner_group", "state"], name="case_owner_group"),
            models.Index(fields=["promised_for"], name="case_promise", condition=Q(promised_for__isnull=False)),
            models.Index(fields=["snoozed_until"], name="case_snooze", condition=Q(snoozed_until__isnull=False)),
            models.Index(fields=["-id"], name="case_paused", condition=Q(paused=True)),
            models.Index(fields=["opened_at"], name="case_opened"),
            models.Index(fields=["sequence", "sequence_version", "arm"], name="case_sequence"),
            models.Index(
                fields=["grace_period_until"], name="case_grace", condition=Q(grace_period_until__isnull=False)
            ),
        ]
        permissions = [
            ("work_dunningcase", "Can take cases and note promises, pauses and calls"),
            ("assign_dunningcase", "Can take a case from one person and give it to another"),
        ]

    def __str__(self) -> str:
        return f"{self.invoice_number or self.invoice} · {self.money}"

    @property
    def money(self) -> str:
        return format_money(self.amount_remaining, self.currency)

    @property
    def attempts(self) -> int:
        """All failed attempts that we know of."""
        return self.attempt_count + self.by_hand_failures

    @property
    def is_unpaid(self) -> bool:
        return self.state in UNPAID

    @property
    def promise_ends(self) -> datetime | None:
        """From when on the promise is broken if nothing has come in; None without one."""
        return promise_ends(self.promised_for) if self.promised_for else None

    @property
    def is_late(self) -> bool:
        """Whether nobody has acted on it in the time set for it, at this level or an earlier one."""
        return self.sla_due_at is not None and (self.sla_level > 0 or self.sla_due_at <= timezone.now())

    @property
    def failure(self) -> PaymentFailure:
        """The latest failure, as the rules take it."""
        return PaymentFailure(
            code=self.code,
            decline_code=self.decline_code,
            advice_code=self.advice_code,
            network_decline_code=self.network_decline_code,
            network_advice_code=self.network_advice_code,
            outcome_type=self.outcome_type,
            risk_level=self.risk_level,
            payment_method_id=self.payment_method,
            payment_method_type=self.payment_method_type,
            card_brand=self.card_brand,
            charge_id=self.charge,
            at=self.last_failed_at,
        )

    @property
    def verdict(self) -> reasons.Verdict:
        return reasons.judge(self.failure)

    @property
    def failure_words(self) -> str:
        """The failure in words, for staff; `verdict.secret` says whether a customer may hear it."""
        return self.verdict.words


def promise_ends(day: date) -> datetime:
    """Noon UTC of the day after, when `day` has ended everywhere on Earth: nobody is taken at less than their word."""
    return datetime.combine(day + timedelta(days=1), time(12), tzinfo=UTC)


class CaseNote(models.Model):
    """What was written down about a case: a person's remark, call or letter, and each step that a person took on it, or
    that time took for them (a promise kept or broken, a hand-over for lateness). Never changed, never deleted.

    `facts`: the step's figures, small and without personal data (`day`, `until`, `to`, `level`); `text` is free, may
    name people, and stays on the case's page.
    """

    class Kind(models.TextChoices):
        NOTE = "note", "note"
        CALL = "call", "call"
        LETTER = "letter", "letter"
        PROMISE = "promise", "promise to pay"
        KEPT = "kept", "promise kept"
        BROKEN = "broken", "promise broken"
        PAUSE = "pause", "paused"
        RESUME = "resume", "resumed"
        SNOOZE = "snooze", "snoozed"
        TAKE = "take", "taken"
        RELEASE = "release", "released"
        ASSIGN = "assign", "assigned"
        HANDOVER = "handover", "handed over"
        LATE = "late", "handed on for lateness"
        ESCALATE = "escalate", "escalation asked for"
        LOOK = "look", "look asked for"

    case = models.ForeignKey(DunningCase, on_delete=models.PROTECT, related_name="notes")
    account = models.CharField(max_length=64, blank=True, default="")
    kind = models.CharField(max_length=8, choices=Kind.choices, default=Kind.NOTE)
    text = models.TextField(blank=True, default="")
    facts = models.JSONField(default=dict, blank=True)
    author = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    author_name = models.CharField(max_length=160, help_text="kept when the user is renamed")
    created_at = models.DateTimeField(default=timezone.now)

    class Meta:
        ordering = ["-id"]
        indexes = [models.Index(fields=["case", "-id"], name="note_case")]

    def __str__(self) -> str:
        return f"{self.get_kind_display()} · {self.author_name}"

    def save(self, *args: Any, **kwargs: Any) -> None:
        if self.pk is not None:
            raise TypeError("A note is never changed; write another one.")
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        raise TypeError("A note is never deleted; write another one.")
