"""The band around what is expected, by seeded draws with numpy. Floats serve the band alone: nothing here is money that
is booked, and the expected amounts are computed exactly elsewhere (flows.py).

A draw takes one collection rate per group of invoices from its posterior, Beta(paid + ½, unpaid + ½), for all days at
once (a bad rate is bad on every day), then lets each renewal be paid or not. The band of a day runs between the
10th and the 90th of 100 draws; the band of the running balance is taken from the draws' own running sums, not added up.
What is known (payouts due, reserves) has no width: its risk is a person's decision, not chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from math import ceil, floor
from typing import Any
from zlib import crc32

from settlements.forecast.flows import Group

LEVEL = 0.8
DRAWS = 2_000
EXACT = 24  # with more different amounts than this in a group their sum is drawn from a normal distribution


@dataclass(frozen=True)
class Bands:
    """(low, high) per day of the horizon, in minor units: in, out, and the running sum of in − out."""

    inflow: list[tuple[int, int]]
    outflow: list[tuple[int, int]]
    running: list[tuple[int, int]]


def seed_of(*parts: object) -> int:
    return crc32("|".join(map(str, parts)).encode())


def bands(
    groups: Sequence[Group], *, start: date, known_in: Sequence[int], known_out: Sequence[int], seed: int
) -> Bands:
    """`known_in` and `known_out`: minor units per day from `start` on. The same input gives the same band."""
    days = len(known_in)
    if not groups:
        sums = _running([a - b for a, b in zip(known_in, known_out, strict=True)])
        return Bands(*([(value, value) for value in values] for values in (known_in, known_out, sums)))
    import numpy as np  # here, so that a web process that only shows forecasts never loads it

    random = np.random.Generator(np.random.PCG64(seed))
    ordered = sorted(groups, key=lambda one: (one.in_day, one.account, sorted(one.amounts.items())))
    rates: dict[Any, Any] = {}
    for rate in sorted({one.rate for one in ordered}, key=lambda one: (one.finalised, one.paid)):
        rates[rate] = random.beta(rate.paid + 0.5, rate.finalised - rate.paid + 0.5, DRAWS)
    came = np.zeros((days, DRAWS)) + np.array(known_in, dtype=float)[:, None]
    went = np.zeros((days, DRAWS)) + np.array(known_out, dtype=float)[:, None]
    for one in ordered:
        collected = _collected(np, random, one, rates[one.rate])
        if 0 <= (index := (one.in_day - start).days) < days:
            came[index] += collected * float(one.in_part)
        for day, part in one.outs:
            if 0 <= (index := (day - start).days) < days:
                went[index] += collected * float(part)
    running = np.cumsum(came - went, axis=0)
    return Bands(*(_edges(np, values) for values in (came, went, running)))


def _collected(np: Any, random: Any, group: Group, rate: Any) -> Any:
    """Minor units collected of the group in each draw."""
    if len(group.amounts) <= EXACT:
        collected = np.zeros(DRAWS)
        for amount, count in sorted(group.amounts.items()):
            collected += random.binomial(count, rate) * float(amount)
        return collected
    total = float(sum(amount * count for amount, count in group.amounts.items()))
    squares = float(sum(amount * amount * count for amount, count in group.amounts.items()))
    drawn = rate * total + np.sqrt(rate * (1 - rate) * squares) * random.standard_normal(DRAWS)
    return np.clip(drawn, 0, total)


def _edges(np: Any, values: Any) -> list[tuple[int, int]]:
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=1)
    return [(floor(a), ceil(b)) for a, b in zip(low.tolist(), high.tolist(), strict=True)]


def _running(values: Sequence[int]) -> list[int]:
    total, found = 0, []
    for value in values:
        total += value
        found.append(total)
    return found
