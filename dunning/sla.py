"""The clock of a case that was handed to people: by when somebody should have acted on it.

It starts when a case is handed over or escalated. Whoever acts (a promise, a call, a letter, a snooze, a look) winds it
up anew; taking a case or writing a remark is not acting. When it runs out the case is handed on, a level up, and shows
as overdue until somebody acts. It stops when the case is paused, released or closed, and when its task is done.

Hours are hours: the clock knows no weekends and no office hours, which differ between the people of one platform.
Sets fields and saves nothing.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from dunning import config
from dunning.models import DunningCase


def start(case: DunningCase, now: datetime) -> None:
    """Level 0, from `now`. Does nothing where the configuration gives no hours."""
    hours = config.current().sla_hours
    case.sla_level, case.sla_due_at = 0, now + timedelta(hours=hours[0]) if hours else None


def stop(case: DunningCase) -> None:
    case.sla_level, case.sla_due_at = 0, None


def acted(case: DunningCase, now: datetime, *, rests_until: datetime | None = None) -> None:
    """A person has done something about it: if the clock runs it begins again, at the end of a promise or a snooze."""
    if case.sla_due_at is not None:
        start(case, max(now, rests_until or now))


def levels() -> int:
    """How often a case is handed on at most; above that it stays overdue."""
    return len(config.current().sla_hours)


def ran_out(case: DunningCase, now: datetime) -> bool:
    """Whether the case is to be handed on now."""
    return case.is_unpaid and case.sla_due_at is not None and case.sla_due_at <= now and case.sla_level < levels()


def raise_level(case: DunningCase, now: datetime) -> bool:
    """One level up. True where another level's clock begins, False after the last: it stays overdue as it is."""
    hours = config.current().sla_hours
    case.sla_level += 1
    if case.sla_level >= len(hours):
        return False
    case.sla_due_at = now + timedelta(hours=hours[case.sla_level])
    return True
