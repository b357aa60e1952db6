"""Fills a mirror and a ledger with movements that agree (999 of 1,000); reconciles; and lets DuckDB join the same rows.

    python -m benchmarks.workers.reconcile migrate | fill PAIRS | first | full | delta PAIRS ROUND | export FOLDER
        | peer FOLDER | plan

PostgreSQL only. `fill` writes entries without postings, past the ledger's triggers: reconciliation reads none. All
print seconds.
"""

from __future__ import annotations

import gc
import json
import sys
import time
from pathlib import Path
from typing import Any

import django

MONTH, DAYS = 30, 4  # since the last pair; that a worker works before it is measured, and then: 5 rounds of 4 are less
TXN, ENTRY = "mirror_mirroredbalancetransaction", "ledger_journalentry"
# Ids begin with their time, as Stripe's do.
# Of each thousand one is wrong, in turn: no entry, no transaction, another amount, another fee, booked twice.
_ROWS = """
    SELECT n, 'txn_3' || lpad(to_hex(n), 8, '0') || md5(n::text) AS txn, 'ch_' || md5('ch' || n::text) AS source,
           CASE WHEN n % 40 = 0 THEN 'acct_bench' || lpad((n / 40 % 300)::text, 4, '0') ELSE '' END AS book,
           1000 + n % 90000 AS gross, 30 + n % 1000 AS fee,
           {at} AS at, CASE WHEN n % 1000 = 0 THEN n / 1000 % 5 ELSE -1 END AS fault
    FROM generate_series({first}::bigint, {last}::bigint) n
"""


def _insert(connection: Any, first: int, last: int, at: str) -> None:
    rows = _ROWS.format(first=first, last=last, at=at)
    with connection.cursor() as cursor:
        # Not by altering the table: whatever every connection knows of it would have to be read anew.
        cursor.execute("SET session_replication_role = replica")
        cursor.execute(
            f"""
            INSERT INTO {TXN} (object_id, account, type, reporting_category, source_id, amount, fee, net, currency,
                               fee_details, status, payout_id, created, available_on, synced_at)
            SELECT txn, book, 'charge', 'charge', source, gross, fee, gross - fee, 'usd',
                   json_build_array(json_build_object('type', 'stripe_fee', 'amount', fee, 'currency', 'usd')),
                   'available', '', at, at, at
            FROM ({rows}) r WHERE fault <> 1
            """
        )
        cursor.execute(
            f"""
            INSERT INTO {ENTRY} (id, key, kind, book, seller, currency, occurred_at, posted_at, invoice, source,
                                 balance_transaction, cash, fee, text, actor)
            SELECT gen_random_uuid(), 'charge:' || source || twice, 'charge', book, book, 'usd', at, at, '', source,
                   txn, gross - fee + CASE fault WHEN 2 THEN 100 WHEN 3 THEN 7 ELSE 0 END,
                   fee - CASE fault WHEN 3 THEN 7 ELSE 0 END, '', 'system:settlements'
            FROM ({rows}) r CROSS JOIN (VALUES (''), (':again')) twice (twice)
            WHERE fault <> 0 AND (twice = '' OR fault = 4)
            """
        )
        cursor.execute("SET session_replication_role = origin")


def migrate() -> dict[str, Any]:
    from django.core.management import call_command

    call_command("migrate", verbosity=0)
    return {}


def fill(pairs: str) -> dict[str, Any]:
    """A year of them, the last a month ago."""
    from django.db import connection

    started = time.perf_counter()
    with connection.cursor() as cursor:
        # VACUUM marks no page as visible to all whose transaction is not on the disk yet.
        cursor.execute("SET synchronous_commit = on")
    ended = f"now() - interval '{MONTH} days'"
    _insert(connection, 1, int(pairs), f"{ended} - interval '1 year' * (1 - n::float8 / {int(pairs)})")
    with connection.cursor() as cursor:
        cursor.execute(f"VACUUM ANALYZE {TXN}")
        cursor.execute(f"VACUUM ANALYZE {ENTRY}")
    return {"seconds": time.perf_counter() - started}


def day(others: Any, pairs: int, number: int) -> tuple[int, Any]:
    """What comes in on the day after the last one, over the connection of `others`; `number` keeps the ids apart.
    Returns how many pairs, and when the day begins."""
    count = max(1, pairs // 365)
    first = pairs * 2 + number * count
    with others.cursor() as cursor:
        cursor.execute("SET synchronous_commit = on")
        cursor.execute(f"SELECT MAX(synced_at) FROM {TXN}")
        before = cursor.fetchone()[0]
    at = f"timestamptz '{before.isoformat()}' + interval '1 day' * (n - {first - 1}) / {count}"
    _insert(others, first, first + count - 1, at)
    return count, before


def first() -> dict[str, Any]:
    return _reconcile(full=True)


def full() -> dict[str, Any]:
    """A worker that has done the same before."""
    from settlements.reconciliation.engine import reconcile

    reconcile(full=True, trigger="bench")
    return _reconcile(full=True)


def delta(pairs: str, number: str) -> dict[str, Any]:
    """A worker that has done the same for some days: it has its plans. The days follow each other faster than a clock
    goes, so each look is made to have been at the end of its day."""
    from django.db import connection

    from settlements.reconciliation.engine import reconcile
    from settlements.reconciliation.models import Watermark

    others = connection.copy()  # to the end: a server process that ends takes the time of those that work
    for part in range(DAYS):
        if part:
            reconcile(trigger="bench")
        rows, before = day(others, int(pairs), DAYS * int(number) + part)
        Watermark.objects.update(through=before, seen_at=before)
    found = _reconcile(full=False)
    others.close()
    return {"rows": rows} | found


def _reconcile(*, full: bool) -> dict[str, Any]:
    from settlements.reconciliation.engine import reconcile

    gc.collect()  # of what came before
    started = time.perf_counter()
    run = reconcile(full=full, trigger="bench")
    seconds = time.perf_counter() - started
    counted = {"transactions": run.transactions, "entries": run.entries, "agreed": run.agreed, "counts": run.counts}
    return {"seconds": seconds, "mode": run.mode, "opened": run.opened, **counted}


def export(folder: str) -> dict[str, Any]:
    """The same rows, the columns that are compared: as CSV, and as Parquet."""
    import duckdb
    from django.db import connection

    started = time.perf_counter()
    queries = {
        "t": f"SELECT id, object_id, account, currency, net, fee FROM {TXN}",
        "e": f"SELECT id, balance_transaction, book, currency, cash, fee FROM {ENTRY} WHERE cash <> 0 OR fee <> 0",
    }
    for name, query in queries.items():
        copy = f"COPY ({query}) TO STDOUT WITH (FORMAT csv, HEADER)"
        with connection.cursor() as cursor, Path(folder, f"{name}.csv").open("wb") as target, cursor.copy(copy) as rows:
            for part in rows:
                target.write(part)
        duckdb.sql(f"COPY (FROM read_csv('{folder}/{name}.csv')) TO '{folder}/{name}.parquet'")
    return {"seconds": time.perf_counter() - started}


_JOIN = """
    SELECT COALESCE(t.account, e.book), COALESCE(t.currency, e.currency), COUNT(t.id), COUNT(e.id),
           COUNT(*) FILTER (WHERE t.id IS NULL OR e.id IS NULL OR e.cash <> t.net OR e.fee <> t.fee
                            OR e.currency <> t.currency OR e.book <> t.account)
    FROM {t} t FULL JOIN {e} e ON e.balance_transaction = t.object_id GROUP BY 1, 2
"""


def peer(folder: str) -> dict[str, Any]:
    """DuckDB's hash join: reading the CSV or the Parquet files with it, and alone, over tables in memory."""
    import duckdb

    found: dict[str, Any] = {}
    for kind in ("csv", "parquet"):
        files = {name: f"read_{kind}('{folder}/{name}.{kind}')" for name in ("t", "e")}
        started = time.perf_counter()
        rows = duckdb.connect().execute(_JOIN.format(**files)).fetchall()
        found[kind] = time.perf_counter() - started
    memory = duckdb.connect()
    for name in ("t", "e"):
        memory.execute(f"CREATE TABLE {name} AS FROM read_parquet('{folder}/{name}.parquet')")
    started = time.perf_counter()
    rows = memory.execute(_JOIN.format(t="t", e="e")).fetchall()
    found["join"] = time.perf_counter() - started
    return {**found, "differ": sum(row[4] for row in rows)}


def plan() -> dict[str, Any]:
    """How PostgreSQL goes about the first pass."""
    from django.db import connection, transaction

    from settlements.reconciliation import by_id, sql

    with transaction.atomic(), connection.cursor() as cursor:
        sql.prepare()
        seen: list[str] = []

        def explain(execute: Any, statement: str, params: Any, many: bool, context: Any) -> Any:
            if "FULL JOIN" in statement and not statement.startswith("EXPLAIN"):
                inner = statement[statement.index("SELECT COUNT") :]
                cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS) {inner}", params)
                seen.extend(row[0] for row in cursor.fetchall())
            return execute(statement, params, many, context)

        with connection.execute_wrapper(explain):
            by_id.everything(sql.Scope(), by_id.cuts(sql.Scope()))
    print("\n".join(seen), file=sys.stderr)
    return {"plan": seen}


VERBS: dict[str, Any] = {
    "migrate": migrate, "fill": fill, "first": first, "full": full, "delta": delta,
    "export": export, "peer": peer, "plan": plan,
}  # fmt: skip


def main(verb: str, *arguments: str) -> None:
    django.setup()
    print(json.dumps(VERBS[verb](*arguments)))


if __name__ == "__main__":
    main(*sys.argv[1:])
