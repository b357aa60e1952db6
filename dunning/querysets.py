"""Many-row questions about cases, messages and tasks."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from django.db import models

from dunning.states import UNPAID, CaseState, ClosedReason, MessageState

if TYPE_CHECKING:
    from dunning.models import DunningCase, Message  # noqa: F401


class CaseQuerySet(models.QuerySet["DunningCase"]):
    def unpaid(self) -> CaseQuerySet:
        return self.filter(state__in=UNPAID)

    def of_invoice(self, invoice: str, account: str) -> CaseQuerySet:
        return self.filter(invoice=invoice, account=account)

    def of_customer(self, customer: str, account: str) -> CaseQuerySet:
        return self.filter(customer=customer, account=account)

    def due(self, now: datetime) -> CaseQuerySet:
        """Cases whose next step is to be thought about again."""
        undecided = (CaseState.OPEN, CaseState.WAITING)
        return self.filter(state__in=undecided, next_step_at__lte=now).order_by("next_step_at")

    def overdue(self, now: datetime) -> CaseQuerySet:
        """Unpaid cases on which nobody has acted in the time set for it; the clock's partial index answers it."""
        late = models.Q(sla_due_at__lte=now) | models.Q(sla_level__gt=0)
        return self.unpaid().filter(late, sla_due_at__isnull=False)

    def record_of(self, customer: str, account: str, *, without: int | None = None) -> tuple[int, int]:
        """(recovered, lost) cases of a customer, the case `without` left out. One statement."""
        if not customer:
            return 0, 0
        others = self.of_customer(customer, account)
        if without is not None:
            others = others.exclude(pk=without)
        found = others.aggregate(
            recovered=models.Count("pk", filter=models.Q(state=CaseState.RECOVERED)),
            lost=models.Count("pk", filter=models.Q(closed_reason=ClosedReason.UNCOLLECTIBLE)),
        )
        return found["recovered"], found["lost"]

    def outcomes_like(self, category: str) -> dict[str, int]:
        """How cases of the same category have ended or stand: state → count. One statement."""
        rows = self.filter(category=category).order_by().values_list("state").annotate(count=models.Count("pk"))
        return dict(rows)


class MessageQuerySet(models.QuerySet["Message"]):
    def sent(self) -> MessageQuerySet:
        return self.filter(state=MessageState.SENT)
