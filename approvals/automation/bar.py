"""The evidence of a band, and the bar that its policy sets."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db.models import QuerySet, Sum
from django.utils import timezone

from approvals.models import BandTally, Comparison, Policy, SeededCheck
from approvals.scoreboard.bands import Band
from approvals.scoreboard.board import Share, percent_text
from billingops.money import format_money
from billingops.statistics import wilson

DEFAULT = {"lower_bound": "0.99", "verdicts": 400, "days": 90}
MAX_MORE = 100_000  # verdicts, beyond which "how many more" is no help


@dataclass(frozen=True)
class Slot:
    """Whose automation it is about: one kind, account, band and author version."""

    kind: str
    account: str
    band: Band
    author: str

    def __str__(self) -> str:
        return f"{self.kind} · {self.account or 'platform'} · {self.band} · {self.author}"


@dataclass(frozen=True)
class Bar:
    """`lower_bound` of the agreement (Wilson, 95 %), `verdicts`, and `days` between the first of them and the last."""

    lower_bound: Decimal
    verdicts: int
    days: int

    @classmethod
    def of(cls, policies: Iterable[Policy]) -> Bar:
        """The highest of what these ask for; the default where they say nothing."""
        bars = [{**DEFAULT, **(row.automation_bar or {})} for row in policies] or [DEFAULT]
        return cls(
            lower_bound=max(Decimal(str(one["lower_bound"])) for one in bars),
            verdicts=max(int(one["verdicts"]) for one in bars),
            days=max(int(one["days"]) for one in bars),
        )

    @property
    def window(self) -> int:
        """How many of the last verdicts the rolling figure is over: with fewer, one slip could end what is sound."""
        return max(2 * self.verdicts, 1)


@dataclass(frozen=True)
class Evidence:
    """The figures of one slot, as of `at`. `rolling`: over the bar's window; `missed_at`: the last missed check."""

    verdicts: int
    agreed: int
    money: int
    overridden_money: int
    first: datetime | None
    last: datetime | None
    rolling: Share
    blind: Share
    missed_at: datetime | None
    at: datetime

    @property
    def agreement(self) -> Share:
        return Share(self.agreed, self.verdicts)

    @property
    def days(self) -> int:
        """From the first verdict to the last: what is not used any more earns nothing by waiting."""
        return (self.last - self.first).days if self.first and self.last else 0

    def as_json(self, slot: Slot, bar: Bar) -> dict[str, Any]:
        def moment(value: datetime | None) -> str:
            return value.isoformat() if value else ""

        return {
            "band": str(slot.band),
            "verdicts": self.verdicts,
            "agreed": self.agreed,
            "lower_bound": round(self.agreement.lower, 6),
            "days": self.days,
            "first": moment(self.first),
            "last": moment(self.last),
            "rolling": {**asdict(self.rolling), "lower_bound": round(self.rolling.lower, 6)},
            "blind": asdict(self.blind),
            "money": self.money,
            "overridden_money": self.overridden_money,
            "currency": slot.band.currency,
            "last_missed_check": moment(self.missed_at),
            "bar": {"lower_bound": str(bar.lower_bound), "verdicts": bar.verdicts, "days": bar.days},
            "at": self.at.isoformat(),
        }


def comparisons(slot: Slot) -> QuerySet[Comparison]:
    """Newest first. What an earlier set of bands has counted counts by its amount."""
    rows = Comparison.objects.filter(
        kind=slot.kind, account=slot.account, currency=slot.band.currency, author=slot.author, over=slot.band.over
    )
    return rows.order_by("-at", "-pk")


def rolling(slot: Slot, bar: Bar) -> Share:
    """Over the last verdicts, the blind sample's among them. One statement, however many there are."""
    last = list(comparisons(slot).values_list("agreed", flat=True)[: bar.window])
    return Share(sum(last), len(last))


def last_miss(kind: str, account: str, band: Band) -> datetime | None:
    """When somebody last approved a seeded check of this band."""
    rows = SeededCheck.objects.filter(caught=False, suggestion__kind=kind, suggestion__account=account)
    missed = rows.order_by("-decided_at").values_list("decided_at", "suggestion__amount", "suggestion__currency")[:50]
    return next((at for at, amount, currency in missed if band.holds(amount, currency)), None)


def evidence(slot: Slot, bar: Bar) -> Evidence:
    """Five statements."""
    band = slot.band
    rows = BandTally.objects.filter(
        kind=slot.kind,
        account=slot.account,
        currency=band.currency,
        over=band.over,
        up_to=band.up_to,
        author=slot.author,
    )
    sums = ("verdicts", "agreed", "money", "overridden_money")
    total = dict.fromkeys(sums, 0)
    blind = Share(0, 0)
    found: Any = rows.order_by().values("blind").annotate(**{f"n_{name}": Sum(name) for name in sums})
    for row in found:
        for name in sums:
            total[name] += row[f"n_{name}"]
        if row["blind"]:
            blind = Share(row["n_agreed"], row["n_verdicts"])
    moments = comparisons(slot).values_list("at", flat=True)
    return Evidence(
        **total,
        first=moments.reverse().first(),
        last=moments.first(),
        rolling=rolling(slot, bar),
        blind=blind,
        missed_at=last_miss(slot.kind, slot.account, band),
        at=timezone.now(),
    )


def shortfalls(found: Evidence, bar: Bar) -> list[str]:
    """What is short of the bar and by how much, a sentence each; [] when it is met."""
    short = []
    if found.verdicts < bar.verdicts:
        short.append(f"{_more(bar.verdicts - found.verdicts, 'verdict')}: {found.verdicts} of {bar.verdicts}.")
    if found.days < bar.days:
        short.append(f"{_more(bar.days - found.days, 'day')} in review: {found.days} of {bar.days}.")
    for share, what in ((found.agreement, "The agreement's lower bound"), (found.rolling, "The rolling lower bound")):
        if why := below(share, bar):
            short.append(f"{what} {why}")
    if found.missed_at and (left := bar.days - (found.at - found.missed_at).days) > 0:
        short.append(
            f"{_more(left, 'day')} without a missed check: one was missed on {found.missed_at:%d %b %Y}, "
            f"{bar.days} days are asked for."
        )
    return short


def below(share: Share, bar: Bar) -> str:
    """Why the share is below the bar, with what is missing; "" when it is not."""
    asked = float(bar.lower_bound)
    if not share.whole:
        return "has no verdicts to rest on."
    if share.lower >= asked:
        return ""
    missing = percent_text(asked - share.lower, up=True)
    more = _verdicts_needed(share, asked)
    help_text = f"; {_more(more, 'verdict')} without an override would reach it" if more else ""
    return (
        f"is {share.lower_percent}, {missing} below {percent_text(asked)} ({share.part} of {share.whole}){help_text}."
    )


def _verdicts_needed(share: Share, asked: float) -> int | None:
    low, high = 0, MAX_MORE
    if wilson(share.part + high, share.whole + high)[0] < asked:
        return None
    while low < high:
        middle = (low + high) // 2
        if wilson(share.part + middle, share.whole + middle)[0] >= asked:
            high = middle
        else:
            low = middle + 1
    return low


def _more(number: int, noun: str) -> str:
    return f"{number:,} more {noun}{'' if number == 1 else 's'}"


# -- what it would have done -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Would:
    """Of the last `days` days' suggestions with a verdict: what would have been carried out alone."""

    days: int
    count: int
    amount: int
    currency: str
    overridden: list[Comparison]

    @property
    def money(self) -> str:
        return format_money(self.amount, self.currency) if self.currency else ""


def would_have(slot: Slot, policies: Iterable[Policy], *, days: int = 90) -> Would:
    """Those without a flag, inside the policy's limits; which of them people overrode (the 50 last). Two statements."""
    rows = comparisons(slot).filter(at__gte=timezone.now() - timedelta(days=days), flagged=False)
    if slot.band.currency:
        limits = [limit for row in policies if (limit := under(row, slot.band.currency)) is not None]
        rows = rows.filter(amount__lt=min(limits)) if limits else rows.none()
        over = [row.review_over[slot.band.currency] for row in policies if slot.band.currency in row.review_over]
        rows = rows.filter(amount__lte=min(over)) if over else rows
    total = list(rows.values_list("amount", flat=True))
    overridden = list(rows.filter(agreed=False).select_related("suggestion", "reviewer")[:50])
    return Would(days, len(total), sum(amount or 0 for amount in total), slot.band.currency, overridden)


def under(policy: Policy, currency: str) -> int | None:
    limit = policy.auto_under.get(currency)
    return int(limit) if limit is not None else None


def family(author: str) -> str:
    """What the versions of one author have in common: "rules settlement" of "rules settlement v2", "model" of any."""
    if author.startswith("model "):
        return "model"
    return re.sub(r"\s*\bv\d+(\.\d+)*\b.*$", "", author)
