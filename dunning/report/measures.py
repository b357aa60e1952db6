"""The figures of the report. Pure; amounts are int minor units of one currency, never summed across.

Names and definitions are those of dunning/proof/measures.py, so that a figure here can be held against the simulator's:
`recovery_rate` counts cases, `recovered_share` money; both of cases that have had their window, WINDOW after the first
failure. What the simulator knows and our rows do not is said in docs/dunning-report.md.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from billingops.statistics import wilson
from dunning.proof import referee
from dunning.proof.world import HORIZON

WINDOW = timedelta(seconds=HORIZON)  # a case is given as long as the simulator gives it
HARMS = referee.HARMS
# Who brought the payment, as far as the rows tell (reading.py)
OURS, STRIPE, BY_HAND, NOT_KNOWN = "ours", "stripe", "by_hand", "not_known"
HOW = {
    OURS: "a retry of ours",
    STRIPE: "Stripe's own retry",
    BY_HAND: "the customer, or somebody by hand",
    NOT_KNOWN: "not known",
}


@dataclass(slots=True)
class Figures:
    """Sums over cases of one currency.

    cases, at_risk   all that were opened, and what was open then
    running          window not over; `running_paid` of these are paid already, `running_recovered` all that has come
    recovered_cases  paid in full within the window, of those whose window is over
    recovered        the money of those, and of those that ended otherwise within it after a payment in part; what the
                     customer disputes is left out
    late_cases       paid in full after their window: not in the rate, the money has come all the same
    late             the money of those, and the parts paid of cases that ended otherwise after it or are still open
    open, given_up, withdrawn, cancelled  what became of the others whose window is over
    escalated        handed to a person at some time, whatever came of it
    attempts, messages  of cases whose window is over
    hours            hours until paid → cases, of `recovered_cases` (before disputes are taken out)
    how, told        who brought the payment → cases, of everything paid so far; `told` of these after a message
    """

    cases: int = 0
    at_risk: int = 0
    running: int = 0
    running_at_risk: int = 0
    running_paid: int = 0
    running_recovered: int = 0
    recovered_cases: int = 0
    recovered: int = 0
    late_cases: int = 0
    late: int = 0
    open: int = 0
    given_up: int = 0
    withdrawn: int = 0
    cancelled: int = 0
    escalated: int = 0
    attempts: int = 0
    messages: int = 0
    disputed: int = 0
    hours: Counter[int] = field(default_factory=Counter)
    how: Counter[str] = field(default_factory=Counter)
    told: Counter[str] = field(default_factory=Counter)

    @property
    def counted(self) -> int:
        """Cases that have had their window: the only ones that can be said to be recovered or not."""
        return self.cases - self.running

    @property
    def counted_at_risk(self) -> int:
        return self.at_risk - self.running_at_risk

    @property
    def recovery_rate(self) -> float | None:
        return self.recovered_cases / self.counted if self.counted else None

    @property
    def interval(self) -> tuple[float, float]:
        """Of `recovery_rate`, 95 %."""
        return wilson(self.recovered_cases, self.counted)

    @property
    def recovered_share(self) -> float | None:
        return self.recovered / self.counted_at_risk if self.counted_at_risk else None

    @property
    def recovered_so_far(self) -> int:
        """All money that has come, within the window, after it, or before it is over."""
        return self.recovered + self.late + self.running_recovered

    @property
    def by_retry(self) -> int:
        return self.how[OURS] + self.how[STRIPE]

    @property
    def attempts_per_recovery(self) -> float | None:
        return self.attempts / self.recovered_cases if self.recovered_cases else None

    @property
    def messages_per_recovery(self) -> float | None:
        return self.messages / self.recovered_cases if self.recovered_cases else None

    @property
    def days_median(self) -> float | None:
        return quantile(self.hours, 0.5)

    @property
    def days_p90(self) -> float | None:
        return quantile(self.hours, 0.9)

    def add(self, other: Figures) -> None:
        for name in self.__dataclass_fields__:
            mine, more = getattr(self, name), getattr(other, name)
            if isinstance(mine, Counter):
                mine.update(more)
            else:
                setattr(self, name, mine + more)

    def as_json(self, *, days: bool = True) -> dict[str, Any]:
        low, high = self.interval
        took = {"days_median": _rounded(self.days_median, 2), "days_p90": _rounded(self.days_p90, 2)} if days else {}
        return {
            "cases": self.cases,
            "at_risk": self.at_risk,
            "running": self.running,
            "running_at_risk": self.running_at_risk,
            "running_paid": self.running_paid,
            "running_recovered": self.running_recovered,
            "counted": self.counted,
            "counted_at_risk": self.counted_at_risk,
            "recovered_cases": self.recovered_cases,
            "recovery_rate": _rounded(self.recovery_rate, 5),
            "recovery_rate_low": _rounded(low, 5) if self.counted else None,
            "recovery_rate_high": _rounded(high, 5) if self.counted else None,
            "recovered": self.recovered,
            "recovered_share": _rounded(self.recovered_share, 5),
            "late_cases": self.late_cases,
            "late": self.late,
            "open": self.open,
            "given_up": self.given_up,
            "withdrawn": self.withdrawn,
            "cancelled": self.cancelled,
            "escalated": self.escalated,
            "by_retry": self.by_retry,
            "recovered_by": {name: self.how[name] for name in HOW},
            "after_a_message": {name: self.told[name] for name in HOW},
            **took,
            "attempts": self.attempts,
            "attempts_per_recovery": _rounded(self.attempts_per_recovery, 2),
            "messages": self.messages,
            "messages_per_recovery": _rounded(self.messages_per_recovery, 2),
            "disputed": self.disputed,
        }


def quantile(hours: Mapping[int, int], part: float) -> float | None:
    """In days, between two values as numpy.quantile does by default (the proof's); None of nothing. To the hour."""
    count = sum(hours.values())
    if not count:
        return None
    place = (count - 1) * part
    below, share = int(place), place - int(place)
    first = _at(hours, below)
    then = _at(hours, min(below + 1, count - 1))
    return (first + (then - first) * share) / 24


def _at(hours: Mapping[int, int], place: int) -> int:
    seen, value = 0, 0
    for value in sorted(hours):
        seen += hours[value]
        if place < seen:
            return value
    return value


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)


@dataclass(frozen=True, slots=True)
class Harm:
    """One thing that should not have happened. `what`: one of HARMS; `account`: whose customer ("" = the platform's).
    `subject`: the invoice; `record`: ours that shows it ("message 12", "execution 7")."""

    what: str
    month: str
    account: str
    subject: str
    record: str


@dataclass(slots=True)
class Harms:
    """`rows`: newest first, at most harm.MOST_SHOWN of each; a longer list is named in `capped`.

    messages_judged   messages whose hour could be judged; `unknown_zone`: those whose customer's place is not known
    """

    rows: list[Harm] = field(default_factory=list)
    capped: set[str] = field(default_factory=set)
    messages_judged: int = 0
    unknown_zone: int = 0
    not_looked_at: bool = False

    def count(self, what: str) -> str:
        """In words: "200+" where there are more than were read."""
        number = sum(row.what == what for row in self.rows)
        return f"{number}+" if what in self.capped else str(number)

    def as_json(self) -> dict[str, Any]:
        return {
            "counts": {what: sum(row.what == what for row in self.rows) for what in HARMS},
            "more_than_counted": sorted(self.capped),
            "messages_judged": self.messages_judged,
            "messages_zone_unknown": self.unknown_zone,
            "all_messages_looked_at": not self.not_looked_at,
            "rows": [
                {"what": one.what, "month": one.month, "account": one.account, "invoice": one.subject,
                 "record": one.record}
                for one in self.rows
            ],
        }  # fmt: skip


@dataclass(slots=True)
class Report:
    """`months`: (month "2026-11", currency) → figures, newest month first. `totals`: currency → of all months.
    `reasons`: (currency, category, family) → the same, most at risk first, but without `hours`. `parts`: (month,
    currency, category, family) → the same. Families: dunning.campaigns.segments.FAMILIES."""

    parts: dict[tuple[str, str, str, str], Figures] = field(default_factory=dict)
    months: dict[tuple[str, str], Figures] = field(default_factory=dict)
    totals: dict[str, Figures] = field(default_factory=dict)
    reasons: dict[tuple[str, str, str], Figures] = field(default_factory=dict)
    harms: Harms = field(default_factory=Harms)

    @property
    def currencies(self) -> list[str]:
        return sorted(self.totals)

    def as_json(self) -> dict[str, Any]:
        return {
            "window_days": WINDOW.days,
            "months": [
                {"month": month, "currency": currency, **figures.as_json()}
                for (month, currency), figures in self.months.items()
            ],
            "totals": [{"currency": currency, **self.totals[currency].as_json()} for currency in self.currencies],
            "reasons": [
                {"currency": currency, "category": category, "family": family, **figures.as_json(days=False)}
                for (currency, category, family), figures in self.reasons.items()
            ],
            "harm": self.harms.as_json(),
        }
