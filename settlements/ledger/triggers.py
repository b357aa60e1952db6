"""The triggers that keep the journal what it is: append-only, and every entry balanced. Used by the migration, after
every migrate (a change of a table makes SQLite build a new one, without them), by verify_ledger, and by the test
database's clean-up.

Refused by the database itself, whoever asks:
- a change, removal or truncation of entries and postings;
- an entry whose postings, there before it, are fewer than two, do not sum to 0, or are of another currency, or whose
  `cash` is not the sum of its postings to cash;
- a posting to an entry that is there: its insert closed it.
A posting whose entry never comes is refused by the foreign key when the transaction commits.

On PostgreSQL the two checks look at all rows of a statement at once (transition tables): they cost a bulk insert one
index lookup a row, and no call of a function a row.
"""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.db import connections

ENTRY, POSTING = "ledger_journalentry", "ledger_posting"
TABLES = (ENTRY, POSTING)
NAMES = {
    "postgresql": (
        *(f"{table}_{what}" for table in TABLES for what in ("append_only", "no_truncate")),
        f"{ENTRY}_adds_up",
        f"{POSTING}_in_time",
    ),
    "sqlite": (
        *(f"{table}_{what}" for table in TABLES for what in ("no_delete", "no_replace", "no_update")),
        f"{ENTRY}_adds_up",
        f"{POSTING}_in_time",
    ),
}

# enable_seqscan: the plan is kept for the session, and one made when the table was small would read all of it for each
# entry once it is large. LATERAL keeps it to a lookup an entry.
# ALWAYS (also in a session that calls itself a replica) for what refuses changes; not for the checks: a subscriber's
# first copy of the tables comes in an order of its own.
POSTGRESQL_INSTALL = f"""
CREATE OR REPLACE FUNCTION ledger_refuse_change() RETURNS trigger AS $$
BEGIN
    RAISE EXCEPTION 'the ledger is append-only (% on %)', TG_OP, TG_TABLE_NAME USING ERRCODE = 'restrict_violation';
END $$ LANGUAGE plpgsql;

CREATE OR REPLACE FUNCTION ledger_check_entries() RETURNS trigger AS $$
DECLARE wrong record;
BEGIN
    SELECT added.key, added.currency, added.cash, found.* INTO wrong
    FROM added CROSS JOIN LATERAL (
        SELECT count(*) AS postings, coalesce(sum(p.amount), 0) AS total,
               count(*) FILTER (WHERE p.currency <> added.currency) AS foreigners,
               coalesce(sum(p.amount) FILTER (WHERE p.account = 'cash'), 0) AS to_cash
        FROM {POSTING} p WHERE p.entry_id = added.id
    ) found
    WHERE found.postings < 2 OR found.total <> 0 OR found.foreigners > 0 OR found.to_cash <> added.cash
    LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'ledger entry % does not add up: % postings, sum %, % in another currency than %, cash % of %',
            wrong.key, wrong.postings, wrong.total, wrong.foreigners, wrong.currency, wrong.cash, wrong.to_cash
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$ LANGUAGE plpgsql SET enable_seqscan = off;

CREATE OR REPLACE FUNCTION ledger_check_postings() RETURNS trigger AS $$
DECLARE closed record;
BEGIN
    SELECT e.key INTO closed FROM added JOIN {ENTRY} e ON e.id = added.entry_id LIMIT 1;
    IF FOUND THEN
        RAISE EXCEPTION 'ledger entry % is closed: it takes no further posting', closed.key
            USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$ LANGUAGE plpgsql SET enable_seqscan = off;

DROP TRIGGER IF EXISTS {ENTRY}_adds_up ON {ENTRY};
CREATE TRIGGER {ENTRY}_adds_up AFTER INSERT ON {ENTRY}
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION ledger_check_entries();
DROP TRIGGER IF EXISTS {POSTING}_in_time ON {POSTING};
CREATE TRIGGER {POSTING}_in_time AFTER INSERT ON {POSTING}
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION ledger_check_postings();
"""  # noqa: S608  (our own tables' names)
POSTGRESQL_INSTALL += "".join(
    f"""
DROP TRIGGER IF EXISTS {table}_append_only ON {table};
CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE ON {table}
    FOR EACH ROW EXECUTE FUNCTION ledger_refuse_change();
DROP TRIGGER IF EXISTS {table}_no_truncate ON {table};
CREATE TRIGGER {table}_no_truncate BEFORE TRUNCATE ON {table}
    FOR EACH STATEMENT EXECUTE FUNCTION ledger_refuse_change();
ALTER TABLE {table} ENABLE ALWAYS TRIGGER {table}_append_only;
ALTER TABLE {table} ENABLE ALWAYS TRIGGER {table}_no_truncate;
"""
    for table in TABLES
)
_TABLE_OF = {name: ENTRY if name.startswith(ENTRY) else POSTING for name in NAMES["postgresql"]}
POSTGRESQL_REMOVE = (
    "".join(f"DROP TRIGGER IF EXISTS {name} ON {table};\n" for name, table in _TABLE_OF.items())
    + "DROP FUNCTION IF EXISTS ledger_refuse_change(), ledger_check_entries(), ledger_check_postings();"
)

SQLITE_INSTALL = [
    f"""CREATE TRIGGER IF NOT EXISTS {table}_no_{verb.lower()} BEFORE {verb} ON {table}
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only ({verb} on {table})'); END"""
    for table in TABLES
    for verb in ("UPDATE", "DELETE")
]
# INSERT OR REPLACE deletes without firing the DELETE trigger, unless recursive triggers are on.
SQLITE_INSTALL += [
    f"""CREATE TRIGGER IF NOT EXISTS {ENTRY}_no_replace BEFORE INSERT ON {ENTRY}
    WHEN EXISTS (SELECT 1 FROM {ENTRY} WHERE id = NEW.id) OR EXISTS (SELECT 1 FROM {ENTRY} WHERE key = NEW.key)
    BEGIN SELECT RAISE(ABORT, 'there is a ledger entry of this id or key'); END""",  # noqa: S608  (our own names)
    f"""CREATE TRIGGER IF NOT EXISTS {POSTING}_no_replace BEFORE INSERT ON {POSTING}
    WHEN EXISTS (SELECT 1 FROM {POSTING} WHERE id = NEW.id)
    BEGIN SELECT RAISE(ABORT, 'the ledger is append-only (REPLACE on {POSTING})'); END""",  # noqa: S608
    f"""CREATE TRIGGER IF NOT EXISTS {ENTRY}_adds_up AFTER INSERT ON {ENTRY}
    WHEN (SELECT COUNT(*) < 2 OR SUM(amount) <> 0 OR MAX(currency <> NEW.currency)
                 OR SUM(CASE account WHEN 'cash' THEN amount ELSE 0 END) <> NEW.cash
          FROM {POSTING} WHERE entry_id = NEW.id)
    BEGIN SELECT RAISE(ABORT, 'a ledger entry does not add up'); END""",  # noqa: S608
    f"""CREATE TRIGGER IF NOT EXISTS {POSTING}_in_time BEFORE INSERT ON {POSTING}
    WHEN EXISTS (SELECT 1 FROM {ENTRY} WHERE id = NEW.entry_id)
    BEGIN SELECT RAISE(ABORT, 'a ledger entry is closed: it takes no further posting'); END""",  # noqa: S608
]
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
                "SELECT tgname FROM pg_trigger WHERE tgrelid = ANY(%s::regclass[]) AND tgenabled IN ('O', 'A')",
                [list(TABLES)],
            )
        else:
            cursor.execute(
                "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name IN (%s, %s)", list(TABLES)
            )
        there = {row[0] for row in cursor.fetchall()}
    return [name for name in NAMES[connection.vendor] if name not in there]


def ensure(sender: AppConfig, using: str = "default", **kwargs: Any) -> None:
    """post_migrate receiver."""
    connection = connections[using]
    if sender.label == "ledger" and set(TABLES) <= set(connection.introspection.table_names()) and missing(connection):
        install(connection)


def _run(connection: Any, postgresql: str, sqlite: list[str]) -> None:
    statements = [postgresql] if connection.vendor == "postgresql" else sqlite
    with connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
