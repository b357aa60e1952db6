"""Many histories on several processes. Stops at the first that breaks, makes it small, and says how to see it again."""

from __future__ import annotations

import multiprocessing
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

CHUNK = 250


@dataclass
class Found:
    """`broken`: what did not hold, with the seed; "" when all did."""

    count: int = 0
    heard: int = 0
    entries: int = 0
    seconds: float = 0
    features: Counter[str] = field(default_factory=Counter)
    seed: int | None = None
    broken: str = ""
    objects: list[str] = field(default_factory=list)

    def add(self, other: Found) -> None:
        self.count += other.count
        self.heard += other.heard
        self.entries += other.entries
        self.features.update(other.features)
        if other.broken and not self.broken:
            self.seed, self.broken, self.objects = other.seed, other.broken, other.objects

    def as_json(self) -> dict[str, Any]:
        return {
            "histories": self.count, "events_heard": self.heard, "entries_posted": self.entries,
            "seconds": round(self.seconds, 1), "features": dict(self.features.most_common()),
            "broken": self.broken, "seed": self.seed, "objects": self.objects,
        }  # fmt: skip


def run(*, count: int, seed: int, workers: int, orders: int = 2) -> Found:
    """Play `count` histories, seeds `seed` on. `seconds` of wall clock."""
    since, found = time.monotonic(), Found()
    chunks = [(start, min(start + CHUNK, seed + count), orders) for start in range(seed, seed + count, CHUNK)]
    for one in _played(chunks, workers):
        found.add(one)
        if found.broken:
            break
    found.seconds = time.monotonic() - since
    return found


def _played(chunks: list[tuple[int, int, int]], workers: int) -> Iterator[Found]:
    if workers <= 1:
        yield from map(play_chunk, chunks)
        return
    context = multiprocessing.get_context("spawn")
    with context.Pool(workers, initializer=set_up) as pool:
        yield from pool.imap_unordered(play_chunk, chunks)


def set_up() -> None:
    import os

    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "billingops.settings")
    django.setup()


def play_chunk(chunk: tuple[int, int, int]) -> Found:
    from tests.histories.play import play

    start, stop, orders = chunk
    found = Found()
    for seed in range(start, stop):
        try:
            played = play(seed, orders=orders)
        except Exception as error:  # whatever it is, it is what is looked for
            found.seed, found.broken = seed, f"{type(error).__name__}: {error}"
            found.objects = smallest(seed, orders, type(error))
            break
        found.count += 1
        found.heard += played.heard
        found.entries += played.entries
        found.features.update(played.features)
    return found


def smallest(seed: int, orders: int, error: type[Exception]) -> list[str]:
    """The objects of Stripe without any of which the history no longer breaks in that way."""
    from tests.histories.play import play
    from tests.histories.world import make

    def breaks(only: list[str]) -> bool:
        try:
            play(seed, orders=orders, only=frozenset(only))
        except error:
            return True
        except Exception:
            return False
        return False

    left = sorted({message.object_id for message in make(seed).messages})
    again = True
    while again:
        again = False
        for one in list(left):
            fewer = [other for other in left if other != one]
            if breaks(fewer):
                left, again = fewer, True
    return left
