"""Faults on demand: late answers, refusals, errors before and after the effect, broken connections, callers killed.

`kill_before` and `kill_after` end the calling process with SIGKILL when its request has arrived, or when its effect is
done and the answer is not out yet. The caller names itself: `stripe.set_app_info("pid", version=str(os.getpid()))`.
"""

from __future__ import annotations

import contextlib
import os
import random
import re
import signal
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

Kind = Literal[
    "latency", "rate_limit", "error_before", "error_after", "drop_before", "drop_after", "kill_before", "kill_after"
]
KINDS: tuple[str, ...] = get_args(Kind)
# These two happen inside the execution, so a replayed answer does not meet them.
EXECUTION_KINDS = ("error_before", "error_after")
_PID = re.compile(r"\bpid/(\d+)")


def kill(pid: int) -> None:
    """SIGKILL; a process that is gone already is no error."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


@dataclass
class Fault:
    """What goes wrong, for which requests, and how many times (`times=None`: until cleared).

    `method` and `path` are None for any; a path may hold `*` for one segment (`/v1/invoices/*/pay`).
    `latency_ms` is waited before the request is handled, with every kind.
    """

    kind: Kind
    method: str | None = None
    path: str | None = None
    times: int | None = 1
    probability: float = 1.0
    latency_ms: int = 0

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"unknown fault kind {self.kind!r}: one of {', '.join(KINDS)}")

    def matches(self, method: str, path: str) -> bool:
        """Whether it concerns this request."""
        if self.method and self.method.upper() != method:
            return False
        if self.path is None:
            return True
        pattern = "[^/]+".join(re.escape(part) for part in self.path.split("*"))
        return re.fullmatch(pattern, path) is not None


class Faults:
    """The armed faults. The first of each matching kind is consumed by a request.

    `hits` counts what happened: (kind, the fault's path) → times. `kill` ends a process; put your own in its place to
    look first whose it is.
    """

    def __init__(self, seed: int = 0) -> None:
        self.hits: Counter[tuple[str, str]] = Counter()
        self.kill = kill
        self._armed: list[Fault] = []
        self._lock = threading.Lock()
        self._random = random.Random(seed)  # noqa: S311  chance, not a secret

    def add(self, fault: Fault) -> Fault:
        """Arm a fault."""
        with self._lock:
            self._armed.append(fault)
        return fault

    def clear(self) -> None:
        """Disarm them all."""
        with self._lock:
            self._armed.clear()

    def seed(self, seed: int) -> None:
        """Begin the chances anew."""
        with self._lock:
            self._random.seed(seed)

    def kill_caller(self, headers: Mapping[str, str]) -> None:
        """End the process that sent the request, if it has named itself."""
        if found := _PID.search(headers.get("user-agent", "")):
            self.kill(int(found[1]))

    def armed(self) -> list[Fault]:
        """What is still armed."""
        with self._lock:
            return list(self._armed)

    def draw(self, method: str, path: str, *, wanted: Callable[[str], bool]) -> list[Fault]:
        """Consume at most one fault of each kind that is `wanted` and matches."""
        drawn: dict[str, Fault] = {}
        with self._lock:
            for fault in list(self._armed):
                if fault.kind in drawn or not wanted(fault.kind) or not fault.matches(method, path):
                    continue
                if fault.probability < 1.0 and self._random.random() >= fault.probability:
                    continue
                drawn[fault.kind] = fault
                self.hits[fault.kind, fault.path or "*"] += 1
                if fault.times is not None:
                    fault.times -= 1
                    if fault.times <= 0:
                        self._armed.remove(fault)
        return list(drawn.values())
