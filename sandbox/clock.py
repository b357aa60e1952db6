"""The sandbox's time: real time until it is set, then it ticks on from there."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Clock:
    """Stamps every object. Signatures of webhooks use real time, because receivers compare with theirs."""

    def __init__(self, on_jump: Callable[[], None] = lambda: None) -> None:
        self._offset = 0.0
        self._held: int | None = None
        self._on_jump = on_jump

    def now(self) -> int:
        """Unix seconds."""
        return int(time.time() + self._offset) if self._held is None else self._held

    @contextmanager
    def held_at(self, unix: int) -> Iterator[None]:
        """It is `unix` meanwhile, whatever time passes, and nothing settles by the jump. Hold the world's lock."""
        before, self._held = self._held, unix
        try:
            yield
        finally:
            self._held = before

    def set(self, unix: int) -> int:
        """Jump to `unix`; the clock runs on from there."""
        self._offset = unix - time.time()
        self._on_jump()
        return self.now()

    def advance(self, seconds: float = 0, minutes: float = 0, hours: float = 0, days: float = 0) -> int:
        """Move forward (or back, with a negative number)."""
        self._offset += seconds + 60 * minutes + 3600 * hours + 86400 * days
        self._on_jump()
        return self.now()

    def reset(self) -> None:
        """Real time again."""
        self._offset = 0.0
