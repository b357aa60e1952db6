"""Calendar months in UTC, written 2026-11."""

from __future__ import annotations

import re
from datetime import UTC, datetime

_MONTH = re.compile(r"(20[0-9]{2})-(0[1-9]|1[0-2])\Z")


def bounds(month: str) -> tuple[datetime, datetime] | None:
    """[first moment, first moment of the next month); None for what is no month."""
    if not (found := _MONTH.match(month)):
        return None
    year, number = int(found[1]), int(found[2])
    following = (year + 1, 1) if number == 12 else (year, number + 1)
    return datetime(year, number, 1, tzinfo=UTC), datetime(*following, 1, tzinfo=UTC)


def name(moment: datetime) -> str:
    return f"{moment:%Y-%m}"


def latest(count: int, now: datetime) -> list[str]:
    """The last `count` months, this one first."""
    year, number = now.year, now.month
    found = []
    for _ in range(count):
        found.append(f"{year}-{number:02d}")
        year, number = (year - 1, 12) if number == 1 else (year, number - 1)
    return found
