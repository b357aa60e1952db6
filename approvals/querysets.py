"""Questions about many suggestions at once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from django.db import models
from django.db.models import Count, Exists, Min, OuterRef, Q, Sum
from django.utils import timezone

from approvals.states import RELEASES_DEDUPE_KEY, WAITING_FOR_A_PERSON, State
from billingops import access

if TYPE_CHECKING:
    from approvals.models import Suggestion  # noqa: F401


def approved_by(user: Any) -> Exists:
    """For a suggestion: whether `user` has given one of the approvals that count now."""
    from approvals.models import Decision

    given = Decision.objects.filter(suggestion=OuterRef("pk"), revision=OuterRef("revision"))
    return Exists(given.filter(actor=user.pk, verdict=Decision.Verdict.APPROVE))


def _own(user: Any) -> Q:
    # Not `last_editor=user` alone: excluding a nullable column would turn "unknown" into "not".
    edited = Q(last_editor__isnull=False, last_editor=user.pk)
    proposed = Q(proposed_by__isnull=False, proposed_by=user.pk)
    return Q(approved_by(user)) | edited | proposed


class SuggestionQuerySet(models.QuerySet["Suggestion"]):
    def visible_to(self, user: Any) -> SuggestionQuerySet:
        return access.scope(self, user)  # type: ignore[return-value]

    def waiting(self) -> SuggestionQuerySet:
        """A person has to decide."""
        return self.filter(state__in=WAITING_FOR_A_PERSON)

    def for_others(self, user: Any) -> SuggestionQuerySet:
        """Second looks that `user` cannot give: theirs was the first approval, or the proposal, or the last edit."""
        return self.filter(state=State.SECOND_REVIEW).filter(_own(user))

    def second_looks(self, user: Any) -> SuggestionQuerySet:
        """Second looks that `user` could give."""
        return self.filter(state=State.SECOND_REVIEW).exclude(_own(user))

    def with_own_approval(self, user: Any) -> SuggestionQuerySet:
        """Each row told whether `user` has approved it (`approved_by_me`), in the statement that reads the rows."""
        return self.annotate(approved_by_me=approved_by(user))

    def in_the_gate(self) -> SuggestionQuerySet:
        """Not finished: waiting, approved, on its way, or with an unknown result."""
        return self.filter(
            state__in=[*WAITING_FOR_A_PERSON, State.APPROVED, State.EXECUTING, State.EXECUTED, State.UNKNOWN]
        )

    def holding(self, dedupe_key: str) -> SuggestionQuerySet:
        """What keeps another suggestion from being made under this key."""
        return self.filter(dedupe_key=dedupe_key).exclude(state__in=RELEASES_DEDUPE_KEY)

    def holding_any(self, dedupe_keys: Iterable[str]) -> SuggestionQuerySet:
        """The same for several keys."""
        return self.filter(dedupe_key__in=list(dedupe_keys)).exclude(state__in=RELEASES_DEDUPE_KEY)

    def overdue(self) -> SuggestionQuerySet:
        return self.waiting().filter(expires_at__lte=timezone.now())

    def totals(self) -> list[dict[str, Any]]:
        """One row per currency: `currency, count, amount` (minor units); rows without an amount are left out."""
        rows = self.exclude(amount=None).order_by().values("currency")
        return list(rows.annotate(count=Count("pk"), amount=Sum("amount")).order_by("currency"))

    def by_kind(self) -> list[dict[str, Any]]:
        """One row per kind and currency of what is in the set: `kind, currency, count, oldest, amount`."""
        rows = self.order_by().values("kind", "currency")
        return list(rows.annotate(count=Count("pk"), oldest=Min("created_at"), amount=Sum("amount")).order_by("kind"))
