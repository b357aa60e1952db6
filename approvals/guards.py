"""The database's own word on seeded suggestions: no execution can be stored for one, whatever code asks for it.

Beside the check constraint on the suggestion (a seeded one is never approved). Installed after every migrate, for
SQLite forgets a trigger when it builds a table anew.
"""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.db import connections

NAME = "execution_never_of_seeded"
MESSAGE = "a seeded suggestion is never carried out"
POSTGRESQL = f"""
CREATE OR REPLACE FUNCTION approvals_refuse_seeded() RETURNS trigger AS $$
BEGIN
    IF EXISTS (SELECT 1 FROM approvals_suggestion WHERE id = NEW.suggestion_id AND is_seeded) THEN
        RAISE EXCEPTION '{MESSAGE}';
    END IF;
    RETURN NEW;
END $$ LANGUAGE plpgsql;
DROP TRIGGER IF EXISTS {NAME} ON approvals_execution;
CREATE TRIGGER {NAME} BEFORE INSERT OR UPDATE OF suggestion_id ON approvals_execution
    FOR EACH ROW EXECUTE FUNCTION approvals_refuse_seeded();
"""  # noqa: S608  (our own tables' names)
SQLITE = [
    f"""CREATE TRIGGER IF NOT EXISTS {NAME}_{verb.split()[0].lower()} BEFORE {verb} ON approvals_execution
    WHEN EXISTS (SELECT 1 FROM approvals_suggestion WHERE id = NEW.suggestion_id AND is_seeded)
    BEGIN SELECT RAISE(ABORT, '{MESSAGE}'); END"""  # noqa: S608  (our own tables' names)
    for verb in ("INSERT", "UPDATE OF suggestion_id")
]


def install(connection: Any) -> None:
    """Idempotent."""
    with connection.cursor() as cursor:
        for statement in [POSTGRESQL] if connection.vendor == "postgresql" else SQLITE:
            cursor.execute(statement)


def lift(sender: AppConfig, using: str = "default", **kwargs: Any) -> None:
    """pre_migrate receiver: SQLite renames no table while another one's trigger names it. `ensure` puts it back."""
    connection = connections[using]
    if sender.label == "approvals" and connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            for verb in ("insert", "update"):
                cursor.execute(f"DROP TRIGGER IF EXISTS {NAME}_{verb}")


def ensure(sender: AppConfig, using: str = "default", **kwargs: Any) -> None:
    """post_migrate receiver."""
    if sender.label != "approvals":
        return
    connection = connections[using]
    with connection.cursor() as cursor:
        tables = connection.introspection.table_names(cursor)
        if "approvals_execution" not in tables or "approvals_suggestion" not in tables:
            return
        columns = {row.name for row in connection.introspection.get_table_description(cursor, "approvals_suggestion")}
    if "is_seeded" in columns:
        install(connection)
