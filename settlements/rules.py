"""Who gets what of a paid invoice. Pure: facts and configuration in, proposals and findings out; no database, no clock.

Share of a line: base = line amount − its discounts, without tax. The platform's fee is the rule's part of the base,
rounded half-even to a minor unit (fees.py); the seller's share = base − fee. So shares and fees add up to the bases, to
the unit. Which rule, and whose line: ruleset.py.

*Earning* and *paying* are two things. `Settlement.earned` is what each seller's share comes to, also where nothing can
be paid out just now (a restricted account, a dispute, a transfer that somebody made by hand) and where it is nothing or
less: a negative share is carried and netted. `Settlement.proposals` are those that nothing stands in the way of.

A seller earns of an invoice as a whole or not at all: one line without a rule holds the others back, because a second
earning of the same invoice would look like a duplicate. Findings say why.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from billingops.stripe.facts import ChargeFacts, InvoiceFacts, LineFacts, TransferFacts
from settlements import obstacles
from settlements.fees import fee_of, smallest_step, split, tiered_fees
from settlements.obstacles import Problem
from settlements.ruleset import (
    FLAT,
    FLAT_PER_UNIT,
    MARGINAL,
    MONTH,
    NONE,
    PERCENT,
    PRICE,
    PRODUCT,
    QUARTER,
    SELLER_KEY,
    TIER_KEY,
    TIERED,
    WHOLE,
    YEAR,
    Assignment,
    Rule,
    Tier,
    assign,
    in_force,
    paid_day,
    period_of,
    rule_for,
    seller_of,
    sellers_of,
)

VERSION = "rules settlement v2"
VolumeKey = tuple[str, str, int, str]  # seller, rule, its version, period


@dataclass(frozen=True, slots=True)
class Terms:
    """What the configuration says of a seller. `obstacle`: why Stripe would not let money go there, "" if nothing.

    `minimum`, `negative_limit`: minor units per currency; percentages of the share; `hold_days`, `reserve_days`: days
    from the payment. schedule: per_invoice, daily, weekly, monthly; stripe_fees: platform, seller; recovery: reversal,
    offset.
    """

    account: str
    name: str
    active: bool = True
    minimum: Mapping[str, int] = field(default_factory=dict)
    obstacle: str = ""
    schedule: str = "per_invoice"
    hold_days: int = 0
    reserve_percent: Decimal = Decimal(0)
    reserve_days: int = 0
    tax_withholding_percent: Decimal = Decimal(0)
    stripe_fees: str = "platform"
    recovery: str = "reversal"
    negative_limit: Mapping[str, int] = field(default_factory=dict)

    def snapshot(self) -> dict[str, Any]:
        """What was agreed, as JSON: kept with each earning. Percentages are text, without trailing zeros."""
        return {
            "schedule": self.schedule,
            "hold_days": self.hold_days,
            "minimum_payout": dict(sorted(self.minimum.items())),
            "reserve_percent": f"{self.reserve_percent.normalize():f}",
            "reserve_days": self.reserve_days,
            "tax_withholding_percent": f"{self.tax_withholding_percent.normalize():f}",
            "stripe_fees": self.stripe_fees,
            "recovery": self.recovery,
            "negative_limit": dict(sorted(self.negative_limit.items())),
        }


@dataclass(frozen=True, slots=True)
class ShareLine:
    """One line's computation for one seller: base = fee + share. Of a line that sellers share, this seller's part."""

    line: LineFacts
    rule: Rule
    base: int
    fee: int
    share: int


@dataclass(frozen=True, slots=True)
class Proposal:
    """What `seller` earns of the invoice, in its currency. `amount` = Σ shares + adjustment; it may be negative.

    adjustment       of whole-volume tiers: what the reached tier changes on the period's earlier invoices (+ = more)
    volume           (rule, version, period, base): what this invoice adds to the volumes of tiered rules
    moved_by_stripe  a destination charge: Stripe transfers by itself, nothing is paid out here
    """

    seller: str
    lines: tuple[ShareLine, ...]
    amount: int
    fee: int
    adjustment: int = 0
    volume: tuple[tuple[str, int, str, int], ...] = ()
    moved_by_stripe: bool = False

    @property
    def base(self) -> int:
        return sum(share.base for share in self.lines)

    @property
    def share(self) -> int:
        return sum(share.share for share in self.lines)


@dataclass(frozen=True, slots=True)
class Past:
    """What was shared out of the invoice before. It stays as it is, whatever the rules and the metadata say now.

    `lines`: by line (id), whose it is and by which rule's version. `earned`: each seller's share, minor units.
    """

    lines: Mapping[str, Assignment] = field(default_factory=dict)
    earned: Mapping[str, int] = field(default_factory=dict)


NOTHING_YET = Past()


@dataclass(frozen=True, slots=True)
class Settlement:
    """`earned`: every seller's share that can be computed. `proposals`: of these, what may be paid out now (> 0).

    `sellers`: all that may still earn of the invoice's lines, so that their older findings can be closed. `lines`: by
    line (id), whose it is.
    """

    proposals: tuple[Proposal, ...]
    problems: tuple[Problem, ...]
    sellers: frozenset[str]
    lines: Mapping[str, Assignment] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    earned: tuple[Proposal, ...] = ()

    @property
    def own(self) -> tuple[str, ...]:
        """The lines that are the platform's."""
        return tuple(line for line, given in self.lines.items() if not given.parts)

    def proposal(self, seller: str) -> Proposal | None:
        return next((found for found in self.proposals if found.seller == seller), None)

    def earning(self, seller: str) -> Proposal | None:
        return next((found for found in self.earned if found.seller == seller), None)


@dataclass(slots=True)
class _Piece:
    """A seller's part of a line; `shared` is (base, share) where it does not depend on a volume."""

    line: LineFacts
    rule: Rule | None
    base: int
    shared: tuple[int, int] | None = None


def tier_keys(
    invoice: InvoiceFacts, charge: ChargeFacts | None, rules: Iterable[Rule], tier: str = "", past: Past = NOTHING_YET
) -> frozenset[VolumeKey]:
    """The volumes (of the invoice's currency) that `settle` needs to know, so that they can be read and locked."""
    day = paid_day(invoice, charge)
    valid = in_force(rules, day)
    found = set()
    for line in invoice.lines:
        given = past.lines.get(line.id) or assign(line, invoice, valid, tier)
        if given.rule is not None and given.rule.share_type == TIERED:
            period = period_of(day, given.rule.period)
            found |= {(seller, given.rule.name, given.rule.version, period) for seller, _ in given.parts}
    return frozenset(found)


def settle(
    invoice: InvoiceFacts,
    charge: ChargeFacts | None,
    *,
    rules: Iterable[Rule],
    sellers: Mapping[str, Terms],
    committed: Mapping[str, int] | None = None,
    foreign: Sequence[TransferFacts] = (),
    tier: str = "",
    volumes: Mapping[VolumeKey, int] | None = None,
    before: int = 0,
    past: Past = NOTHING_YET,
) -> Settlement:
    """Share a paid invoice out. `committed`: what sellers already got or will get of this invoice, by account.

    `foreign`: transfers of this invoice or its charge that no payout of ours made, as far as they are not reversed.
    `tier`: the customer's (metadata.tier). `volumes`: what `tier_keys` asks for, before this invoice (minor units of
    its currency); a volume that is not named is 0. `before`: what a credit note took off before the payment; the shares
    are of the whole, and give their part of it back as they do of any credit (positions.py). `past`: what was shared
    out before, which is not shared out again: its sellers earn no more of the invoice, and its lines are nobody else's.
    """
    taken = dict(committed or {})
    for account, share in past.earned.items():
        taken[account] = max(share, taken.get(account, 0))
    for transfer in foreign:
        taken[transfer.destination] = taken.get(transfer.destination, 0) + transfer.amount - transfer.amount_reversed
    by_seller, lines = _pieces(invoice, in_force(rules, paid_day(invoice, charge)), tier, past)
    moved_to = invoice.transfer_destination or (charge.transfer_destination if charge else "")
    earned: list[Proposal] = []
    payable: list[Proposal] = []
    problems: list[Problem] = []
    notes: list[str] = []
    for seller in sorted(by_seller):
        terms = sellers.get(seller)
        found = _computed(invoice, charge, seller, by_seller[seller], terms, volumes or {}, moved_to)
        if moved_to == seller:
            notes.append(f"Stripe has moved {seller}'s part itself (destination charge); nothing is paid out here.")
            if isinstance(found, Proposal):
                earned.append(found)
            else:
                notes += [f"What {seller} earned of it cannot be said: {problem.text}" for problem in found]
            continue
        if not isinstance(found, Proposal):
            problems += found
            continue
        assert terms is not None  # else it could not have been computed
        assert charge is not None
        earned.append(found)
        ids = tuple(share.line.id for share in found.lines)
        why = why_not_now(invoice, charge, terms, ids, found.amount, foreign, disputed=charge.disputed)
        problems += why
        if not why and found.amount > 0:
            payable.append(found)
    over = _over_charge(invoice, charge, [one for one in earned if not one.moved_by_stripe], taken, before)
    return Settlement(
        proposals=() if over else tuple(payable),
        problems=tuple(problems + over),
        sellers=frozenset(by_seller),
        lines=lines,
        notes=tuple(notes),
        # Of a negative invoice what sellers give back is owed, whatever becomes of the others' shares.
        earned=tuple(
            one for one in earned if one.moved_by_stripe or not over or (invoice.total < 0 and one.amount < 0)
        ),
    )


def _pieces(
    invoice: InvoiceFacts, rules: Sequence[Rule], tier: str, past: Past
) -> tuple[dict[str, list[_Piece]], dict[str, Assignment]]:
    """The parts of the lines of each seller who has not earned of the invoice yet, in its order; and whose each line
    is."""
    by_seller: dict[str, list[_Piece]] = {}
    lines: dict[str, Assignment] = {}
    for line in invoice.lines:
        given = lines[line.id] = past.lines.get(line.id) or assign(line, invoice, rules, tier)
        if not given.parts:
            continue
        rule, weights = given.rule, [weight for _, weight in given.parts]
        known = rule is not None and rule.share_type != TIERED
        share = line.base - fee_of(line.base, line.quantity, rule, invoice.currency) if rule and known else 0
        parts = split(line.base, share, weights, invoice.currency)
        for (seller, _), part in zip(given.parts, parts, strict=True):
            if seller not in past.earned:
                piece = _Piece(line, rule, part[0], part if known else None)
                by_seller.setdefault(seller, []).append(piece)
    return by_seller, lines


def _computed(
    invoice: InvoiceFacts,
    charge: ChargeFacts | None,
    seller: str,
    pieces: Sequence[_Piece],
    terms: Terms | None,
    volumes: Mapping[VolumeKey, int],
    moved_to: str,
) -> Proposal | list[Problem]:
    """What the seller earns, or why that cannot be said."""
    ids = tuple(piece.line.id for piece in pieces)
    if terms is None or not terms.active:
        return [obstacles.unknown_seller(invoice, seller, ids, listed=terms is not None)]
    who = _who(terms)
    problems = [
        obstacles.wrong_currency(invoice, seller, who, piece.line, piece.rule)
        for piece in pieces
        if piece.rule and not _countable(invoice, piece.line, piece.rule)
    ]
    if without := [piece.line for piece in pieces if piece.rule is None]:
        problems.append(obstacles.missing_rule(invoice, charge, seller, who, without))
    elsewhere = "" if moved_to == seller else moved_to
    nothing = obstacles.without_charge(invoice, charge, seller, ids, moved_to=elsewhere)
    if nothing and not any(piece.base for piece in pieces):
        return problems  # a trial, say: nobody is to be paid for it
    if nothing:
        problems.append(nothing)
    elif charge and charge.converted and (moved_to != seller or terms.stripe_fees == "seller"):
        problems.append(obstacles.converted(invoice, charge, seller, ids))
    if problems:
        if terms.obstacle:
            problems.insert(-1 if nothing else len(problems), _restricted(terms, ids))
        return problems
    lines, adjustment, volume = _shared(invoice, charge, seller, pieces, volumes)
    share = sum(one.share for one in lines)
    return Proposal(
        seller,
        lines,
        share + adjustment,
        sum(one.fee for one in lines),
        adjustment,
        volume,
        moved_by_stripe=moved_to == seller,
    )


def _who(terms: Terms) -> str:
    return f"{terms.name} ({terms.account})"


def _restricted(terms: Terms, lines: tuple[str, ...]) -> Problem:
    return obstacles.account_restricted(terms.account, _who(terms), terms.obstacle, lines)


def _countable(invoice: InvoiceFacts, line: LineFacts, rule: Rule) -> bool:
    return line.currency == invoice.currency and (not rule.needs_currency or rule.currency == invoice.currency)


def _shared(
    invoice: InvoiceFacts,
    charge: ChargeFacts | None,
    seller: str,
    pieces: Sequence[_Piece],
    volumes: Mapping[VolumeKey, int],
) -> tuple[tuple[ShareLine, ...], int, tuple[tuple[str, int, str, int], ...]]:
    """The seller's lines, the adjustment, and what the invoice adds to each tiered rule's volume."""
    fees = {index: piece.shared[0] - piece.shared[1] for index, piece in enumerate(pieces) if piece.shared}
    tiered: dict[Rule, list[int]] = {}
    for index, piece in enumerate(pieces):
        if piece.shared is None and piece.rule is not None:
            tiered.setdefault(piece.rule, []).append(index)
    adjustment, added = 0, []
    day = paid_day(invoice, charge)
    for rule, indexes in tiered.items():
        period = period_of(day, rule.period)
        bases = [pieces[index].base for index in indexes]
        before = volumes.get((seller, rule.name, rule.version, period), 0)
        computed, adjusted = tiered_fees(before, bases, rule, invoice.currency)
        fees |= dict(zip(indexes, computed, strict=True))
        adjustment += adjusted
        added.append((rule.name, rule.version, period, sum(bases)))
    lines = tuple(
        ShareLine(piece.line, piece.rule, piece.base, fees[index], piece.base - fees[index])
        for index, piece in enumerate(pieces)
        if piece.rule is not None
    )
    return lines, adjustment, tuple(sorted(added))


def why_not_now(
    invoice: InvoiceFacts,
    charge: ChargeFacts,
    terms: Terms,
    lines: tuple[str, ...],
    amount: int,
    foreign: Sequence[TransferFacts],
    *,
    disputed: bool,
) -> list[Problem]:
    """What stands in the way of paying out what a seller has earned (`amount`, minor units) of these lines. `disputed`:
    whether a dispute holds all of it."""
    seller = terms.account
    problems = [_restricted(terms, lines)] if terms.obstacle else []
    if disputed:
        problems.append(obstacles.charge_disputed(invoice, charge, seller, lines))
    if sent := [transfer for transfer in foreign if transfer.destination == seller]:
        problems.append(obstacles.already_transferred(invoice, seller, _who(terms), amount, lines, sent))
    return problems


def shareable(invoice: InvoiceFacts, charge: ChargeFacts, before: int = 0) -> int:
    """What may be shared out: what the charge brought, what was credited before it and what the customer's balance paid
    (below zero: what it got), without the invoice's tax."""
    return charge.amount + before + invoice.from_balance - invoice.tax


def _over_charge(
    invoice: InvoiceFacts,
    charge: ChargeFacts | None,
    earned: Sequence[Proposal],
    committed: Mapping[str, int],
    before: int,
) -> list[Problem]:
    """A problem for all of them when together they exceed what the charge brought.

    A negative share does not make room for others: it is netted against that seller's own earnings. Nor does what a
    whole-volume tier adjusts on earlier invoices count: the platform pays it out of what it kept of those.
    """
    if charge is None or not earned:
        return []
    shares = {one.seller: one.share for one in earned if one.share > 0} | dict(committed)
    total, limit = sum(shares.values()), shareable(invoice, charge, before)
    if total <= limit:
        return []
    concerned = [
        (one.seller, tuple(share.line.id for share in one.lines), one.amount)
        for one in earned
        if one.seller not in committed
    ]
    return obstacles.over_charge(invoice, charge, total, limit, concerned)


__all__ = [
    "FLAT",
    "FLAT_PER_UNIT",
    "MARGINAL",
    "MONTH",
    "NONE",
    "PERCENT",
    "PRICE",
    "PRODUCT",
    "QUARTER",
    "SELLER_KEY",
    "TIERED",
    "TIER_KEY",
    "VERSION",
    "WHOLE",
    "YEAR",
    "Problem",
    "Proposal",
    "Rule",
    "Settlement",
    "ShareLine",
    "Terms",
    "Tier",
    "VolumeKey",
    "assign",
    "fee_of",
    "in_force",
    "paid_day",
    "period_of",
    "rule_for",
    "seller_of",
    "sellers_of",
    "settle",
    "shareable",
    "smallest_step",
    "tier_keys",
]
