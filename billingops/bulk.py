"""Changing many rows in one statement, each to values of its own, and their history in another.

Django's bulk_update writes a CASE with a branch a row for every column; its cost grows with rows × rows. This joins the
table with a list of VALUES, which both of our databases do.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import connections, router
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import Model
from django.utils import timezone

from billingops.actors import Actor, change_reason

SQLITE_PARAMETERS = 32_000  # SQLite's own default since 3.32 (2020) is 32,766; Django 5.2 still holds itself to 999
POSTGRES_PARAMETERS = 60_000  # literals by the time the server sees them; this only keeps the text within reason


def allow_what_sqlite_allows(sender: Any, connection: Any, **kwargs: Any) -> None:
    """connection_created receiver: Django's own bulk_create in statements as large as SQLite takes them."""
    if connection.vendor == "sqlite":
        import sqlite3

        limit = connection.connection.getlimit(sqlite3.SQLITE_LIMIT_VARIABLE_NUMBER)
        connection.features.max_query_params = min(limit, SQLITE_PARAMETERS)


def update(model: type[Model], rows: Sequence[Any], fields: Sequence[str]) -> int:
    """Write `fields` (names) of `rows`; returns how many rows there were. Signals and auto_now are left out, as with
    `QuerySet.update`. Rows whose primary key is gone are passed over."""
    if not rows or not fields:
        return 0
    connection = connections[router.db_for_write(model)]
    columns = [model._meta.get_field(name) for name in fields]
    key = model._meta.pk
    assert key is not None
    limit = connection.features.max_query_params  # None on PostgreSQL
    per_statement = max(1, (limit or POSTGRES_PARAMETERS) // (len(columns) + 1))
    count = 0
    with connection.cursor() as cursor:
        for start in range(0, len(rows), per_statement):
            part = rows[start : start + per_statement]
            cursor.execute(
                _statement(connection, model, [key, *columns], len(part)), _values(connection, part, [key, *columns])
            )
            count += cursor.rowcount
    return count


def update_with_history(
    model: type[Model], rows: Sequence[Any], fields: Sequence[str], *, actor: Actor, reasons: Sequence[str]
) -> int:
    """`update`, then one history row each with its reason; see actors.save_with_history, which does it for one."""
    for row, reason in zip(rows, reasons, strict=True):
        row._history_user, row._change_reason = actor.user, change_reason(actor, reason)
    count = update(model, rows, fields)
    model.history.bulk_history_create(rows, update=True, default_date=timezone.now())  # type: ignore[attr-defined]
    return count


def _statement(connection: BaseDatabaseWrapper, model: type[Model], columns: Sequence[Any], rows: int) -> str:
    quote = connection.ops.quote_name
    # PostgreSQL takes a literal in VALUES for text; SQLite has no such types and must not be told any.
    casts = [
        f"%s::{column.rel_db_type(connection) if column.is_relation else column.db_type(connection)}"
        if connection.vendor == "postgresql"
        else "%s"
        for column in columns
    ]
    one = f"({', '.join(casts)})"
    sets = ", ".join(
        f"{quote(column.column)} = new_values.column{index}" for index, column in enumerate(columns[1:], start=2)
    )
    table = quote(model._meta.db_table)
    values = ", ".join([one] * rows)
    where = f"{table}.{quote(columns[0].column)} = new_values.column1"
    return f"UPDATE {table} SET {sets} FROM (VALUES {values}) AS new_values WHERE {where}"  # noqa: S608  (our own names)


def _values(connection: BaseDatabaseWrapper, rows: Sequence[Any], columns: Sequence[Any]) -> list[Any]:
    return [column.get_db_prep_save(getattr(row, column.attname), connection) for row in rows for column in columns]
