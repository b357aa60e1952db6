"""When to try again: paydays, pauses, and the card networks' caps. Pure; the time comes in as an argument.

Caps: Mastercard counts 10 attempts a day and 35 in 30 days per card, Visa 15 in 30 days (its newer rules say 20; the
older figure is the safe one). Other networks publish none; they get Visa's. Stripe's own attempts count too.
Sources: https://developers.tabapay.com/docs/excessive-retry-rules (10 and 35; 20),
https://www.payway.com/visa-excessive-reattempts-rule-fees (15)
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, time, timedelta

RETRY_HOURS = (time(6), time(22))  # UTC: a retry that a person sets is not charged in Europe's night
MAX_AHEAD = timedelta(days=30)  # the networks' own window; later than that the case has moved on
HOUR_OF_DAY = time(9)  # UTC: working hours in Europe, night in the Americas, when balances have been booked
_FRIDAY = 4


@dataclass(frozen=True, slots=True)
class Cap:
    per_day: int | None
    per_30_days: int


CAPS = {"mastercard": Cap(10, 35), "visa": Cap(None, 15)}
OTHER_CAP = Cap(None, 15)


def cap_of(brand: str) -> Cap:
    return CAPS.get(brand.lower(), OTHER_CAP)


def over_cap(brand: str, *, last_day: int, last_30_days: int) -> str:
    """ "" when one more attempt stays within the network's caps, else the cap that forbids it, in words."""
    cap = cap_of(brand)
    name = brand.capitalize() or "the card network"
    if last_30_days >= cap.per_30_days:
        return f"{name} allows {cap.per_30_days} attempts in 30 days and {last_30_days} were made"
    if cap.per_day is not None and last_day >= cap.per_day:
        return f"{name} allows {cap.per_day} attempts a day and {last_day} were made"
    return ""


def next_payday(after: datetime) -> datetime:
    """The first 1st or 15th of a month, or Friday, at 09:00 UTC, at or after `after` (aware).

    Salaries are paid on these days in most places; local calendars and holidays are left out on purpose.
    """
    day = after.date()
    while True:
        moment = datetime.combine(day, HOUR_OF_DAY, tzinfo=after.tzinfo)
        if moment >= after and (day.day in (1, 15) or day.weekday() == _FRIDAY):
            return moment
        day += timedelta(days=1)


def at_nine(after: datetime) -> datetime:
    """09:00 UTC of the day of `after`, or of the day after it when that has passed."""
    moment = datetime.combine(after.date(), HOUR_OF_DAY, tzinfo=after.tzinfo)
    return moment if moment >= after else moment + timedelta(days=1)


def no_time_for_a_retry(at: datetime, now: datetime) -> str:
    """ "" when a person may put a retry at `at` (aware, UTC), else why not, in words."""
    if at <= now:
        return "That time has passed"
    if at > now + MAX_AHEAD:
        return f"That is more than {MAX_AHEAD.days} days ahead"
    first, last = RETRY_HOURS
    if not first <= at.time() <= last:
        return f"Nobody is charged at night: choose a time between {first:%H:%M} and {last:%H:%M} UTC"
    return ""
