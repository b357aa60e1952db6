"""Days and nothing but days (UTC): when a subscription renews. When a seller is paid out: settlements/plans.py."""

from __future__ import annotations

from calendar import monthrange
from collections.abc import Iterator
from datetime import date, timedelta

MAX_STEPS = 5_000  # a daily renewal over more than a decade: whatever needs more is no calendar


def add_months(day: date, months: int, *, anchor: int = 0) -> date:
    """`day` moved by whole months; where the month is too short, its last day. `anchor`: the wanted day of the month,
    so that 31 January, 28 February, 31 March follow one another."""
    number = day.year * 12 + day.month - 1 + months
    year, month = divmod(number, 12)
    return date(year, month + 1, min(anchor or day.day, monthrange(year, month + 1)[1]))


def renewals(
    *, period_end: date, interval: str, count: int, start: date, end: date, anchor: date | None = None
) -> Iterator[date]:
    """The days in [start, end) on which a new period begins, given one of them (`period_end`, before or behind
    `start`: the others follow from it in both directions). An unknown interval renews once, on `period_end`."""
    count = max(count, 1)
    if interval not in ("day", "week", "month", "year"):
        if start <= period_end < end:
            yield period_end
        return
    first = _first_step(period_end, interval, count, start)
    for step in range(first, first + MAX_STEPS):
        day = _step(period_end, interval, count * step, anchor)
        if day >= end:
            return
        if day >= start:
            yield day


def _step(day: date, interval: str, units: int, anchor: date | None) -> date:
    if interval in ("day", "week"):
        return day + timedelta(days=units * (7 if interval == "week" else 1))
    # Stripe renews on the anchor's day of the month, or on the month's last one where there is none.
    at_the_end = day.day == monthrange(day.year, day.month)[1]
    wanted = anchor.day if anchor and at_the_end and anchor.day > day.day else day.day
    return add_months(day, units * (12 if interval == "year" else 1), anchor=wanted)


def _first_step(day: date, interval: str, count: int, start: date) -> int:
    """A step at or a little before the first that reaches `start`."""
    length = {"day": 1, "week": 7, "month": 31, "year": 366}[interval] * count
    shortest = {"day": 1, "week": 7, "month": 28, "year": 365}[interval] * count
    gap = (start - day).days
    return gap // length - 1 if gap >= 0 else gap // shortest - 1
