# ruff: noqa: S608  (every name in these statements is our own; values are parameters)
"""What all statements of a run share: its two work tables, gathering what belongs to what is in them, and reading it.
PostgreSQL and SQLite.

recon_t (transactions) and recon_e (entries) hold the ids of what a run has to judge; by_id.py fills them. Everything
here is set-based: what agrees never reaches Python.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from hashlib import md5
from typing import Any
from weakref import WeakKeyDictionary

from django.db import connection

from settlements.reconciliation.states import OPEN, SETTLED

TXN, ENTRY = "mirror_mirroredbalancetransaction", "ledger_journalentry"
ITEM, LINK = "reconciliation_reconciliationitem", "reconciliation_reconciliationlink"
MOVES = "(NOT (e.cash = 0) OR NOT (e.fee = 0))"
SAME = "e.book = t.account AND e.currency = t.currency AND e.cash = t.net AND e.fee = t.fee"
MAX_ROUNDS = 6
# Which book a row is of, beside what it is looked up by.
_BOOKS = re.compile(
    r"(?=\b(?:e\.book = (?:t\.account|k\.book)|t\.account = (?:e\.book|k\.book)|p\.account = e\.book)\b)"
)
FETCH = 2000
FEW = 500  # rows that are looked up one by one


@dataclass(frozen=True)
class Scope:
    """`account` None: every book. `since` None: everything, else what was synced or posted after it. `seen`: whatever
    was made later was in no look before this one, of whichever book; None: who knows."""

    account: str | None = None
    since: datetime | None = None
    seen: datetime | None = None

    def params(self) -> dict[str, Any]:
        since = connection.ops.adapt_datetimefield_value(self.since) if self.since else None
        return {"account": self.account, "since": since}

    def of(self, alias: str, column: str) -> str:
        return "" if self.account is None else f" AND {alias}.{column} = %(account)s"


def planned(statement: str) -> str:
    """For SQLite, which does not know that a book is nearly everything and would walk through all of it for each row: a
    plus keeps a column from being looked up by its index. PostgreSQL counts."""
    return _BOOKS.sub("+", statement) if connection.vendor == "sqlite" else statement


def _in(values: tuple[Any, ...]) -> str:
    return ", ".join(f"'{value!s}'" for value in values)  # our own constants


OPEN_STATES, SETTLED_STATES = _in(OPEN), _in(SETTLED)
STICKY = f"(i.how IN ('hand', 'corrected') OR i.state IN ({_in(('explained', 'written_off'))}))"


# Statements of a look at few rows, which are planned once for each connection (to plan one of them takes longer than to
# run it): what PostgreSQL says it has of them, since it began this look.
_kept: WeakKeyDictionary[Any, set[str]] = WeakKeyDictionary()


def prepare(*, few: bool = False) -> None:
    """Empty work tables. On PostgreSQL they stay with the connection, and what is in them until the next run; for
    that: room for joining a million rows, or, of `few` rows, plans that look each of them up by index, start no
    workers, and are kept."""
    if connection.vendor == "postgresql":
        # To compile takes longer than these statements run. What they read by index is read in its order.
        settings = {"jit": "off", "random_page_cost": "1.1"}
        if few:
            settings |= {"max_parallel_workers_per_gather": "0", "plan_cache_mode": "force_generic_plan"}
            settings |= {"enable_nestloop": "off"}  # how many are new is not known yet; see `expect`
        else:
            settings |= {"work_mem": "'256MB'", "hash_mem_multiplier": "2"}
        statements = [f"SET LOCAL {name} = {value}" for name, value in settings.items()]
        for table, column in (("recon_t", "bigint"), ("recon_e", "uuid")):
            statements.append(f"CREATE TEMPORARY TABLE IF NOT EXISTS {table} (id {column} PRIMARY KEY)")
            # Few dead rows cost less than four files cut short; many would not.
            statements.append(f"DELETE FROM {table}" if few else f"TRUNCATE {table}")
        statements.append("SELECT name FROM pg_prepared_statements WHERE name LIKE 'recon_%'")
        with connection.cursor() as cursor:
            cursor.execute("; ".join(statements))
            while cursor.nextset():
                pass
            known = {name for (name,) in cursor.fetchall()}
        _kept.pop(connection.connection, None)
        if few:
            _kept[connection.connection] = known
        return
    with connection.cursor() as cursor:
        for table, column in (("recon_t", "bigint"), ("recon_e", "char(32)")):
            cursor.execute(f"DROP TABLE IF EXISTS {table}")
            cursor.execute(f"CREATE TEMPORARY TABLE {table} (id {column} PRIMARY KEY)")


def expect(rows: int) -> None:
    """Say how many rows are left over of what is new: PostgreSQL counts a work table for thousands, and would read
    others whole for three rows."""
    settings = {"enable_nestloop": "DEFAULT"}
    if rows <= FEW:
        settings |= {f"enable_{way}": "off" for way in ("hashjoin", "mergejoin", "seqscan")}
    else:
        _kept.pop(connection.connection, None)
    with connection.cursor() as cursor:
        cursor.execute("; ".join(f"SET LOCAL {name} = {value}" for name, value in settings.items()))


def keep(cursor: Any, statement: str, **values: tuple[str, Any]) -> None:
    """Run a statement, with %(name)s for those of the values, (type, value), that it has. In a look at few rows its
    plan is kept: made without knowing values, under what is SET when it runs for the first time."""
    values = {name: value for name, value in values.items() if f"%({name})s" in statement}
    known = _kept.get(connection.connection) if connection.vendor == "postgresql" else None
    if known is None:
        cursor.execute(statement, {name: value for name, (_, value) in values.items()} or None)
        return
    text = statement
    for number, name in enumerate(values, 1):
        text = text.replace(f"%({name})s", f"${number}")
    name = f"recon_{md5(text.encode(), usedforsecurity=False).hexdigest()}"
    if name not in known:
        types = ", ".join(kind for kind, _ in values.values())
        cursor.execute(f"PREPARE {name}{f' ({types})' if types else ''} AS {text}")
        known.add(name)
    marks = ", ".join(["%s"] * len(values))
    cursor.execute(f"EXECUTE {name}{f' ({marks})' if marks else ''}", [value for _, value in values.values()] or None)


# What the members are known by: their item, the transaction, Stripe's object behind it, in which book.
_KEYS = f"""
    SELECT l.item_id AS item, t.object_id AS txn, t.source_id AS source, t.account AS book
    FROM recon_t w JOIN {TXN} t ON t.id = w.id LEFT JOIN {LINK} l ON l.transaction_id = w.id
    UNION
    SELECT l.item_id, e.balance_transaction, e.source, e.book
    FROM recon_e w JOIN {ENTRY} e ON e.id = w.id LEFT JOIN {LINK} l ON l.entry_id = w.id
"""
# The other members of the same items, partners by id, all about the same object.
_WIDER = {
    "recon_t": f"""
        SELECT o.transaction_id FROM k JOIN {LINK} o ON o.item_id = k.item WHERE o.transaction_id IS NOT NULL
        UNION
        SELECT t.id FROM k JOIN {TXN} t ON t.object_id = k.txn AND t.account = k.book WHERE NOT (k.txn = '')
        UNION
        SELECT t.id FROM k JOIN {TXN} t ON t.source_id = k.source AND t.account = k.book WHERE NOT (k.source = '')
    """,
    "recon_e": f"""
        SELECT o.entry_id FROM k JOIN {LINK} o ON o.item_id = k.item WHERE o.entry_id IS NOT NULL
        UNION
        SELECT e.id FROM k JOIN {ENTRY} e ON e.balance_transaction = k.txn AND NOT (e.balance_transaction = '')
        AND e.book = k.book WHERE {MOVES} AND NOT (k.txn = '')
        UNION
        SELECT e.id FROM k JOIN {ENTRY} e ON e.source = k.source AND NOT (e.source = '')
        AND e.book = k.book WHERE {MOVES} AND NOT (k.source = '')
    """,
}
_WIDER_AT_ONCE = (
    f"WITH k AS MATERIALIZED ({_KEYS}), "
    + ", ".join(
        f"{table}_in AS (INSERT INTO {table} {select} ON CONFLICT DO NOTHING RETURNING 1)"
        for table, select in _WIDER.items()
    )
    + " SELECT (SELECT COUNT(*) FROM recon_t_in) + (SELECT COUNT(*) FROM recon_e_in)"
)


def widen() -> None:
    """Add whatever belongs to what is there: members of the same items, partners by id, all about the same object."""
    with connection.cursor() as cursor:
        for _ in range(MAX_ROUNDS):
            if connection.vendor == "postgresql":
                # Both halves at once; what each adds the other sees in the next round.
                keep(cursor, _WIDER_AT_ONCE)
                added = cursor.fetchone()[0]
            else:
                added = 0
                for table, select in _WIDER.items():
                    cursor.execute(f"INSERT INTO {table} WITH k AS ({_KEYS}) {planned(select)} ON CONFLICT DO NOTHING")
                    added += max(cursor.rowcount, 0)
            if not added:
                break


# One row a member; an entry's id is a UUID, a transaction's a number: each has a column of its own. `held` is the item
# of a match by hand or of a correction, which stays together.
_MEMBERS = f"""
SELECT 't' AS side, t.id AS t_id, CAST(NULL AS uuid) AS e_id, t.account AS book, t.currency, t.net, t.fee,
       t.created AS at, t.reporting_category AS category, t.source_id AS source, t.object_id AS txn,
       t.synced_at AS seen_at, COALESCE(i.id, 0) AS item, COALESCE(l.id, 0) AS link,
       CASE WHEN {STICKY} THEN i.id END AS held, COALESCE(NULLIF(t.source_id, ''), t.object_id) AS about
FROM recon_t w JOIN {TXN} t ON t.id = w.id LEFT JOIN {LINK} l ON l.transaction_id = t.id
LEFT JOIN {ITEM} i ON i.id = l.item_id
UNION ALL
SELECT 'e', CAST(NULL AS bigint), e.id, e.book, e.currency, e.cash, e.fee, e.occurred_at,
       e.kind, e.source, e.balance_transaction, e.posted_at,
       COALESCE(i.id, 0), COALESCE(l.id, 0), CASE WHEN {STICKY} THEN i.id END,
       COALESCE(NULLIF(p.source_id, ''), p.object_id, NULLIF(e.source, ''), NULLIF(e.balance_transaction, ''), e.key)
FROM recon_e w JOIN {ENTRY} e ON e.id = w.id LEFT JOIN {TXN} p ON p.object_id = e.balance_transaction
AND p.account = e.book
LEFT JOIN {LINK} l ON l.entry_id = e.id LEFT JOIN {ITEM} i ON i.id = l.item_id
"""
# Those of one component together. Whatever has an id in common with a member of such an item comes to it: what was
# corrected or matched by hand while it was missing may have come after all.
_GROUPED = f"""
SELECT side, t_id, e_id, book, currency, net, fee, at, category, source, txn, seen_at, item, link,
       COALESCE('item:' || COALESCE(held, CASE WHEN txn <> '' THEN MIN(held) OVER (PARTITION BY book, txn) END), about)
FROM ({_MEMBERS}) m ORDER BY 4, 15, 1 DESC, 8, 2, 3
"""


def members() -> Iterator[tuple[Any, ...]]:
    """(side, id, account, currency, net, fee, at, category or kind, source, txn, seen_at, item, link, group), ordered
    by account and group, then transactions first."""
    with connection.cursor() as cursor:
        keep(cursor, planned(_GROUPED))
        while rows := cursor.fetchmany(FETCH):
            yield from rows
