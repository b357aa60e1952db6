"""The sandbox's world: state, clock, cards, faults, keys, events and webhooks, and the lock around them.

A resource handler runs with `World.lock` held, so it may touch everything here; it never waits for anything.
"""

from __future__ import annotations

import json
import threading
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import stripe

from . import ledger
from .cards import Cards
from .clock import Clock
from .debits import Account
from .errors import Json
from .faults import Faults
from .idempotency import IdempotencyKeys
from .render import render, virtual
from .shapes import shape
from .store import Scope, Store
from .webhooks import Webhooks

API_VERSION: str = stripe.api_version
PLATFORM_ID = "acct_1SandboxPlatform"


@dataclass(frozen=True)
class Origin:
    """The API request that is being executed; stamped on the events it causes."""

    request_id: str | None = None
    idempotency_key: str | None = None


@dataclass
class Call:
    """One API call as a handler sees it: typed parameters, the account's scope, the world."""

    world: World
    scope: Scope
    method: str
    path: str
    params: Json = field(default_factory=dict)

    @property
    def store(self) -> Store:
        """Short for `world.store`."""
        return self.world.store

    @property
    def now(self) -> int:
        """The sandbox's time."""
        return self.world.clock.now()

    def emit(self, type: str, obj: Json) -> None:
        """An event about an object of the calling account."""
        self.world.emit(self.scope, type, obj)


class World:
    """Everything there is. `reset` begins anew; endpoints given at construction stay."""

    def __init__(self, *, webhook_workers: int = 1, retry_delays: Sequence[float] | None = None) -> None:
        self.lock = threading.RLock()
        self.clock = Clock(on_jump=self._settle_all)
        self.cards = Cards()
        self.accounts: dict[str, Account] = {}  # payment method → the bank account behind it
        self.faults = Faults()
        self.keys = IdempotencyKeys()
        self.store = Store(PLATFORM_ID)
        self.origin = Origin()
        self.announces_funds = True  # balance.available as soon as something became it; see ledger.settle
        self.log: list[Json] = []  # every event of every account, oldest first
        options: dict[str, Any] = {} if retry_delays is None else {"retry_delays": retry_delays}
        self.webhooks = Webhooks(
            workers=webhook_workers,
            on_acknowledged=self._acknowledged,
            render=self.show_event,
            find_event=self.event,
            **options,
        )

    def reset(self) -> None:
        """An empty world: objects, keys, faults, cards, queue and clock."""
        with self.lock:
            self.store = Store(PLATFORM_ID)
            self.log.clear()
            self.cards.clear()
            self.accounts.clear()
            self.faults.clear()
            self.keys.clear()
            self.clock.reset()
            self.webhooks.clear()

    def _settle_all(self) -> None:
        """The clock jumped: funds may have become available."""
        with self.lock:
            for scope in self.store.scopes():
                ledger.settle(self, scope)
                self._time_has_come(scope)

    def _time_has_come(self, scope: Scope) -> None:
        """What Stripe and the banks do by themselves on a day: debits are answered, pauses end."""
        from . import debits
        from .billing import subscriptions

        debits.settle_due(self, scope)
        subscriptions.resume_due(self, scope)

    # Events

    def emit(self, scope: Scope, type: str, obj: Json, previous: Json | None = None) -> Json:
        """Store an event with a snapshot of the object, and queue its webhooks."""
        data: Json = {"object": render(self, scope, obj)}
        if previous is not None:
            data["previous_attributes"] = previous
        values: Json = {
            "id": self.store.new_id("evt"),
            "api_version": API_VERSION,
            "created": self.clock.now(),
            "livemode": False,
            "request": {"id": self.origin.request_id, "idempotency_key": self.origin.idempotency_key},
            "type": type,
        }
        if not scope.is_platform:
            values["account"] = scope.account_id
        event = shape("event", **values)
        event["data"] = None
        event["_data"] = zlib.compress(json.dumps(data).encode(), 1)  # a month has hundreds of thousands of them
        scope.add(event)
        self.log.append(event)
        event["pending_webhooks"] = sum(endpoint.wants(event) for endpoint in self.webhooks.endpoints)
        self.webhooks.publish(event)
        return event

    @contextmanager
    def changes(self, scope: Scope, obj: Json, type: str) -> Iterator[None]:
        """Emit `type` with `previous_attributes` if the block changed how the object looks."""
        before = self.snapshot(scope, obj)
        yield
        after = self.snapshot(scope, obj)
        previous = difference(before, after)
        if previous:
            self.emit(scope, type, obj, previous)

    def snapshot(self, scope: Scope, obj: Json) -> Json:
        """What the object looks like now, independent of what happens to it later."""
        copy: Json = json.loads(json.dumps(render(self, scope, obj)))
        return copy

    def event(self, event_id: str) -> Json:
        """An event of any account."""
        for event in reversed(self.log):
            if event["id"] == event_id:
                return event
        raise LookupError(f"no such event: {event_id}")

    def show_event(self, event: Json) -> Json:
        """An event as it is delivered."""
        with self.lock:
            shown = {key: value for key, value in event.items() if not key.startswith("_")}
            return {**shown, "data": event_data(event)}

    def _acknowledged(self, event: Json) -> None:
        with self.lock:
            event["pending_webhooks"] = max(0, event["pending_webhooks"] - 1)


def event_data(event: Json) -> Json:
    """The snapshot an event carries."""
    data: Json = json.loads(zlib.decompress(event["_data"]))
    return data


@virtual("event", "data")
def _data(world: World, scope: Scope, event: Json) -> Json:
    return event_data(event)


def difference(before: Any, after: Any) -> Json:
    """`previous_attributes`: the old values of what changed; inside hashes only the keys that changed."""
    changed: Json = {}
    for key in [*before, *(key for key in after if key not in before)]:
        old, new = before.get(key), after.get(key)
        if old == new:
            continue
        if isinstance(old, dict) and isinstance(new, dict) and old.get("object") == new.get("object") != "list":
            changed[key] = difference(old, new)
        else:
            changed[key] = old
    return changed
