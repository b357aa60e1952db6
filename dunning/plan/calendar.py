"""Local days and hours: when a customer may be written to, when money is likely there, when banks work. Pure.

A customer's zone is an IANA name; where it is not known, their country's zones stand in, and an hour counts as open
only where it is open in every one of them (the United States: 13:00 to 20:00 in New York). Sources: the IANA time zone
database's zone.tab, through the package tzdata.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import lru_cache
from importlib import resources
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import tzdata

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
MORNING = time(9)  # local: balances have been booked, people are up
FRIDAY, SATURDAY = 4, 5
NOBODY_KNOWS = ("UTC", "America/New_York")  # neither zone nor country is known: afternoon in Europe, morning in America


@lru_cache(maxsize=1)
def _zones_by_country() -> dict[str, tuple[str, ...]]:
    text = resources.files(tzdata).joinpath("zoneinfo", "zone.tab").read_text(encoding="utf-8")
    found: dict[str, list[str]] = {}
    for line in text.splitlines():
        if line and not line.startswith("#"):
            country, _place, name = line.split("\t")[:3]
            found.setdefault(country, []).append(name)
    return {country: tuple(names) for country, names in found.items()}


@lru_cache(maxsize=1024)
def zone_of(name: str) -> tzinfo | None:
    """The zone of that name, None for one that nobody knows."""
    try:
        return ZoneInfo(name) if name else None
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return None


@lru_cache(maxsize=1024)
def zones(zone: str, country: str) -> tuple[tzinfo, ...]:
    """The zones a customer may live in; never empty. One element: it is known."""
    if known := zone_of(zone):
        return (known,)
    names = _zones_by_country().get(country.upper(), NOBODY_KNOWS)
    found = tuple(known for name in names if (known := zone_of(name)))
    return found or (UTC,)


def home(zone: str, country: str) -> tzinfo:
    """The one zone that days are counted in: the known one, else the country's first."""
    return zones(zone, country)[0]


def is_quiet(moment: datetime, zone: str, country: str, *, quiet_from: int, quiet_until: int) -> bool:
    """Whether nobody should be written to at that moment: between `quiet_from` o'clock and `quiet_until`, local. Where
    a country's zones leave no open hour in common, those of its first zone count."""
    places = _judging(zone, country, moment.astimezone(UTC).date(), quiet_from, quiet_until)
    return any(_in_hours(moment.astimezone(place).hour, quiet_from, quiet_until) for place in places)


@lru_cache(maxsize=4096)
def _judging(zone: str, country: str, day: date, quiet_from: int, quiet_until: int) -> tuple[tzinfo, ...]:
    """The zones that all have to be awake on that day (UTC)."""
    places = zones(zone, country)
    if len(places) == 1:
        return places
    start = datetime.combine(day, time(), tzinfo=UTC)
    for quarter in range(4 * 24):
        moment = start + quarter * (HOUR / 4)
        if not any(_in_hours(moment.astimezone(place).hour, quiet_from, quiet_until) for place in places):
            return places
    return places[:1]


def _in_hours(hour: int, first: int, last: int) -> bool:
    """Whether `hour` lies in [first, last), which may pass midnight; none at all where both are the same."""
    return first <= hour < last if first <= last else hour >= first or hour < last


def next_open(moment: datetime, zone: str, country: str, *, quiet_from: int, quiet_until: int) -> datetime:
    """The first moment at or after `moment` that is not quiet, in UTC; the moment itself where all hours are quiet."""
    if not is_quiet(moment, zone, country, quiet_from=quiet_from, quiet_until=quiet_until):
        return moment
    start = moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    for quarter in range(1, 4 * 49):  # zones differ by quarters of an hour
        later = start + quarter * (HOUR / 4)
        if later > moment and not is_quiet(later, zone, country, quiet_from=quiet_from, quiet_until=quiet_until):
            return later
    return moment


def local_day(moment: datetime, zone: str, country: str) -> date:
    return moment.astimezone(home(zone, country)).date()


def morning_of(day: date, zone: str, country: str) -> datetime:
    """09:00 of that day where the customer lives, in UTC."""
    return datetime.combine(day, MORNING, tzinfo=home(zone, country)).astimezone(UTC)


def at_nine(after: datetime, zone: str, country: str) -> datetime:
    """09:00 local of the day of `after`, or of the day after it when that has passed; UTC."""
    day = local_day(after, zone, country)
    moment = morning_of(day, zone, country)
    return moment if moment >= after else morning_of(day + DAY, zone, country)


# Days of the month on which wages are customarily paid where most are paid monthly: on the working day at or before
# them. Elsewhere many are paid weekly or every other week, on Fridays (United States: 69 %, the others monthly or twice
# a month, https://www.bls.gov/opub/ted/2014/ted_20140605.htm).
LAST = 31
_EUROPE = ("AT", "BE", "CH", "DE", "DK", "ES", "FI", "FR", "IE", "IT", "LU", "NL", "NO", "PL", "PT", "SE")
MONTHLY: dict[str, tuple[int, ...]] = {**dict.fromkeys((*_EUROPE, "GB", "JP"), (25, LAST)), "BR": (7, 20, LAST)}


def is_payday(day: date, paydays: Sequence[int] = (), country: str = "") -> bool:
    """Whether money is likely there on that day: on one of the customer's own days of the month, where these are known,
    on their country's customary ones, on the 1st, the 15th, or a Friday. Local holidays are left out."""
    if day.day in (1, 15, *paydays) or day.weekday() == FRIDAY:
        return True
    if day.day == _last_of(day) and any(wanted > day.day for wanted in paydays):
        return True
    return any(_pays_on(day, wanted) for wanted in MONTHLY.get(country.upper(), (LAST,)))


def _pays_on(day: date, wanted: int) -> bool:
    """Whether `day` is the working day at or before that day of its month."""
    due = day.replace(day=min(wanted, _last_of(day)))
    return day == due - max(due.weekday() - FRIDAY, 0) * DAY


def _last_of(day: date) -> int:
    return (day.replace(day=28) + timedelta(days=4)).replace(day=1).toordinal() - day.replace(day=1).toordinal()


def next_payday(after: datetime, zone: str, country: str, paydays: Sequence[int] = ()) -> datetime:
    """09:00 local of the first payday at or after `after`; UTC. Within 31 days."""
    moment = at_nine(after, zone, country)
    day = local_day(moment, zone, country)
    for _ in range(32):
        if is_payday(day, paydays, country):
            return morning_of(day, zone, country)
        day += DAY
    return moment


def bank_days_later(moment: datetime, days: int) -> datetime:
    """`days` banking days after `moment`: weekends do not count; holidays, which differ by country, are left out."""
    later = moment
    while days > 0:
        later += DAY
        if later.weekday() < SATURDAY:
            days -= 1
    return later
