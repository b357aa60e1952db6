"""Of a month's report: what Stripe moved on each balance, and what of the difference to the ledger is known.

Whatever agrees by id within the month needs no word. The rest has its reason in an item, open or settled, or is a pair
that agrees by id over the month's end. Each member counts in the month that it is dated in: a correction that is booked
a month later leaves the first month as far apart as it was, and says so there.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from django.db.models import Case, Exists, F, OuterRef, Q, Subquery, Sum, When

from billingops.stripe.models import MirroredBalanceTransaction
from settlements.ledger.models import JournalEntry
from settlements.reconciliation.models import ReconciliationLink
from settlements.reconciliation.states import DIFFERENCES, OPEN

if TYPE_CHECKING:
    from settlements.reconciliation.reports import Part

Window = tuple[datetime, datetime]
Find = Callable[[str, str, str], "Part"]  # ("cash", account, currency) → its part
# Two that agree by id and are dated further apart than this are told as unexplained rather than looked for.
MOST_APART = timedelta(days=3)


def fill(part: Find, window: Window, wanted: frozenset[str] | None) -> dict[str, int]:
    """Set `stripe`, `unmatched`, `settled` and `open_items` of the cash parts; returns account → differences of the
    month, each once, however many currencies it is in. `wanted`: of these accounts alone. Three statements."""
    of_stripe = MirroredBalanceTransaction.objects.order_by()
    if wanted is not None:
        of_stripe = of_stripe.filter(account__in=wanted)
    moved = of_stripe.filter(_in(window, "created")).values("account", "currency").annotate(sum=Sum("net"))
    for row in moved:
        part("cash", row["account"], row["currency"]).stripe = int(row["sum"])
    for row in _over_the_end(of_stripe, window):
        part("cash", row["account"], row["currency"]).settled += int(row["sum"])
    return _items(part, window, wanted)


def _in(window: Window, name: str) -> Q:
    return Q(**{f"{name}__gte": window[0], f"{name}__lt": window[1]})


def _items(part: Find, window: Window, wanted: frozenset[str] | None) -> dict[str, int]:
    """Ledger − Stripe of the members of items, those of the month alone. Where two currencies meet, each side stands in
    its own."""
    rows = ReconciliationLink.objects.filter(_in(window, "transaction__created") | _in(window, "entry__occurred_at"))
    if wanted is not None:
        rows = rows.filter(item__account__in=wanted)
    signed = Case(When(transaction=None, then=F("net")), default=-F("net"))
    sums = rows.order_by().values("item", "item__account", "item__state", "currency").annotate(sum=Sum(signed))
    found: dict[str, set[int]] = {}
    for row in sums.filter(Q(item__state__in=DIFFERENCES) | ~Q(sum=0)):
        account, state = row["item__account"], row["item__state"]
        one = part("cash", account, row["currency"])
        if state in OPEN:
            one.unmatched += int(row["sum"])
        else:
            one.settled += int(row["sum"])
        if state in DIFFERENCES:
            one.open_items += 1
            found.setdefault(account, set()).add(row["item"])
    return {account: len(items) for account, items in found.items()}


def _over_the_end(of_stripe: Any, window: Window) -> Any:
    """Pairs that agree by id, of which one side is in the month and the other is not."""
    near = Q()
    for end in window:
        near |= Q(created__gte=end - MOST_APART, created__lt=end + MOST_APART)
    same = JournalEntry.objects.filter(
        balance_transaction=OuterRef("object_id"), book=OuterRef("account"), currency=OuterRef("currency"),
        cash=OuterRef("net"), fee=OuterRef("fee"),
    ).exclude(balance_transaction="").order_by()  # fmt: skip
    in_item = ReconciliationLink.objects.filter(transaction=OuterRef("pk"))
    pairs = of_stripe.filter(near, ~Exists(in_item)).annotate(booked=Subquery(same.values("occurred_at")[:1]))
    apart = (_in(window, "created") & ~_in(window, "booked")) | (~_in(window, "created") & _in(window, "booked"))
    signed = Case(When(_in(window, "booked"), then=F("net")), default=-F("net"))
    return pairs.filter(apart, booked__isnull=False).values("account", "currency").annotate(sum=Sum(signed))
