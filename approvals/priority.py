"""How urgent a suggestion is, with its parts: age, sum, risk, deadline.

Each part is worth hours. A suggestion's place in the queue is the moment it was made, moved forward by the hours of the
other parts, so the order is that of one stored, indexed column (`rank_at`) and nothing has to be recomputed as it ages.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from django.utils import timezone

from approvals import registry
from approvals.models import Suggestion

# Hours by the number of digits in minor units beyond three: USD 1,000.00 is worth 12 h of waiting, USD 1,000,000.00 a
# day. Minor units, because a yen is worth about a cent: counted whole, JPY 4,000 would stand before USD 442.40.
HOURS_PER_DIGIT = 4
HOURS_PER_FLAG = 12
MAX_FLAGS = 3
DEADLINE_HOURS = 48  # what has to be decided within this time moves up by as much as it is short of it


@dataclass(frozen=True)
class Part:
    name: str
    hours: float
    text: str


def parts(suggestion: Suggestion, *, now: datetime | None = None) -> list[Part]:
    """What makes up its priority now; parts worth nothing are left out."""
    now = now or timezone.now()
    age = max((now - suggestion.created_at).total_seconds() / 3600, 0.0)
    found = [Part("age", age, f"waiting {age:.0f} h"), *_fixed(suggestion)]
    return [part for part in found if part.hours > 0]


def stored_parts(suggestion: Suggestion, *, now: datetime) -> list[Part]:
    """As `parts`, from the stored place in the queue: reads no parameter and no fact, so a list costs nothing a row."""
    age = max((now - suggestion.created_at).total_seconds() / 3600, 0.0)
    amount, risk = _sum(suggestion), _risk(suggestion)
    moved = (suggestion.created_at - suggestion.rank_at).total_seconds() / 3600
    deadline = Part("deadline", round(moved - amount.hours - risk.hours, 1), "to be decided soon")
    found = [Part("age", age, f"waiting {age:.0f} h"), amount, risk, deadline]
    return [part for part in found if part.hours > 0]


def rank_at(suggestion: Suggestion) -> datetime:
    """Its place in the queue: earlier is more urgent."""
    return suggestion.created_at - timedelta(hours=sum(part.hours for part in _fixed(suggestion)))


def _fixed(suggestion: Suggestion) -> list[Part]:
    """The parts that do not change while it waits."""
    return [_sum(suggestion), _risk(suggestion), _deadline(suggestion)]


def _sum(suggestion: Suggestion) -> Part:
    if suggestion.amount is None:
        return Part("sum", 0, "")
    return Part("sum", HOURS_PER_DIGIT * max(0, len(str(suggestion.amount)) - 3), suggestion.money)


def _risk(suggestion: Suggestion) -> Part:
    count = min(len(suggestion.flags), MAX_FLAGS)
    return Part("risk", HOURS_PER_FLAG * count, f"{len(suggestion.flags)} flagged")


def _deadline(suggestion: Suggestion) -> Part:
    due = registry.get(suggestion.kind).deadline(suggestion) if suggestion.kind in registry.names() else None
    due = min((moment for moment in (due, suggestion.expires_at) if moment), default=None)
    if due is None:
        return Part("deadline", 0, "")
    left = (due - suggestion.created_at).total_seconds() / 3600
    return Part("deadline", max(0.0, DEADLINE_HOURS - left), f"to be decided by {due:%d %b %H:%M} UTC")
