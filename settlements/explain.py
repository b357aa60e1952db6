"""What a rule would do to a made-up invoice: which rule counts for each line and why the others do not, and what each
seller gets of it. The same functions compute it as for a real payment; nothing is read or written here.

Amounts: minor units of the invoice's currency. Where they come from and who may see them: explain_input.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time
from typing import Any

from billingops.stripe.facts import ChargeFacts, InvoiceFacts, LineFacts
from settlements import rules, wording
from settlements.earnings import agreed
from settlements.positions import compute, fee_parts
from settlements.rules import Problem, Proposal, Settlement, Terms
from settlements.ruleset import PRICE, PRODUCT, Rule

NUMBER = "made-up"
ENOUGH = 10**15  # of a charge, so that a share is shown even where the real one would not cover it
MAX_OTHERS = 20


@dataclass(frozen=True, slots=True)
class Example:
    """A made-up invoice, paid in full on `paid_on`. `seller`: whom the invoice's metadata names; `volume`: what each
    seller's period has seen before it, for tiered rules; `stripe_fee`: of the payment."""

    currency: str
    lines: tuple[LineFacts, ...]
    paid_on: date
    seller: str = ""
    tier: str = ""
    volume: int = 0
    stripe_fee: int = 0

    @property
    def invoice(self) -> InvoiceFacts:
        paid_at = datetime.combine(self.paid_on, time(12), UTC)
        tax = sum(line.tax_inclusive + line.tax_exclusive for line in self.lines)
        total = sum(line.amount - line.discount + line.tax_exclusive for line in self.lines)
        return InvoiceFacts(
            id="in_example",
            account="",
            status="paid",
            currency=self.currency,
            total=total,
            amount_due=total,
            amount_paid=total,
            amount_remaining=0,
            created=paid_at,
            paid_at=paid_at,
            number=NUMBER,
            tax=tax,
            charge_id="ch_example",
            lines=self.lines,
            metadata={rules.SELLER_KEY: self.seller} if self.seller else {},
        )


@dataclass(frozen=True, slots=True)
class Other:
    """A rule that does not count for a line, and why."""

    name: str
    version: int
    text: str
    reason: str


@dataclass(frozen=True, slots=True)
class LinePart:
    """One seller's part of one line. `seller` "": the platform's own. Without a `rule`, or where the seller earns
    nothing (see the problems), fee and share are None."""

    line: str
    description: str
    seller: str
    base: int
    rule: str = ""
    version: int = 0
    share_text: str = ""
    match_text: str = ""
    fee: int | None = None
    share: int | None = None


@dataclass(frozen=True, slots=True)
class LineResult:
    line: str
    description: str
    parts: tuple[LinePart, ...]
    others: tuple[Other, ...]
    more_others: int = 0


@dataclass(frozen=True, slots=True)
class SellerResult:
    """share = base − fee; earned = share + adjustment − stripe_fee − withheld; paid_out = earned − reserve, on
    `due_on`. `volumes`: (rule, version, period, before, after) of tiered rules."""

    seller: str
    name: str
    base: int
    fee: int
    share: int
    adjustment: int
    stripe_fee: int
    withheld: int
    reserve: int
    earned: int
    paid_out: int
    due_on: date
    reserve_until: date | None
    schedule: str
    volumes: tuple[tuple[str, int, str, int, int], ...] = ()

    @property
    def schedule_text(self) -> str:
        return self.schedule.replace("_", " ")


@dataclass(frozen=True, slots=True)
class Explanation:
    """`own`: the bases of the lines that are the platform's; base = own + Σ sellers' bases + `unearned`. `platform`:
    what it keeps before Stripe's fee: own + Σ fees − Σ adjustments."""

    currency: str
    paid_on: date
    total: int
    tax: int
    base: int
    own: int
    unearned: int
    platform: int
    platform_stripe_fee: int
    lines: tuple[LineResult, ...]
    sellers: tuple[SellerResult, ...]
    problems: tuple[Problem, ...]

    @property
    def fee(self) -> int:
        return sum(seller.fee for seller in self.sellers)

    @property
    def share(self) -> int:
        return sum(seller.share for seller in self.sellers)


def explain(example: Example, *, known: Sequence[Rule], terms: Mapping[str, Terms]) -> Explanation:
    """`known`: every version of the rules that take part; `terms`: of the sellers that they may name."""
    invoice = example.invoice
    valid = rules.in_force(known, example.paid_on)
    paid = _charge(invoice, invoice.total)
    enough = _charge(invoice, ENOUGH)
    volumes = dict.fromkeys(rules.tier_keys(invoice, paid, known, example.tier), example.volume)
    given: dict[str, Any] = {"rules": known, "sellers": terms, "tier": example.tier, "volumes": volumes}
    computed = rules.settle(invoice, enough, **given)
    real = rules.settle(invoice, paid, **given)
    lines = tuple(_line(line, example, invoice, valid, known, computed) for line in example.lines)
    bases = [earned.base for earned in computed.earned]
    parts = fee_parts(example.stripe_fee, bases, invoice.total - sum(bases))
    sellers = tuple(
        _seller(earned, part, terms[earned.seller], example)
        for earned, part in zip(computed.earned, parts, strict=True)
    )
    own = sum(line.base for line in example.lines if line.id in computed.own)
    base = sum(line.base for line in example.lines)
    return Explanation(
        currency=example.currency,
        paid_on=example.paid_on,
        total=invoice.total,
        tax=invoice.tax,
        base=base,
        own=own,
        unearned=base - own - sum(bases),
        platform=own + sum(earned.fee - earned.adjustment for earned in computed.earned),
        platform_stripe_fee=example.stripe_fee - sum(seller.stripe_fee for seller in sellers),
        lines=lines,
        sellers=sellers,
        problems=real.problems,
    )


def _charge(invoice: InvoiceFacts, amount: int) -> ChargeFacts:
    return ChargeFacts("ch_example", "", amount, invoice.currency, "succeeded", invoice.created)


def _seller(earned: Proposal, stripe_fee: int, terms: Terms, example: Example) -> SellerResult:
    found = compute(
        base=earned.base,
        fee=earned.fee,
        adjustment=earned.adjustment,
        stripe_fee=stripe_fee,
        agreed=agreed(terms.snapshot()),
        paid_on=example.paid_on,
    )
    return SellerResult(
        seller=earned.seller,
        name=terms.name,
        base=found.base,
        fee=found.fee,
        share=found.share,
        adjustment=found.adjustment,
        stripe_fee=found.stripe_fee,
        withheld=found.withheld,
        reserve=found.reserve,
        earned=found.earned,
        paid_out=found.earned - found.reserve,
        due_on=found.due_on,
        reserve_until=found.reserve_until,
        schedule=terms.schedule,
        volumes=tuple(
            (name, version, period, example.volume, example.volume + base)
            for name, version, period, base in earned.volume
        ),
    )


def _line(
    line: LineFacts,
    example: Example,
    invoice: InvoiceFacts,
    valid: Sequence[Rule],
    known: Sequence[Rule],
    computed: Settlement,
) -> LineResult:
    given = rules.assign(line, invoice, valid, example.tier)
    bare = LinePart(line.id, line.description, "", line.base)
    if not given.parts:
        return LineResult(line.id, line.description, (bare,), _others(line, "", None, example, known, ())[0])
    sellers = tuple(seller for seller, _ in given.parts)
    parts = []
    for seller in sellers:
        part = replace(bare, seller=seller)
        if given.rule is not None:
            part = replace(
                part,
                rule=given.rule.name,
                version=given.rule.version,
                share_text=wording.share_text(given.rule),
                match_text=wording.match_text(given.rule),
            )
        earned = computed.earning(seller)
        share = next((one for one in earned.lines if one.line.id == line.id), None) if earned else None
        if share is not None:
            part = replace(part, base=share.base, fee=share.fee, share=share.share)
        parts.append(part)
    others, more = _others(line, " and ".join(sellers), given.rule, example, known, sellers)
    return LineResult(line.id, line.description, tuple(parts), others, more)


def _others(
    line: LineFacts, owner: str, winner: Rule | None, example: Example, known: Sequence[Rule], sellers: Sequence[str]
) -> tuple[tuple[Other, ...], int]:
    """Of each name the version that speaks for it, best first; the nearest to winning stand on top."""
    latest: dict[str, Rule] = {}
    for rule in known:
        held = latest.get(rule.name)
        begun = (rule.valid_from <= example.paid_on, rule.version)
        if held is None or begun > (held.valid_from <= example.paid_on, held.version):
            latest[rule.name] = rule
    rest = sorted((rule for rule in latest.values() if rule != winner), key=lambda rule: rule.rank, reverse=True)
    told = [
        Other(rule.name, rule.version, wording.share_text(rule), why_not(rule, line, owner, winner, example, sellers))
        for rule in rest[:MAX_OTHERS]
    ]
    return tuple(told), max(0, len(rest) - MAX_OTHERS)


def why_not(
    rule: Rule, line: LineFacts, owner: str, winner: Rule | None, example: Example, sellers: Sequence[str]
) -> str:
    """Why a rule does not count for a line, as the end of the sentence "… does not count: it …"."""
    if rule.valid_from > example.paid_on:
        return f"it begins on {rule.valid_from}"
    if rule.valid_until is not None and rule.valid_until <= example.paid_on:
        return f"it ended on {rule.valid_until}"
    if rule.match_type == PRICE and rule.match_value != line.price_id:
        return f"it is for price {rule.match_value}, the line has {line.price_id or 'none'}"
    if rule.match_type == PRODUCT and rule.match_value != line.product_id:
        return f"it is for product {rule.match_value}, the line has {line.product_id or 'none'}"
    if rule.match_currency and rule.match_currency != line.currency:
        return f"it is for invoices in {rule.match_currency.upper()}"
    if rule.match_tier and rule.match_tier != example.tier:
        return f"it is for customers of tier {rule.match_tier}, this one has {example.tier or 'none'}"
    if not owner:
        return "the line is the platform's own: nothing names a seller"
    if rule.seller and rule.seller not in sellers:
        return f"it is of {rule.seller}, the line of {owner}"
    if rule.split and rule.names_sellers:
        return "it would give the line to other sellers, and a better rule has named them already"
    if winner is None:
        return f"it is of {rule.seller or 'any seller'}, the line of {owner}"
    return _less_specific(rule, winner)


_STEPS = ("price", "product", "seller", "default")


def _less_specific(rule: Rule, winner: Rule) -> str:
    name = f"{winner.name} v{winner.version}"
    ours, theirs = rule.specificity, winner.specificity
    if ours[0] != theirs[0]:
        return f"{name} goes by {_STEPS[3 - theirs[0]]}, it only by {_STEPS[3 - ours[0]]}"
    if ours[1] != theirs[1]:
        return f"{name} is for tier {winner.match_tier}, it for any"
    if ours[2] != theirs[2]:
        return f"{name} is for {winner.match_currency.upper()}, it for any currency"
    if ours[3] != theirs[3]:
        return f"{name} is a promotion"
    if rule.valid_from != winner.valid_from:
        return f"{name} began later ({winner.valid_from}, it {rule.valid_from})"
    return f"{name} is as specific and comes first by its name; make one of them more specific"


def without_others(found: Explanation, accounts: frozenset[str] | None) -> Explanation:
    """For somebody who may see these accounts alone (None: all): the parts of other sellers are left out."""
    if accounts is None:
        return found
    lines = tuple(
        replace(line, parts=tuple(part for part in line.parts if part.seller in accounts or not part.seller))
        for line in found.lines
    )
    return replace(
        found,
        lines=lines,
        sellers=tuple(seller for seller in found.sellers if seller.seller in accounts),
        problems=tuple(problem for problem in found.problems if problem.seller in accounts),
    )
