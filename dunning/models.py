"""Dunning's rows: one case per unpaid invoice, the messages that were sent, the tasks handed to support.

Only `services.py` (cases, tasks) and `messages.py` change them. Amounts: int, minor units of `currency`. `account` is
the connected account ("" = the platform's own). No row holds a customer's name or address.
"""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from simple_history.models import HistoricalRecords

from approvals.models import Suggestion
from billingops.money import format_money
from billingops.stripe.facts import PaymentFailure
from dunning import declines
from dunning.querysets import CaseQuerySet, MessageQuerySet
from dunning.states import UNPAID, CaseState, ClosedReason, MessageState, TaskState


class DunningCase(models.Model):
    """An invoice whose payment has failed, from the first failure until it is paid or given up.

    `step` counts what we have considered; with `attempt_count` it makes a suggestion's dedupe key. It never goes back.
    `method_seen` is the payment method that the last plan reckoned with. `next_step_at`: when to think again.
    """

    invoice = models.CharField(max_length=64)
    account = models.CharField(max_length=64, blank=True, default="")
    customer = models.CharField(max_length=64, blank=True, default="")
    subscription = models.CharField(max_length=64, blank=True, default="")
    invoice_number = models.CharField(max_length=64, blank=True, default="")
    currency = models.CharField(max_length=3)
    amount_remaining = models.BigIntegerField()
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
    category = models.CharField(max_length=16, choices=[(item.value, item.label) for item in declines.Category])
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
    def verdict(self) -> declines.Verdict:
        return declines.judge(self.failure)

    @property
    def failure_words(self) -> str:
        """The failure in words, for staff; `verdict.secret` says whether a customer may hear it."""
        return self.verdict.words


class Message(models.Model):
    """One message to a customer, exactly as it was sent but for the personal portal link, which opens the customer's
    billing to whoever holds it and is therefore kept nowhere: `{link}` stands in its place.

    The address is looked up when it is sent and not kept either; `address_hash` (keyed) can prove a suspected one.
    """

    class Channel(models.TextChoices):
        EMAIL = "email", "e-mail"

    suggestion = models.OneToOneField(Suggestion, on_delete=models.PROTECT, related_name="dunning_message")
    case = models.ForeignKey(DunningCase, on_delete=models.PROTECT, related_name="messages")
    account = models.CharField(max_length=64, blank=True, default="")
    customer = models.CharField(max_length=64)
    channel = models.CharField(max_length=8, choices=Channel.choices, default=Channel.EMAIL)
    template = models.CharField(max_length=40)
    language = models.CharField(max_length=12)
    subject = models.CharField(max_length=200)
    body_text = models.TextField()
    body_html = models.TextField()
    state = models.CharField(max_length=8, choices=MessageState.choices, default=MessageState.DRAFT)
    message_id = models.CharField(max_length=255, help_text="the e-mail's Message-ID header")
    address_hash = models.CharField(max_length=64, blank=True, default="")
    portal_session = models.CharField(max_length=255, blank=True, default="")
    error = models.CharField(max_length=500, blank=True, default="")
    created_at = models.DateTimeField(default=timezone.now)
    sending_at = models.DateTimeField(null=True, blank=True)
    sent_at = models.DateTimeField(null=True, blank=True)

    history = HistoricalRecords()
    objects = MessageQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["state", "-id"], name="message_state"),
            models.Index(fields=["customer", "-id"], name="message_customer"),
            models.Index(fields=["account", "-id"], name="message_account"),
            models.Index(fields=["case", "state"], name="message_case"),
        ]

    def __str__(self) -> str:
        return f"{self.subject} · {self.customer}"


class SupportTask(models.Model):
    """A case handed to a person in support."""

    suggestion = models.OneToOneField(Suggestion, on_delete=models.PROTECT, related_name="dunning_task")
    case = models.ForeignKey(DunningCase, on_delete=models.PROTECT, related_name="tasks")
    account = models.CharField(max_length=64, blank=True, default="")
    customer = models.CharField(max_length=64, blank=True, default="")
    title = models.CharField(max_length=200)
    text = models.TextField()
    state = models.CharField(max_length=8, choices=TaskState.choices, default=TaskState.OPEN)
    version = models.PositiveIntegerField(default=1)
    assigned = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    done_by = models.CharField(max_length=160, blank=True, default="", help_text="kept when the user is renamed")
    done_at = models.DateTimeField(null=True, blank=True)
    result = models.TextField(blank=True, default="", help_text="what came of it")
    created_at = models.DateTimeField(default=timezone.now)

    history = HistoricalRecords()

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["state", "-id"], name="task_state"),
            models.Index(fields=["state", "account", "-id"], name="task_state_account"),
            models.Index(fields=["customer", "-id"], name="task_customer"),
            models.Index(fields=["case", "state"], name="task_case"),
        ]
        permissions = [("complete_supporttask", "Can take support tasks and mark them done")]

    def __str__(self) -> str:
        return self.title
