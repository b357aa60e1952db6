"""Questions about many timeline entries or customers at once."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.db import models
from django.db.models import Count, Q, Sum

from billingops import access

if TYPE_CHECKING:
    from support.models import CustomerContact, TimelineEntry  # noqa: F401

MAX_TERM = 100


class TimelineEntryQuerySet(models.QuerySet["TimelineEntry"]):
    def visible_to(self, user: Any) -> TimelineEntryQuerySet:
        return access.scope(self, user)  # type: ignore[return-value]

    def of_customer(self, customer: str) -> TimelineEntryQuerySet:
        return self.filter(customer=customer)

    def about(self, invoice_id: str) -> TimelineEntryQuerySet:
        """What belongs to an invoice, oldest first."""
        return self.filter(subject=invoice_id).order_by("at", "id")

    def between(self, start: datetime | None, end: datetime | None) -> TimelineEntryQuerySet:
        found = self.filter(at__gte=start) if start else self
        return found.filter(at__lte=end) if end else found

    def matching(self, term: str) -> TimelineEntryQuerySet:
        """Entries that name `term`: an id or the start of one, an invoice number, a code (`insufficient_funds`, or in
        words), an amount in minor units. Reads one customer's entries only, so it needs no index of its own."""
        term = term.strip()[:MAX_TERM]
        code = term.lower().replace(" ", "_")
        wanted = Q(object_id__istartswith=term) | Q(subject__istartswith=term)
        wanted |= Q(what__contains=code) | Q(state=code)
        wanted |= (
            Q(facts__code=code) | Q(facts__decline_code=code) | Q(facts__reason=code) | Q(facts__number__iexact=term)
        )
        wanted |= Q(facts__reason_code=code) | Q(facts__suggestion_kind=code) | Q(facts__who__iexact=term)
        figures = term.replace(",", "").replace(".", "").lstrip("-−")
        if figures.isascii() and figures.isdigit() and len(figures) <= 15:
            wanted |= Q(amount=int(figures))
        return self.filter(wanted)

    def sums(self) -> list[dict[str, Any]]:
        """One row per kind, state and currency: `count, amount` (minor units)."""
        rows = self.order_by().values("kind", "state", "currency")
        return list(rows.annotate(count=Count("pk"), amount=Sum("amount")))


class CustomerContactQuerySet(models.QuerySet["CustomerContact"]):
    def visible_to(self, user: Any) -> CustomerContactQuerySet:
        return access.scope(self, user)  # type: ignore[return-value]

    def matching(self, term: str) -> CustomerContactQuerySet:
        """An e-mail address or a name that starts with `term`, upper and lower case alike; both have an index."""
        key = term.strip().lower()[:MAX_TERM]
        return self.filter(Q(email_key__startswith=key) | Q(name_key__startswith=key))
