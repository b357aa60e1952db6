# ruff: noqa: S608  (every name in these statements is our own; values are parameters)
"""The statements of the first pass, and of gathering what belongs to what it leaves over. PostgreSQL and SQLite.

Two temporary tables hold what a run has to look at: recon_t (transactions) and recon_e (entries). `Scope` says of which
book, and since when. Everything here is set-based: what agrees never reaches Python.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection
from django.utils import timezone

from settlements.reconciliation.states import OPEN, SETTLED

TXN, ENTRY = "mirror_mirroredbalancetransaction", "ledger_journalentry"
ITEM, LINK = "reconciliation_reconciliationitem", "reconciliation_reconciliationlink"
MOVES = "(NOT (e.cash = 0) OR NOT (e.fee = 0))"
SAME = "e.book = t.account AND e.currency = t.currency AND e.cash = t.net AND e.fee = t.fee"
MAX_ROUNDS = 6
# Which book a row is of, beside what it is looked up by.
_BOOKS = re.compile(
    r"(?=\b(?:e\.book = (?:t\.account|o\.book)|t\.account = (?:e\.book|o\.account)|p\.account = e\.book)\b)"
)
FETCH = 2000


@dataclass(frozen=True)
class Scope:
    """`account` None: every book. `since` None: everything, else what was synced or posted after it."""

    account: str | None = None
    since: datetime | None = None

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
STICKY = f"(i.how = 'hand' OR i.state IN ({_in(('explained', 'written_off'))}))"


@dataclass
class Looked:
    """How much was looked at. `books`: (account, currency) that something was seen of."""

    transactions: int = 0
    entries: int = 0
    books: frozenset[tuple[str, str]] = frozenset()


def look(scope: Scope) -> Looked:
    """Fill the work tables with what is to be judged. What is new, on PostgreSQL, is found in one statement."""
    if scope.since is not None and connection.vendor == "postgresql":
        prepare(few=True)
        looked, left = _what_is_new(scope)
        if left:
            widen()
        return looked
    prepare()
    looked = first_pass(scope)
    gather(scope)
    return looked


def prepare(*, few: bool = False) -> None:
    """Empty work tables, in the run's transaction. On PostgreSQL: room for hashing a million rows, or, of `few` rows,
    plans that look each of them up by index and start no workers for that."""
    if connection.vendor == "postgresql":
        settings = {"jit": "off"}  # compiles longer than these statements run
        settings |= (
            {"max_parallel_workers_per_gather": "0", "random_page_cost": "1.1"}
            if few
            else {"work_mem": "'256MB'", "hash_mem_multiplier": "2"}
        )
        statements = [f"SET LOCAL {name} = {value}" for name, value in settings.items()]
        for table, column in (("recon_t", "bigint"), ("recon_e", "uuid")):
            statements.append(f"CREATE TEMPORARY TABLE IF NOT EXISTS {table} (id {column} PRIMARY KEY) ON COMMIT DROP")
            statements.append(f"DELETE FROM {table}")
        with connection.cursor() as cursor:
            cursor.execute("; ".join(statements))
        return
    with connection.cursor() as cursor:
        for table, column in (("recon_t", "bigint"), ("recon_e", "char(32)")):
            cursor.execute(f"DROP TABLE IF EXISTS {table}")
            cursor.execute(f"CREATE TEMPORARY TABLE {table} (id {column} PRIMARY KEY)")


def _what_is_new(scope: Scope) -> tuple[Looked, int]:
    """What was synced or posted, met with whatever has the same id: both sides of it that do not agree one to one, and
    what `gather` says of settled and freed members and of expected ones. Returns how many rows are to be judged, too.
    """
    held = f"EXISTS (SELECT 1 FROM {LINK} l JOIN {ITEM} i ON i.id = l.item_id WHERE i.state IN ({SETTLED_STATES})"
    t_held = f"{held} AND l.transaction_id = m.t_id AND (l.net, l.fee, l.currency) = (m.net, m.t_fee, m.t_currency))"
    e_held = f"{held} AND l.entry_id = m.e_id AND (l.net, l.fee, l.currency) = (m.cash, m.e_fee, m.e_currency))"
    loose = f"(i.state IN ({OPEN_STATES}) OR (i.state = 'matched' AND i.how IN ('reference', 'amount')))"

    def freed(column: str, mine: str, partners: str, partner: str) -> str:
        return f"""
            SELECT l.{column} FROM met m JOIN {LINK} l ON l.{column} = m.{mine} JOIN {ITEM} i ON i.id = l.item_id
            LEFT JOIN {LINK} own ON own.{partners} = m.{partner} AND own.item_id = l.item_id
            WHERE m.same AND own.id IS NULL AND {loose}{scope.of("i", "account")}
        """

    def waiting(column: str) -> str:
        return f"""
            SELECT l.{column} FROM {ITEM} i JOIN {LINK} l ON l.item_id = i.id
            WHERE i.state = 'expected' AND i.due_at <= %(now)s AND l.{column} IS NOT NULL{scope.of("i", "account")}
        """

    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            WITH new_t AS MATERIALIZED (
                SELECT t.id, t.object_id, t.account, t.currency, t.net, t.fee FROM {TXN} t
                WHERE t.synced_at > %(since)s{scope.of("t", "account")}
            ), new_e AS MATERIALIZED (
                SELECT e.id, e.balance_transaction, e.book, e.currency, e.cash, e.fee FROM {ENTRY} e
                WHERE e.posted_at > %(since)s AND {MOVES}{scope.of("e", "book")}
            ), named AS MATERIALIZED (
                -- Grouped, not joined: how much is new the planner cannot know.
                SELECT txn, MAX(id) AS id, MAX(account) AS account, MAX(currency) AS currency, MAX(net) AS net,
                       MAX(fee) AS fee
                FROM (SELECT object_id AS txn, id, account, currency, net, fee FROM new_t UNION ALL
                      SELECT balance_transaction, NULL, NULL, NULL, NULL, NULL FROM new_e
                      WHERE balance_transaction <> '') n
                GROUP BY txn
            ), known AS MATERIALIZED (
                -- Only what is not new itself is looked up; to look for NULL costs nothing.
                SELECT n.txn, COALESCE(n.id, o.id) AS id, COALESCE(n.account, o.account) AS account,
                       COALESCE(n.currency, o.currency) AS currency, COALESCE(n.net, o.net) AS net,
                       COALESCE(n.fee, o.fee) AS fee
                FROM named n LEFT JOIN {TXN} o
                ON o.object_id = CASE WHEN n.id IS NULL THEN n.txn END{scope.of("o", "account")}
            ), met AS MATERIALIZED (
                SELECT t.id AS t_id, t.net, t.fee AS t_fee, t.currency AS t_currency,
                       e.id AS e_id, e.cash, e.fee AS e_fee, e.currency AS e_currency,
                       COALESCE({SAME}, FALSE) AS same, COUNT(e.id) OVER (PARTITION BY t.txn) AS many
                FROM known t LEFT JOIN {ENTRY} e
                ON e.balance_transaction = t.txn AND {MOVES}{scope.of("e", "book")}
                UNION ALL
                SELECT NULL, NULL, NULL, NULL, e.id, e.cash, e.fee, e.currency, FALSE, 0
                FROM new_e e WHERE e.balance_transaction = ''
            ), left_t AS (
                INSERT INTO recon_t
                SELECT m.t_id FROM met m WHERE m.t_id IS NOT NULL AND NOT (m.same AND m.many = 1) AND NOT {t_held}
                UNION {freed("transaction_id", "t_id", "entry_id", "e_id")} UNION {waiting("transaction_id")}
                RETURNING 1
            ), left_e AS (
                INSERT INTO recon_e
                SELECT m.e_id FROM met m WHERE m.e_id IS NOT NULL AND NOT (m.same AND m.many = 1) AND NOT {e_held}
                UNION {freed("entry_id", "e_id", "transaction_id", "t_id")} UNION {waiting("entry_id")}
                RETURNING 1
            )
            SELECT 't', account, currency, COUNT(*) FROM new_t GROUP BY account, currency
            UNION ALL SELECT 'e', book, currency, COUNT(*) FROM new_e GROUP BY book, currency
            UNION ALL SELECT 'left', '', '', (SELECT COUNT(*) FROM left_t) + (SELECT COUNT(*) FROM left_e)
            """,
            {**scope.params(), "now": timezone.now()},
        )
        rows = cursor.fetchall()
    counts = {side: sum(row[3] for row in rows if row[0] == side) for side in ("t", "e", "left")}
    books = frozenset((row[1], row[2]) for row in rows if row[0] != "left")
    return Looked(counts["t"], counts["e"], books), counts["left"]


def first_pass(scope: Scope) -> Looked:
    """Fill the work tables with what does not agree with exactly one partner by id."""
    if scope.since is None and connection.vendor == "postgresql":
        return _hash_join(scope)
    return _lookups(scope)


def _hash_join(scope: Scope) -> Looked:
    """Everything, as one hash join that both counts and keeps aside what differs.

    Grouped by the entry's own columns: PostgreSQL knows how few books there are and groups by hashing; what has no
    entry is in a group of its own.
    """
    differs = "t.id IS NULL OR e.id IS NULL OR e.cash <> t.net OR e.fee <> t.fee OR e.currency <> t.currency"
    differs += " OR e.book <> t.account"
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS recon_pass1")
        cursor.execute(
            f"""
            CREATE TEMPORARY TABLE recon_pass1 AS
            SELECT e.book, e.currency, COUNT(t.id) AS ts, COUNT(e.id) AS es,
                   ARRAY_AGG(t.id) FILTER (WHERE t.id IS NOT NULL AND ({differs})) AS t_ids,
                   ARRAY_AGG(e.id) FILTER (WHERE e.id IS NOT NULL AND ({differs})) AS e_ids
            FROM (SELECT t.id, t.object_id, t.account, t.currency, t.net, t.fee FROM {TXN} t
                  WHERE TRUE{scope.of("t", "account")}) t
            FULL JOIN (SELECT e.id, e.balance_transaction, e.book, e.currency, e.cash, e.fee FROM {ENTRY} e
                       WHERE {MOVES}{scope.of("e", "book")}) e
            ON e.balance_transaction = t.object_id
            GROUP BY e.book, e.currency
            """,
            scope.params(),
        )
        for table, column in (("recon_t", "t_ids"), ("recon_e", "e_ids")):
            cursor.execute(f"INSERT INTO {table} SELECT DISTINCT UNNEST({column}) FROM recon_pass1")
        cursor.execute(
            f"""
            SELECT book, currency, ts, es FROM recon_pass1 UNION ALL
            SELECT t.account, t.currency, 0, 0 FROM recon_t w JOIN {TXN} t ON t.id = w.id
            GROUP BY t.account, t.currency
            """
        )
        rows = cursor.fetchall()
        # Each entry meets one transaction at most; a transaction that meets several entries was counted several times.
        cursor.execute(f"SELECT COUNT(*) FROM {TXN} t WHERE TRUE{scope.of('t', 'account')}", scope.params())
        transactions = cursor.fetchone()[0]
        if sum(row[2] for row in rows) - transactions > _known_doubles(cursor, scope):
            _doubled(cursor, scope)
    books = frozenset((row[0], row[1]) for row in rows if row[0] is not None)
    return Looked(transactions, sum(row[3] for row in rows), books)


def _known_doubles(cursor: Any, scope: Scope) -> int:
    """How many entries more than one each transaction has among the members of items. Neither side ever loses a row,
    so as long as a run finds no more than that, there is no new one."""
    cursor.execute(
        f"""
        SELECT COALESCE(SUM(many - 1), 0) FROM (
            SELECT COUNT(*) AS many FROM {LINK} l JOIN {ENTRY} e ON e.id = l.entry_id
            JOIN {TXN} t ON t.object_id = e.balance_transaction
            WHERE NOT (e.balance_transaction = ''){scope.of("e", "book")}{scope.of("t", "account")}
            GROUP BY e.balance_transaction HAVING COUNT(*) > 1
        ) d
        """,
        scope.params(),
    )
    return int(cursor.fetchone()[0])


def _doubled(cursor: Any, scope: Scope) -> None:
    """Entries that share their transaction with another one, which may each agree with it."""
    mine = f"NOT (e.balance_transaction = '') AND {MOVES}{scope.of('e', 'book')}"
    if scope.since is None:
        named = f"SELECT e.balance_transaction AS txn FROM {ENTRY} e WHERE {mine}"
        named += " GROUP BY e.balance_transaction HAVING COUNT(*) > 1"
    else:
        named = f"SELECT DISTINCT e.balance_transaction AS txn FROM {ENTRY} e WHERE {mine} AND e.posted_at > %(since)s"
    other = f"SELECT 1 FROM {ENTRY} o WHERE o.balance_transaction = e.balance_transaction AND o.id <> e.id"
    other += " AND NOT (o.balance_transaction = '') AND (NOT (o.cash = 0) OR NOT (o.fee = 0))"
    own = mine.replace("AND e.book", "AND +e.book") if connection.vendor == "sqlite" else mine  # see `planned`
    cursor.execute(
        f"""
        INSERT INTO recon_e SELECT e.id FROM ({named}) d JOIN {ENTRY} e ON e.balance_transaction = d.txn
        WHERE {own} AND EXISTS ({other}) ON CONFLICT DO NOTHING
        """,
        scope.params(),
    )


def _lookups(scope: Scope) -> Looked:
    """What is new, each looked up by index; on SQLite everything."""
    t_new = " AND t.synced_at > %(since)s" if scope.since else ""
    e_new = " AND e.posted_at > %(since)s" if scope.since else ""
    t_mine, e_mine = scope.of("t", "account") + t_new, scope.of("e", "book") + e_new
    params = scope.params()
    with connection.cursor() as cursor:
        cursor.execute(
            planned(f"""
            INSERT INTO recon_t SELECT t.id FROM {TXN} t WHERE TRUE{t_mine} AND NOT EXISTS (
                SELECT 1 FROM {ENTRY} e WHERE e.balance_transaction = t.object_id AND NOT (e.balance_transaction = '')
                AND {MOVES} AND {SAME}
            )
            """),
            params,
        )
        cursor.execute(
            planned(f"""
            INSERT INTO recon_e SELECT e.id FROM {ENTRY} e WHERE {MOVES}{e_mine} AND NOT EXISTS (
                SELECT 1 FROM {TXN} t WHERE t.object_id = e.balance_transaction AND {SAME}
            )
            """),
            params,
        )
        _doubled(cursor, scope)
        cursor.execute(
            planned(f"""
            SELECT 't', t.account, t.currency, COUNT(*) FROM {TXN} t WHERE TRUE{t_mine} GROUP BY t.account, t.currency
            UNION ALL
            SELECT 'e', e.book, e.currency, COUNT(*) FROM {ENTRY} e WHERE {MOVES}{e_mine} GROUP BY e.book, e.currency
            """),
            params,
        )
        rows = cursor.fetchall()
    counts = {side: sum(row[3] for row in rows if row[0] == side) for side in ("t", "e")}
    return Looked(counts["t"], counts["e"], frozenset((row[1], row[2]) for row in rows))


def gather(scope: Scope) -> None:
    """Leave out what was settled and has not moved; add open items (of a look at what is new only those whose grace
    time is over: what else may have changed about them comes with the new rows), and whatever belongs to what is there:
    the other members of its items, its partners by id, and all that is about the same object of Stripe's."""
    params = {**scope.params(), "now": connection.ops.adapt_datetimefield_value(timezone.now())}
    waits = f"i.state IN ({OPEN_STATES})" if scope.since is None else "i.state = 'expected' AND i.due_at <= %(now)s"
    with connection.cursor() as cursor:
        for table, row, column, net, currency in (
            ("recon_t", TXN, "transaction_id", "r.net", "r.currency"),
            ("recon_e", ENTRY, "entry_id", "r.cash", "r.currency"),
        ):
            cursor.execute(
                f"""
                DELETE FROM {table} WHERE id IN (
                    SELECT l.{column} FROM {LINK} l JOIN {ITEM} i ON i.id = l.item_id JOIN {row} r ON r.id = l.{column}
                    WHERE i.state IN ({SETTLED_STATES})
                      AND l.net = {net} AND l.fee = r.fee AND l.currency = {currency}
                )
                """
            )
        _freed(cursor, scope)
        for table, column in (("recon_t", "transaction_id"), ("recon_e", "entry_id")):
            cursor.execute(
                f"""
                INSERT INTO {table} SELECT l.{column} FROM {LINK} l JOIN {ITEM} i ON i.id = l.item_id
                WHERE {waits} AND l.{column} IS NOT NULL{scope.of("i", "account")}
                ON CONFLICT DO NOTHING
                """,
                params,
            )
    widen()


def _freed(cursor: Any, scope: Scope) -> None:
    """What is open, or was matched by reference or amount, and now has a partner that agrees by id."""
    for table, column, mine, other, new in (
        ("recon_t", "transaction_id", f"{TXN} t", f"{ENTRY} e", "e.posted_at"),
        ("recon_e", "entry_id", f"{ENTRY} e", f"{TXN} t", "t.synced_at"),
    ):
        alias, partner, partners = mine[-1], other[-1], "entry_id" if column == "transaction_id" else "transaction_id"
        cursor.execute(
            planned(f"""
            INSERT INTO {table} SELECT DISTINCT l.{column} FROM {LINK} l JOIN {ITEM} i ON i.id = l.item_id
            JOIN {mine} ON {alias}.id = l.{column}
            JOIN {other} ON e.balance_transaction = t.object_id AND NOT (e.balance_transaction = '') AND {SAME}
            LEFT JOIN {LINK} own ON own.{partners} = {partner}.id AND own.item_id = l.item_id
            WHERE (i.state IN ({OPEN_STATES}) OR (i.state = 'matched' AND i.how IN ('reference', 'amount')))
            AND own.id IS NULL
            {f"AND {new} > %(since)s" if scope.since else ""}{scope.of("i", "account")}
            ON CONFLICT DO NOTHING
            """),
            scope.params(),
        )


_WIDER: tuple[tuple[str, str], ...] = (
    # the other members of the same items
    ("recon_t", f"SELECT o.transaction_id FROM recon_t w JOIN {LINK} l ON l.transaction_id = w.id"
                f" JOIN {LINK} o ON o.item_id = l.item_id WHERE o.transaction_id IS NOT NULL"),
    ("recon_t", f"SELECT o.transaction_id FROM recon_e w JOIN {LINK} l ON l.entry_id = w.id"
                f" JOIN {LINK} o ON o.item_id = l.item_id WHERE o.transaction_id IS NOT NULL"),
    ("recon_e", f"SELECT o.entry_id FROM recon_t w JOIN {LINK} l ON l.transaction_id = w.id"
                f" JOIN {LINK} o ON o.item_id = l.item_id WHERE o.entry_id IS NOT NULL"),
    ("recon_e", f"SELECT o.entry_id FROM recon_e w JOIN {LINK} l ON l.entry_id = w.id"
                f" JOIN {LINK} o ON o.item_id = l.item_id WHERE o.entry_id IS NOT NULL"),
    # partners by id
    ("recon_e", f"SELECT e.id FROM recon_t w JOIN {TXN} t ON t.id = w.id JOIN {ENTRY} e"
                f" ON e.balance_transaction = t.object_id AND NOT (e.balance_transaction = '')"
                f" AND e.book = t.account AND {MOVES} WHERE TRUE"),
    ("recon_t", f"SELECT t.id FROM recon_e w JOIN {ENTRY} e ON e.id = w.id JOIN {TXN} t"
                f" ON t.object_id = e.balance_transaction AND t.account = e.book WHERE TRUE"),
    # the same object of Stripe's
    ("recon_t", f"SELECT t.id FROM recon_t w JOIN {TXN} o ON o.id = w.id JOIN {TXN} t"
                f" ON t.source_id = o.source_id AND t.account = o.account WHERE NOT (o.source_id = '')"),
    ("recon_t", f"SELECT t.id FROM recon_e w JOIN {ENTRY} e ON e.id = w.id JOIN {TXN} t"
                f" ON t.source_id = e.source AND t.account = e.book WHERE NOT (e.source = '')"),
    ("recon_e", f"SELECT e.id FROM recon_t w JOIN {TXN} t ON t.id = w.id JOIN {ENTRY} e"
                f" ON e.source = t.source_id AND NOT (e.source = '') AND e.book = t.account"
                f" AND {MOVES} WHERE NOT (t.source_id = '')"),
    ("recon_e", f"SELECT e.id FROM recon_e w JOIN {ENTRY} o ON o.id = w.id JOIN {ENTRY} e"
                f" ON e.source = o.source AND NOT (e.source = '') AND e.book = o.book AND {MOVES}"
                f" WHERE NOT (o.source = '')"),
)  # fmt: skip


def widen() -> None:
    """Add whatever belongs to what is there: members of the same items, partners by id, all about the same object."""
    postgres = connection.vendor == "postgresql"
    with connection.cursor() as cursor:
        for _ in range(MAX_ROUNDS):
            if postgres:
                # The tables are new: without their sizes the planner would read whole the tables that they meet.
                cursor.execute(f"ANALYZE recon_t; ANALYZE recon_e; {_WIDER_AT_ONCE}")
                while cursor.nextset():
                    pass
                added = cursor.fetchone()[0]
            else:
                added = 0
                for table, select in _WIDER:
                    cursor.execute(f"INSERT INTO {table} {select} ON CONFLICT DO NOTHING")
                    added += max(cursor.rowcount, 0)
            if not added:
                break


def _at_once() -> str:
    """One round in one statement; what each half adds the other sees in the next round."""
    halves = [
        f"{table}_in AS (INSERT INTO {table} "
        + " UNION ".join(select.removesuffix(" WHERE TRUE") for name, select in _WIDER if name == table)
        + " ON CONFLICT DO NOTHING RETURNING 1)"
        for table in ("recon_t", "recon_e")
    ]
    return f"WITH {', '.join(halves)} SELECT (SELECT COUNT(*) FROM recon_t_in) + (SELECT COUNT(*) FROM recon_e_in)"


_WIDER_AT_ONCE = _at_once()


# One row a member, those of one component together. A match by hand, and what was corrected, stays together.
_MEMBERS = f"""
SELECT 't', t.id, t.account, t.currency, t.net, t.fee, t.created, t.reporting_category, t.source_id, t.object_id,
       t.synced_at, COALESCE(i.id, 0), COALESCE(l.id, 0),
       CASE WHEN {STICKY} THEN 'item:' || i.id ELSE COALESCE(NULLIF(t.source_id, ''), t.object_id) END AS grp
FROM recon_t w JOIN {TXN} t ON t.id = w.id LEFT JOIN {LINK} l ON l.transaction_id = t.id
LEFT JOIN {ITEM} i ON i.id = l.item_id
UNION ALL
SELECT 'e', NULL, e.book, e.currency, e.cash, e.fee, e.occurred_at, e.kind, e.source, e.balance_transaction,
       e.posted_at, COALESCE(i.id, 0), COALESCE(l.id, 0),
       CASE WHEN {STICKY} THEN 'item:' || i.id ELSE
       COALESCE(NULLIF(p.source_id, ''), p.object_id, NULLIF(e.source, ''), NULLIF(e.balance_transaction, ''), e.key)
       END AS grp
FROM recon_e w JOIN {ENTRY} e ON e.id = w.id LEFT JOIN {TXN} p ON p.object_id = e.balance_transaction
AND p.account = e.book
LEFT JOIN {LINK} l ON l.entry_id = e.id LEFT JOIN {ITEM} i ON i.id = l.item_id
"""


def members() -> Iterator[tuple[Any, ...]]:
    """(side, id, account, currency, net, fee, at, category or kind, source, txn, seen_at, item, link, group), ordered
    by account and group, then transactions first."""
    # An entry's id is a UUID, a transaction's a number: each has a column of its own.
    sql = _MEMBERS.replace("SELECT 't', t.id,", "SELECT 't', t.id, NULL,").replace(
        "SELECT 'e', NULL,", "SELECT 'e', NULL, e.id,"
    )
    if connection.vendor == "postgresql":
        sql = sql.replace("t.id, NULL,", "t.id, NULL::uuid,").replace("'e', NULL, e.id,", "'e', NULL::bigint, e.id,")
    with connection.cursor() as cursor:
        cursor.execute(planned(f"SELECT * FROM ({sql}) m ORDER BY 4, 15, 1 DESC, 8, 2, 3"))
        while rows := cursor.fetchmany(FETCH):
            yield from rows
