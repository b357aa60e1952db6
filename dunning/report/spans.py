"""Months and durations, computed by the database itself: on SQLite Django's own functions call Python for each row."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models import Func, Value
from django.db.models.functions import Least


class Month(Func):
    """ "2026-11", in UTC."""

    output_field = models.CharField()
    arity = 1

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        copy = self.copy()
        copy.source_expressions = [Value("%Y-%m"), *self.source_expressions]
        return Func.as_sql(copy, compiler, connection, function="strftime", template="%(function)s(%(expressions)s)")

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return self.as_sql(
            compiler, connection, template="to_char((%(expressions)s) AT TIME ZONE 'UTC', 'YYYY-MM')", **context
        )


class Seconds(Func):
    """Whole seconds from the second moment to the first."""

    output_field = models.BigIntegerField()
    arity = 2

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return self.as_sql(
            compiler,
            connection,
            template="CAST(ROUND((julianday(%(expressions)s)) * 86400) AS INTEGER)",
            arg_joiner=") - julianday(",
            **context,
        )

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return self.as_sql(
            compiler,
            connection,
            template="CAST(ROUND(EXTRACT(EPOCH FROM (%(expressions)s))) AS BIGINT)",
            arg_joiner=" - ",
            **context,
        )


def first_failure() -> Least:
    """When the invoice's first payment failed, as far as a case's columns tell: a case that was opened by a backfill is
    younger than its failure."""
    return Least("opened_at", "last_failed_at")
