"""What `manage.py verify_ledger` asks of reconciliation: does the ledger equal the mirror's balance transactions.

It trusts no run: each side is compared with the other by id, and what stands in an item is allowed only where the item
says so: it is matched, explained or written off with the very figures of today, or waits within its grace time (a
correction waits for nothing).
"""
# ruff: noqa: S608  (every name in these statements is our own)

from __future__ import annotations

from django.db import connection
from django.utils import timezone

from billingops.money import format_money
from settlements.ledger.verify import Difference, Outcome, Progress, register_check
from settlements.reconciliation import config
from settlements.reconciliation.sql import ENTRY, ITEM, LINK, MOVES, SAME, SETTLED_STATES, TXN, planned

_SETTLED = f"""
    SELECT 1 FROM {LINK} l JOIN {ITEM} i ON i.id = l.item_id WHERE i.state IN ({SETTLED_STATES})
"""
# Whoever takes part in a matched sum counts there, and is nobody's partner by id besides: what comes later for it has
# none. The sum itself is checked by _SUMS.
_FREE_T, _FREE_E = (f"NOT EXISTS ({_SETTLED} AND l.{one})" for one in ("transaction_id = t.id", "entry_id = e.id"))
_TRANSACTION = f"""
SELECT t.object_id, t.net, t.fee, t.currency, t.account FROM {TXN} t WHERE t.created < %(txn_before)s AND NOT EXISTS (
    SELECT 1 FROM {ENTRY} e WHERE e.balance_transaction = t.object_id AND NOT (e.balance_transaction = '') AND {MOVES}
    AND {SAME} AND {_FREE_E}
) AND NOT EXISTS ({_SETTLED} AND l.transaction_id = t.id AND l.net = t.net AND l.fee = t.fee
                  AND l.currency = t.currency)
ORDER BY t.created, t.id LIMIT 1
"""
_ENTRY = f"""
SELECT e.key, e.cash, e.fee, e.currency, e.book FROM {ENTRY} e
WHERE {MOVES} AND (e.occurred_at < %(entry_before)s OR e.kind IN ('correction', 'write_off')) AND NOT EXISTS (
    SELECT 1 FROM {TXN} t WHERE t.object_id = e.balance_transaction AND {SAME} AND {_FREE_T}
) AND NOT EXISTS ({_SETTLED} AND l.entry_id = e.id AND l.net = e.cash AND l.fee = e.fee AND l.currency = e.currency)
ORDER BY e.occurred_at, e.id LIMIT 1
"""
_TWICE = f"""
SELECT e.balance_transaction FROM {ENTRY} e WHERE NOT (e.balance_transaction = '') AND {MOVES} AND {_FREE_E}
GROUP BY e.balance_transaction HAVING COUNT(*) > 1 ORDER BY e.balance_transaction LIMIT 1
"""
# Amounts matched by amount may differ by the tolerance; nothing else that is settled may.
_SUMS = f"""
SELECT i.id, i.reference, i.difference FROM {ITEM} i
WHERE i.state IN ({SETTLED_STATES}) AND i.how <> 'amount' AND i.difference <> 0 ORDER BY i.id LIMIT 1
"""


def mirror_agrees(say: Progress) -> Outcome:
    now, grace = timezone.now(), config.grace()
    adapt = connection.ops.adapt_datetimefield_value
    params = {"txn_before": adapt(now - grace.transaction), "entry_before": adapt(now - grace.entry)}
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT COUNT(*) FROM {TXN}")
        checked = int(cursor.fetchone()[0])
        say(checked)
        cursor.execute(planned(_TRANSACTION), params)
        if row := cursor.fetchone():
            moved = format_money(int(row[1]), row[3])
            return Outcome(checked, Difference(_where(row[0], row[4]), f"an entry of {moved} net", "none that agrees"))
        cursor.execute(planned(_ENTRY), params)
        if row := cursor.fetchone():
            booked = format_money(int(row[1]), row[3])
            return Outcome(
                checked,
                Difference(_where(row[0], row[4]), "a balance transaction that agrees", f"{booked} booked alone"),
            )
        cursor.execute(_TWICE)
        if row := cursor.fetchone():
            return Outcome(checked, Difference(str(row[0]), "one entry", "several"))
        cursor.execute(_SUMS)
        if row := cursor.fetchone():
            return Outcome(checked, Difference(f"item {row[0]} ({row[1]})", "no difference left", f"{int(row[2])}"))
    return Outcome(checked)


def _where(name: str, account: str) -> str:
    return f"{name} of {account or 'the platform'}"


register_check("the mirror's balance transactions", mirror_agrees)
