"""Which handler is called for which event type. An app's `event_handlers.py` registers here; the drain asks here.

A handler gets an `EventNote`, may be called again for the same event (so it is idempotent), runs outside any
transaction of the inbox, and raises to be called again later.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from typing import Any, TypeVar


@dataclass(frozen=True)
class EventNote:
    """What a handler learns of an event.

    `account` is the connected account ("" = the platform). `created` is Stripe's time of the event (aware, UTC).
    `data` is the event's `data.object` as sent, `previous` its `previous_attributes`. `current` is the object as
    refreshed from Stripe in this batch, None when Stripe no longer has it; for an object that has no API of its own it
    is `data`.
    """

    event_id: str
    type: str
    account: str
    created: datetime
    object_id: str
    object_type: str
    data: dict[str, Any]
    previous: dict[str, Any] = field(default_factory=dict)
    current: dict[str, Any] | None = None


Handler = Callable[[EventNote], None]
H = TypeVar("H", bound=Handler)

_exact: dict[str, list[Handler]] = {}
_families: dict[str, list[Handler]] = {}  # "customer.subscription." → handlers of "customer.subscription.*"


def on(*types: str) -> Callable[[H], H]:
    """Register the decorated function for event types: `invoice.paid`, or a family: `customer.subscription.*`."""

    def register(handler: H) -> H:
        for pattern in types:
            table, key = (_families, pattern[:-1]) if pattern.endswith(".*") else (_exact, pattern)
            if "*" in key or not key.strip("."):
                raise ValueError(f"{pattern!r} is neither a type such as invoice.paid nor a family such as invoice.*")
            handlers = table.setdefault(key, [])
            if handler not in handlers:
                handlers.append(handler)
        handlers_for.cache_clear()
        return handler

    return register


@lru_cache(maxsize=512)
def handlers_for(event_type: str) -> tuple[Handler, ...]:
    """The handlers of a type in the order of registration, exact ones first, each once."""
    found = list(_exact.get(event_type, ()))
    for prefix, handlers in _families.items():
        if event_type.startswith(prefix):
            found.extend(handler for handler in handlers if handler not in found)
    return tuple(found)
