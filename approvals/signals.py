"""What the gate tells the rest of the house. Receivers run inside the transition's transaction: a receiver that raises
undoes the step, so it does little (its own row's state, a line in the timeline, an enqueue)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.dispatch import Signal

if TYPE_CHECKING:
    from approvals.models import Suggestion


@dataclass(frozen=True)
class Change:
    """One step of one suggestion, whose row is as it is now; `previous`: the state before, None when proposed."""

    suggestion: Suggestion
    previous: str | None
    reason: str


# sent with sender=Suggestion, changes (a sequence of Change, all of one verb), actor. A thousand at once is normal:
# who writes something for them does it in a number of statements that does not grow with theirs.
suggestions_changed = Signal()

# the same, of seeded suggestions, which the house is told nothing of
seeded_changed = Signal()

# the same, once for each change, with suggestion, previous, actor, reason: for those who only look
suggestion_changed = Signal()
