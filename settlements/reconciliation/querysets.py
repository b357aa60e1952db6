"""Questions about many items at once."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from django.db import models
from django.db.models.functions import Abs

from billingops import access
from billingops.admin.paging import COUNT_CAP, grouped
from settlements.reconciliation.states import DIFFERENCES, OPEN

if TYPE_CHECKING:
    from settlements.reconciliation.models import ReconciliationItem  # noqa: F401


class ItemQuerySet(models.QuerySet["ReconciliationItem"]):
    def visible_to(self, user: Any) -> ItemQuerySet:
        return access.scope(self, user)  # type: ignore[return-value]

    def open(self) -> ItemQuerySet:
        return self.filter(state__in=OPEN)

    def differences(self) -> ItemQuerySet:
        """Open ones whose grace time is over: what somebody has to look at."""
        return self.filter(state__in=DIFFERENCES)

    def of(self, *, transactions: Collection[int] = (), entries: Collection[Any] = ()) -> ItemQuerySet:
        """The items that hold any of these."""
        links = models.Q(links__transaction__in=transactions) | models.Q(links__entry__in=entries)
        return self.filter(links).distinct()

    def totals_of_newest(self, cap: int = COUNT_CAP) -> list[dict[str, Any]]:
        """[{currency, amount (sum of the differences), count}] of the newest `cap` rows, in one statement."""
        return grouped(self, ("currency",), amount="difference", when="found_at", cap=cap)

    def sizes_of_newest(self, cap: int = COUNT_CAP) -> list[dict[str, Any]]:
        """The same with the differences' sizes: one of +50 and one of −50 are 100 to look at."""
        return grouped(self.annotate(size=Abs("difference")), ("currency",), amount="size", when="found_at", cap=cap)
