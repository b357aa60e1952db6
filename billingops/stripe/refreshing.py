"""sync.py's engine: one round of reading objects, what they refer to and the mirror lacks, and of storing them.

Only sync.py uses it, and gives on what others need.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from billingops.stripe import reads
from billingops.stripe import store as mirror
from billingops.stripe.reads import Key
from billingops.stripe.relations import required

# What was read this much before an event came in is not trusted to show it already (clocks of two machines differ).
CLOCK_MARGIN = timedelta(seconds=5)


@dataclass
class Memory:
    """What was read from Stripe in one run of work, and when, so that nothing is read twice. Bounded.

    What a handler read is not in the mirror by that: `to_store` tells it from what is.
    """

    limit: int = 20_000
    _read: dict[Key, tuple[datetime, dict[str, Any] | None]] = field(default_factory=dict)
    _stored: set[Key] = field(default_factory=set)

    def put(self, key: Key, data: dict[str, Any] | None, read_at: datetime) -> None:
        self.forget(key)
        self._read[key] = (read_at, data)
        while len(self._read) > self.limit:
            self.forget(next(iter(self._read)))

    def forget(self, key: Key) -> None:
        self._read.pop(key, None)
        self._stored.discard(key)

    def note_stored(self, key: Key) -> None:
        if key in self._read:
            self._stored.add(key)

    def to_store(self, key: Key) -> tuple[dict[str, Any], datetime] | None:
        """(object, time of its read) of what was read and not stored since."""
        read_at, data = self._read.get(key, (None, None))
        return (data, read_at) if data is not None and read_at and key not in self._stored else None

    def get(self, key: Key, *, since: datetime | None = None) -> tuple[bool, dict[str, Any] | None]:
        """(found, data): what was read, if it was read after `since`."""
        if key not in self._read:
            return False, None
        read_at, data = self._read[key]
        return (True, data) if since is None or read_at > since + CLOCK_MARGIN else (False, None)


Problems = dict[Key, Exception]


def key_of(object_type: str, object_id: str, account: str = "") -> Key:
    """An account is always read as the platform sees it, whoever's event names it."""
    return (object_type, object_id, "" if object_type == "account" else account)


@dataclass(frozen=True)
class Refreshed:
    """`data` None and no problem: Stripe no longer has the object."""

    data: dict[str, Any] | None = None
    problem: Exception | None = None


def refresh_many(
    keys: Iterable[Key], *, memory: Memory | None = None, since: Mapping[Key, datetime] | None = None
) -> dict[Key, Refreshed]:
    """Bring these objects, and what they refer to and the mirror lacks, up to date: each is read once, then stored.

    `memory` carries over what was read already; an object in it is read again only when `since` (the time of the latest
    event that names it) is later. No exception: what failed has its problem.
    """
    memory = memory if memory is not None else Memory()
    wanted = list(dict.fromkeys(keys))
    known = {key: data for key in wanted for found, data in [memory.get(key, since=(since or {}).get(key))] if found}
    read_only = {key: found for key in known if (found := memory.to_store(key))}
    run = Run(memory, dict.fromkeys(key for key in known if key not in read_only))
    for key, (data, read_at) in read_only.items():
        run.answered(key, data, read_at)
    open_keys = [key for key in wanted if key not in known]
    # First what brings others along expanded (an invoice its payments, those their payment intents), then what is left.
    run.read([key for key in open_keys if key[0] == "invoice"])
    run.read([key for key in open_keys if key not in run.answers and reads.RESOURCES[key[0]].expand])
    run.read([key for key in open_keys if key not in run.answers])
    problems = run.finish()
    results: dict[Key, Refreshed] = {}
    for key in wanted:
        problem = problems.get(key)
        answer = known[key] if key in known else run.answers.get(key)
        results[key] = Refreshed(problem=problem) if problem else Refreshed(data=answer)
    return results


class Run:
    """One round of reading and storing: what was asked and answered, and what failed."""

    def __init__(self, memory: Memory, settled: dict[Key, None]) -> None:
        self.memory = memory
        self.settled = set(settled)  # up to date already: neither read nor stored
        self.answers: dict[Key, dict[str, Any] | None] = {}
        self.problems: dict[Key, Exception] = {}
        self.objects: dict[Key, mirror.Incoming] = {}

    def read(self, keys: Iterable[Key]) -> None:
        read_at = timezone.now()
        for key, answer in reads.retrieve_many(keys).items():
            if isinstance(answer, Exception):
                self.problems[key] = answer
            elif answer is None:
                self.answers[key] = None
                self.memory.put(key, None, read_at)
                mirror.mark_gone(key[0], key[1])
            else:
                self.answered(key, answer, read_at)

    def answered(self, key: Key, data: dict[str, Any], read_at: datetime) -> None:
        try:
            self._note(data, key[2], read_at)
            if key not in self.answers:  # it is something else than was asked for, not gone
                raise mirror.Malformed
        except Exception as problem:  # this object's alone: the others of the batch go on
            self.problems[key] = problem

    def take(self, found: Iterable[tuple[dict[str, Any], str, datetime]]) -> Run:
        """Note objects and all that came expanded in them."""
        for data, account, read_at in found:
            try:
                self._note(data, account, read_at)
            except Exception as problem:
                self.problems[(str(data.get("object")), str(data.get("id")), account)] = problem
        return self

    def _note(self, data: dict[str, Any], account: str, read_at: datetime) -> None:
        *inner, own = mirror.incoming(data, account, read_at)
        for item in inner:
            key = key_of(item.key[0], item.key[1], account)
            if key not in self.objects and key not in self.settled:
                self.objects[key] = replace(item, account=key[2])
                self.answers.setdefault(key, item.data)
                if not item.data.get("deleted"):
                    self.memory.put(key, item.data, read_at)
        self.objects[own.key] = own
        self.answers[own.key] = data
        self.memory.put(own.key, data, read_at)

    def finish(self) -> dict[Key, Exception | None]:
        """Read what is referred to and missing, store everything; the problem of each object, if it has one."""
        for _ in range(4):  # a refund's charge's payment intent's customer is the longest way
            missing = self._missing()
            if not missing:
                break
            self.read(missing)
        results = mirror.store(self._storable())
        overtaken = [key for key, problem in results.items() if isinstance(problem, mirror.Overtaken)]
        if overtaken:
            again = Run(self.memory, dict.fromkeys(self.settled))
            again.read(overtaken)
            results |= mirror.store(again.objects.values()) | again.problems
            self.answers |= again.answers
        results |= self.problems
        for key, problem in results.items():
            if problem:
                self.memory.forget(key)
            else:
                self.memory.note_stored(key)
        return results

    def _missing(self) -> list[Key]:
        wanted: dict[str, set[Key]] = {}
        for item in self.objects.values():
            for key in self._required(item):
                if key not in self.objects and key not in self.answers and key not in self.problems:
                    wanted.setdefault(key[0], set()).add(key)
        found: list[Key] = []
        for object_type, keys in wanted.items():
            there = mirror.known(object_type, [key[1] for key in keys])
            found += sorted(key for key in keys if key[1] not in there)
        return found

    def _required(self, item: mirror.Incoming) -> list[Key]:
        """What this object refers to; nothing, and a problem noted, when that cannot be made out."""
        try:
            keys = list(required(item.data, item.account))
            if not all(key[1].isprintable() for key in keys):  # a database refuses to look for such an id
                raise mirror.Malformed
        except Exception as problem:
            self.problems[item.key] = problem
            return []
        return keys

    def _storable(self) -> list[mirror.Incoming]:
        """What refers to something that could not be read just now waits for the next try, too."""
        ready = []
        for item in self.objects.values():
            problem = next((self.problems[key] for key in self._required(item) if key in self.problems), None)
            if problem:
                self.problems[item.key] = problem
            elif item.key not in self.problems:
                ready.append(item)
        return ready
