"""Who waits for whom, on PostgreSQL: rows → policy → audit, in this order everywhere. On SQLite a writer is alone.

An execution that begins shares the policy lock with the others; a flip of the kill switch and a change of a policy
take it alone. So when the click has returned, nothing begins any more under what held before. Whoever changes a policy
takes the lock before anything else, and touches no row of a suggestion or an execution afterwards (a task does that).
"""

from __future__ import annotations

from zlib import crc32

from django.db import connection

_POLICY = 0x506F6C69  # "Poli"
_USAGE = 0x43617073  # "Caps", with the kind as the second key


def begin(kind: str) -> None:
    """To the end of the transaction: no policy and no switch changes, no other execution of this kind is counted."""
    _take("SELECT pg_advisory_xact_lock_shared(%s)", [_POLICY])
    count(kind)


def count(kind: str) -> None:
    """For a change of the counters alone."""
    _take("SELECT pg_advisory_xact_lock(%s, %s)", [_USAGE, crc32(kind.encode()) - 2**31])


def change() -> None:
    """Alone, once every execution that is just beginning has begun."""
    _take("SELECT pg_advisory_xact_lock(%s)", [_POLICY])


def _take(statement: str, keys: list[int]) -> None:
    if not connection.in_atomic_block:
        raise RuntimeError("A policy lock belongs to a transaction.")
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute(statement, keys)
