"""How far off a forecast was, beside what somebody without one would have said. Pure; amounts in minor units of one
currency, shares exact fractions.

The naive forecasts, made with what was known on the same day: the last known same weekday, and the mean of the last 28
days. WAPE = Σ|actual − forecast| ÷ Σ|actual|: unlike a mean of percentages it stands days on which nothing came.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from fractions import Fraction

from billingops.money import round_half_even

ENOUGH_DAYS = 14
NAIVE_DAYS = 28


@dataclass(frozen=True)
class Errors:
    """`mae`: minor units a day; `wape` None where nothing moved at all."""

    pairs: int
    off: int
    moved: int

    @classmethod
    def of(cls, pairs: Iterable[tuple[int, int]]) -> Errors:
        """(actual, forecast) pairs."""
        rows = list(pairs)
        return cls(len(rows), sum(abs(actual - said) for actual, said in rows), sum(abs(actual) for actual, _ in rows))

    @property
    def mae(self) -> int:
        return round_half_even(Fraction(self.off, self.pairs)) if self.pairs else 0

    @property
    def wape(self) -> Fraction | None:
        return Fraction(self.off, self.moved) if self.moved else None

    @property
    def percent(self) -> str:
        return "—" if self.wape is None else f"{round_half_even(self.wape * 100):,} %"


@dataclass(frozen=True)
class Said:
    """What a forecast made on `made_on` said of one day and one direction."""

    made_on: date
    day: date
    low: int
    expected: int
    high: int


@dataclass(frozen=True)
class Verdict:
    """One direction's errors over the days that are over. `days`: how many different days were compared."""

    days: int
    ours: Errors
    week: Errors
    mean: Errors
    inside: int

    @property
    def pairs(self) -> int:
        return self.ours.pairs

    @property
    def enough(self) -> bool:
        return self.days >= ENOUGH_DAYS

    @property
    def coverage(self) -> Fraction | None:
        """How often the band held what happened."""
        return Fraction(self.inside, self.pairs) if self.pairs else None

    @property
    def coverage_percent(self) -> str:
        return "—" if self.coverage is None else f"{round_half_even(self.coverage * 100)} %"

    @property
    def beats(self) -> bool | None:
        """Whether ours is nearer than both naive ones; None before there is enough to say."""
        return self.ours.off < min(self.week.off, self.mean.off) if self.enough else None

    @property
    def words(self) -> str:
        if not self.pairs:
            return f"Nothing to compare yet: 0 of {ENOUGH_DAYS} days."
        if not self.enough:
            return f"Not enough days yet: {self.days} of {ENOUGH_DAYS}."
        if self.ours.off < min(self.week.off, self.mean.off):
            return "Nearer than both naive forecasts."
        if self.ours.off <= max(self.week.off, self.mean.off):
            return "Nearer than one naive forecast, not than the other."
        return "The naive forecasts were nearer."


def naive_week(history: Mapping[date, int], made_on: date, day: date) -> int:
    """The last same weekday before `made_on`."""
    weeks = -(-((day - made_on).days + 1) // 7)
    return history.get(day - timedelta(weeks=max(weeks, 1)), 0)


def naive_mean(history: Mapping[date, int], made_on: date) -> int:
    """The mean of the 28 days before `made_on`."""
    return round_half_even(
        Fraction(sum(history.get(made_on - timedelta(days=n), 0) for n in range(1, NAIVE_DAYS + 1)), NAIVE_DAYS)
    )


def judge(said: Sequence[Said], actual: Mapping[date, int]) -> Verdict:
    """`said` holds only days that are over; a day that is not in `actual` had nothing."""
    means = {made_on: naive_mean(actual, made_on) for made_on in {one.made_on for one in said}}
    return Verdict(
        days=len({one.day for one in said}),
        ours=Errors.of((actual.get(one.day, 0), one.expected) for one in said),
        week=Errors.of((actual.get(one.day, 0), naive_week(actual, one.made_on, one.day)) for one in said),
        mean=Errors.of((actual.get(one.day, 0), means[one.made_on]) for one in said),
        inside=sum(one.low <= actual.get(one.day, 0) <= one.high for one in said),
    )
