"""What is due of an earning. Pure: what was computed when the invoice was paid, what has happened to the payment since
and what was paid out come in; where the money has to stand comes out. No database, no clock.

Whatever the order in which refunds, disputes, transfers and days become known, the same facts give the same answer:
earnings.py posts the difference to what stands in the books.

* taken: the seller's part of what refunds, credit notes without a refund and lost disputes took of the payment. Of the
  lines that a credit note names it is taken of their sellers; the rest of all, in the proportion of what was computed
  then (the share, and the adjustment that came with it); largest remainder, so that the parts add up
* tax withheld and reserve go back in the same proportion; Stripe keeps its fee, and so does whoever bears it
* held: the part of an open dispute that has not been paid out yet
* claimed: what has been paid out beyond what is due after `taken`, when it is taken back by a reversal: never more than
  what was transferred. The rest is a debt (`open` below zero), netted against later earnings
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction

from billingops.money import allocate, percent_of, round_half_even
from billingops.stripe.facts import CreditedLineFacts


@dataclass(frozen=True, slots=True)
class Agreed:
    """The terms of a seller that an earning is computed with. Percents of 0 to 100."""

    hold_days: int = 0
    reserve_percent: Decimal = Decimal(0)
    reserve_days: int = 0
    tax_withholding_percent: Decimal = Decimal(0)
    bears_stripe_fees: bool = False
    reverses: bool = True  # else what was overpaid comes out of later earnings


@dataclass(frozen=True, slots=True)
class Computed:
    """An earning on the day of the payment, minor units. base = fee + share."""

    base: int
    fee: int
    share: int
    adjustment: int
    stripe_fee: int
    withheld: int
    reserve: int
    due_on: date
    reserve_until: date | None

    @property
    def earned(self) -> int:
        return self.share + self.adjustment - self.stripe_fee - self.withheld


@dataclass(frozen=True, slots=True)
class Happened:
    """What has become of the customer's payment, minor units of its currency. `amount`: of the charge."""

    amount: int
    refunded: int = 0
    lost: int = 0  # in disputes
    disputed: int = 0  # in disputes that are open, inquiries aside
    credited: int = 0  # by credit notes that refunded nothing
    before: int = 0  # of `credited`: before the payment, which came in smaller for it
    lines: tuple[CreditedLineFacts, ...] = ()  # of what was taken, what credit notes named the lines of
    dispute: str = ""  # the latest, whatever has become of it
    at: datetime | None = None  # the latest of it that is known, None when nothing has happened

    @property
    def taken(self) -> int:
        return max(0, min(self.refunded + self.lost + self.credited, self.amount))

    @property
    def taken_but_by_disputes(self) -> int:
        return max(0, min(self.refunded + self.credited, self.amount))

    @property
    def named(self) -> int:
        """What credit notes named the lines of."""
        return max(0, min(sum(line.amount for line in self.lines), self.amount))

    @property
    def still_disputed(self) -> int:
        return max(0, min(self.disputed, self.amount - self.taken))


@dataclass(frozen=True, slots=True)
class Position:
    """An earning as the books know it: what was computed, and what was paid out and reversed since."""

    share: int
    earned: int  # share + adjustment − Stripe's fee − tax
    withheld: int = 0
    reserve: int = 0
    reserve_until: date | None = None
    paid: int = 0
    reversible: int = 0  # of the transfers it was paid with, what can still be reversed
    reverses: bool = True
    lines: tuple[tuple[str, int, int], ...] = ()  # (line, base, share)
    adjustment: int = 0  # of whole-volume tiers: what changed on earlier invoices; a refund takes its part of it too


@dataclass(frozen=True, slots=True)
class Lost:
    """Of what was earned what went in disputes, and of that the tax and the reserve that went with it."""

    taken: int = 0
    tax: int = 0
    reserve: int = 0


@dataclass(frozen=True, slots=True)
class Standing:
    """Where an earning has to stand. `tax_taken` and `reserve_taken` are parts of `taken`; so is what was `lost`."""

    taken: int
    tax_taken: int
    reserve_taken: int
    reserve_left: int
    held: int
    claimed: int
    open: int
    lost: Lost = Lost()


def compute(
    *,
    base: int,
    fee: int,
    adjustment: int,
    stripe_fee: int,
    agreed: Agreed,
    paid_on: date,
) -> Computed:
    """`stripe_fee`: the part of Stripe's fee that falls on these lines; it is the seller's only if so agreed, and never
    more than the share."""
    share = base - fee
    gross = max(0, share + adjustment)
    borne = min(stripe_fee, gross) if agreed.bears_stripe_fees else 0
    withheld = min(round_half_even(percent_of(gross, agreed.tax_withholding_percent)), gross - borne)
    reserve = round_half_even(percent_of(gross - borne - withheld, agreed.reserve_percent))
    if agreed.reserve_days == 0:
        reserve = 0
    return Computed(
        base=base,
        fee=fee,
        share=share,
        adjustment=adjustment,
        stripe_fee=borne,
        withheld=withheld,
        reserve=reserve,
        due_on=paid_on + timedelta(days=agreed.hold_days),
        reserve_until=paid_on + timedelta(days=agreed.reserve_days) if reserve else None,
    )


def fee_parts(fee: int, bases: Sequence[int], rest: int) -> list[int]:
    """Stripe's fee on a payment over its sellers' bases; `rest`, which is the platform's, bears its part."""
    weights = [max(0, base) for base in bases]
    if fee <= 0 or not sum(weights):
        return [0 for _ in bases]
    return allocate(fee, [*weights, max(0, rest)])[: len(weights)]


def taken_parts(shares: Sequence[int], *, amount: int, taken: int, step: int = 1) -> list[int]:
    """Of each share what belongs to the `taken` part of a payment over `amount`; never more than the share.

    Adds up to the unit where `step` is 1; else each part is less than a step below its exact one, except when all is
    taken: then it is the whole share. A negative share (a proration) is given back in the same way.
    """
    taken = max(0, min(taken, amount))
    if not shares or amount <= 0 or taken == 0:
        return [0 for _ in shares]
    if taken == amount:
        return list(shares)
    parts = [0 for _ in shares]
    for sign in (1, -1):
        own = [max(0, share * sign) for share in shares]
        if sum(own):
            exact = round_half_even(Fraction(sum(own) * taken, amount))
            for index, part in enumerate(allocate(exact, own)):
                parts[index] += sign * (part - part % step)
    return parts


def named_parts(positions: Sequence[Position], happened: Happened, *, step: int = 1) -> list[int]:
    """Of each seller's share what belongs to the lines that credit notes named, in the proportion of each line's base;
    never more than the share and its adjustment, so that what is owed of other lines stays with those."""
    credited: dict[str, int] = {}
    for one in happened.lines:
        credited[one.line_id] = credited.get(one.line_id, 0) + one.base
    bases: dict[str, int] = {}
    for position in positions:
        for line, base, _ in position.lines:
            bases[line] = bases.get(line, 0) + base
    found = []
    for position in positions:
        exact = sum(
            (
                Fraction(share * min(credited[line], bases[line]), bases[line])
                for line, _, share in position.lines
                if line in credited and bases[line] > 0
            ),
            Fraction(0),
        )
        whole = max(0, position.share + position.adjustment)
        part = max(0, min(round_half_even(exact), whole))
        found.append(part if part == whole else part - part % step)
    return found


def taken_with(part: int, taken: int, *, gross: int) -> int:
    """Of `part` (tax, reserve) of a seller's `gross` (share + adjustment) what goes with what is `taken` of it."""
    return min(part, round_half_even(Fraction(part * taken, gross))) if gross else 0


def own_taken(happened: Happened, *, sellers: int, tax: int, sold: int) -> tuple[int, int]:
    """(what was taken of the platform's own part and its fees, of that the sales tax): the rest beyond the `sellers`'
    parts together, and beyond the part of what nobody has earned yet. What was credited before the payment never came
    in, so nothing of it is in the books to be taken. `sold`: what of the payment is in the books as sold."""
    if not happened.amount:
        return happened.taken - sellers, 0
    nobodys = max(0, happened.amount - happened.before - sold)
    waits, tax_taken = (round_half_even(Fraction(part * happened.taken, happened.amount)) for part in (nobodys, tax))
    return happened.taken - min(happened.before, happened.taken) - sellers - waits, tax_taken


def standings(
    positions: Mapping[str, Position], happened: Happened, *, today: date, step: int = 1
) -> dict[str, Standing]:
    """Where each seller's earning of one invoice has to stand today."""
    order = sorted(positions)
    shares = [positions[seller].share + positions[seller].adjustment for seller in order]
    named = named_parts([positions[seller] for seller in order], happened, step=step)

    def parts(gone: int) -> list[int]:
        """Of each seller: of the lines that were named, and of the rest in proportion."""
        if gone >= happened.amount > 0:
            return shares
        of_lines = min(happened.named, gone)
        first = taken_parts(named, amount=happened.named, taken=of_lines, step=step)
        rest = [share - part for share, part in zip(shares, first, strict=True)]
        then = taken_parts(rest, amount=happened.amount - of_lines, taken=gone - of_lines, step=step)
        return [part + more for part, more in zip(first, then, strict=True)]

    taken = parts(happened.taken)
    at_stake = parts(happened.taken + happened.still_disputed)
    others = parts(happened.taken_but_by_disputes)
    return {
        seller: replace(
            _standing(positions[seller], part, max(0, both - part), today=today),
            lost=_lost(positions[seller], part, but=other),
        )
        for seller, part, both, other in zip(order, taken, at_stake, others, strict=True)
    }


def _lost(position: Position, taken: int, *, but: int) -> Lost:
    """`but`: what would have been taken without the lost disputes."""
    gross = position.share + position.adjustment
    tax, reserve = (
        taken_with(of, taken, gross=gross) - taken_with(of, but, gross=gross)
        for of in (position.withheld, position.reserve)
    )
    return Lost(taken - but, tax, reserve)


def _standing(position: Position, taken: int, disputed: int, *, today: date) -> Standing:
    gross = position.share + position.adjustment
    tax_taken = taken_with(position.withheld, taken, gross=gross)
    reserve_taken = taken_with(position.reserve, taken, gross=gross)
    released = position.reserve_until is None or today >= position.reserve_until
    reserve_left = 0 if released else position.reserve - reserve_taken
    entitled = position.earned - (taken - tax_taken) - reserve_left
    held = min(disputed, max(0, entitled - position.paid))
    overpaid = max(0, position.paid - entitled) if taken else 0
    claimed = min(overpaid, max(0, position.reversible)) if position.reverses else 0
    return Standing(
        taken=taken,
        tax_taken=tax_taken,
        reserve_taken=reserve_taken,
        reserve_left=reserve_left,
        held=held,
        claimed=claimed,
        open=entitled - position.paid - held + claimed,
    )
