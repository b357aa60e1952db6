"""What is known to be paid, and what is expected to: positions and renewals in, amounts by day out. Pure: no database,
no clock, no random number.

Amounts are whole minor units of one currency. Shares and rates are exact fractions, rounded half-even once per day and
seller. Nothing here is booked: a forecast is shown, and compared with what then happened.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import date, timedelta
from fractions import Fraction

from billingops.money import round_half_even
from settlements.plans import next_payout_day

RENEWALS, CLAIMS = "renewals", "claims"
SCHEDULED, HOLDS, RESERVES, DEBTS, SHARES = "scheduled", "holds", "reserves", "debts", "shares"
IN_KINDS = (RENEWALS,)
# What comes back from sellers is less out, as in what then happened (actuals.py): transfers less reversals.
OUT_KINDS = (SCHEDULED, HOLDS, RESERVES, DEBTS, CLAIMS, SHARES)
LABELS = {
    RENEWALS: "expected renewals × collection rate",
    SCHEDULED: "scheduled payouts",
    HOLDS: "holds released",
    RESERVES: "reserves released",
    DEBTS: "debts netted",
    CLAIMS: "reversals that sellers owe",
    SHARES: "sellers' shares of expected renewals",
}
HELD, PAUSED, CARRIED, BEYOND = "held", "paused", "carried", "beyond"
APART = {
    HELD: "held for open disputes",
    PAUSED: "of sellers that are not active, whose payouts are held, or that Stripe restricts",
    CARRIED: "below the minimum, or owed by sellers: carried forward",
    BEYOND: "known, but behind the last day shown",
}


@dataclass(frozen=True)
class Terms:
    """How a seller is paid; see settlements.models.Seller. `minimum`: minor units per currency; `active`: switched on,
    not held, and not restricted at Stripe."""

    schedule: str = "per_invoice"
    active: bool = True
    hold_days: int = 0
    reserve_days: int = 0
    minimum: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Position:
    """What stands open with one seller for one invoice; see settlements.models.Earning. `label` names the invoice."""

    due_on: date
    open: int = 0
    reserve_until: date | None = None
    reserve_left: int = 0
    held: int = 0
    claimed: int = 0
    moved_by_stripe: bool = False
    label: str = ""


@dataclass(frozen=True)
class Flow:
    """`amount` counts up in its direction: out of the platform for OUT_KINDS, in for IN_KINDS. Debts and claims are
    negative."""

    day: date
    kind: str
    amount: int
    label: str = ""


@dataclass
class Known:
    flows: list[Flow] = field(default_factory=list)
    apart: dict[str, int] = field(default_factory=lambda: dict.fromkeys(APART, 0))


def known(
    positions: Iterable[Position], terms: Terms, *, currency: str, start: date, days: int, approval_days: int = 0
) -> Known:
    """One seller's flows of one currency in [start, start + days), and what stands apart.

    Each part counts on its payout day; what was due before `start` on `start`; all of them `approval_days` later,
    which is how long people take to approve. A payout goes out when what has come together reaches the minimum; debts
    are netted, and carried until there is enough. So the flows out but the claims, and `carried`, `beyond`, `paused`
    add up to all that is open and in reserve.
    """
    found, end, lag = Known(), start + timedelta(days=days), timedelta(days=approval_days)
    by_day: dict[date, list[Flow]] = defaultdict(list)

    def out(due: date, kind: str, amount: int, position: Position) -> None:
        moved = position.moved_by_stripe and kind != RESERVES
        day = max(due if moved else next_payout_day(terms.schedule, due), start) + (timedelta() if moved else lag)
        if moved and amount > 0:
            _place(found, Flow(day, kind, amount, position.label), end)
        else:
            by_day[day].append(Flow(day, kind, amount, position.label))

    for one in positions:
        found.apart[HELD] += one.held
        if one.claimed and start + lag < end:
            found.flows.append(Flow(start + lag, CLAIMS, -one.claimed, one.label))
        if not terms.active:
            found.apart[PAUSED] += one.open + one.reserve_left
            continue
        if one.moved_by_stripe and one.open < 0:  # settled with the seller by hand, never netted
            found.apart[CARRIED] += one.open
        elif one.open:
            kind = DEBTS if one.open < 0 else HOLDS if one.due_on > start else SCHEDULED
            out(one.due_on, kind, one.open, one)
        if one.reserve_left:
            out(one.reserve_until or start, RESERVES, one.reserve_left, one)
    _pay(found, by_day, minimum=max(1, terms.minimum.get(currency, 0)), end=end)
    return found


def _pay(found: Known, by_day: Mapping[date, list[Flow]], *, minimum: int, end: date) -> None:
    carried: list[Flow] = []
    for day in sorted(by_day):
        carried += by_day[day]
        if sum(flow.amount for flow in carried) >= minimum:
            for flow in carried:
                _place(found, Flow(day, flow.kind, flow.amount, flow.label), end)
            carried = []
    found.apart[CARRIED] += sum(flow.amount for flow in carried)


def _place(found: Known, flow: Flow, end: date) -> None:
    if flow.day < end:
        found.flows.append(flow)
    elif flow.kind in OUT_KINDS:
        found.apart[BEYOND] += flow.amount


# -- what is expected --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Rate:
    """Of `finalised` subscription invoices `paid` were paid in time. `mean` is the posterior mean under Jeffreys'
    prior, Beta(½, ½): 0.5 when nothing is known, never quite 0 or 1."""

    paid: int = 0
    finalised: int = 0

    @property
    def mean(self) -> Fraction:
        return Fraction(2 * self.paid + 1, 2 * (self.finalised + 1))


@dataclass(frozen=True)
class Split:
    """Of a seller's base lately: the part that is paid out when due, and the part that goes through the reserve."""

    prompt: Fraction = Fraction(1)
    reserve: Fraction = Fraction(0)


@dataclass(frozen=True)
class Renewal:
    """What renews for one seller ("" the platform itself) on one day: amount → how many of it."""

    day: date
    account: str
    amounts: Mapping[int, int]

    @property
    def total(self) -> int:
        return sum(amount * count for amount, count in self.amounts.items())


@dataclass(frozen=True)
class Delays:
    """Whole days: from an invoice to its payment, from there until the cash is available, and for an approval."""

    pay: int = 0
    settlement: int = 0
    approval: int = 0


@dataclass(frozen=True)
class Group:
    """One renewal day of one seller, as the band draws it: of each amount that is collected `in_part` comes in on
    `in_day`, and each of `outs` (day, part) goes out."""

    account: str
    amounts: Mapping[int, int]
    rate: Rate
    in_day: date
    in_part: Fraction
    outs: tuple[tuple[date, Fraction], ...] = ()

    @property
    def collected(self) -> Fraction:
        return self.rate.mean * sum(amount * count for amount, count in self.amounts.items())

    def flows(self) -> list[Flow]:
        """The expected amounts, each rounded once."""
        parts = [(self.in_day, RENEWALS, self.in_part), *((day, SHARES, part) for day, part in self.outs)]
        rounded = [Flow(day, kind, round_half_even(self.collected * part), self.account) for day, kind, part in parts]
        return [flow for flow in rounded if flow.amount]


def expected(
    renewal: Renewal,
    *,
    rate: Rate,
    terms: Terms | None,
    split: Split,
    delays: Delays,
    fee: Fraction = Fraction(0),
) -> Group:
    """`terms` None: nobody is paid of it (the platform's own, or a seller that is not active). `fee`: Stripe's part of
    what comes in."""
    paid = renewal.day + timedelta(days=delays.pay)
    outs: list[tuple[date, Fraction]] = []
    if terms is not None and terms.active and renewal.account:
        lag = timedelta(days=delays.approval)
        if split.prompt:
            outs.append((next_payout_day(terms.schedule, paid + timedelta(days=terms.hold_days)) + lag, split.prompt))
        if split.reserve:
            outs.append(
                (next_payout_day(terms.schedule, paid + timedelta(days=terms.reserve_days)) + lag, split.reserve)
            )
    return Group(
        account=renewal.account,
        amounts=renewal.amounts,
        rate=rate,
        in_day=paid + timedelta(days=delays.settlement),
        in_part=1 - fee,
        outs=tuple(outs),
    )
