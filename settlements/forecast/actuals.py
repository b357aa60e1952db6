"""What happened, by day (UTC), from the ledger: what forecasts are compared with.

The platform's inflow: payments in the journal, net of Stripe's fee, on the day on which Stripe made the money
available (the mirrored balance transaction says which; where it is not known, the usual delay behind the payment).
A seller's inflow: what customers paid for its lines (the base of its earnings, before any fee), the usual delay behind
the payment. Outflow: transfers less reversals, on their own day. Refunds and disputes are kept apart: nobody forecasts
them here. Days up to `until` are over when Stripe's clock has passed them; later ones are what is under way already.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta

from django.db import transaction
from django.db.models import OuterRef, Subquery, Sum
from django.db.models.functions import TruncDate

from billingops.stripe.models import MirroredBalanceTransaction
from settlements.forecast.models import CashDay
from settlements.ledger.accounts import Kind
from settlements.ledger.models import JournalEntry
from settlements.models import Earning

LOOK_BACK = timedelta(days=30)  # no payment takes longer from the customer to the balance
_OUT = {Kind.TRANSFER: "outflow", Kind.TRANSFER_REVERSAL: "outflow", Kind.REFUND: "refunds", Kind.DISPUTE: "refunds"}
Key = tuple[str, str, date]  # account, currency, day


def start_of(day: date) -> datetime:
    return datetime.combine(day, time.min, tzinfo=UTC)


def read(since: date, *, settlement: Mapping[str, int], until: date | None = None) -> dict[Key, dict[str, int]]:
    """{(account, currency, day): {inflow, outflow, refunds}} of the days in [since, until]. Three statements."""
    found: dict[Key, dict[str, int]] = defaultdict(lambda: {"inflow": 0, "outflow": 0, "refunds": 0})

    def add(account: str, currency: str, day: date, column: str, amount: int) -> None:
        if day >= since and (until is None or day <= until):
            found[account, currency, day][column] += amount

    def later(day: date, currency: str) -> date:
        return day + timedelta(days=settlement.get(currency, 0))

    before = start_of(since - LOOK_BACK)
    known = MirroredBalanceTransaction.objects.filter(object_id=OuterRef("balance_transaction"))
    payments = JournalEntry.objects.filter(book="", kind=Kind.CHARGE, occurred_at__gte=before).order_by()
    for currency, paid, available, cash in (
        payments.annotate(
            paid=TruncDate("occurred_at", tzinfo=UTC),
            available=TruncDate(Subquery(known.values("available_on")[:1]), tzinfo=UTC),
        )
        .values_list("currency", "paid", "available")
        .annotate(total=Sum("cash"))
    ):
        add("", currency, available or later(paid, currency), "inflow", cash)
    earned = Earning.objects.filter(paid_at__gte=before).order_by()
    for account, currency, paid, base in (
        earned.annotate(paid_day=TruncDate("paid_at", tzinfo=UTC))
        .values_list("account", "currency", "paid_day")
        .annotate(total=Sum("base"))
    ):
        add(account, currency, later(paid, currency), "inflow", base)
    others = JournalEntry.objects.filter(book="", kind__in=list(_OUT), occurred_at__gte=start_of(since)).order_by()
    for kind, account, currency, day, cash in (
        others.annotate(day=TruncDate("occurred_at", tzinfo=UTC))
        .values_list("kind", "seller", "currency", "day")
        .annotate(total=Sum("cash"))
    ):
        for whose in {"", account}:
            add(whose, currency, day, _OUT[Kind(kind)], -cash)
    return dict(found)


def store(since: date, *, settlement: Mapping[str, int]) -> int:
    """Put the days from `since` on into the table, in place of what stood there; returns how many rows."""
    rows = [
        CashDay(account=account, currency=currency, day=day, **amounts)
        for (account, currency, day), amounts in sorted(read(since, settlement=settlement).items())
        if any(amounts.values())
    ]
    with transaction.atomic():
        CashDay.objects.filter(day__gte=since).delete()
        CashDay.objects.bulk_create(rows, batch_size=2000)
    return len(rows)
