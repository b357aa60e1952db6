"""What keeps a balance from costing more each year: the sum of each account's older postings, brought forward hourly.

A snapshot holds all postings of its account, seller and currency up to an id, `through`; journal.balance adds those
behind it. It may be wrong in one way only: a posting with a lower id that was committed after the snapshot was taken.
Ids are given out when a row is inserted, not when it is committed, so a transaction that is still open may yet bring
one. Therefore what is younger than SETTLE_TIME stays out, and on PostgreSQL also whatever is younger than the oldest
transaction that is open and has written, however old that is. verify_ledger holds the sums against all postings.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.db import connection, transaction
from django.db.models import Max
from django.db.models.functions import Coalesce
from django.utils import timezone

from settlements.ledger.models import BalanceSnapshot

SETTLE_TIME = timedelta(hours=1)
# posted_at is set a moment before the rows are inserted, by the clock of whoever posts.
MARGIN = timedelta(minutes=1)

# Autovacuum has an id of a transaction, too, for minutes on a large table, and posts nothing.
_OLDEST_WRITER = """
SELECT MIN(xact_start) FROM pg_stat_activity
WHERE datname = current_database() AND backend_xid IS NOT NULL AND pid <> pg_backend_pid()
    AND backend_type <> 'autovacuum worker'
"""
# The last id before the first posting that is too young; without any, the last there is.
_CUT = """
SELECT COALESCE(
    (SELECT MIN(p.id) - 1 FROM ledger_journalentry e JOIN ledger_posting p ON p.entry_id = e.id
     WHERE e.posted_at >= %(horizon)s AND p.id > %(through)s),
    (SELECT MAX(id) FROM ledger_posting), 0)
"""
_BRING_FORWARD = """
INSERT INTO ledger_balancesnapshot (account, seller, currency, through, amount, "count", taken_at)
SELECT account, seller, currency, %(cut)s, SUM(amount), COUNT(*), %(now)s
FROM ledger_posting WHERE id > %(through)s AND id <= %(cut)s GROUP BY account, seller, currency
ON CONFLICT (account, seller, currency) DO UPDATE SET
    through = excluded.through, taken_at = excluded.taken_at,
    amount = ledger_balancesnapshot.amount + excluded.amount,
    "count" = ledger_balancesnapshot."count" + excluded."count"
"""


def take(*, now: datetime | None = None) -> int:
    """Bring all snapshots forward; returns how many changed. One transaction, five statements, however many postings.

    Balances are the same before and after, and may be asked for meanwhile.
    """
    now = now or timezone.now()
    with transaction.atomic(), connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            # One at a time: two would add the same postings twice. Readers go on. (SQLite has one writer anyway.)
            cursor.execute("LOCK TABLE ledger_balancesnapshot IN SHARE ROW EXCLUSIVE MODE")
        through = BalanceSnapshot.objects.aggregate(through=Coalesce(Max("through"), 0))["through"]
        horizon = _horizon(cursor, now)
        adapt = connection.ops.adapt_datetimefield_value
        cursor.execute(_CUT, {"horizon": adapt(horizon), "through": through})
        cut = int(cursor.fetchone()[0])
        if cut <= through:
            return 0
        cursor.execute(_BRING_FORWARD, {"cut": cut, "through": through, "now": adapt(now)})
        return int(cursor.rowcount)


def _horizon(cursor: Any, now: datetime) -> datetime:
    """What was posted since may have an older neighbour that is not committed yet."""
    horizon = now - SETTLE_TIME
    if connection.vendor == "postgresql":
        cursor.execute(_OLDEST_WRITER)
        oldest: datetime | None = cursor.fetchone()[0]
        if oldest is not None:
            horizon = min(horizon, oldest - MARGIN)
    return horizon
