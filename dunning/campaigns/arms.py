"""Which arm of an A/B test a customer is in: a fixed function of the test's seed, the account and the customer. Pure.

Nothing is drawn and nothing is remembered: whoever asks again, in whatever order, gets the same answer, and one
customer is in one arm with all their invoices.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Arm:
    """`version`: of the campaign; `weight`: its part of the customers, against the other arms' weights."""

    name: str
    version: int
    weight: int = 1


def assign(arms: Sequence[Arm], *, seed: int, account: str, customer: str) -> Arm:
    """The first eight bytes of a SHA-256, as a fraction of 2^64, against the arms' weights in their order.

    Raises ValueError for arms whose weights are not all above zero."""
    if not arms or any(arm.weight < 1 for arm in arms):
        raise ValueError("An A/B test needs arms, each with a weight above zero.")
    digest = hashlib.sha256(f"{seed}|{account}|{customer}".encode()).digest()
    point = int.from_bytes(digest[:8], "big") * sum(arm.weight for arm in arms) >> 64
    for arm in arms:
        if point < arm.weight:
            return arm
        point -= arm.weight
    raise AssertionError("the point lies below the sum of the weights")
