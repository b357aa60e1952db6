"""Questions about many settlement rows at once."""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any

from django.db import models
from django.db.models import Count, Sum

from billingops import access
from settlements.states import FindingState, PayoutState

if TYPE_CHECKING:
    from settlements.models import Earning, Finding, PayoutRecord  # noqa: F401


class PayoutRecordQuerySet(models.QuerySet["PayoutRecord"]):
    def visible_to(self, user: Any) -> PayoutRecordQuerySet:
        return access.scope(self, user)  # type: ignore[return-value]

    def live(self) -> PayoutRecordQuerySet:
        """All but the cancelled: whatever holds a seller's share of an invoice."""
        return self.exclude(state=PayoutState.CANCELLED)

    def usual(self, *, seller_id: int, currency: str, last: int = 20) -> list[int]:
        """The amounts of the seller's last transferred payouts in this currency, newest first."""
        rows = self.filter(seller_id=seller_id, currency=currency, state=PayoutState.TRANSFERRED).order_by("-id")
        return list(rows.values_list("amount", flat=True)[:last])

    def totals_of_newest(self, cap: int) -> list[dict[str, Any]]:
        """One row per currency over the newest `cap` rows: `currency, count, amount` (minor units). One statement."""
        newest = self.order_by("-id").values("pk")[:cap]
        rows = self.model._default_manager.filter(pk__in=newest).order_by().values("currency")
        found = rows.annotate(count=Count("pk"), total=Sum("amount")).order_by("currency")
        return [{"currency": row["currency"], "count": row["count"], "amount": row["total"]} for row in found]


class FindingQuerySet(models.QuerySet["Finding"]):
    def visible_to(self, user: Any) -> FindingQuerySet:
        return access.scope(self, user)  # type: ignore[return-value]

    def open(self) -> FindingQuerySet:
        return self.filter(state=FindingState.OPEN)


class EarningQuerySet(models.QuerySet["Earning"]):
    def visible_to(self, user: Any) -> EarningQuerySet:
        return access.scope(self, user)  # type: ignore[return-value]

    def due(self, *, account: str, currency: str, on: date) -> EarningQuerySet:
        """What may be paid out on the day `on` (UTC), debts included, and is in no payout yet. Oldest payment first."""
        rows = self.filter(account=account, currency=currency, due_on__lte=on).exclude(open=0)
        return rows.exclude(items__state="in_flight").order_by("paid_at", "invoice")

    def balances(self, **of: Any) -> dict[str, int]:
        """Per currency what is open (minor units), due or not; `of` filters. One statement."""
        rows = self.filter(**of).exclude(open=0).order_by().values_list("currency").annotate(total=Sum("open"))
        return dict(rows)
