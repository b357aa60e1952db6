"""The triggers that make the audit table append-only. Used by the migration, after every migrate (a change of the table
makes SQLite build a new one, without them), by verify_audit, and by the test database's clean-up."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.db import connections

TABLE = "approvals_auditentry"
NAMES = {
    "postgresql": ("audit_append_only", "audit_no_truncate"),
    "sqlite": ("audit_no_delete", "audit_no_replace", "audit_no_update"),
}

# ALWAYS: also in a session that calls itself a replica, where ordinary triggers sleep.
POSTGRESQL_INSTALL = f"""
CREATE OR REPLACE FUNCTION approvals_refuse_change() RETURNS trigger AS $$
BEGIN RAISE EXCEPTION 'the audit log is append-only (% on %)', TG_OP, TG_TABLE_NAME; END $$ LANGUAGE plpgsql;
DROP TRIGGER IF EXISTS audit_append_only ON {TABLE};
CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE ON {TABLE}
    FOR EACH ROW EXECUTE FUNCTION approvals_refuse_change();
DROP TRIGGER IF EXISTS audit_no_truncate ON {TABLE};
CREATE TRIGGER audit_no_truncate BEFORE TRUNCATE ON {TABLE}
    FOR EACH STATEMENT EXECUTE FUNCTION approvals_refuse_change();
ALTER TABLE {TABLE} ENABLE ALWAYS TRIGGER audit_append_only;
ALTER TABLE {TABLE} ENABLE ALWAYS TRIGGER audit_no_truncate;
"""
POSTGRESQL_REMOVE = f"""
DROP TRIGGER IF EXISTS audit_append_only ON {TABLE};
DROP TRIGGER IF EXISTS audit_no_truncate ON {TABLE};
DROP FUNCTION IF EXISTS approvals_refuse_change();
"""
SQLITE_INSTALL = [
    f"""CREATE TRIGGER IF NOT EXISTS audit_no_{verb.lower()} BEFORE {verb} ON {TABLE}
    BEGIN SELECT RAISE(ABORT, 'the audit log is append-only ({verb})'); END"""
    for verb in ("UPDATE", "DELETE")
]
# INSERT OR REPLACE deletes without firing the DELETE trigger, unless recursive triggers are on.
SQLITE_INSTALL.append(
    f"""CREATE TRIGGER IF NOT EXISTS audit_no_replace BEFORE INSERT ON {TABLE}
    WHEN EXISTS (SELECT 1 FROM {TABLE} WHERE seq = NEW.seq)
    BEGIN SELECT RAISE(ABORT, 'the audit log is append-only (REPLACE)'); END"""  # noqa: S608  (our own table's name)
)
SQLITE_REMOVE = [f"DROP TRIGGER IF EXISTS {name}" for name in NAMES["sqlite"]]


def install(connection: Any) -> None:
    """Idempotent."""
    _run(connection, POSTGRESQL_INSTALL, SQLITE_INSTALL)


def remove(connection: Any) -> None:
    _run(connection, POSTGRESQL_REMOVE, SQLITE_REMOVE)


def missing(connection: Any) -> list[str]:
    """The triggers that are not there, or are switched off."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(
                "SELECT tgname FROM pg_trigger WHERE tgrelid = %s::regclass AND tgenabled IN ('O', 'A')", [TABLE]
            )
        else:
            cursor.execute("SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = %s", [TABLE])
        there = {row[0] for row in cursor.fetchall()}
    return [name for name in NAMES[connection.vendor] if name not in there]


def ensure(sender: AppConfig, using: str = "default", **kwargs: Any) -> None:
    """post_migrate receiver."""
    connection = connections[using]
    if sender.label == "approvals" and TABLE in connection.introspection.table_names() and missing(connection):
        install(connection)


def _run(connection: Any, postgresql: str, sqlite: list[str]) -> None:
    statements = [postgresql] if connection.vendor == "postgresql" else sqlite
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
