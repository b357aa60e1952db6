"""Paydays and bank days, counted in days since EPOCH. Pure arithmetic on a table made once."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
HOUR, DAY = 3600, 86400
_FIRST, _LAST = -480, 520
_DATES = {day: date(2026, 1, 1) + timedelta(days=day) for day in range(_FIRST, _LAST)}
_DOM = {day: found.day for day, found in _DATES.items()}
_WEEKDAY = {day: found.weekday() for day, found in _DATES.items()}
_FRIDAY = 4


def moment(seconds: int) -> datetime:
    return EPOCH + timedelta(seconds=seconds)


def seconds(at: datetime) -> int:
    """Whole seconds since EPOCH, rounded up: a step is never taken before its time."""
    delta = at - EPOCH
    return delta.days * DAY + delta.seconds + (1 if delta.microseconds else 0)


def day_of_month(day: int) -> int:
    return _DOM[day]


def is_bank_day(day: int) -> bool:
    """Monday to Friday; bank holidays are left out."""
    return _WEEKDAY[day] < 5


def after_bank_days(day: int, count: int) -> int:
    while count:
        day += 1
        count -= is_bank_day(day)
    return day


def _on_or_before(day: int) -> int:
    while not is_bank_day(day):
        day -= 1
    return day


def _month_days() -> dict[str, tuple[int, ...]]:
    """Paydays of those who are paid by the calendar: on the working day at or before it, as is the custom."""
    ends, firsts, mids, day25, fifth = [], [], [], [], []
    for day in range(_FIRST + 10, _LAST - 10):
        dom = _DOM[day]
        if _DOM[day + 1] == 1:
            ends.append(_on_or_before(day))
        if dom == 1:
            firsts.append(_on_or_before(day))
            fifth.append(after_bank_days(day - 1, 5))
        if dom == 15:
            mids.append(_on_or_before(day))
        if dom == 25:
            day25.append(_on_or_before(day))
    return {
        "month_end": tuple(ends),
        "first": tuple(firsts),
        "day_15": tuple(mids),
        "day_25": tuple(day25),
        "fifth_working": tuple(fifth),
        "semimonthly": tuple(sorted(firsts + mids)),
    }


_BY_CALENDAR = _month_days()
_BY_DOM = {dom: tuple(day for day in range(_FIRST, _LAST) if _DOM[day] == dom) for dom in range(1, 29)}
_FRIDAYS = tuple(day for day in range(_FIRST, _LAST) if _WEEKDAY[day] == _FRIDAY)
_BIWEEKLY = (_FRIDAYS[::2], _FRIDAYS[1::2])


def by_calendar(kind: str, phase: int) -> tuple[int, ...]:
    """The paydays of a kind. `phase` picks the fortnight of those who are paid every other Friday."""
    if kind == "weekly":
        return _FRIDAYS
    if kind == "biweekly":
        return _BIWEEKLY[phase % 2]
    return _BY_CALENDAR[kind]


def monthly(dom: int) -> tuple[int, ...]:
    """The `dom`-th (1 to 28) of every month: when a credit card's bill is paid."""
    return _BY_DOM[dom]
