"""The verbs of the gate. Nothing else changes a suggestion.

Each verb is one transaction: lock the row, check the right, the version and the table of states, save with the
history's reason, append to the audit chain, tell the house (signals.suggestion_changed). No verb talks to the network.
`approvals/executions.py` holds the second half: what happens after an approval.

proposing.py   propose, propose_many
deciding.py    approve, edit, reject, cancel, retry, look_again, may_decide
desk.py        take, release, assign, comment; decide beside whoever has taken it; views of the queue
sweeping.py    supersede, expire_due
batches.py     freeze, start, stop, work: many at once, each row exactly once
writing.py     how steps are written down, one or a thousand; the one place where a state changes
steps.py       what they share
"""

from __future__ import annotations

import uuid

from approvals.services.deciding import REJECTION_REASONS, approve, cancel, edit, look_again, may_decide, reject, retry
from approvals.services.desk import AlreadyTaken, assign, comment, release, take
from approvals.services.proposing import Asked, Proposed, is_off, propose, propose_many
from approvals.services.steps import MAX_COMMENT, changes_since
from approvals.services.sweeping import expire_due, supersede
from billingops.actors import Actor

__all__ = [
    "MAX_COMMENT",
    "REJECTION_REASONS",
    "AlreadyTaken",
    "Asked",
    "Proposed",
    "approve",
    "assign",
    "cancel",
    "changes_since",
    "comment",
    "confirm",
    "edit",
    "expire_due",
    "is_off",
    "look_again",
    "may_decide",
    "propose",
    "propose_many",
    "reject",
    "release",
    "retry",
    "supersede",
    "take",
]


def confirm(*, suggestion_id: uuid.UUID | str, event_id: str, object_id: str, actor: Actor) -> bool:
    """The returning event closes the case; see executions.confirm."""
    from approvals import executions

    return executions.confirm(suggestion_id=suggestion_id, event_id=event_id, object_id=object_id, actor=actor)
