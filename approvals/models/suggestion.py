"""A suggestion: the pending record that everything turns on."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Self

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.utils import timezone
from simple_history.models import HistoricalRecords

from approvals import registry
from approvals.models.policy import Policy
from approvals.querysets import SuggestionQuerySet
from approvals.states import RELEASES_DEDUPE_KEY, TAKEABLE, WAITING_FOR_A_PERSON, State
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
    baseline = models.CharField(
        max_length=64, blank=True, default="", help_text="what the rules alone would have done, where a model was asked"
    )
    agent_run = models.UUIDField(null=True, blank=True, help_text="the AgentRun whose answer was used")
    proposed_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    revision = models.PositiveSmallIntegerField(default=1, help_text="grows with each edit; approvals hold for one")
    last_editor = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    flags = models.JSONField(default=list, help_text="[{code, text}]: what a reviewer should look at twice")
    event_id = models.CharField(max_length=255, blank=True, default="")
    dedupe_key = models.CharField(max_length=255)
    mode = models.CharField(max_length=8, default="review", help_text="the policy's mode when it was proposed")
    policy = models.JSONField(default=dict, help_text="which clause decided, when proposed and when executed")
    required_approvals = models.PositiveSmallIntegerField(default=1)
    is_blind = models.BooleanField(default=False, help_text="shown without the verdict, to measure agreement honestly")
    revealed_at = models.DateTimeField(
        null=True, blank=True, help_text="of a blind one: when somebody had said what they would do"
    )
    is_seeded = models.BooleanField(default=False, help_text="made wrong on purpose; it can never be carried out")
    assignee = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, blank=True, on_delete=models.PROTECT, related_name="+"
    )
    assigned_at = models.DateTimeField(null=True, blank=True)
    rank_at = models.DateTimeField(
        default=timezone.now, help_text="its place in the queue: made at, moved forward by what is urgent"
    )
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
            models.CheckConstraint(
                condition=Q(is_seeded=False)
                | Q(state__in=["pending", "second_review", "rejected", "expired", "superseded", "observed"]),
                name="suggestion_seeded_is_never_approved",
            ),
        ]
        indexes = [
            models.Index(fields=["state", "-id"], name="suggestion_state"),
            models.Index(fields=["state", "kind", "-id"], name="suggestion_state_kind"),
            models.Index(fields=["state", "account", "-id"], name="suggestion_state_account"),
            models.Index(fields=["customer", "-id"], name="suggestion_customer"),
            models.Index(fields=["subject", "-id"], name="suggestion_subject"),
            models.Index(fields=["kind", "account", "-id"], name="suggestion_kind_account"),
            models.Index(fields=["state", "expires_at"], name="suggestion_expiry"),
            # The queue: in its order, with what it adds up at the end, so that sums are read off the index alone. Plain
            # columns in place of INCLUDE, which SQLite lacks.
            models.Index(
                fields=["rank_at", "id", "currency", "amount"],
                name="suggestion_queue",
                condition=Q(state__in=WAITING_FOR_A_PERSON),
            ),
            models.Index(
                fields=["account", "rank_at", "id", "currency", "amount"],
                name="suggestion_queue_account",
                condition=Q(state__in=WAITING_FOR_A_PERSON),
            ),
            models.Index(
                fields=["kind", "rank_at", "id", "currency", "amount"],
                name="suggestion_queue_kind",
                condition=Q(state__in=WAITING_FOR_A_PERSON),
            ),
            models.Index(
                fields=["rank_at", "id", "currency", "amount"],
                name="suggestion_queue_free",
                condition=Q(state__in=WAITING_FOR_A_PERSON, assignee=None),
            ),
            models.Index(
                fields=["assignee", "rank_at", "id", "currency", "amount", "state", "is_seeded"],
                name="suggestion_queue_taken",
                condition=Q(state__in=TAKEABLE, assignee__isnull=False),
            ),
            models.Index(
                fields=["rank_at", "id", "currency", "amount", "revision", "proposed_by", "last_editor"],
                name="suggestion_queue_second",
                condition=Q(state=State.SECOND_REVIEW),
            ),
        ]
        permissions = [
            ("approve_suggestion", "Can approve, reject, cancel and retry suggestions"),
            ("approve_second_suggestion", "Can give the second approval"),
        ]

    def __str__(self) -> str:
        if self.is_undisclosed:
            return f"Undisclosed · {self.subject}"
        money = f" {self.money}" if self.amount is not None else ""
        return f"{registry.label(self.kind)}{money} · {self.subject}"

    # -- what was read, so that a step writes only what it moved (services/writing.py) --

    @classmethod
    def from_db(cls, db: str | None, field_names: Collection[str], values: Collection[Any], **kwargs: Any) -> Self:
        row = super().from_db(db, field_names, values, **kwargs)
        row.is_stored()
        return row

    def refresh_from_db(self, using: Any = None, fields: Any = None, from_queryset: Any = None) -> None:
        super().refresh_from_db(using, fields, from_queryset)
        if fields is None:
            self.is_stored()

    def is_stored(self) -> None:
        """The database has this row as it is now. JSON is replaced, never changed in place, or the change is lost."""
        names = (field.attname for field in self._meta.concrete_fields)
        self._stored = {name: self.__dict__[name] for name in names if name in self.__dict__}

    def moved_fields(self) -> set[str]:
        """The names of the fields that differ from what was read; all of them when nothing was."""
        stored: dict[str, Any] = self.__dict__.get("_stored", {})
        return {
            field.name
            for field in self._meta.concrete_fields
            if not field.primary_key
            and field.attname in self.__dict__
            and (field.attname not in stored or stored[field.attname] != self.__dict__[field.attname])
        }

    @property
    def money(self) -> str:
        """`USD 133.03`, or "" for a kind without an amount."""
        return format_money(self.amount, self.currency) if self.amount is not None else ""

    @property
    def destination(self) -> str:
        """Where the money goes (acct_…), or "" for kinds that send none."""
        return registry.destination(self)

    @property
    def kind_label(self) -> str:
        return "Undisclosed" if self.is_undisclosed else registry.label(self.kind)

    @property
    def is_undisclosed(self) -> bool:
        """Blind, undecided, and of a kind that has alternatives: not even its kind is shown (blind.py)."""
        hidden = self.is_blind and self.revealed_at is None and self.is_waiting
        return hidden and bool(registry.alternatives(self.kind))

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
