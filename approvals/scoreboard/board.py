"""The scoreboard's figures, from the tallies: a fixed number of statements, none of them over the suggestions.

Every share comes with its sample size and the Wilson 95 % lower bound. Money is per currency, never mixed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import date
from typing import Any
from urllib.parse import urlencode

from django.db.models import Count, F, Q, Sum
from django.utils import timezone

from approvals import registry
from approvals.models import BandTally, ReviewerTally, SeededCheck
from approvals.models.evidence import COUNT_COLUMNS, WAIT_COLUMNS, WAITS
from approvals.scoreboard.bands import Band
from billingops import access
from billingops.statistics import wilson

ROWS = 200
ENOUGH = 100  # verdicts before the model is compared with the rules in words
PERIODS = {"all": "All time", "12": "12 months", "3": "3 months", "1": "This month"}
_SUMS: dict[str, Any] = {f"n_{name}": Sum(name) for name in (*COUNT_COLUMNS, *WAIT_COLUMNS)}
_BLIND: dict[str, Any] = {
    "n_blind": Sum("verdicts", filter=Q(blind=True), default=0),
    "n_blind_agreed": Sum("agreed", filter=Q(blind=True), default=0),
}


@dataclass(frozen=True)
class Share:
    """`part` of `whole`, with the interval; `percent` texts are cut, not rounded up: 99.99 is not 100."""

    part: int
    whole: int

    @property
    def lower(self) -> float:
        return wilson(self.part, self.whole)[0]

    @property
    def upper(self) -> float:
        return wilson(self.part, self.whole)[1]

    @property
    def percent(self) -> str:
        return percent_text(self.part / self.whole) if self.whole else "—"

    @property
    def lower_percent(self) -> str:
        return percent_text(self.lower) if self.whole else "—"

    @property
    def upper_percent(self) -> str:
        return percent_text(self.upper, up=True) if self.whole else "—"


def percent_text(share: float, *, up: bool = False) -> str:
    """`0.98765` → `98.7 %`; with `up`, `98.8 %`."""
    tenths = int(share * 1000 + 1e-9)
    if up and tenths < share * 1000 - 1e-9:
        tenths += 1
    return f"{tenths // 10}.{tenths % 10} %"


@dataclass(frozen=True)
class Figures:
    """What one row says. Money in minor units of the row's currency, 0 where rows of several currencies are added."""

    verdicts: int
    agreed: int
    money: int
    overridden_money: int
    waits: tuple[int, ...]
    blind: Share
    open: Share
    compared: int
    compared_agreed: int
    baseline_agreed: int

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> Figures:
        total, agreed = row["n_verdicts"] or 0, row["n_agreed"] or 0
        blind, blind_agreed = row.get("n_blind") or 0, row.get("n_blind_agreed") or 0
        return cls(
            verdicts=total,
            agreed=agreed,
            money=row["n_money"] or 0,
            overridden_money=row["n_overridden_money"] or 0,
            waits=tuple(row[f"n_{name}"] or 0 for name in WAIT_COLUMNS),
            blind=Share(blind_agreed, blind),
            open=Share(agreed - blind_agreed, total - blind),
            compared=row["n_compared"] or 0,
            compared_agreed=row["n_compared_agreed"] or 0,
            baseline_agreed=row["n_baseline_agreed"] or 0,
        )

    @property
    def agreement(self) -> Share:
        return Share(self.agreed, self.verdicts)

    @property
    def overridden(self) -> Share:
        return Share(self.verdicts - self.agreed, self.verdicts)

    @property
    def money_error(self) -> str:
        """Overridden money as a share of the money decided on; the row's one currency."""
        return percent_text(self.overridden_money / self.money, up=True) if self.money else "—"

    @property
    def median(self) -> str:
        return wait_text(self.waits, 50)

    @property
    def p90(self) -> str:
        return wait_text(self.waits, 90)


def wait_text(waits: tuple[int, ...], percent: int) -> str:
    """The bucket that holds the percentile, by its upper edge: `≤ 2 h`; "—" without verdicts."""
    total = sum(waits)
    if not total:
        return "—"
    needed, seen = -(-total * percent // 100), 0
    for index, number in enumerate(waits):
        seen += number
        if seen >= needed:
            return f"≤ {_span(WAITS[index])}" if index < len(WAITS) else f"> {_span(WAITS[-1])}"
    raise AssertionError("unreachable")


def _span(seconds: int) -> str:
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


# -- filters -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Filters:
    """What the URL says. Unknown values are dropped."""

    kind: str = ""
    account: str = ""
    period: str = "all"

    @classmethod
    def of(cls, params: Mapping[str, str]) -> Filters:
        period = params.get("period", "")
        kind = params.get("kind", "")
        return cls(
            kind=kind if kind in registry.names() else "",
            account=params.get("account", "").strip()[:64],
            period=period if period in PERIODS else "all",
        )

    def query(self, **changes: str) -> str:
        known = {field.name: getattr(self, field.name) for field in fields(self)} | changes
        return "?" + urlencode([(name, value) for name, value in known.items() if value and value != "all"])

    def apply(self, queryset: Any, user: Any) -> Any:
        queryset = access.scope(queryset, user)
        for name in ("kind", "account"):
            if value := getattr(self, name):
                queryset = queryset.filter(**{name: value})
        return queryset.filter(month__gte=self.since) if self.period != "all" else queryset

    @property
    def since(self) -> date:
        today = timezone.now().date()
        months = today.year * 12 + today.month - 1 - (int(self.period) - 1)
        return date(months // 12, months % 12 + 1, 1)


# -- rows --------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Row:
    kind: str
    account: str
    band: Band
    author: str
    figures: Figures

    @property
    def kind_label(self) -> str:
        return registry.label(self.kind)


def bands(user: Any, filters: Filters, *, limit: int | None = ROWS) -> list[Row]:
    """Kind × account × band × author, the most verdicts first; one more than `limit` when there are more."""
    keys = ("kind", "account", "currency", "over", "up_to", "author")
    rows = filters.apply(BandTally.objects.all(), user).order_by().values(*keys).annotate(**_SUMS, **_BLIND)
    rows = rows.filter(n_verdicts__gt=0).order_by("-n_verdicts", *keys)
    return [
        Row(
            row["kind"],
            row["account"],
            Band(row["currency"], row["over"], row["up_to"]),
            row["author"],
            Figures.of(row),
        )
        for row in (rows[: limit + 1] if limit is not None else rows)
    ]


@dataclass(frozen=True)
class AuthorRow:
    kind: str
    author: str
    figures: Figures
    money: tuple[tuple[str, int, int], ...]  # (currency, decided, overridden)

    @property
    def kind_label(self) -> str:
        return registry.label(self.kind)

    @property
    def model(self) -> Share:
        return Share(self.figures.compared_agreed, self.figures.compared)

    @property
    def rules(self) -> Share:
        return Share(self.figures.baseline_agreed, self.figures.compared)

    @property
    def verdict(self) -> str:
        """In words, "" where no model was asked."""
        return against_rules(self.model, self.rules) if self.figures.compared else ""


def against_rules(model: Share, rules: Share) -> str:
    """The same cases, judged for both. The model has to be better beyond the interval, else it does not beat them."""
    if model.whole < ENOUGH:
        return f"Not enough data yet: {model.whole} of {ENOUGH} verdicts."
    if model.lower > rules.upper:
        return "The model beats the rules."
    return "The model does not beat the rules."


def authors(user: Any, filters: Filters) -> list[AuthorRow]:
    """Per kind and author version. One statement."""
    rows = filters.apply(BandTally.objects.all(), user).order_by().values("kind", "author", "currency")
    merged: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows.annotate(**_SUMS, **_BLIND).filter(n_verdicts__gt=0).order_by("kind", "author", "currency"):
        merged.setdefault((row["kind"], row["author"]), []).append(row)
    found = []
    for (kind, author), parts in merged.items():
        names = [name for name in parts[0] if name.startswith("n_") and "money" not in name]
        total: dict[str, Any] = {name: sum(part[name] or 0 for part in parts) for name in names}
        total |= {"n_money": 0, "n_overridden_money": 0}
        money = tuple((p["currency"], p["n_money"], p["n_overridden_money"]) for p in parts if p["currency"])
        found.append(AuthorRow(kind, author, Figures.of(total), money))
    return sorted(found, key=lambda one: -one.figures.verdicts)[:ROWS]


@dataclass(frozen=True)
class ReviewerRow:
    name: str
    figures: Figures
    caught: int = 0
    missed: int = 0

    @property
    def seeds(self) -> Share:
        return Share(self.caught, self.caught + self.missed)


def reviewers(user: Any, filters: Filters) -> list[ReviewerRow]:
    """Two statements: the tally, and the seeded checks with a verdict."""
    rows = filters.apply(ReviewerTally.objects.all(), user).order_by().values("reviewer_id", "reviewer__username")
    seeds = _seeds(user, filters)
    found = []
    for row in rows.annotate(**_SUMS).filter(n_verdicts__gt=0).order_by("-n_verdicts", "reviewer_id")[:ROWS]:
        row |= {"n_money": 0, "n_overridden_money": 0}  # of several currencies
        caught, missed = seeds.pop(row["reviewer_id"], ("", 0, 0))[1:]
        found.append(ReviewerRow(row["reviewer__username"], Figures.of(row), caught, missed))
    empty = Figures.of({f"n_{name}": 0 for name in (*COUNT_COLUMNS, *WAIT_COLUMNS)})
    return found + [ReviewerRow(name, empty, caught, missed) for name, caught, missed in seeds.values()]


def _seeds(user: Any, filters: Filters) -> dict[int, tuple[str, int, int]]:
    rows = access.scope(SeededCheck.objects.exclude(caught=None), user, field="suggestion__account")
    for name in ("kind", "account"):
        if value := getattr(filters, name):
            rows = rows.filter(**{f"suggestion__{name}": value})
    if filters.period != "all":
        rows = rows.filter(decided_at__date__gte=filters.since)
    grouped = rows.order_by().values("reviewer_id", name=F("reviewer__username"))
    grouped = grouped.annotate(good=Count("pk", filter=Q(caught=True)), bad=Count("pk", filter=Q(caught=False)))
    return {row["reviewer_id"]: (row["name"], row["good"], row["bad"]) for row in grouped}


def months(user: Any, filters: Filters) -> list[tuple[date, int, int]]:
    """(month, agreed, overridden), ascending; at most the last 24."""
    rows = filters.apply(BandTally.objects.all(), user).order_by().values("month")
    rows = rows.annotate(n=Sum("verdicts"), good=Sum("agreed")).filter(n__gt=0).order_by("-month")[:24]
    return [(row["month"], row["good"], row["n"] - row["good"]) for row in reversed(rows)]


def accounts(user: Any, kind: str) -> list[str]:
    """The accounts that have verdicts, for the filter; the 200 first."""
    rows = access.scope(BandTally.objects.all(), user).exclude(account="")
    rows = rows.filter(kind=kind) if kind else rows
    return list(rows.order_by("account").values_list("account", flat=True).distinct()[:ROWS])
