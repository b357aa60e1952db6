"""The triggers that make the audit table append-only. Used by the migration, and by the test database's clean-up."""

from __future__ import annotations

from typing import Any

TABLE = "approvals_auditentry"

POSTGRESQL_INSTALL = f"""
CREATE OR REPLACE FUNCTION approvals_refuse_change() RETURNS trigger AS $$
BEGIN RAISE EXCEPTION 'the audit log is append-only (% on %)', TG_OP, TG_TABLE_NAME; END $$ LANGUAGE plpgsql;
CREATE TRIGGER audit_append_only BEFORE UPDATE OR DELETE ON {TABLE}
    FOR EACH ROW EXECUTE FUNCTION approvals_refuse_change();
CREATE TRIGGER audit_no_truncate BEFORE TRUNCATE ON {TABLE}
    FOR EACH STATEMENT EXECUTE FUNCTION approvals_refuse_change();
"""
POSTGRESQL_REMOVE = f"""
DROP TRIGGER IF EXISTS audit_append_only ON {TABLE};
DROP TRIGGER IF EXISTS audit_no_truncate ON {TABLE};
DROP FUNCTION IF EXISTS approvals_refuse_change();
"""
SQLITE_INSTALL = [
    f"""CREATE TRIGGER audit_no_{verb.lower()} BEFORE {verb} ON {TABLE}
    BEGIN SELECT RAISE(ABORT, 'the audit log is append-only ({verb})'); END"""
    for verb in ("UPDATE", "DELETE")
]
# INSERT OR REPLACE deletes without firing the DELETE trigger, unless recursive triggers are on.
SQLITE_INSTALL.append(
    f"""CREATE TRIGGER audit_no_replace BEFORE INSERT ON {TABLE}
    WHEN EXISTS (SELECT 1 FROM {TABLE} WHERE seq = NEW.seq)
    BEGIN SELECT RAISE(ABORT, 'the audit log is append-only (REPLACE)'); END"""  # noqa: S608  (our own table's name)
)
SQLITE_REMOVE = [f"DROP TRIGGER IF EXISTS audit_no_{verb}" for verb in ("update", "delete", "replace")]


def install(connection: Any) -> None:
    _run(connection, POSTGRESQL_INSTALL, SQLITE_INSTALL)


def remove(connection: Any) -> None:
    _run(connection, POSTGRESQL_REMOVE, SQLITE_REMOVE)


def _run(connection: Any, postgresql: str, sqlite: list[str]) -> None:
    statements = [postgresql] if connection.vendor == "postgresql" else sqlite
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
