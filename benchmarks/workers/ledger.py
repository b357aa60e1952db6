"""Fills the journal with made-up entries, asks for balances, posts.

    python -m benchmarks.workers.ledger fill POSTINGS | balance | post | post_unchecked | verify

The fill writes past journal.py and past the triggers, in the database itself; what it leaves is what posting would have
left, which `verify` checks. All print figures as JSON.
"""

from __future__ import annotations

import json
import random
import statistics
import sys
import time
from typing import Any

import django

SELLERS = 300
TAIL = 1_000  # entries behind the snapshot
CHUNK = 250_000  # entries in a statement of the fill
TABLES = ("ledger_journalentry", "ledger_posting")

_ID = "('01900000-0000-7000-8000-' || lpad(to_hex(n), 12, '0'))::uuid"
_SELLER = f"'acct_bench' || lpad((n %% {SELLERS})::text, 6, '0')"
_ENTRIES = f"""
INSERT INTO ledger_journalentry (id, key, kind, book, seller, currency, occurred_at, posted_at, invoice, source,
    balance_transaction, cash, fee, text, corrects_id, suggestion, actor)
SELECT {_ID}, 'sale:in_bench' || n || ':' || {_SELLER}, 'sale', '', {_SELLER}, 'usd',
    now() - interval '2 days' - (%s - n) * interval '10 milliseconds', now() - interval '2 days', 'in_bench' || n, '',
    '', 0, 0, '', NULL, NULL, 'system:bench'
FROM generate_series(%s::bigint, %s::bigint) n
"""
_POSTINGS = f"""
INSERT INTO ledger_posting (entry_id, account, seller, invoice, currency, amount)
SELECT {_ID}, side.account, {_SELLER}, 'in_bench' || n, 'usd', side.sign * (100 + n %% 90000)
FROM generate_series(%s::bigint, %s::bigint) n
CROSS JOIN (VALUES ('receivable', 1), ('seller_payable', -1)) AS side(account, sign)
ORDER BY n
"""


def fill(postings: int) -> dict[str, Any]:
    from django.db import connection

    from settlements.ledger import snapshots

    entries = postings // 2
    started = time.perf_counter()
    with connection.cursor() as cursor:
        indexes = _drop_indexes(cursor)
        cursor.execute("SET session_replication_role = replica")  # foreign keys and checks sleep; verify looks later
        for start in range(1, entries + 1, CHUNK):
            end = min(start + CHUNK - 1, entries)
            cursor.execute(_ENTRIES, [entries, start, end])
            cursor.execute(_POSTINGS, [start, end])
        cursor.execute("SET session_replication_role = origin")
        for definition in indexes:
            cursor.execute(definition)
    filled = time.perf_counter()
    changed = snapshots.take()
    taken = time.perf_counter()
    _post(TAIL, 100)
    with connection.cursor() as cursor:
        for table in (*TABLES, "ledger_balancesnapshot"):
            cursor.execute(f"VACUUM ANALYZE {table}")
        cursor.execute("CHECKPOINT")
        cursor.execute("SELECT SUM(pg_total_relation_size(t)) FROM unnest(%s::text[]) t", [list(TABLES)])
        size = int(cursor.fetchone()[0])
    return {
        "entries": entries + TAIL,
        "megabytes": round(size / 1e6),
        "fill s": round(filled - started, 1),
        "first snapshot s": round(taken - filled, 2),
        "snapshots": changed,
    }


def _drop_indexes(cursor: Any) -> list[str]:
    """Those that no constraint needs; returns what makes them again. Built at the end they cost a fraction."""
    cursor.execute(
        "SELECT i.indexname, i.indexdef FROM pg_indexes i LEFT JOIN pg_constraint c ON c.conname = i.indexname "
        "WHERE i.tablename = ANY(%s) AND c.oid IS NULL",
        [list(TABLES)],
    )
    found = cursor.fetchall()
    for name, _ in found:
        cursor.execute(f'DROP INDEX "{name}"')
    return [definition for _, definition in found]


def balance() -> dict[str, Any]:
    """Medians in milliseconds, over sellers drawn by chance, the same in every run."""
    from django.db.models import Sum

    from settlements.ledger import journal
    from settlements.ledger.models import Posting

    chance = random.Random(1)
    sellers = [f"acct_bench{chance.randrange(SELLERS):06d}" for _ in range(500)]

    def of(seller: str) -> int:
        return journal.balance("seller_payable", seller=seller, currency="usd")

    def plain(seller: str) -> int:
        rows = Posting.objects.filter(account="seller_payable", seller=seller, currency="usd")
        return int(rows.aggregate(sum=Sum("amount"))["sum"])

    for seller in sellers[:20]:
        if of(seller) != plain(seller):
            raise SystemExit(f"the balance of {seller} is {of(seller)}, its postings sum to {plain(seller)}")
    return {
        "balance": _median(of, sellers),
        "balances": _median(lambda _: journal.balances("seller_payable"), sellers[:50]),
        "sum": _median(plain, sellers[:30]),
    }


def _median(ask: Any, arguments: list[str]) -> float:
    for argument in arguments[:5]:
        ask(argument)
    times = []
    for argument in arguments:
        started = time.perf_counter()
        ask(argument)
        times.append((time.perf_counter() - started) * 1000)
    return statistics.median(times)


def post(*, checked: bool = True) -> dict[str, Any]:
    from django.db import connection

    from settlements.ledger import triggers

    if not checked:
        triggers.remove(connection)
    try:
        started = time.perf_counter()
        _post(10_000, 1_000)
        per_second = 10_000 / (time.perf_counter() - started)
        times = []
        for _ in range(200):
            started = time.perf_counter()
            _post(1, 1)
            times.append((time.perf_counter() - started) * 1000)
    finally:
        triggers.install(connection)
    return {"per_second": per_second, "single_ms": statistics.median(times)}


def post_unchecked() -> dict[str, Any]:
    return post(checked=False)


def _post(entries: int, at_once: int) -> None:
    from django.utils import timezone

    from billingops.actors import Actor
    from billingops.ids import uuid7
    from settlements.ledger import journal
    from settlements.ledger.accounts import Account, Kind
    from settlements.ledger.journal import Draft, Line

    actor = Actor.system("bench")
    for start in range(0, entries, at_once):
        drafts = []
        for number in range(start, start + at_once):
            seller, invoice = f"acct_bench{number % SELLERS:06d}", f"in_{uuid7().hex}"
            lines = (
                Line(Account.RECEIVABLE, 10_000, seller, invoice),
                Line(Account.SELLER_PAYABLE, -6_700, seller, invoice),
                Line(Account.STRIPE_FEES, -300, seller, invoice),
                Line(Account.PLATFORM_REVENUE, -3_000, seller, invoice),
            )
            key = f"sale:{invoice}:{seller}"
            drafts.append(Draft(key, Kind.SALE, "usd", timezone.now(), lines, seller=seller, invoice=invoice))
        if len(journal.post(drafts, actor=actor)) != at_once:
            raise SystemExit("not all drafts were posted")


def verify() -> dict[str, Any]:
    from settlements.ledger import checks  # the ledger's own; others' rows are not there

    found: dict[str, Any] = {}
    for name in ("accounts_balance", "entries_balance", "postings_have_entries", "snapshots_equal_sums"):
        started = time.perf_counter()
        outcome = getattr(checks, name)(lambda rows: None)
        if outcome.difference:
            raise SystemExit(f"{name}: {outcome.difference}")
        found[f"{name} s"] = round(time.perf_counter() - started, 2)
    return found


VERBS = {"fill": fill, "balance": balance, "post": post, "post_unchecked": post_unchecked, "verify": verify}


def main(verb: str, *numbers: str) -> None:
    django.setup()
    print(json.dumps(VERBS[verb](*map(int, numbers))))


if __name__ == "__main__":
    main(*sys.argv[1:])
