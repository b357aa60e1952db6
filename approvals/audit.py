"""The append-only, hash-chained log. `append` is the only writer; the database's triggers refuse UPDATE and DELETE.

Each entry's hash covers its own content and the hash of the entry before it, so a changed, removed or inserted entry
breaks the chain from there on. `verify` walks it and names the first break.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import connection, transaction
from django.utils import timezone

from approvals.models import AuditEntry
from billingops.actors import Actor
from billingops.ids import seal

GENESIS = "0" * 64
_LOCK = 0x42696C6C  # "Bill": the advisory lock that makes appends to the chain take turns on PostgreSQL


def _hash(*, seq: int, at: datetime, actor: str, action: str, subject: str, data: Any, previous_hash: str) -> str:
    at_text = at.astimezone(timezone.get_default_timezone()).isoformat(timespec="microseconds")
    return seal([seq, at_text, actor, action, subject, data, previous_hash])


def append(*, action: str, subject: str, actor: Actor, data: dict[str, Any]) -> AuditEntry:
    """Add a link, inside the transaction of what it records. `data`: JSON, small, no personal data.

    The turn is taken at the first append of a transaction and kept to its end: on PostgreSQL by an advisory lock, on
    SQLite by the write lock that BEGIN IMMEDIATE holds.
    """
    if not connection.in_atomic_block:
        raise RuntimeError("An audit entry belongs to the transaction of what it records.")
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
    last = AuditEntry.objects.order_by("-seq").values_list("seq", "hash").first() or (0, GENESIS)
    content: dict[str, Any] = {
        "seq": last[0] + 1,
        "at": timezone.now(),
        "actor": actor.name,
        "action": action,
        "subject": subject,
        "data": data,
        "previous_hash": last[1],
    }
    entry = AuditEntry(**content, hash=_hash(**content))
    entry.save(force_insert=True)
    return entry


def record(*, action: str, subject: str, actor: Actor, data: dict[str, Any]) -> AuditEntry:
    """`append` in a transaction of its own, for what has none (a log-in, an export)."""
    with transaction.atomic():
        return append(action=action, subject=subject, actor=actor, data=data)


@dataclass(frozen=True)
class Verdict:
    """`entries`: how many were read. `broken_at`: the first bad link's seq, None when the chain holds; `why`: words."""

    entries: int
    broken_at: int | None = None
    why: str = ""


def verify() -> Verdict:
    """Walk the whole chain in order. Streams: memory does not grow with its length."""
    expected_seq, previous = 1, GENESIS
    for entry in AuditEntry.objects.order_by("seq").iterator(chunk_size=5000):
        if entry.seq != expected_seq:
            return Verdict(expected_seq - 1, expected_seq, f"entry {expected_seq} is missing; the next is {entry.seq}")
        if entry.previous_hash != previous:
            return Verdict(expected_seq - 1, entry.seq, f"entry {entry.seq} does not continue the entry before it")
        content = {
            field: getattr(entry, field)
            for field in ("seq", "at", "actor", "action", "subject", "data", "previous_hash")
        }
        if _hash(**content) != entry.hash:
            return Verdict(expected_seq - 1, entry.seq, f"entry {entry.seq} was changed after it was written")
        expected_seq, previous = expected_seq + 1, entry.hash
    return Verdict(expected_seq - 1)
