"""Many histories on several processes. Stops at the first that breaks and says how to see it again."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

CHUNK = 250
TWICE = 50  # every so many-th history is played again and has to be the same
LATE = 8  # in every so many-th the events come weeks late


@dataclass
class Found:
    """`broken`: what did not hold, with the seed; "" when all did."""

    count: int = 0
    twice: int = 0
    seconds: float = 0
    figures: Counter[str] = field(default_factory=Counter)
    unheard: Counter[str] = field(default_factory=Counter)
    seed: int | None = None
    broken: str = ""

    def add(self, other: Found) -> None:
        self.count += other.count
        self.twice += other.twice
        self.figures.update(other.figures)
        self.unheard.update(other.unheard)
        if other.broken and not self.broken:
            self.seed, self.broken = other.seed, other.broken

    def as_json(self) -> dict[str, Any]:
        return {
            "histories": self.count, "played_twice": self.twice, "seconds": round(self.seconds, 1),
            "figures": dict(self.figures.most_common()), "not_knowable": dict(self.unheard.most_common()),
            "broken": self.broken, "seed": self.seed,
        }  # fmt: skip


def run(*, count: int, seed: int, workers: int) -> Found:
    """Play `count` histories, seeds `seed` on. `seconds` of wall clock."""
    since, found = time.monotonic(), Found()
    chunks = [(start, min(start + CHUNK, seed + count)) for start in range(seed, seed + count, CHUNK)]
    for one in _played(chunks, workers):
        found.add(one)
        if found.broken:
            break
    found.seconds = time.monotonic() - since
    return found


def _played(chunks: list[tuple[int, int]], workers: int) -> Iterator[Found]:
    if workers <= 1:
        yield from map(play_chunk, chunks)
        return
    context = multiprocessing.get_context("spawn")
    with context.Pool(workers, initializer=set_up) as pool:
        yield from pool.imap_unordered(play_chunk, chunks)


def set_up() -> None:
    import django

    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "billingops.settings")
    django.setup()


def play_chunk(chunk: tuple[int, int]) -> Found:
    from tests.dunning_histories.play import play

    found = Found()
    for seed in range(*chunk):
        late = seed % LATE == 0
        try:
            played = play(seed, late=late)
            if seed % TWICE == 0:
                found.twice += 1
                if play(seed, late=late).digest != played.digest:
                    raise AssertionError("played again it is another history")
        except Exception as error:  # whatever it is, it is what is looked for
            found.seed, found.broken = seed, f"{type(error).__name__}: {error}"
            break
        found.count += 1
        found.figures.update(played.figures)
        found.unheard.update(played.unheard)
    return found
