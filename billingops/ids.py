"""Identifiers and seals: time-ordered ids, the canonical text of a JSON value and its hash."""

from __future__ import annotations

import hashlib
import json
import secrets
import threading
import time
import uuid
from typing import Any

_lock = threading.Lock()
_last = 0


def uuid7() -> uuid.UUID:
    """A UUID version 7 (RFC 9562): 48 bits of milliseconds, then a 12-bit sub-millisecond counter, then randomness.

    Ids made by one process sort in the order they were made, so an index on them is an index on time.
    """
    global _last
    with _lock:
        # nanoseconds scaled to 1/4096 ms, forced to grow
        _last = max(time.time_ns() * 4096 // 1_000_000, _last + 1)
        ticks = _last
    value = (ticks >> 12) << 80 | 0x7 << 76 | (ticks & 0xFFF) << 64 | 0b10 << 62 | secrets.randbits(62)
    return uuid.UUID(int=value)


def canonical(value: Any) -> str:
    """The one text a hash is taken over: sorted keys, no spaces, JSON's own types only, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def seal(value: Any) -> str:
    """sha256 (hex) over the canonical text."""
    return hashlib.sha256(canonical(value).encode("ascii")).hexdigest()
