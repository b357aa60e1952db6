"""Questions about many suggestions at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import models
from django.db.models import Count, Min, Sum
from django.utils import timezone

from approvals.states import RELEASES_DEDUPE_KEY, WAITING_FOR_A_PERSON, State
from billingops import access

if TYPE_CHECKING:
    from approvals.models import Suggestion  # noqa: F401


class SuggestionQuerySet(models.QuerySet["Suggestion"]):
    def visible_to(self, user: Any) -> SuggestionQuerySet:
        return access.scope(self, user)  # type: ignore[return-value]

    def waiting(self) -> SuggestionQuerySet:
        """A person has to decide."""
        return self.filter(state__in=WAITING_FOR_A_PERSON)

    def in_the_gate(self) -> SuggestionQuerySet:
        """Not finished: waiting, approved, on its way, or with an unknown result."""
        return self.filter(
            state__in=[*WAITING_FOR_A_PERSON, State.APPROVED, State.EXECUTING, State.EXECUTED, State.UNKNOWN]
        )

    def holding(self, dedupe_key: str) -> SuggestionQuerySet:
        """What keeps another suggestion from being made under this key."""
        return self.filter(dedupe_key=dedupe_key).exclude(state__in=RELEASES_DEDUPE_KEY)

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
