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
    count = update(model, rows, fields)
    add_history(model, rows, kind="~", actor=actor, reasons=reasons)
    return count


def add_history(model: type[Model], rows: Sequence[Any], *, kind: str, actor: Actor, reasons: Sequence[str]) -> None:
    """A history row for each of `rows`, copied in the database from what it says there; `kind` as simple-history's
    history_type: "+" made, "~" changed."""
    connection = connections[router.db_for_write(model)]
    quote = connection.ops.quote_name
    kept: Any = model.history.model  # type: ignore[attr-defined]
    key = model._meta.pk
    assert key is not None
    columns = [quote(field.column) for field in kept.tracked_fields]
    own = ["history_date", "history_type", "history_user_id", "history_change_reason"]
    one = f"({_cast(connection, key)}, %s)"
    each = (connection.features.max_query_params or POSTGRES_PARAMETERS) // 2 - len(own)
    given = [
        (key.get_db_prep_save(row.pk, connection), change_reason(actor, reason))
        for row, reason in zip(rows, reasons, strict=True)
    ]
    with connection.cursor() as cursor:
        for start in range(0, len(given), each):
            part = given[start : start + each]
            statement = (
                f"INSERT INTO {quote(kept._meta.db_table)} ({', '.join([*columns, *map(quote, own)])}) "  # noqa: S608
                f"SELECT {', '.join(f'r.{column}' for column in columns)}, %s, %s, %s, v.column2 "
                f"FROM (VALUES {', '.join([one] * len(part))}) v "
                f"JOIN {quote(model._meta.db_table)} r ON r.{quote(str(key.column))} = v.column1 ORDER BY v.column1"
            )
            now = connection.ops.adapt_datetimefield_value(timezone.now())
            user = actor.user.pk if actor.user else None
            cursor.execute(statement, [now, kind, user, *(value for pair in part for value in pair)])


def _statement(connection: BaseDatabaseWrapper, model: type[Model], columns: Sequence[Any], rows: int) -> str:
    quote = connection.ops.quote_name
    one = f"({', '.join(_cast(connection, column) for column in columns)})"
    sets = ", ".join(
        f"{quote(column.column)} = new_values.column{index}" for index, column in enumerate(columns[1:], start=2)
    )
    table = quote(model._meta.db_table)
    values = ", ".join([one] * rows)
    where = f"{table}.{quote(columns[0].column)} = new_values.column1"
    return f"UPDATE {table} SET {sets} FROM (VALUES {values}) AS new_values WHERE {where}"  # noqa: S608  (our own names)


def _cast(connection: BaseDatabaseWrapper, column: Any) -> str:
    """PostgreSQL takes a literal in VALUES for text; SQLite has no such types and must not be told any."""
    if connection.vendor != "postgresql":
        return "%s"
    return f"%s::{column.rel_db_type(connection) if column.is_relation else column.db_type(connection)}"


def _values(connection: BaseDatabaseWrapper, rows: Sequence[Any], columns: Sequence[Any]) -> list[Any]:
    return [column.get_db_prep_save(getattr(row, column.attname), connection) for row in rows for column in columns]
