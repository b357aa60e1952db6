"""Billing periods: adding calendar intervals the way Stripe does, from the anchor's day of month."""

from __future__ import annotations

import calendar
from datetime import UTC, datetime, timedelta


def add_interval(start: int, interval: str, count: int, *, anchor: int | None = None) -> int:
    """The end of the period that begins at `start` (unix seconds). Months end on the anchor's day, or the last one."""
    begin = datetime.fromtimestamp(start, UTC)
    if interval in ("day", "week"):
        return int((begin + timedelta(days=count * (7 if interval == "week" else 1))).timestamp())
    months = count * (12 if interval == "year" else 1)
    index = begin.year * 12 + begin.month - 1 + months
    year, month = index // 12, index % 12 + 1
    day = datetime.fromtimestamp(anchor, UTC).day if anchor is not None else begin.day
    day = min(day, calendar.monthrange(year, month)[1])
    return int(begin.replace(year=year, month=month, day=day).timestamp())


def day(moment: int) -> str:
    """As Stripe writes a date in descriptions: `6 Mar 2026`."""
    return datetime.fromtimestamp(moment, UTC).strftime("%-d %b %Y")
