"""The text of an entry that is hashed, and the writers of the log."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from django.db import connection, transaction
from django.utils import timezone

from approvals.models import AuditEntry
from billingops import personal
from billingops.actors import Actor
from billingops.ids import canonical
from billingops.journal import Note

GENESIS = "0" * 64
FORMAT = 2
TABLE = AuditEntry._meta.db_table
COLUMNS = ("seq", "at", "actor", "action", "subject", "account", "event_id", "data", "previous_hash", "hash", "format")
ROWS_PER_INSERT = 1000  # SQLite takes 32,766 parameters
_LOCK = 0x42696C6C  # "Bill": the advisory lock that makes appends to the chain take turns on PostgreSQL
_TAIL = f"SELECT seq, hash FROM {TABLE} ORDER BY seq DESC LIMIT 1"  # noqa: S608  (our own table's name)
_TYPED = "seq bigint, at timestamptz, actor text, action text, subject text, account text, event_id text, data text, "
_TYPED += "previous_hash text, hash text, format int"
_UNSEEN = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_EMAIL = re.compile(r"[^\s@<>()\[\]{},;:\"']+@[^\s@<>()\[\]{},;:\"']+")
_ONE_LINE = ("actor", "action", "subject", "account", "event_id")
_LIMITS = {name: getattr(AuditEntry._meta.get_field(name), "max_length", 0) for name in _ONE_LINE}


def sealed_text(
    seq: int,
    at: datetime,
    actor: str,
    action: str,
    subject: str,
    account: str,
    event_id: str,
    data: str,
    previous_hash: str,
) -> str:
    """What the hash of a format 2 entry is taken over: its columns, one a line, `data` as its canonical JSON.

    No column holds a line break when it is written, so no other set of columns gives the same text. The database can
    put the text together again by itself, which is what makes the walk quick (verifying.py).
    """
    at_text = at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S.%f")
    parts = (str(FORMAT), str(seq), at_text, actor, action, subject, account, event_id, data, previous_hash)
    return "\n".join(parts)


def append(
    *, action: str, subject: str, actor: Actor, data: dict[str, Any], account: str = "", event_id: str = ""
) -> AuditEntry:
    """Add a link, inside the transaction of what it records. Two statements. See Note for the arguments.

    What stands in `data` under a key that names a person, and every e-mail address, is masked.
    """
    [row] = _append([Note(action, subject, actor, data, account, event_id)])
    values = dict(zip(COLUMNS, row, strict=True))
    entry = AuditEntry(**values | {"data": AuditEntry._meta.get_field("data").to_python(values["data"])})
    entry._state.adding, entry._state.db = False, connection.alias
    return entry


def append_many(notes: Iterable[Note]) -> int:
    """Add a link for each note, in their order: one statement for all of up to a thousand. Returns how many."""
    return len(_append(list(notes)))


def record(
    *, action: str, subject: str, actor: Actor, data: dict[str, Any], account: str = "", event_id: str = ""
) -> AuditEntry:
    """`append` in a transaction of its own, for what has none (a log-in, an export)."""
    with transaction.atomic(savepoint=False):
        return append(action=action, subject=subject, actor=actor, data=data, account=account, event_id=event_id)


def record_many(notes: Iterable[Note]) -> int:
    with transaction.atomic(savepoint=False):
        return append_many(notes)


def take_turn() -> None:
    """The chain's turn now rather than at the first append: for whoever locks rows of their own before they append,
    while the gate appends before it calls those who lock the same rows."""
    if not connection.in_atomic_block:
        raise RuntimeError("The chain's turn belongs to a transaction.")
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])


def _append(notes: Sequence[Note]) -> list[tuple[Any, ...]]:
    """The turn is taken at the first append of a transaction and kept to its end: on PostgreSQL by an advisory lock, on
    SQLite by the write lock that BEGIN IMMEDIATE holds."""
    if not connection.in_atomic_block:
        raise RuntimeError("An audit entry belongs to the transaction of what it records.")
    if not notes:
        return []
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            # One round trip, yet two statements: the second one's view of the table is taken once the lock is held.
            cursor.execute(f"SELECT pg_advisory_xact_lock({_LOCK}); {_TAIL}")
            cursor.nextset()
        else:
            cursor.execute(_TAIL)
        seq, previous = cursor.fetchone() or (0, GENESIS)
        now, rows = timezone.now(), []
        for note in notes:
            seq += 1
            row = _row(note, seq, now, previous)
            previous = row[9]
            rows.append(row)
        for start in range(0, len(rows), ROWS_PER_INSERT):
            _insert(cursor, rows[start : start + ROWS_PER_INSERT])
    return rows


def _row(note: Note, seq: int, at: datetime, previous: str) -> tuple[Any, ...]:
    """The values of COLUMNS."""
    data = canonical(personal.masked(note.data))
    if "@" in data:
        data = canonical(_without_emails(personal.masked(note.data)))
    texts = (
        _line(note.actor.name, "actor"),
        _line(note.action, "action"),
        _line(note.subject, "subject"),
        _line(note.account, "account"),
        _line(note.event_id, "event_id"),
        data,
    )
    text = sealed_text(seq, at, *texts, previous)
    return (seq, at, *texts, previous, hashlib.sha256(text.encode()).hexdigest(), FORMAT)


def _without_emails(value: Any) -> Any:
    if isinstance(value, str):
        return _EMAIL.sub(personal.MASK, value)
    if isinstance(value, dict):
        return {key: _without_emails(part) for key, part in value.items()}
    return [_without_emails(part) for part in value] if isinstance(value, list) else value


def _line(text: str, column: str) -> str:
    """One line that fits its column: a step must not fail because of the name of what it is about."""
    if not text.isprintable():
        text = _UNSEEN.sub("\N{REPLACEMENT CHARACTER}", text)
    return text[: _LIMITS[column]]


def _insert(cursor: Any, rows: list[tuple[Any, ...]]) -> None:
    head = f"INSERT INTO {TABLE} ({', '.join(COLUMNS)})"
    # Times as text, always with their microseconds: on SQLite the walk compares the text as it is stored.
    values = [(row[0], row[1].strftime("%Y-%m-%d %H:%M:%S.%f"), *row[2:]) for row in rows]
    if connection.vendor == "postgresql" and len(rows) > 1:
        # One parameter in place of eleven a row, which cost more to quote than the rows cost to store.
        named = [dict(zip(COLUMNS, (row[0], f"{row[1]}+00", *row[2:]), strict=True)) for row in values]
        cursor.execute(f"{head} SELECT * FROM json_to_recordset(%s) AS given({_TYPED})", [json.dumps(named)])  # noqa: S608
        return
    if connection.vendor == "postgresql":
        values = rows
    one = f"({', '.join(['%s'] * len(COLUMNS))})"
    cursor.execute(f"{head} VALUES {', '.join([one] * len(values))}", [value for row in values for value in row])
