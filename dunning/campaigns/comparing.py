"""What an A/B test has shown: intervals, the sample it needs, and when something may be said at all. Pure.

The sample is fixed before the test starts: of each arm as many customers as it takes to see the difference that was
asked for (80 % power, 5 % two-sided). The first customers, in the order in which their first case was opened, until
every arm has its number, are the sample; the verdict is given once, when each of these cases has had its full window.
Looking earlier, or later, changes nothing, so there is nothing to peek at.

The unit is the customer: the sample counts each customer's first case, since later ones say the same again. Money
counts all cases of the sample's customers, and its interval draws customers, not cases.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from fractions import Fraction
from statistics import NormalDist

import numpy as np

from billingops.statistics import newcombe, wilson
from dunning.campaigns.arms import Arm

POWER, LEVEL = 0.8, 0.05
MISMATCH = 0.001  # a smaller chance of arms as uneven as these: the division itself is broken
DRAWS, MOST_DRAWN, AT_ONCE = 2_000, 20_000_000, 500_000


@dataclass(frozen=True, slots=True)
class Outcome:
    """One case. Amounts in minor units of `currency`: `at_risk` when it was opened, `recovered` of it so far.

    `paid_at`: when it was paid in full, None while it is not; `ended_at`: when it ended, paid or not."""

    arm: str
    account: str
    customer: str
    opened_at: datetime
    currency: str
    at_risk: int
    recovered: int = 0
    paid_at: datetime | None = None
    ended_at: datetime | None = None

    def is_recovered(self, window: timedelta) -> bool:
        """Paid in full within the window: what every case of the sample had the time for."""
        return self.paid_at is not None and self.paid_at <= self.opened_at + window

    def money_of(self, window: timedelta) -> int:
        """What had come when the case ended, whole or in part, if it ended within the window."""
        at = self.ended_at or self.paid_at
        return self.recovered if at is not None and at <= self.opened_at + window else 0

    @property
    def who(self) -> tuple[str, str]:
        return (self.account, self.customer)


@dataclass(frozen=True, slots=True)
class Money:
    """Recovered of what was at risk, one currency; `low`, `high`: bounds of the share, None where too few say it."""

    currency: str
    at_risk: int
    recovered: int
    low: float | None = None
    high: float | None = None

    @property
    def share(self) -> float:
        return self.recovered / self.at_risk if self.at_risk else 0.0


@dataclass(frozen=True, slots=True)
class ArmResult:
    """`customers`, `cases`: all so far; `needed`: customers for the sample. `counted`, `recovered`: those customers of
    the sample whose first case has had its window, and how many of these paid within it."""

    arm: Arm
    needed: int
    customers: int
    cases: int
    counted: int
    recovered: int
    rate: float
    low: float
    high: float
    money: tuple[Money, ...] = ()


@dataclass(frozen=True, slots=True)
class Difference:
    """Of an arm to the first one, in shares of 1, with its interval."""

    arm: str
    points: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Result:
    """`enough`: the sample is complete and has had its window; only then are there `differences` and a verdict.

    complete_at   when the last arm's sample was full, None while it is not; `decided_at`: when its window ends
    mismatch      the chance of arms as uneven as these, where it is so small that something is wrong; else None
    """

    arms: tuple[ArmResult, ...]
    enough: bool
    verdict: str
    missing: str = ""
    ahead: str = ""
    differences: tuple[Difference, ...] = ()
    complete_at: datetime | None = None
    decided_at: datetime | None = None
    mismatch: float | None = None
    outside: int = 0
    level: float = field(default=1 - LEVEL)


# -- the sample --------------------------------------------------------------------------------------------------------


def needed(arms: Sequence[Arm], *, baseline: float, difference: float) -> dict[str, int]:
    """Customers per arm to see `difference` (a share) from `baseline`, upwards or downwards, whichever takes more.

    Two proportions, normal approximation, arms of unequal size; the level is divided among the arms that are held
    against the first one (Bonferroni). Source: Chow, Shao, Wang, Lokhnygina, Sample Size Calculations in Clinical
    Research (2017), 4.2.
    """
    first, others = arms[0], arms[1:]
    normal = NormalDist()
    z = normal.inv_cdf(1 - LEVEL / len(others) / 2) + normal.inv_cdf(POWER)
    counts = {arm.name: 0 for arm in arms}
    for arm in others:
        ratio = Fraction(arm.weight, first.weight)
        for other in (baseline + difference, baseline - difference):
            if not 0 < other < 1:
                continue
            spread = baseline * (1 - baseline) + other * (1 - other) / float(ratio)
            base = math.ceil(z * z * spread / difference**2)
            counts[first.name] = max(counts[first.name], base)
            counts[arm.name] = max(counts[arm.name], math.ceil(base * ratio))
    return counts


def compare(
    outcomes: Sequence[Outcome],
    arms: Sequence[Arm],
    *,
    baseline: float,
    difference: float,
    window: timedelta,
    now: datetime,
    seed: int,
    stopped: bool = False,
) -> Result:
    """What the cases of a test have shown by `now`. `outcomes`: in any order. `seed`: of the bootstrap."""
    wants = needed(arms, baseline=baseline, difference=difference)
    ordered = sorted((one for one in outcomes if one.arm in wants), key=lambda one: (one.opened_at, one.who))
    firsts: dict[tuple[str, str], Outcome] = {}
    for one in ordered:
        firsts.setdefault(one.who, one)
    complete_at = _complete(list(firsts.values()), wants)
    sample = [one for one in firsts.values() if complete_at is None or one.opened_at <= complete_at]
    decided_at = complete_at + window if complete_at else None
    enough = decided_at is not None and decided_at <= now
    counted = [one for one in sample if one.opened_at + window <= now]
    whose = {one.who for one in counted}
    money = [one for one in ordered if one.who in whose and one.opened_at + window <= now]
    found = tuple(
        _result(
            arm, wants[arm.name], ordered, firsts, counted, [one for one in money if one.arm == arm.name], window, seed
        )
        for arm in arms
    )
    mismatch = _mismatch(found)
    differences = _differences(found) if enough else ()
    ahead, verdict = _verdict(found, differences, mismatch) if enough else ("", "Not enough data yet.")
    return Result(
        arms=found,
        enough=enough,
        verdict=verdict,
        ahead=ahead,
        differences=differences,
        missing="" if enough else _missing(found, complete_at, decided_at, stopped),
        complete_at=complete_at,
        decided_at=decided_at,
        mismatch=mismatch,
        outside=len(firsts) - len(sample),
        level=1 - LEVEL / (len(arms) - 1),
    )


def _complete(firsts: Sequence[Outcome], wants: Mapping[str, int]) -> datetime | None:
    """When the last arm got the last customer it needs."""
    left = dict(wants)
    for one in firsts:
        left[one.arm] -= 1
        if all(count <= 0 for count in left.values()):
            return one.opened_at
    return None


def _result(
    arm: Arm,
    wanted: int,
    ordered: Sequence[Outcome],
    firsts: Mapping[tuple[str, str], Outcome],
    counted: Sequence[Outcome],
    money: Sequence[Outcome],
    window: timedelta,
    seed: int,
) -> ArmResult:
    mine = [one for one in counted if one.arm == arm.name]
    paid = sum(one.is_recovered(window) for one in mine)
    low, high = wilson(paid, len(mine))
    return ArmResult(
        arm=arm,
        needed=wanted,
        customers=sum(one.arm == arm.name for one in firsts.values()),
        cases=sum(one.arm == arm.name for one in ordered),
        counted=len(mine),
        recovered=paid,
        rate=paid / len(mine) if mine else 0.0,
        low=low,
        high=high,
        money=_money(money, window, seed),
    )


# -- the verdict -------------------------------------------------------------------------------------------------------


def _differences(found: Sequence[ArmResult]) -> tuple[Difference, ...]:
    """Each arm held against the first, at a level divided among them."""
    first, others = found[0], found[1:]
    z = NormalDist().inv_cdf(1 - LEVEL / len(others) / 2)
    return tuple(
        Difference(
            one.arm.name,
            one.rate - first.rate,
            *newcombe(one.recovered, one.counted, first.recovered, first.counted, z=z),
        )
        for one in others
    )


def _verdict(found: Sequence[ArmResult], differences: Sequence[Difference], mismatch: float | None) -> tuple[str, str]:
    """(the arm that is ahead or "", in words)."""
    first = found[0].arm.name
    if mismatch is not None:
        return "", "No verdict: the customers are not divided as they should be, so the arms differ."
    if better := [one for one in differences if one.low > 0]:
        best = max(better, key=lambda one: one.points).arm
        return best, f"“{best}” recovers more than “{first}”."
    if all(one.high < 0 for one in differences):
        names = ", ".join(f"“{one.arm}”" for one in differences)
        return first, f"“{first}” recovers more than {names} {'does' if len(differences) == 1 else 'do'}."
    return "", "No difference shown: the interval holds nought."


def _missing(
    found: Sequence[ArmResult], complete_at: datetime | None, decided_at: datetime | None, stopped: bool
) -> str:
    if complete_at is None:
        short = ", ".join(
            f"{one.needed - one.customers:,} in “{one.arm.name}”" for one in found if one.customers < one.needed
        )
        if stopped:
            return f"It was stopped before it had enough customers ({short} were missing): nothing can be said."
        return f"More customers are needed: {short}."
    assert decided_at is not None
    return f"The sample is complete; its last case has its full window on {decided_at:%Y-%m-%d}."


def _mismatch(found: Sequence[ArmResult]) -> float | None:
    """Pearson's test of the customers per arm against the weights."""
    total, weights = sum(one.customers for one in found), sum(one.arm.weight for one in found)
    if total < 10 * len(found):
        return None
    expected = [total * one.arm.weight / weights for one in found]
    statistic = sum((one.customers - want) ** 2 / want for one, want in zip(found, expected, strict=True))
    chance = chi_square_tail(statistic, len(found) - 1)
    return chance if chance < MISMATCH else None


def chi_square_tail(statistic: float, degrees: int) -> float:
    """P(X ≥ statistic) of a chi-square with `degrees` ≥ 1: the closed forms for 1 and 2, and their recursion.

    Source: Abramowitz and Stegun, Handbook of Mathematical Functions (1964), 26.4.4, 26.4.5, 26.4.8.
    """
    half = statistic / 2
    done = 1 if degrees % 2 else 2
    tail = math.erfc(math.sqrt(half)) if done == 1 else math.exp(-half)
    while done < degrees:
        tail += half ** (done / 2) * math.exp(-half) / math.gamma(done / 2 + 1)
        done += 2
    return min(1.0, tail)


# -- money -------------------------------------------------------------------------------------------------------------


def _money(cases: Sequence[Outcome], window: timedelta, seed: int) -> tuple[Money, ...]:
    """Per currency, never across. Bounds: the 2.5 % and 97.5 % percentiles of `DRAWS` draws of as many customers with
    replacement (percentile bootstrap; Efron, Ann. Statist. 7 (1979), 1-26), from a generator with a fixed seed."""
    found = []
    for currency in sorted({one.currency for one in cases}):
        by_customer: dict[tuple[str, str], list[int]] = {}
        for one in cases:
            if one.currency == currency:
                sums = by_customer.setdefault(one.who, [0, 0])
                sums[0] += one.at_risk
                sums[1] += one.money_of(window)
        at_risk = sum(risk for risk, _ in by_customer.values())
        recovered = sum(paid for _, paid in by_customer.values())
        low, high = _bounds(list(by_customer.values()), seed)
        found.append(Money(currency, at_risk, recovered, low, high))
    return tuple(found)


def _bounds(sums: Sequence[Sequence[int]], seed: int) -> tuple[float | None, float | None]:
    """Fewer than 10 customers say nothing about the spread."""
    size = len(sums)
    if size < 10:
        return None, None
    draws = max(200, min(DRAWS, MOST_DRAWN // size))
    values = np.asarray(sums, dtype=np.float64)  # of a share, not of money: nothing here is an amount
    generator = np.random.default_rng(seed)
    at_once = max(1, AT_ONCE // size)
    shares: list[float] = []
    while len(shares) < draws:
        drawn = values[generator.integers(0, size, (min(at_once, draws - len(shares)), size))].sum(axis=1)
        shares += (drawn[:, 1] / np.maximum(drawn[:, 0], 1)).tolist()
    low, high = np.percentile(shares, [100 * LEVEL / 2, 100 * (1 - LEVEL / 2)])
    return float(low), float(high)
