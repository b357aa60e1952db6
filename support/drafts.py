"""A line of the timeline before it is stored, and what makes it the same line every time it is made."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from support.models import entry_id

# The sides an object may show, each at most once, with their place within one second (see models.entry_id).
RANKS = {
    "created": 10,
    "deleted": 12,
    "changed": 14,
    "started": 20,
    "updated": 24,
    "trial_ends": 26,
    "issued": 30,
    "attempt": 40,
    "payment": 50,
    "settled": 60,
    "voided": 62,
    "written_off": 64,
    "credit_note": 70,
    "refund": 80,
    "dispute": 90,
    "dispute_funds": 92,
    "dispute_closed": 94,
    "ended": 98,
    "case": 100,
    "note": 102,
    "case_closed": 104,
    "task": 106,
    "task_done": 108,
    "message": 110,
    "suggestion": 120,
}
SIDES: dict[str, tuple[str, ...]] = {
    "customer": ("created",),
    "subscription": ("started", "ended"),
    "invoice": ("issued", "settled", "voided", "written_off"),
    "charge": ("payment",),
    "refund": ("refund",),
    "dispute": ("dispute",),
    "credit_note": ("credit_note",),
}


@dataclass(frozen=True)
class Draft:
    """An entry before it is stored. `root`: the object's, event's or suggestion's id; `side`: which of its lines."""

    root: str
    side: str
    customer: str
    account: str
    at: datetime
    kind: str
    what: str
    state: str = ""
    amount: int | None = None
    currency: str = ""
    object_id: str = ""
    subject: str = ""
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def source(self) -> str:
        return f"{self.root}:{self.side}"

    @property
    def id(self) -> uuid.UUID:
        return id_of(self.root, self.side)


def id_of(root: str, side: str) -> uuid.UUID:
    """`side` may carry a number behind a dash ("attempt-2"), which is part of the source but not of the rank."""
    return entry_id(f"{root}:{side}", RANKS[side.partition("-")[0]])


def small(**values: Any) -> dict[str, Any]:
    """JSON's own types only; what is empty is left out."""
    return {key: _plain(value) for key, value in values.items() if value not in (None, "", [], ())}


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return value
