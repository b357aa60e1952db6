"""How often and at which hours one customer is written to, whatever the number of their invoices. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta

from dunning.plan import calendar

WEEK = timedelta(days=7)
DAY = timedelta(days=1)
ROUNDS = 40  # each moves on by a step; a week of messages and a night need a handful


@dataclass(frozen=True, slots=True)
class Pace:
    """Where the customer lives (`zone` IANA, `country` ISO, both "" when nobody knows) and the limits: local hours
    between which nobody is written to, and messages in any seven days, at least one."""

    zone: str
    country: str
    quiet_from: int
    quiet_until: int
    messages_a_week: int


def refused(*, now: datetime, sent: Sequence[datetime], pace: Pace) -> str:
    """ "" when a message may go out at `now`, else why not. `sent`: times of the customer's messages."""
    if is_quiet(now, pace):
        return "it is a quiet hour where the customer lives"
    if is_too_soon(now, sent, pace):
        return "a message went out to them within the day already"
    if len(_in_the_week_before(now, sent)) >= pace.messages_a_week:
        return f"{pace.messages_a_week} messages went out to them within a week"
    return ""


def earliest(*, now: datetime, sent: Sequence[datetime], pace: Pace) -> datetime:
    """The first moment at or after `now` at which `refused` says nothing; UTC."""
    moment = now
    for _ in range(ROUNDS):
        moment = _next_open(moment, pace)
        if is_too_soon(moment, sent, pace):
            moment = _next_day(moment, sent, pace)
            continue
        week = _in_the_week_before(moment, sent)
        if len(week) < pace.messages_a_week:
            break
        moment = max(moment, week[-pace.messages_a_week] + WEEK)
    return moment.astimezone(UTC)


def is_quiet(moment: datetime, pace: Pace) -> bool:
    """Whether nobody should be written to at that moment."""
    return _next_open(moment, pace) != moment


def _next_open(moment: datetime, pace: Pace) -> datetime:
    """As calendar.next_open; where the zones of a country leave no open hour in common, its first zone's count."""
    hours = {"quiet_from": pace.quiet_from, "quiet_until": pace.quiet_until}
    found = calendar.next_open(moment, pace.zone, pace.country, **hours)
    if not calendar.is_quiet(found, pace.zone, pace.country, **hours):
        return found
    first = getattr(calendar.home(pace.zone, pace.country), "key", "UTC")
    return calendar.next_open(moment, first, "", **hours)


def is_too_soon(moment: datetime, sent: Sequence[datetime], pace: Pace) -> bool:
    """Whether one of `sent` falls within 24 hours of it, or on the customer's same calendar day in any zone that they
    may live in (a day on which the clocks are put back has 25 hours)."""
    return any(
        one.astimezone(place).date() == moment.astimezone(place).date()
        for one in sent
        if abs(one - moment) < 2 * DAY
        for place in calendar.zones(pace.zone, pace.country)
    ) or any(abs(moment - one) < DAY for one in sent)


def _in_the_week_before(moment: datetime, sent: Sequence[datetime]) -> list[datetime]:
    """Oldest first."""
    return sorted(one for one in sent if moment - WEEK < one <= moment)


def _next_day(moment: datetime, sent: Sequence[datetime], pace: Pace) -> datetime:
    """When 24 hours have passed since the message in the way, and the next day has begun wherever they may live."""
    newest = max(one for one in sent if abs(one - moment) < 2 * DAY)
    begun = [
        datetime.combine(newest.astimezone(place).date() + DAY, time(0), tzinfo=place).astimezone(UTC)
        for place in calendar.zones(pace.zone, pace.country)
    ]
    return max(newest + DAY, *begun)
