"""The walk along the chain. Streams: memory does not grow with its length.

The database puts each entry's text together from the columns that people are shown (chain.sealed_text), Python hashes
it and holds it against the stored hash and the entry before. So there is no second copy that could say something else.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

from django.db import connection
from django.utils import timezone

from approvals.audit.chain import GENESIS, TABLE
from billingops.ids import seal

CHUNK = 10_000
_LINES = ("actor", "action", "subject", "account", "event_id", "data", "previous_hash")


class Link(NamedTuple):
    """An entry's place and hash; (0, GENESIS) stands before the first one."""

    seq: int
    hash: str


START = Link(0, GENESIS)


@dataclass(frozen=True)
class Verdict:
    """`entries`: how many were read and hold. `broken_at`: the first bad link's seq, None when the chain holds; `why`:
    words. `last`: the last link that holds."""

    entries: int
    broken_at: int | None = None
    why: str = ""
    last: Link = field(default=START, compare=False)


def verify(*, start: Link = START, progress: Callable[[int], None] | None = None) -> Verdict:
    """Walk the chain from behind `start` (which is believed) to its end. `progress` hears how many were read so far."""
    last, seen, newer_format = start, 0, False
    for rows in _chunks(start.seq):
        for seq, previous, hash_, text in rows:
            # The usual case first and alone: everything else below is about what went wrong, or about old entries.
            if (
                seq == last.seq + 1
                and previous == last.hash
                and text is not None
                and hashlib.sha256(text.encode()).hexdigest() == hash_
                and text.startswith("2\n")
            ):
                last, newer_format = Link(seq, hash_), True
                continue
            if why := _why_not(seq, previous, hash_, text, last, newer_format):
                return Verdict(last.seq - start.seq, min(seq, last.seq + 1), why, last)
            last = Link(seq, hash_)
        seen += len(rows)
        if progress:
            progress(seen)
    return Verdict(last.seq - start.seq, last=last)


def check_entries(seqs: Iterable[int]) -> dict[int, str]:
    """For single entries: seq → what is wrong with it ("" = nothing): its own hash, and whether it continues the entry
    before it, as far as that one's stored hash goes. One statement for each thousand."""
    wanted = sorted(set(seqs))
    found: dict[int, str] = {}
    for at in range(0, len(wanted), 1000):
        group = wanted[at : at + 1000]
        rows = {row[0]: row for row in _rows_of({*group, *(seq - 1 for seq in group)})}
        for seq in group:
            before = rows.get(seq - 1)
            last = Link(seq - 1, before[2]) if before else START
            if seq not in rows or (before is None and seq > 1):
                found[seq] = f"entry {seq if seq not in rows else seq - 1} is missing"
            else:
                _, previous, hash_, text = rows[seq]
                found[seq] = _why_not(seq, previous, hash_, text, last, False)
    return found


def _why_not(seq: int, previous: str, hash_: str, text: str | None, last: Link, newer_format: bool) -> str:
    """What is wrong with an entry that follows `last`; "" for nothing."""
    if seq != last.seq + 1:
        return f"entry {last.seq + 1} is missing; the next is {seq}"
    if previous != last.hash:
        return f"entry {seq} does not continue the entry before it"
    if text is None or _hash(text) != hash_:
        return f"entry {seq} was changed after it was written"
    if newer_format and not text.startswith("2\n"):
        return f"entry {seq} is of an older format than the entry before it"
    return ""


def _hash(text: str) -> str | None:
    """The hash that belongs to an entry's text; None when there cannot be one."""
    if text.startswith("2\n"):
        return hashlib.sha256(text.encode()).hexdigest()
    # Format 1, until November 2026: the seal of a JSON list, without account and event. Slower to check.
    parts = text.split("\n")
    if len(parts) != 3 + len(_LINES) or parts[0] != "1":
        return None
    _, seq, at, actor, action, subject, account, event_id, data, previous = parts
    if account or event_id:
        return None
    try:
        moment = datetime.fromisoformat(at).replace(tzinfo=UTC).astimezone(timezone.get_default_timezone())
        at_text = moment.isoformat(timespec="microseconds")
        return seal([int(seq), at_text, actor, action, subject, json.loads(data), previous])
    except ValueError:
        return None


def _select() -> str:
    """The columns of a row: seq, previous_hash, hash, and the text that `sealed_text` made of the entry."""
    if connection.vendor == "postgresql":
        at = "to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')"
        text = f"concat_ws(E'\\n', format, seq, {at}, {', '.join(_LINES)})"
    else:
        text = " || char(10) || ".join(("format", "seq", "at", *_LINES))
    return f"SELECT seq, previous_hash, hash, {text} FROM {TABLE}"  # noqa: S608  (our own names)


def _chunks(after: int) -> Iterator[list[Any]]:
    """By key: no transaction stays open while the chain is walked, however long it is."""
    statement = f"{_select()} WHERE seq > %s ORDER BY seq LIMIT {CHUNK}"
    while True:
        with connection.cursor() as cursor:
            cursor.execute(statement, [after])
            rows = cursor.fetchall()
        if not rows:
            return
        yield rows
        after = rows[-1][0]


def _rows_of(seqs: set[int]) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(f"{_select()} WHERE seq IN ({', '.join(['%s'] * len(seqs))})", sorted(seqs))
        return cursor.fetchall()
