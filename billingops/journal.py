"""What the floor has to tell the audit log, which lives in a room it may not enter.

`note` sends `recorded`; approvals/receivers.py listens and appends. A receiver that raises stops what is being noted:
the floor calls `note` inside the transaction of what happened, so that neither exists without the other.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from django.dispatch import Signal

from billingops.actors import Actor

recorded = Signal()  # sent with sender=Note, notes: tuple[Note, ...]


@dataclass(frozen=True)
class Note:
    """One thing that happened. `subject`: what it happened to (`event:evt_1`, `user:7`); `data`: JSON, small, without
    secrets and personal data; `account`: the connected account ("" = the platform); `event_id`: the Stripe event."""

    action: str
    subject: str
    actor: Actor
    data: dict[str, Any] = field(default_factory=dict)
    account: str = ""
    event_id: str = ""


def note(*notes: Note) -> None:
    if notes:
        recorded.send(sender=Note, notes=notes)
