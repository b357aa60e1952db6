"""What `manage.py verify_ledger` checks: a registry, so that whoever keeps figures beside the ledger adds a check that
they agree with it.

    def payouts_agree(say: Progress) -> Outcome: …
    register_check("payout records", payouts_agree, rescans=True)     # in AppConfig.ready()

A check changes nothing, needs the same memory at any size, and stops at the first difference.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

Progress = Callable[[int], None]  # called now and then with how many rows were looked at so far


@dataclass(frozen=True)
class Difference:
    """`where`: the entry's key, or whatever names the place; both others in words, amounts in minor units."""

    where: str
    expected: str
    found: str

    def __str__(self) -> str:
        return f"{self.where}: expected {self.expected}, found {self.found}"


@dataclass(frozen=True)
class Outcome:
    """How many rows were compared, and the first difference."""

    checked: int
    difference: Difference | None = None


@dataclass(frozen=True)
class Check:
    name: str
    run: Callable[[Progress], Outcome]
    rescans: bool


_checks: dict[str, Check] = {}


def register_check(name: str, run: Callable[[Progress], Outcome], *, rescans: bool = True) -> None:
    """`rescans`: it reads a whole table; `--fast` leaves it out. A second registration of a name takes its place."""
    _checks[name] = Check(name, run, rescans)


def checks(*, fast: bool = False) -> list[Check]:
    """In the order of their registration."""
    return [check for check in _checks.values() if not (fast and check.rescans)]
