"""What came of a policy, per currency, per reason and in all; and how sure a difference between two policies is.

Amounts are int minor units per currency and never summed across currencies. Across currencies there are shares: of the
amount at risk, each currency weighted by the number of its failures (`weights`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from dunning.proof import referee
from dunning.proof.calendars import DAY
from dunning.proof.engine import Played

ALL = "all"
RESAMPLES = 1000


@dataclass(frozen=True, slots=True)
class Outcome:
    """One case under one policy, as little as the measures need. `net`: what was recovered and not disputed, minor
    units; `days`: until it was paid, None when it was not."""

    number: int
    group: str
    currency: str
    at_risk: int
    net: int
    paid: bool
    how: str
    days: float | None
    attempts: int
    messages: int
    disputed: bool
    cancelled: bool
    harm: tuple[tuple[str, int], ...] = ()

    @classmethod
    def of(cls, played: Played) -> Outcome:
        known = played.case.known
        paid = played.paid_at is not None
        return cls(
            number=known.number,
            group=played.case.group,
            currency=known.currency,
            at_risk=known.amount,
            net=known.amount if paid and not played.disputed else 0,
            paid=paid,
            how=played.how,
            days=(played.paid_at - known.failed_at) / DAY if played.paid_at is not None else None,
            attempts=len(played.attempts),
            messages=len(played.messages),
            disputed=played.disputed,
            cancelled=played.cancelled_at is not None,
            harm=tuple(sorted(referee.judge(played).items())),
        )


@dataclass(slots=True)
class Tally:
    """Sums over cases. `at_risk`, `recovered`: currency → minor units. Shares and averages are properties."""

    cases: int = 0
    paid: int = 0
    by_retry: int = 0
    attempts: int = 0
    messages: int = 0
    disputed: int = 0
    cancelled: int = 0
    at_risk: Counter[str] = field(default_factory=Counter)
    recovered: Counter[str] = field(default_factory=Counter)
    count: Counter[str] = field(default_factory=Counter)
    days: list[float] = field(default_factory=list)
    harm: Counter[str] = field(default_factory=Counter)

    def add(self, one: Outcome) -> None:
        self.cases += 1
        self.paid += one.paid
        self.by_retry += one.how == "retry"
        self.attempts += one.attempts
        self.messages += one.messages
        self.disputed += one.disputed
        self.cancelled += one.cancelled
        self.at_risk[one.currency] += one.at_risk
        self.recovered[one.currency] += one.net
        self.count[one.currency] += 1
        if one.days is not None:
            self.days.append(one.days)
        for name, number in one.harm:
            self.harm[name] += number

    @property
    def rate(self) -> float:
        return self.paid / self.cases if self.cases else 0.0

    @property
    def share(self) -> float:
        """Of the amount at risk: the currencies' shares, weighted by their numbers of failures."""
        if not self.cases:
            return 0.0
        parts = (self.count[name] * self.recovered[name] / self.at_risk[name] for name in self.at_risk)
        return sum(parts) / self.cases

    @property
    def attempts_per_recovery(self) -> float | None:
        return self.attempts / self.paid if self.paid else None

    @property
    def messages_per_recovery(self) -> float | None:
        return self.messages / self.paid if self.paid else None

    @property
    def harms(self) -> int:
        return sum(self.harm[name] for name in referee.HARMS)

    def quantile(self, part: float) -> float | None:
        return float(np.quantile(self.days, part)) if self.days else None

    def as_json(self) -> dict[str, object]:
        return {
            "cases": self.cases,
            "recovered_cases": self.paid,
            "recovery_rate": round(self.rate, 5),
            "recovered_share": round(self.share, 5),
            "at_risk": dict(sorted(self.at_risk.items())),
            "recovered": {name: self.recovered[name] for name in sorted(self.at_risk)},
            "by_retry": self.by_retry,
            "days_median": _rounded(self.quantile(0.5)),
            "days_p90": _rounded(self.quantile(0.9)),
            "attempts": self.attempts,
            "attempts_per_recovery": _rounded(self.attempts_per_recovery),
            "messages": self.messages,
            "messages_per_recovery": _rounded(self.messages_per_recovery),
            "disputed": self.disputed,
            "cancelled": self.cancelled,
            "harm": {name: self.harm[name] for name in referee.HARMS},
            "hidden_night": self.harm[referee.HIDDEN_NIGHT],
        }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)


def tallies(outcomes: Sequence[Outcome]) -> dict[str, Tally]:
    """Per reason group, and `ALL` of them."""
    found: dict[str, Tally] = {ALL: Tally()}
    for one in outcomes:
        found[ALL].add(one)
        found.setdefault(one.group, Tally()).add(one)
    return found


@dataclass(frozen=True, slots=True)
class Lift:
    """How much more money the first policy recovers than the second: 0.15 = 15 % more. `low`, `high`: 95 % interval."""

    lift: float
    low: float
    high: float
    points: float  # difference of the recovered shares
    points_low: float
    points_high: float
    cases: int

    def as_json(self) -> dict[str, float | int]:
        return {
            "lift": round(self.lift, 4),
            "low": round(self.low, 4),
            "high": round(self.high, 4),
            "points": round(self.points, 4),
            "points_low": round(self.points_low, 4),
            "points_high": round(self.points_high, 4),
            "cases": self.cases,
        }


def weights(outcomes: Sequence[Outcome]) -> NDArray[np.float64]:
    """Each case's part of the whole: its amount over its currency's average. No unit, so it may be summed."""
    totals: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    for one in outcomes:
        totals[one.currency] += one.at_risk
        counts[one.currency] += 1
    return np.array([one.at_risk * counts[one.currency] / totals[one.currency] for one in outcomes])


def lift(ours: Sequence[Outcome], theirs: Sequence[Outcome], *, seed: int = 1, resamples: int = RESAMPLES) -> Lift:
    """Paired: both lists hold the same cases in the same order; a bootstrap draws cases, and both of their outcomes.

    Poisson weights stand in for drawing with replacement, which they come to for many cases.
    """
    if [one.number for one in ours] != [one.number for one in theirs]:
        raise ValueError("two policies are compared over the same cases only")
    weight = weights(ours)
    mine = weight * np.array([one.net > 0 for one in ours])
    other = weight * np.array([one.net > 0 for one in theirs])
    total, first, second = weight.sum(), mine.sum(), other.sum()
    rng = np.random.default_rng(seed)
    ratios, points = [], []
    for _ in range(resamples):
        drawn = rng.poisson(1.0, len(ours))
        here, there, whole = (drawn * mine).sum(), (drawn * other).sum(), (drawn * weight).sum()
        ratios.append(here / there - 1 if there else 0.0)
        points.append((here - there) / whole if whole else 0.0)
    low, high = np.quantile(ratios, (0.025, 0.975)) if resamples else (0.0, 0.0)
    points_low, points_high = np.quantile(points, (0.025, 0.975)) if resamples else (0.0, 0.0)
    return Lift(
        lift=float(first / second - 1) if second else 0.0,
        low=float(low),
        high=float(high),
        points=float((first - second) / total) if total else 0.0,
        points_low=float(points_low),
        points_high=float(points_high),
        cases=len(ours),
    )
