"""What was carried out so far, for the caps of a day: counted in quarters of an hour, so that any time zone's day is a
sum of whole rows.

`take` runs inside the transaction that begins an execution, under `locks.begin`, so what a cap allows is given out
once; `give_back` when the attempt certainly had no effect. An attempt is in the counters when its `counted_at` is set.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db import connection
from django.db.models import F, Q, Sum

from approvals.models import Execution, PolicyUsage, Suggestion
from approvals.policies.clauses import Used

KEPT = timedelta(days=60)
_TABLE = PolicyUsage._meta.db_table
_Scope = PolicyUsage.Scope
# The scope of each cap of a day.
SCOPE_OF = {"customer_day": _Scope.CUSTOMER, "account_day": _Scope.ACCOUNT, "day": _Scope.KIND}


def quarter(at: datetime) -> datetime:
    at = at.astimezone(UTC)
    return at.replace(minute=at.minute // 15 * 15, second=0, microsecond=0)


def used(kind: str, scope: str, keys: Collection[str], start: datetime, end: datetime) -> dict[str, Used]:
    """By key. One statement; keys of which nothing was carried out are left out."""
    rows = PolicyUsage.objects.filter(kind=kind, scope=scope, key__in=keys, quarter__gte=start, quarter__lt=end)
    counts: dict[str, int] = {}
    sums: dict[str, dict[str, int]] = {}
    for key, currency, count, amount in (
        rows.values_list("key", "currency").annotate(counted=Sum("count"), total=Sum("amount")).order_by()
    ):
        counts[key] = counts.get(key, 0) + count
        if currency:
            sums.setdefault(key, {})[currency] = amount
    return {key: Used(count, sums.get(key, {})) for key, count in counts.items()}


def take(execution: Execution, suggestion: Suggestion, *, at: datetime) -> None:
    """Count an attempt that begins now. One statement; the caller saves the execution."""
    execution.counted_at = at
    amount = suggestion.amount or 0
    start: Any = connection.ops.adapt_datetimefield_value(quarter(at))
    rows = [[suggestion.kind, scope, key, start, suggestion.currency, 1, amount] for scope, key in _keys(suggestion)]
    places = ", ".join(["(%s, %s, %s, %s, %s, %s, %s)"] * len(rows))
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO {_TABLE} (kind, scope, key, quarter, currency, count, amount) VALUES {places} "  # noqa: S608
            "ON CONFLICT (kind, scope, key, quarter, currency) DO UPDATE "
            f"SET count = {_TABLE}.count + 1, amount = {_TABLE}.amount + excluded.amount",
            [value for row in rows for value in row],
        )


def give_back(execution: Execution, suggestion: Suggestion) -> None:
    """Nothing happened after all. The caller holds the locks and saves the execution."""
    if execution.counted_at is None:
        return
    mine = Q()
    for scope, key in _keys(suggestion):
        mine |= Q(scope=scope, key=key)
    rows = PolicyUsage.objects.filter(
        mine, kind=suggestion.kind, quarter=quarter(execution.counted_at), currency=suggestion.currency
    )
    rows.update(count=F("count") - 1, amount=F("amount") - (suggestion.amount or 0))
    execution.counted_at = None


def forget(*, before: datetime) -> int:
    """Quarters of long ago; no cap looks back further than a day."""
    return PolicyUsage.objects.filter(quarter__lt=before).delete()[0]


def _keys(suggestion: Suggestion) -> list[tuple[str, str]]:
    keys = [(_Scope.ACCOUNT.value, suggestion.account), (_Scope.KIND.value, "")]
    return [(_Scope.CUSTOMER.value, suggestion.customer), *keys] if suggestion.customer else keys
