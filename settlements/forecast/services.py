"""Making forecasts and keeping them: the verbs. The clock comes in as `on`, the first day (UTC) of the forecast."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from fractions import Fraction
from typing import Any

from django.conf import settings
from django.db import IntegrityError, transaction

from settlements.forecast import actuals, reads
from settlements.forecast.bands import DRAWS, LEVEL, bands, seed_of
from settlements.forecast.flows import (
    APART,
    IN_KINDS,
    RENEWALS,
    SHARES,
    Flow,
    Group,
    Known,
    Split,
    Terms,
    expected,
    known,
)
from settlements.forecast.models import CashDay, Forecast, ForecastDay

VERSION = "2"
HORIZON = 90
ITEMS = 12  # of a day's known parts, the largest; the rest is counted
RECENT = timedelta(days=10)  # what happened is read again for this long: late entries and corrections
FIRST_FILL = timedelta(days=150)
CHUNK = 200


@dataclass(frozen=True)
class Computed:
    """A forecast that is not stored (yet). `days`: only those on which something is expected."""

    account: str
    currency: str
    parameters: dict[str, Any]
    apart: dict[str, int]
    days: list[ForecastDay]


def run(*, on: date) -> dict[str, int]:
    """The day's forecasts unless they are there, what happened lately, and away with what is too old."""
    made = 0
    if not Forecast.objects.filter(made_on=on).exists():
        try:
            made = make(on=on)
        except IntegrityError:  # another worker was first: its forecasts stand
            made = 0
    known_days = catch_up(on=on)
    return {"made": made, "days": known_days, "pruned": prune(on=on)}


def make(*, on: date, horizon: int = HORIZON) -> int:
    """Compute and store the forecasts of `on`, in place of those made before on that day. Returns how many."""
    made, chunk = 0, []
    with transaction.atomic():
        old = Forecast.objects.filter(made_on=on)
        ForecastDay.objects.filter(forecast__in=old).delete()
        old.delete()
        for one in compute(on=on, horizon=horizon):
            chunk.append(one)
            if len(chunk) == CHUNK:
                made += _store(chunk, on, horizon)
                chunk = []
        made += _store(chunk, on, horizon)
    return made


def _store(chunk: list[Computed], on: date, horizon: int) -> int:
    heads = [
        Forecast(
            account=one.account,
            currency=one.currency,
            made_on=on,
            horizon=horizon,
            version=VERSION,
            parameters=one.parameters,
            apart=one.apart,
        )
        for one in chunk
    ]
    rows: list[ForecastDay] = []
    for head, one in zip(Forecast.objects.bulk_create(heads), chunk, strict=True):
        for day in one.days:
            day.forecast = head
            rows.append(day)
    ForecastDay.objects.bulk_create(rows, batch_size=1000)
    return len(heads)


def catch_up(*, on: date) -> int:
    """What happened lately into the table; all that forecasts are compared with when the table is empty."""
    since = on - (RECENT if CashDay.objects.exists() else FIRST_FILL)
    return actuals.store(since, settlement=reads.settlement(on + timedelta(days=1)).days)


def prune(*, on: date) -> int:
    """Forecasts older than FORECAST_KEEP_DAYS go, what happened stays twice as long; returns how many forecasts."""
    keep = timedelta(days=settings.FORECAST_KEEP_DAYS)
    CashDay.objects.filter(day__lt=on - 2 * keep).delete()
    pruned = 0
    while ids := list(Forecast.objects.filter(made_on__lt=on - keep).order_by("made_on").values_list("pk")[:CHUNK]):
        wanted = [pk for (pk,) in ids]
        with transaction.atomic():
            ForecastDay.objects.filter(forecast_id__in=wanted).delete()
            pruned += Forecast.objects.filter(pk__in=wanted).delete()[0]
    return pruned


# -- computing ---------------------------------------------------------------------------------------------------------


def compute(
    *, on: date, horizon: int = HORIZON, as_of: bool = False, only: frozenset[str] | None = None
) -> Iterator[Computed]:
    """The forecasts of each seller and currency with something to expect, then the platform's. Stores nothing.

    `as_of`: positions as they stood at the beginning of `on`, from the ledger; otherwise as they stand now. `only`:
    the accounts wanted ("" the platform).
    """
    world = _World(on, horizon, now=not as_of)
    whole: dict[str, _Whole] = defaultdict(_Whole)
    left = {key for key in world.renewals if key[0]}
    for key, positions in reads.positions_as_of(on) if as_of else reads.positions():
        left.discard(key)
        yield from world.of_seller(key, positions, whole, only)
    for key in sorted(left):
        yield from world.of_seller(key, [], whole, only)
    currencies = {*whole, *(currency for account, currency in world.renewals if not account)}
    for currency in sorted(currencies):
        if only is None or "" in only:
            yield world.of_platform(currency, whole[currency])


class _Whole:
    """What the sellers' forecasts add up to, by (day, kind, seller)."""

    def __init__(self) -> None:
        self.flows: dict[tuple[date, str, str], int] = defaultdict(int)
        self.apart: dict[str, int] = dict.fromkeys(APART, 0)


class _World:
    """What all forecasts of a day share; read once."""

    def __init__(self, on: date, horizon: int, *, now: bool) -> None:
        self.on, self.horizon = on, horizon
        self.terms = reads.terms(on, now=now)
        self.renewals = reads.expected_renewals(on, horizon)
        self.collection = reads.collection(on)
        self.splits = reads.splits(on)
        self.settlement = reads.settlement(on)
        self.approval = reads.approval_days(on)

    def of_seller(
        self, key: tuple[str, str], positions: list[Any], whole: dict[str, _Whole], only: frozenset[str] | None
    ) -> Iterator[Computed]:
        account, currency = key
        found = known(
            positions,
            self.terms.get(account, Terms(active=False)),
            currency=currency,
            start=self.on,
            days=self.horizon,
            approval_days=self.approval,
        )
        total = whole[currency]
        for flow in found.flows:
            total.flows[flow.day, flow.kind, account] += flow.amount
        for name, amount in found.apart.items():
            total.apart[name] += amount
        if only is None or account in only:
            groups = self._groups(account, currency, fee=Fraction(0))
            if found.flows or groups or any(found.apart.values()):
                yield self._computed(account, currency, found, groups)

    def of_platform(self, currency: str, whole: _Whole) -> Computed:
        flows = [Flow(day, kind, amount, account) for (day, kind, account), amount in sorted(whole.flows.items())]
        fee = self.settlement.fees.get(currency, Fraction(0))
        accounts = sorted(account for account, code in self.renewals if code == currency)
        groups = [group for account in accounts for group in self._groups(account, currency, fee=fee)]
        return self._computed("", currency, Known(flows, whole.apart), groups)

    def _groups(self, account: str, currency: str, *, fee: Fraction) -> list[Group]:
        return [
            expected(
                renewal,
                rate=self.collection.of(account, currency),
                terms=self.terms.get(account),
                split=self._split(account, currency),
                delays=reads.delays(self.collection.pay_days, self.settlement.delay(currency), self.approval),
                fee=fee,
            )
            for renewal in self.renewals.get((account, currency), ())
        ]

    def _split(self, account: str, currency: str) -> Split:
        return self.splits.get((account, currency)) or self.splits.get(("", currency)) or Split()

    def _computed(self, account: str, currency: str, found: Known, groups: list[Group]) -> Computed:
        rate, split = self.collection.of(account, currency), self._split(account, currency)
        fee = self.settlement.fees.get(currency, Fraction(0)) if not account else Fraction(0)
        return Computed(
            account=account,
            currency=currency,
            parameters={
                "paid": rate.paid,
                "finalised": rate.finalised,
                "rate_of": "seller" if self._has_own_rate(account, currency) else "currency",
                "renewals": sum(sum(group.amounts.values()) for group in groups),
                "prompt_part": _part(split.prompt),
                "reserve_part": _part(split.reserve),
                "fee_part": _part(fee),
                "pay_days": self.collection.pay_days,
                "settlement_days": self.settlement.delay(currency),
                "approval_days": self.approval,
                "level": str(LEVEL),
                "draws": DRAWS,
            },
            apart=found.apart,
            days=_days(self.on, self.horizon, found.flows, groups, seed_of(VERSION, self.on, currency, account)),
        )

    def _has_own_rate(self, account: str, currency: str) -> bool:
        own = self.collection.sellers.get((account, currency))
        return own is not None and own.finalised >= reads.SELLER_SAMPLE


def _part(value: Fraction) -> str:
    """For reading; the computation has the exact one."""
    return f"{float(value):.4f}"


def _days(on: date, horizon: int, flows: list[Flow], groups: list[Group], seed: int) -> list[ForecastDay]:
    """Each day on which something is expected, its parts adding up to what comes in and what goes out."""
    known_in, known_out = [0] * horizon, [0] * horizon
    parts: list[dict[str, int]] = [defaultdict(int) for _ in range(horizon)]
    items: list[dict[tuple[str, str], int]] = [defaultdict(int) for _ in range(horizon)]
    for flow in flows:
        index = (flow.day - on).days
        (known_in if flow.kind in IN_KINDS else known_out)[index] += flow.amount
        parts[index][flow.kind] += flow.amount
        items[index][flow.kind, flow.label] += flow.amount
    for group in groups:
        for flow in group.flows():
            if 0 <= (index := (flow.day - on).days) < horizon:
                parts[index][flow.kind] += flow.amount
                items[index][flow.kind, flow.label] += flow.amount
    band = bands(groups, start=on, known_in=known_in, known_out=known_out, seed=seed)
    rows, running = [], 0
    for index in range(horizon):
        came = sum(amount for kind, amount in parts[index].items() if kind in IN_KINDS)
        went = sum(amount for kind, amount in parts[index].items() if kind not in IN_KINDS)
        running += came - went
        if not parts[index]:
            continue
        largest = sorted(items[index].items(), key=lambda pair: (-abs(pair[1]), pair[0]))
        # The mean of a lopsided band may lie outside of it (one renewal, nearly sure): the band is stretched to it.
        rows.append(
            ForecastDay(
                day=on + timedelta(days=index),
                in_low=min(band.inflow[index][0], came),
                in_expected=came,
                in_high=max(band.inflow[index][1], came),
                out_low=min(band.outflow[index][0], went),
                out_expected=went,
                out_high=max(band.outflow[index][1], went),
                running_low=min(band.running[index][0], running),
                running_expected=running,
                running_high=max(band.running[index][1], running),
                parts=dict(sorted(parts[index].items())),
                items=[[kind, label, amount] for (kind, label), amount in largest[:ITEMS]],
                items_left=max(len(largest) - ITEMS, 0),
            )
        )
    return rows


__all__ = ["HORIZON", "RENEWALS", "SHARES", "VERSION", "Computed", "catch_up", "compute", "make", "prune", "run"]
