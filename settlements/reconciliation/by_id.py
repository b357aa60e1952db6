# ruff: noqa: S608  (every name in these statements is our own; values are parameters)
"""The first pass: which transactions and entries do not agree with exactly one partner by id, and what else a run
has to judge. PostgreSQL and SQLite.

On PostgreSQL everything is one merge join over the two indexes that hold what is compared, in ranges that its workers
share; what is new is one statement, which looks up by index what bears the same ids. SQLite looks each row up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.db import connection
from django.utils import timezone

from settlements.reconciliation import config
from settlements.reconciliation.sql import (
    ENTRY,
    ITEM,
    LINK,
    MOVES,
    OPEN_STATES,
    SAME,
    SETTLED_STATES,
    TXN,
    Scope,
    expect,
    keep,
    planned,
    prepare,
    widen,
)

RANGES = 8  # several for each worker: none waits long for the last
MOSTLY = 0.8  # of an index's rows must be known to be visible to all, for the index alone to be enough
# Ids compared byte by byte, whatever the database's language: so are the two indexes that hold what is compared.
BYTES = 'COLLATE "C"'


@dataclass
class Looked:
    """How much was looked at."""

    transactions: int = 0
    entries: int = 0


def look(scope: Scope) -> Looked:
    """Fill the work tables with what is to be judged."""
    if connection.vendor == "postgresql" and scope.since is not None:
        prepare(few=True)
        looked, left = _what_is_new(scope)
        expect(left)
        if left:
            widen()
        return looked
    prepare()
    looked = everything(scope, cuts(scope)) if connection.vendor == "postgresql" else _lookups(scope)
    gather(scope)
    widen()
    return looked


# -- PostgreSQL --------------------------------------------------------------------------------------------------------


def cuts(scope: Scope) -> list[str]:
    """Ids that cut both sides into about equal parts, for workers to share; any would be right. None where the indexes
    alone are not enough, as before the first VACUUM: then the tables are read, once, and hashed."""
    if scope.account is not None:
        return []
    with connection.cursor() as cursor:
        cursor.execute(
            f"""
            SELECT MIN(c.relallvisible::float8 / GREATEST(c.relpages, 1)),
                   (SELECT s.histogram_bounds::text::text[] FROM pg_stats s JOIN pg_class o ON o.relname = s.tablename
                    AND o.relnamespace = s.schemaname::regnamespace
                    WHERE o.oid = '{TXN}'::regclass AND s.attname = 'object_id')
            FROM pg_class c WHERE c.oid IN ('{TXN}'::regclass, '{ENTRY}'::regclass)
            """
        )
        visible, bounds = cursor.fetchone()
    if visible < MOSTLY or not bounds or len(bounds) < RANGES:
        return []
    bounds.sort(key=str.encode)
    return [bounds[number * (len(bounds) - 1) // RANGES] for number in range(1, RANGES)]


def everything(scope: Scope, at: Sequence[str] = ()) -> Looked:
    """Both sides joined, in ranges of ids cut `at` these; what differs is kept aside, the rest counted."""
    params = scope.params()
    parts = []
    for number, (first, end) in enumerate(zip([None, *at], [*at, None], strict=True)):
        sides = []
        for column in (f"t.object_id {BYTES}", f"e.balance_transaction {BYTES}"):
            within = f" AND {column} >= %(cut{number - 1})s" if first is not None else ""
            within += f" AND {column} < %(cut{number})s" if end is not None else ""
            sides.append(within)
        parts.append(
            f"""
            SELECT COUNT(*) AS pairs, ARRAY_AGG(t.id) FILTER (WHERE ({SAME}) IS NOT TRUE) AS t_ids,
                   ARRAY_AGG(e.id) FILTER (WHERE ({SAME}) IS NOT TRUE) AS e_ids
            FROM (SELECT t.id, t.object_id, t.account, t.currency, t.net, t.fee FROM {TXN} t
                  WHERE TRUE{scope.of("t", "account")}{sides[0]}) t
            FULL JOIN (SELECT e.id, e.balance_transaction, e.book, e.currency, e.cash, e.fee FROM {ENTRY} e
                       WHERE {MOVES}{scope.of("e", "book")}{sides[1]}) e
            ON e.balance_transaction {BYTES} = t.object_id {BYTES}
            """
        )
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE IF EXISTS recon_pass1")
        cursor.execute(
            f"CREATE TEMPORARY TABLE recon_pass1 ON COMMIT DROP AS {' UNION ALL '.join(parts)}",
            params | {f"cut{number}": cut for number, cut in enumerate(at)},
        )
        cursor.execute(
            """
            WITH left_over AS MATERIALIZED (
                SELECT u.t, u.e FROM recon_pass1 p CROSS JOIN UNNEST(p.t_ids, p.e_ids) u (t, e)
            ), of_t AS (
                INSERT INTO recon_t SELECT DISTINCT t FROM left_over WHERE t IS NOT NULL
            ), of_e AS (
                INSERT INTO recon_e SELECT DISTINCT e FROM left_over WHERE e IS NOT NULL
            )
            SELECT (SELECT SUM(pairs) FROM recon_pass1), (SELECT COUNT(*) FROM left_over WHERE t IS NULL),
                   (SELECT COUNT(*) FROM left_over WHERE e IS NULL)
            """
        )
        pairs, without_t, without_e = map(int, cursor.fetchone())
        cursor.execute(f"SELECT COUNT(*) FROM {TXN} t WHERE TRUE{scope.of('t', 'account')}", params)
        transactions = cursor.fetchone()[0]
        # Each entry meets one transaction at most; a transaction that meets several entries was counted several times.
        doubles = pairs - without_t - transactions
        if doubles and doubles > _known_doubles(cursor, scope):
            _doubled(cursor, scope)
    return Looked(transactions, pairs - without_e)


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


def _new(scope: Scope) -> str:
    """What was synced or posted. Mostly both sides of the same id, which agree one to one and belong to no item: that
    is found among what is new alone. What Stripe made since the last look, and we booked since, belongs to none: no
    look has met it, and nothing older can name it. The rest is met with whatever has the same id: both sides of it that
    do not agree one to one, and what `gather` says of settled and freed members, and of open items.

    How much is new the planner cannot know. So every look-up is by an array, which an index answers in one go, and what
    was looked up is joined by hashing, for 3 rows as for 300,000. An upper bound that keeps nothing out has it count on
    few rather than on a third of the table.
    """
    t_ids, e_ids = "SELECT t_id FROM met WHERE t_id IS NOT NULL", "SELECT e_id FROM met WHERE e_id IS NOT NULL"
    link = "l.item_id, l.transaction_id, l.entry_id, l.net, l.fee, l.currency"
    differs = "NOT (m.same AND m.many = 1)"
    t_new = f"t.synced_at > %(since)s AND t.synced_at < 'infinity'{scope.of('t', 'account')}"
    e_new = f"e.posted_at > %(since)s AND e.posted_at < 'infinity' AND {MOVES}{scope.of('e', 'book')}"
    of_t = f"t.id, t.object_id {BYTES} AS txn, t.account, t.currency, t.net, t.fee"
    of_e = f"e.id, e.balance_transaction {BYTES} AS txn, e.book, e.currency, e.cash, e.fee"
    named = f"FROM {ENTRY} e WHERE {MOVES}{scope.of('e', 'book')} AND e.balance_transaction {BYTES}"

    def member(column: str, ids: str) -> str:
        return f"SELECT {column} FROM {LINK} WHERE {column} = ANY(ARRAY(SELECT {ids} FROM older WHERE same))"

    def settled(column: str, figures: str) -> str:
        return (
            f"({figures}) NOT IN (SELECT {column}, net, fee, currency FROM mine WHERE settled AND {column} IS NOT NULL)"
        )

    def freed(column: str, member: str, partners: str, partner: str, figures: str) -> str:
        return f"""
            SELECT l.transaction_id, l.entry_id FROM mine l JOIN met m ON m.{member} = l.{column}
            LEFT JOIN mine own ON own.{partners} = m.{partner} AND own.item_id = l.item_id
            WHERE m.same AND (own.item_id IS NULL OR NOT (({figures}) = (l.net, l.fee, l.currency)))
        """

    return f"""
        WITH new AS MATERIALIZED (
            SELECT t.id AS t_id, e.id AS e_id, COALESCE(t.txn, e.txn) AS txn, t.source_id AS source,
                   COALESCE({SAME}, FALSE) AS same,
                   t.created > %(seen)s AND t.created < %(later)s AND e.posted_at > %(seen)s AS fresh
            FROM (SELECT {of_t}, t.source_id, t.created FROM {TXN} t WHERE {t_new}) t
            FULL JOIN (SELECT {of_e}, e.posted_at FROM {ENTRY} e WHERE {e_new}) e ON e.txn = t.txn
        ), looked AS MATERIALIZED (
            SELECT (SELECT COUNT(*) FROM {TXN} t WHERE {t_new}) AS transactions, COUNT(t_id) AS met,
                   COUNT(e_id) AS entries FROM new
        ), older AS MATERIALIZED (
            SELECT t_id, e_id, txn, same FROM new WHERE NOT (same AND fresh)
            OR (SELECT met > transactions FROM looked) AND txn IN (SELECT txn FROM new GROUP BY 1 HAVING COUNT(*) > 1)
        ), rest AS MATERIALIZED (
            SELECT e_id, txn FROM older WHERE NOT same
            OR txn IN (
                SELECT e.balance_transaction {BYTES} {named} = ANY(ARRAY(SELECT txn::text FROM older WHERE same))
                GROUP BY 1 HAVING COUNT(*) > 1
            )
            OR t_id IN ({member("transaction_id", "t_id")}) OR e_id IN ({member("entry_id", "e_id")})
        ), t AS MATERIALIZED (
            SELECT {of_t} FROM {TXN} t
            WHERE t.object_id {BYTES} = ANY(ARRAY(SELECT txn::text FROM rest)){scope.of("t", "account")}
        ), e AS MATERIALIZED (
            SELECT {of_e}, COUNT(*) OVER (PARTITION BY e.balance_transaction {BYTES}) AS many
            {named} = ANY(ARRAY(SELECT txn::text FROM rest WHERE txn <> ''))
            UNION ALL
            SELECT {of_e}, 1 FROM {ENTRY} e WHERE e.id = ANY(ARRAY(SELECT e_id FROM rest WHERE txn = ''))
        ), met AS MATERIALIZED (
            SELECT t.id AS t_id, t.net, t.fee AS t_fee, t.currency AS t_currency,
                   e.id AS e_id, e.cash, e.fee AS e_fee, e.currency AS e_currency,
                   COALESCE({SAME}, FALSE) AS same, e.many
            FROM t FULL JOIN e ON e.txn = t.txn
        ), links AS MATERIALIZED (
            SELECT {link} FROM {LINK} l WHERE l.transaction_id = ANY(ARRAY({t_ids})) UNION ALL
            SELECT {link} FROM {LINK} l WHERE l.entry_id = ANY(ARRAY({e_ids}))
        ), mine AS MATERIALIZED (
            SELECT {link}, i.state IN ({SETTLED_STATES}) AS settled
            FROM links l JOIN {ITEM} i ON i.id = l.item_id
            WHERE i.id = ANY(ARRAY(SELECT item_id FROM links)){scope.of("i", "account")}
        ), beside AS MATERIALIZED (
            {freed("transaction_id", "t_id", "entry_id", "e_id", "m.net, m.t_fee, m.t_currency")} UNION ALL
            {freed("entry_id", "e_id", "transaction_id", "t_id", "m.cash, m.e_fee, m.e_currency")} UNION ALL
            SELECT l.transaction_id, l.entry_id FROM {LINK} l WHERE l.item_id = ANY(ARRAY(
                SELECT i.id FROM {ITEM} i
                WHERE i.state IN ({OPEN_STATES}){scope.of("i", "account")} AND (
                    i.state = 'expected' AND i.due_at <= %(now)s
                    OR i.reference IN (SELECT source FROM new WHERE same AND NOT (source = ''))
                )
            ))
        ), left_t AS (
            INSERT INTO recon_t
            SELECT m.t_id FROM met m WHERE m.t_id IS NOT NULL AND {differs}
            AND {settled("transaction_id", "m.t_id, m.net, m.t_fee, m.t_currency")}
            UNION SELECT transaction_id FROM beside WHERE transaction_id IS NOT NULL
            RETURNING 1
        ), left_e AS (
            INSERT INTO recon_e
            SELECT m.e_id FROM met m WHERE m.e_id IS NOT NULL AND {differs}
            AND {settled("entry_id", "m.e_id, m.cash, m.e_fee, m.e_currency")}
            UNION SELECT entry_id FROM beside WHERE entry_id IS NOT NULL
            RETURNING 1
        )
        SELECT transactions, entries, (SELECT COUNT(*) FROM left_t) + (SELECT COUNT(*) FROM left_e) FROM looked
    """


def _what_is_new(scope: Scope) -> tuple[Looked, int]:
    """Fill the work tables with what is to be judged of what is new; says how many rows that are, too."""
    now = timezone.now()
    with connection.cursor() as cursor:
        keep(
            cursor,
            _new(scope),
            account=("text", scope.account),
            since=("timestamptz", scope.since),
            now=("timestamptz", now),
            # Whoever's clock goes before or after ours: by less than this.
            seen=("timestamptz", scope.seen + config.OVERLAP if scope.seen else "infinity"),
            later=("timestamptz", now + config.OVERLAP),
        )
        transactions, entries, left = cursor.fetchone()
    return Looked(transactions, entries), left


# -- SQLite, and what both have in common ------------------------------------------------------------------------------


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
            SELECT (SELECT COUNT(*) FROM {TXN} t WHERE TRUE{t_mine}),
                   (SELECT COUNT(*) FROM {ENTRY} e WHERE {MOVES}{e_mine})
            """),
            params,
        )
        return Looked(*cursor.fetchone())


def gather(scope: Scope) -> None:
    """Leave out what was settled and has not moved; add what was freed, and open items (of a look at what is new only
    those whose grace time is over, and those about the same object as something new: what else may have changed about
    them comes with the new rows)."""
    params = {**scope.params(), "now": connection.ops.adapt_datetimefield_value(timezone.now())}
    waits = f"i.state IN ({OPEN_STATES})"
    if scope.since is not None:
        new = f"SELECT t.source_id FROM {TXN} t WHERE t.synced_at > %(since)s AND NOT (t.source_id = '')"
        waits += f" AND (i.state = 'expected' AND i.due_at <= %(now)s OR i.reference IN ({new}))"
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


def _freed(cursor: Any, scope: Scope) -> None:
    """Members of items, corrected, written off and matched by hand among them, that have a partner by id which is not
    in the item with them, or whose figures moved to those of the partner. What is open is judged anyway where
    everything is."""
    states = f"{SETTLED_STATES}, {OPEN_STATES}" if scope.since else SETTLED_STATES
    for table, column, mine, other, new, figures in (
        ("recon_t", "transaction_id", f"{TXN} t", f"{ENTRY} e", "e.posted_at", "t.net, t.fee, t.currency"),
        ("recon_e", "entry_id", f"{ENTRY} e", f"{TXN} t", "t.synced_at", "e.cash, e.fee, e.currency"),
    ):
        alias, partner, partners = mine[-1], other[-1], "entry_id" if column == "transaction_id" else "transaction_id"
        cursor.execute(
            planned(f"""
            INSERT INTO {table} SELECT DISTINCT l.{column} FROM {LINK} l JOIN {ITEM} i ON i.id = l.item_id
            JOIN {mine} ON {alias}.id = l.{column}
            JOIN {other} ON e.balance_transaction = t.object_id AND NOT (e.balance_transaction = '') AND {SAME}
            LEFT JOIN {LINK} own ON own.{partners} = {partner}.id AND own.item_id = l.item_id
            WHERE i.state IN ({states}){scope.of("i", "account")} AND (
                own.id IS NULL{f" AND {new} > %(since)s" if scope.since else ""}
                OR NOT (({figures}) = (l.net, l.fee, l.currency))
            )
            ON CONFLICT DO NOTHING
            """),
            scope.params(),
        )
