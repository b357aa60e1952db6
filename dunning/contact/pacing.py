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
    """Where the customer lives (`zone` IANA, `country` ISO, both "" when nobody knows) and the limits: local hours between
    which nobody is written to, and messages in any seven days, at least one."""

    zone: str
    country: str
    quiet_from: int
    quiet_until: int
    messages_a_week: int


def refused(*, now: datetime, sent: Sequence[datetime], pace: Pace) -> str:
    """ "" when a message may go out at `now`, else why not. `sent`: times of the customer's messages."""
    if is_quiet(now, pace):
        return "it is a quiet hour where the customer lives"
    if is_same_day(now, sent, pace):
        return "a message went out to them today already"
    if len(_in_the_week_before(now, sent)) >= pace.messages_a_week:
        return f"{pace.messages_a_week} messages went out to them within a week"
    return ""


def earliest(*, now: datetime, sent: Sequence[datetime], pace: Pace) -> datetime:
    """The first moment at or after `now` at which `refused` says nothing; UTC."""
    moment = now
    for _ in range(ROUNDS):
        moment = calendar.next_open(
            moment, pace.zone, pace.country, quiet_from=pace.quiet_from, quiet_until=pace.quiet_until
        )
        if is_same_day(moment, sent, pace):
            moment = _next_day(moment, pace)
            continue
        week = _in_the_week_before(moment, sent)
        if len(week) < pace.messages_a_week:
            break
        moment = max(moment, week[-pace.messages_a_week] + WEEK)
    return moment.astimezone(UTC)


def is_quiet(moment: datetime, pace: Pace) -> bool:
    """Whether it is a quiet hour; where the zones of a country leave no open one in common, its first zone's count."""
    if not calendar.is_quiet(
        moment, pace.zone, pace.country, quiet_from=pace.quiet_from, quiet_until=pace.quiet_until
    ):
        return False
    return (
        calendar.next_open(moment, pace.zone, pace.country, quiet_from=pace.quiet_from, quiet_until=pace.quiet_until)
        != moment
    )


def is_same_day(moment: datetime, sent: Sequence[datetime], pace: Pace) -> bool:
    """Whether one of `sent` falls on the customer's same calendar day, in any zone that they may live in."""
    near = [one for one in sent if abs(one - moment) < 2 * DAY]
    return any(
        one.astimezone(place).date() == moment.astimezone(place).date()
        for one in near
        for place in calendar.zones(pace.zone, pace.country)
    )


def _in_the_week_before(moment: datetime, sent: Sequence[datetime]) -> list[datetime]:
    """Oldest first."""
    return sorted(one for one in sent if moment - WEEK < one <= moment)


def _next_day(moment: datetime, pace: Pace) -> datetime:
    """When the day after has begun wherever the customer may live."""
    return max(
        datetime.combine(moment.astimezone(place).date() + DAY, time(0), tzinfo=place).astimezone(UTC)
        for place in calendar.zones(pace.zone, pace.country)
    )
