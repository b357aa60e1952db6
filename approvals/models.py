"""The gate's rows: what is suggested, who decided what, what was carried out, which policy applies, the audit chain.

Only `approvals/services.py` changes a suggestion; only `approvals/audit.py` appends to the chain.
"""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from simple_history.models import HistoricalRecords

from approvals import registry
from approvals.querysets import SuggestionQuerySet
from approvals.states import RELEASES_DEDUPE_KEY, WAITING_FOR_A_PERSON, State
from billingops.ids import uuid7
from billingops.money import format_money


class Suggestion(models.Model):
    """A pending record: something that may reach Stripe once a person, or a policy a person set, has approved it.

    `amount` is in minor units of `currency`; both are empty for kinds without an amount. `facts` is what the rules saw,
    `facts_hash` seals it. `account` is the connected account ("" = the platform's own), `subject` the Stripe object
    it is about.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    kind = models.CharField(max_length=40)
    state = models.CharField(max_length=16, choices=State.choices, default=State.PENDING)
    version = models.PositiveIntegerField(default=1)
    account = models.CharField(max_length=64, blank=True, default="")
    customer = models.CharField(max_length=64, blank=True, default="")
    subject = models.CharField(max_length=255)
    amount = models.BigIntegerField(null=True, blank=True)
    currency = models.CharField(max_length=3, blank=True, default="")
    params = models.JSONField(default=dict)
    facts = models.JSONField(default=dict)
    facts_hash = models.CharField(max_length=64)
    rationale = models.TextField(blank=True, default="")
    reason_code = models.CharField(max_length=64, blank=True, default="")
    confidence = models.DecimalField(max_digits=4, decimal_places=3, null=True, blank=True)
    suggested_by = models.CharField(max_length=120, help_text="rules and version, or model and prompt version")
    flags = models.JSONField(default=list, help_text="[{code, text}]: what a reviewer should look at twice")
    event_id = models.CharField(max_length=255, blank=True, default="")
    dedupe_key = models.CharField(max_length=255)
    mode = models.CharField(max_length=8, default="review", help_text="the policy's mode when it was proposed")
    policy = models.JSONField(default=dict, help_text="which clause decided, when proposed and when executed")
    required_approvals = models.PositiveSmallIntegerField(default=1)
    previous = models.ForeignKey("self", null=True, blank=True, on_delete=models.PROTECT, related_name="successors")
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(auto_now=True)
    expires_at = models.DateTimeField(null=True, blank=True)

    history = HistoricalRecords()
    objects = SuggestionQuerySet.as_manager()

    class Meta:
        ordering = ["-id"]  # uuid7: the order of creation
        constraints = [
            models.UniqueConstraint(
                fields=["dedupe_key"],
                condition=~Q(state__in=list(RELEASES_DEDUPE_KEY)),
                name="one_suggestion_per_dedupe_key",
            ),
            models.CheckConstraint(
                condition=Q(amount__isnull=True, currency="") | Q(amount__isnull=False, currency__regex=r"^[a-z]{3}$"),
                name="suggestion_amount_has_currency",
            ),
        ]
        indexes = [
            models.Index(fields=["state", "-id"], name="suggestion_state"),
            models.Index(fields=["state", "kind", "-id"], name="suggestion_state_kind"),
            models.Index(fields=["state", "account", "-id"], name="suggestion_state_account"),
            models.Index(fields=["customer", "-id"], name="suggestion_customer"),
            models.Index(fields=["subject", "-id"], name="suggestion_subject"),
            models.Index(fields=["state", "expires_at"], name="suggestion_expiry"),
        ]
        permissions = [
            ("approve_suggestion", "Can approve, reject, cancel and retry suggestions"),
            ("approve_second_suggestion", "Can give the second approval"),
        ]

    def __str__(self) -> str:
        money = f" {self.money}" if self.amount is not None else ""
        return f"{registry.label(self.kind)}{money} · {self.subject}"

    @property
    def money(self) -> str:
        """`USD 133.03`, or "" for a kind without an amount."""
        return format_money(self.amount, self.currency) if self.amount is not None else ""

    @property
    def kind_label(self) -> str:
        return registry.label(self.kind)

    @property
    def is_waiting(self) -> bool:
        return self.state in WAITING_FOR_A_PERSON

    @property
    def is_overdue(self) -> bool:
        """Nobody decided in time; the sweep that says so may still be on its way."""
        return self.is_waiting and self.expires_at is not None and self.expires_at <= timezone.now()

    @property
    def is_shadow(self) -> bool:
        return self.mode == Policy.Mode.SHADOW

    def preview(self) -> registry.Preview:
        return registry.get(self.kind).preview(self)


class Decision(models.Model):
    """A person's verdict, with what the person saw: the version and the hash of the facts on the page."""

    class Verdict(models.TextChoices):
        APPROVE = "approve", "approved"
        REJECT = "reject", "rejected"
        CANCEL = "cancel", "cancelled"
        RETRY = "retry", "asked for another attempt"

    suggestion = models.ForeignKey(Suggestion, on_delete=models.PROTECT, related_name="decisions")
    actor = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    actor_name = models.CharField(max_length=150, help_text="kept when the user is renamed or blanked")
    verdict = models.CharField(max_length=8, choices=Verdict.choices)
    version = models.PositiveIntegerField(help_text="the version of the suggestion that the person saw")
    facts_hash = models.CharField(max_length=64)
    reason_code = models.CharField(max_length=64, blank=True, default="")
    comment = models.TextField(blank=True, default="")
    created_at = models.DateTimeField(default=timezone.now, editable=False)

    class Meta:
        ordering = ["id"]

    def __str__(self) -> str:
        return f"{self.actor_name} {self.get_verdict_display()}"


class Execution(models.Model):
    """One attempt to carry a suggestion out, with its own idempotency key, stored before the call."""

    class State(models.TextChoices):
        QUEUED = "queued", "queued"
        EXECUTING = "executing", "executing"
        EXECUTED = "executed", "executed"
        CONFIRMED = "confirmed", "confirmed"
        FAILED = "failed", "failed"
        UNKNOWN = "unknown", "unknown result"
        DROPPED = "dropped", "not carried out"

    suggestion = models.ForeignKey(Suggestion, on_delete=models.PROTECT, related_name="executions")
    attempt = models.PositiveSmallIntegerField()
    idempotency_key = models.CharField(max_length=120, unique=True)
    state = models.CharField(max_length=12, choices=State.choices, default=State.QUEUED)
    not_before = models.DateTimeField(default=timezone.now, help_text="carried out at this time or later")
    object_id = models.CharField(max_length=255, blank=True, default="")
    request_id = models.CharField(max_length=255, blank=True, default="")
    result = models.JSONField(default=dict)
    error_code = models.CharField(max_length=120, blank=True, default="")
    error = models.TextField(blank=True, default="")
    tries = models.PositiveSmallIntegerField(default=0, help_text="look-ups and reads of the facts that did not answer")
    confirmed_event = models.CharField(max_length=255, blank=True, default="")
    queued_at = models.DateTimeField(default=timezone.now)
    started_at = models.DateTimeField(null=True, blank=True)
    finished_at = models.DateTimeField(null=True, blank=True)
    confirmed_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ["id"]
        constraints = [
            models.UniqueConstraint(fields=["suggestion", "attempt"], name="one_execution_per_attempt"),
            models.UniqueConstraint(
                fields=["suggestion"],
                condition=Q(state__in=["queued", "executing", "unknown", "executed", "confirmed"]),
                name="one_live_execution_per_suggestion",
            ),
        ]
        indexes = [models.Index(fields=["state", "not_before"], name="execution_due")]

    def __str__(self) -> str:
        return f"attempt {self.attempt}: {self.get_state_display()}"

    @staticmethod
    def new_key(suggestion_id: uuid.UUID, attempt: int) -> str:
        """A random tail makes the key of one database's attempt differ from that of a restored copy of it."""
        return f"billingops-{suggestion_id}-{attempt}-{uuid.uuid4().hex[:12]}"


class Policy(models.Model):
    """Who must look at what, per kind × account; the narrowest wins (policies.py). Comes from `import_config`."""

    class Mode(models.TextChoices):
        OFF = "off", "off"
        SHADOW = "shadow", "shadow"
        REVIEW = "review", "review"
        AUTO = "auto", "auto"

    kind = models.CharField(max_length=40, help_text='a kind, or "*"')
    account = models.CharField(max_length=64, blank=True, default="", help_text='"" applies to all accounts')
    mode = models.CharField(max_length=8, choices=Mode.choices, default=Mode.REVIEW)
    two_approvers_over = models.JSONField(
        default=dict, blank=True, help_text='minor units per currency: {"usd": 1000000}'
    )
    auto_under = models.JSONField(default=dict, blank=True, help_text="minor units per currency")
    version = models.PositiveIntegerField(default=1)
    updated_at = models.DateTimeField(auto_now=True)

    history = HistoricalRecords()

    class Meta:
        ordering = ["kind", "account"]
        verbose_name_plural = "policies"
        constraints = [models.UniqueConstraint(fields=["kind", "account"], name="one_policy_per_kind_and_account")]

    def __str__(self) -> str:
        return f"{self.kind} · {self.account or 'all accounts'} · {self.mode} v{self.version}"


class AuditEntry(models.Model):
    """A link of the append-only, hash-chained log. Triggers refuse UPDATE and DELETE; audit.py explains the hash."""

    seq = models.BigIntegerField(primary_key=True)
    at = models.DateTimeField()
    actor = models.CharField(max_length=160)
    action = models.CharField(max_length=64, help_text="suggestion.approved, policy.changed, …")
    subject = models.CharField(max_length=255, help_text="suggestion:<id>, policy:<kind>/<account>, …")
    data = models.JSONField(default=dict)
    previous_hash = models.CharField(max_length=64)
    hash = models.CharField(max_length=64)

    class Meta:
        ordering = ["seq"]
        verbose_name_plural = "audit entries"
        indexes = [models.Index(fields=["subject", "seq"], name="audit_subject")]

    def __str__(self) -> str:
        return f"#{self.seq} {self.action} {self.subject}"
