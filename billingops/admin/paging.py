"""Counts and pages whose cost does not grow with the table: a count stops at a cap, and says so ("10,000+")."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from django.core.exceptions import EmptyResultSet
from django.core.paginator import Paginator
from django.db import connections
from django.db.models import F, QuerySet
from django.utils import timezone

COUNT_CAP = 10_000


def count_label(count: int, cap: int = COUNT_CAP) -> str:
    """`1,234`, or `10,000+` for whatever lies above the cap."""
    return f"{cap:,}+" if count > cap else f"{count:,}"


def capped_counts(
    querysets: Mapping[str, QuerySet[Any]],
    *,
    cap: int = COUNT_CAP,
    moments: Mapping[str, QuerySet[Any]] | None = None,
    found: dict[str, datetime] | None = None,
) -> dict[str, int]:
    """How many rows each queryset has, all in ONE statement; a value of `cap + 1` means "more than cap".

    `moments`: querysets of one time each, read by the same statement into `found`, where there is one.

    All querysets must live in one database. Ordering is dropped: it costs and changes no count.
    """
    parts: list[str] = []
    params: list[Any] = []
    names: list[str] = []
    counts = dict.fromkeys(querysets, 0)
    using = "default"
    for name, queryset in querysets.items():
        using = queryset.db
        limited = queryset.order_by().values_list("pk")[: cap + 1]
        try:
            sql, arguments = limited.query.sql_with_params()
        except EmptyResultSet:  # an empty `IN ()`: no need to ask
            continue
        parts.append(f"(SELECT COUNT(*) FROM ({sql}) c{len(parts)})")  # noqa: S608  (Django's own SQL)
        params.extend(arguments)
        names.append(name)
    for queryset in (moments or {}).values():
        sql, arguments = queryset.query.sql_with_params()
        parts.append(f"({sql})")
        params.extend(arguments)
    if parts:
        with connections[using].cursor() as cursor:
            cursor.execute("SELECT " + ", ".join(parts), params)
            row = cursor.fetchone()
        counts.update(zip(names, row, strict=False))
        if found is not None:
            times = zip(moments or {}, row[len(names) :], strict=True)
            found.update({name: _aware(value) for name, value in times if value is not None})
    return counts


class CappedPaginator(Paginator):
    """Pages over at most COUNT_CAP rows. Deeper rows are reached by searching or filtering, never by a deep offset."""

    cap = COUNT_CAP

    @cached_property
    def _seen(self) -> int:
        if not isinstance(self.object_list, QuerySet):
            return len(self.object_list)
        return capped_counts({"all": self.object_list}, cap=self.cap)["all"]

    @cached_property
    def count(self) -> int:  # type: ignore[override]
        return min(self._seen, self.cap)

    @property
    def count_label(self) -> str:
        return count_label(self._seen, self.cap)


def first_rows(queryset: QuerySet[Any], *, cap: int = COUNT_CAP, newest: bool = True) -> QuerySet[Any]:
    """The first `cap` rows by primary key, as a set that can still be grouped and summed in one statement."""
    ordered = queryset.order_by("-pk" if newest else "pk").values("pk")[:cap]
    return queryset.model._default_manager.filter(pk__in=ordered).order_by()


def grouped(
    queryset: QuerySet[Any],
    by: tuple[str, ...],
    *,
    amount: str = "amount",
    when: str = "created_at",
    cap: int = COUNT_CAP,
    newest: bool = True,
    order: Sequence[str] = (),
) -> list[dict[str, Any]]:
    """Count, sum and earliest time per group of the first `cap` rows by primary key: `[{**by, count, amount, oldest}]`.

    One statement over one bounded scan; grouping a set of primary keys instead would read every row twice. `order`: of
    the rows, where an index has it together with all columns that are asked for (`when` may be one of `by`).
    """
    names = {f"g{index}": F(name) for index, name in enumerate(by)}
    inner = queryset.order_by(*(order or ["-pk" if newest else "pk"])).annotate(**names, a=F(amount), w=F(when))
    try:
        sql, params = inner.values_list(*names, "a", "w")[:cap].query.sql_with_params()
    except EmptyResultSet:
        return []
    keys = ", ".join(names)
    with connections[queryset.db].cursor() as cursor:
        cursor.execute(
            f"SELECT {keys}, COUNT(*), SUM(a), MIN(w) FROM ({sql}) t GROUP BY {keys} ORDER BY {keys}",  # noqa: S608
            params,
        )
        rows = cursor.fetchall()
    return [
        {
            **dict(zip(by, row, strict=False)),
            "count": row[-3],
            "amount": None if row[-2] is None else int(row[-2]),
            "oldest": _aware(row[-1]),
        }
        for row in rows
    ]


def _aware(value: Any) -> datetime:
    """SQLite hands a time back as text in UTC, PostgreSQL as an aware datetime."""
    moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    return moment if timezone.is_aware(moment) else timezone.make_aware(moment, UTC)
