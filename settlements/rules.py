"""Who gets what of a paid invoice. Pure: facts and configuration in, proposals and findings out; no database, no clock.

Share of a line: base = line amount − its discounts, without tax. The platform's fee is the rule's part of the base,
rounded half-even to a minor unit; the seller's share = base − fee. So shares and fees add up to the bases, to the unit.

* percent: fee = (100 − seller's percent) of the base; a negative line (a proration) has a negative fee and share
* flat_per_unit: fee × quantity, flat: fee once per line. Never more than the base; on a negative line the fee is given
  back by the same rule: sign(base) × min(fee, |base|)
* currencies in which Stripe moves only multiples of 10 or 100 minor units (three-decimal ones; isk, ugx): what cannot
  be moved of a share stays with the platform

A seller is paid for an invoice as a whole or not at all: one line without a rule holds the others back, because a
second payout for the same invoice would look like a duplicate. Findings say why nothing is paid.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date
from decimal import Decimal

from billingops.money import (
    THREE_DECIMAL,
    WHOLE_UNITS_CHARGED_AS_TWO_DECIMAL,
    format_money,
    percent_of,
    round_half_even,
)
from billingops.stripe.facts import ChargeFacts, InvoiceFacts, LineFacts, TransferFacts

VERSION = "rules settlement v1"
PERCENT, FLAT_PER_UNIT, FLAT = "percent", "flat_per_unit", "flat"
PRICE, PRODUCT, NONE = "price", "product", "none"
SELLER_KEY = "seller_account"


@dataclass(frozen=True, slots=True)
class Rule:
    """One version of one rule. `seller` "" = of any seller. `percent` is the seller's; `fee` minor units of
    `currency`."""

    name: str
    version: int
    seller: str
    match_type: str
    match_value: str
    share_type: str
    valid_from: date
    valid_until: date | None = None
    percent: Decimal = Decimal(0)
    fee: int = 0
    currency: str = ""

    def matches(self, line: LineFacts) -> bool:
        if self.match_type == PRICE:
            return self.match_value == line.price_id
        if self.match_type == PRODUCT:
            return self.match_value == line.product_id
        return True

    @property
    def rank(self) -> tuple[int, date, int, str, int]:
        """The most specific first, then the later valid_from; the rest only makes the order total."""
        specific = {PRICE: 3, PRODUCT: 2}.get(self.match_type, 1 if self.seller else 0)
        return specific, self.valid_from, int(bool(self.seller)), self.name, self.version


@dataclass(frozen=True, slots=True)
class Terms:
    """What the configuration says of a seller. `obstacle`: why Stripe would not let money go there, "" if nothing."""

    account: str
    name: str
    active: bool = True
    minimum: Mapping[str, int] = field(default_factory=dict)
    obstacle: str = ""


@dataclass(frozen=True, slots=True)
class ShareLine:
    line: LineFacts
    rule: Rule
    base: int
    fee: int
    share: int


@dataclass(frozen=True, slots=True)
class Proposal:
    """Pay `amount` (> 0) of the invoice's currency to `seller`, out of the invoice's charge."""

    seller: str
    lines: tuple[ShareLine, ...]
    amount: int
    fee: int


@dataclass(frozen=True, slots=True)
class Problem:
    """Becomes a Finding: `text` says what is wrong, what was not done and what to do."""

    code: str
    seller: str
    text: str
    lines: tuple[str, ...] = ()
    amount: int | None = None


@dataclass(frozen=True, slots=True)
class Settlement:
    """`sellers`: all that the invoice's lines name, so that their older findings can be closed. `own`: the
    platform's."""

    proposals: tuple[Proposal, ...]
    problems: tuple[Problem, ...]
    sellers: frozenset[str]
    own: tuple[str, ...]
    notes: tuple[str, ...] = ()

    def proposal(self, seller: str) -> Proposal | None:
        return next((found for found in self.proposals if found.seller == seller), None)


def paid_day(invoice: InvoiceFacts, charge: ChargeFacts | None) -> date:
    """The day (UTC) by which rules are chosen: when the invoice was paid."""
    moment = invoice.paid_at or (charge.created if charge else None) or invoice.created
    return moment.astimezone(UTC).date()


def in_force(rules: Iterable[Rule], day: date) -> list[Rule]:
    """Of each name the highest version that is valid on `day`."""
    best: dict[str, Rule] = {}
    for rule in rules:
        if rule.valid_from <= day and (rule.valid_until is None or day < rule.valid_until):
            held = best.get(rule.name)
            if held is None or held.version < rule.version:
                best[rule.name] = rule
    return sorted(best.values(), key=lambda rule: rule.rank, reverse=True)


def seller_of(line: LineFacts, invoice: InvoiceFacts, rules: Sequence[Rule]) -> str:
    """The seller of a line, "" for the platform's own revenue. `rules`: those in force, best first (`in_force`).

    In this order: a rule by price or product that names a seller; `metadata.seller_account` of the price, the product,
    the subscription, the invoice; the invoice's transfer destination, or whom it was issued on behalf of.
    """
    for rule in rules:
        if rule.seller and rule.match_type in (PRICE, PRODUCT) and rule.matches(line):
            return rule.seller
    sources = (line.price_metadata, line.product_metadata, invoice.subscription_metadata, invoice.metadata)
    for metadata in sources:
        if named := str(metadata.get(SELLER_KEY, "")).strip():
            return named[:64]  # other people write metadata; a column holds no more
    return invoice.transfer_destination or invoice.on_behalf_of


def rule_for(line: LineFacts, seller: str, rules: Sequence[Rule]) -> Rule | None:
    """The most specific rule in force for a line of `seller`: price > product > seller > default."""
    return next((rule for rule in rules if rule.seller in ("", seller) and rule.matches(line)), None)


def sellers_of(invoice: InvoiceFacts, charge: ChargeFacts | None, rules: Iterable[Rule]) -> frozenset[str]:
    """Every seller that a line of the invoice names."""
    valid = in_force(rules, paid_day(invoice, charge))
    return frozenset(seller_of(line, invoice, valid) for line in invoice.lines) - {""}


def smallest_step(currency: str) -> int:
    """Minor units that a transfer must be a multiple of. Source: https://docs.stripe.com/currencies (special cases)."""
    return 100 if currency in WHOLE_UNITS_CHARGED_AS_TWO_DECIMAL else 10 if currency in THREE_DECIMAL else 1


def fee_of(base: int, quantity: int, rule: Rule, currency: str) -> int:
    """The platform's part of `base` (minor units of `currency`) under `rule`."""
    if rule.share_type == PERCENT:
        fee = round_half_even(percent_of(base, 100 - rule.percent))
    else:
        whole = rule.fee * max(quantity, 0) if rule.share_type == FLAT_PER_UNIT else rule.fee
        fee = min(whole, abs(base)) * (-1 if base < 0 else 1)
    share = base - fee
    step = smallest_step(currency)
    immovable = abs(share) % step * (-1 if share < 0 else 1)
    return fee + immovable


def settle(
    invoice: InvoiceFacts,
    charge: ChargeFacts | None,
    *,
    rules: Iterable[Rule],
    sellers: Mapping[str, Terms],
    committed: Mapping[str, int] | None = None,
    foreign: Sequence[TransferFacts] = (),
) -> Settlement:
    """Share a paid invoice out. `committed`: what sellers already got or will get of this invoice, by account.

    `foreign`: transfers of this invoice or its charge that no payout of ours made, as far as they are not reversed.
    """
    taken = dict(committed or {})
    for transfer in foreign:
        taken[transfer.destination] = taken.get(transfer.destination, 0) + transfer.amount - transfer.amount_reversed
    valid = in_force(rules, paid_day(invoice, charge))
    by_seller: dict[str, list[LineFacts]] = {}
    own: list[str] = []
    for line in invoice.lines:
        if seller := seller_of(line, invoice, valid):
            by_seller.setdefault(seller, []).append(line)
        else:
            own.append(line.id)
    proposals: list[Proposal] = []
    problems: list[Problem] = []
    notes: list[str] = []
    for seller in sorted(by_seller):
        moved_to = invoice.transfer_destination or (charge.transfer_destination if charge else "")
        if moved_to == seller:
            notes.append(f"Stripe has moved {seller}'s part itself (destination charge); nothing is paid out here.")
            continue
        found = _proposal(invoice, charge, seller, by_seller[seller], valid, sellers.get(seller), moved_to)
        sent = [transfer for transfer in foreign if transfer.destination == seller]
        if isinstance(found, Proposal) and sent:
            problems.append(_already_transferred(invoice, found, sent, sellers[seller]))
        elif isinstance(found, Proposal):
            proposals.append(found)
        else:
            problems += found
    over = _over_charge(invoice, charge, proposals, taken)
    return Settlement(
        proposals=() if over else tuple(proposals),
        problems=tuple(problems + over),
        sellers=frozenset(by_seller),
        own=tuple(own),
        notes=tuple(notes),
    )


def _proposal(
    invoice: InvoiceFacts,
    charge: ChargeFacts | None,
    seller: str,
    lines: Sequence[LineFacts],
    rules: Sequence[Rule],
    terms: Terms | None,
    moved_to: str,
) -> Proposal | list[Problem]:
    label = invoice.number or invoice.id
    ids = tuple(line.id for line in lines)
    nothing = "Nothing was paid out."

    def problem(code: str, text: str, concerned: tuple[str, ...] = ids) -> Problem:
        return Problem(code, seller, text, concerned)

    if terms is None or not terms.active:
        state = "is switched off in" if terms else "is not listed in"
        text = (
            f"Invoice {label} names {seller} as the seller, which {state} the config file. {nothing} "
            "List it under `sellers` and import the file."
        )
        return [problem("unknown_seller", text)]
    who = f"{terms.name} ({seller})"
    problems: list[Problem] = []
    shares: list[ShareLine] = []
    without_rule: list[LineFacts] = []
    for line in lines:
        rule = rule_for(line, seller, rules)
        if rule is None:
            without_rule.append(line)
        elif line.currency != invoice.currency or (rule.share_type != PERCENT and rule.currency != invoice.currency):
            theirs = rule.currency if line.currency == invoice.currency else line.currency
            text = (
                f"Rule {rule.name} v{rule.version} on line {line.id} counts in {theirs.upper()}, invoice {label} is in "
                f"{invoice.currency.upper()}; nothing is converted. {nothing} Add a rule of {who} in "
                f"{invoice.currency.upper()}."
            )
            problems.append(problem("wrong_currency", text, (line.id,)))
        else:
            fee = fee_of(line.base, line.quantity, rule, invoice.currency)
            shares.append(ShareLine(line, rule, line.base, fee, line.base - fee))
    if without_rule:
        what = ", ".join(sorted({line.product_id or line.price_id or line.id for line in without_rule}))
        text = (
            f"No rule of {who} covers {len(without_rule)} line(s) of invoice {label} ({what}) on "
            f"{paid_day(invoice, charge):%Y-%m-%d}. {nothing} Add a rule to the config file and import it."
        )
        problems.append(problem("missing_rule", text, tuple(line.id for line in without_rule)))
    amount = sum(share.share for share in shares)
    if not problems and amount <= 0:
        text = (
            f"The shares of {who} in invoice {label} come to {format_money(amount, invoice.currency)}. {nothing} "
            "Nothing is carried over to another invoice; settle a negative amount with the seller by hand."
        )
        return [Problem("non_positive", seller, text, ids, amount)]
    if terms.obstacle:
        text = (
            f"{who} cannot receive money: {terms.obstacle}. {nothing} "
            "Once Stripe lifts this, the payout is suggested by itself."
        )
        problems.append(problem("account_restricted", text))
    if why := _charge_problem(invoice, charge, moved_to):
        problems.append(problem(why[0], f"Invoice {label}: {why[1]} {nothing}{why[2]}"))
    if problems:
        return problems
    return Proposal(seller, tuple(shares), amount, sum(share.fee for share in shares))


def _already_transferred(
    invoice: InvoiceFacts, proposal: Proposal, sent: Sequence[TransferFacts], terms: Terms
) -> Problem:
    """Whether that money was meant for this invoice only a person can tell: nothing is sent on top of it."""
    each = ", ".join(
        f"{transfer.id} ({format_money(transfer.amount - transfer.amount_reversed, transfer.currency)})"
        for transfer in sorted(sent, key=lambda transfer: transfer.id)
    )
    text = (
        f"{terms.name} ({proposal.seller}) has money of invoice {invoice.number or invoice.id} at Stripe already, "
        f"which no payout made here: transfer {each}. The share is {format_money(proposal.amount, invoice.currency)}. "
        "Nothing was paid out. If it was meant for this invoice, dismiss this and settle any rest by hand; if it was "
        "not, reverse it in Stripe, and the payout is suggested by itself."
    )
    lines = tuple(share.line.id for share in proposal.lines)
    return Problem("already_transferred", proposal.seller, text, lines, proposal.amount)


def _charge_problem(invoice: InvoiceFacts, charge: ChargeFacts | None, moved_to: str) -> tuple[str, str, str] | None:
    """(code, what is wrong, what to do) when there is nothing to pay from."""
    if not invoice.is_paid:
        return "no_charge", f"it is {invoice.status}, not paid.", " It is looked at again when it is paid."
    if moved_to:
        return (
            "no_charge",
            f"Stripe has already moved its payment to {moved_to}.",
            " Settle other sellers' lines by hand.",
        )
    if charge is None or charge.amount == 0:
        how = "out of band" if invoice.paid_out_of_band else "without a charge (by credit, or nothing was due)"
        return (
            "no_charge",
            f"it was paid {how}, so there is no payment to pay from.",
            " Pay the seller by hand if it is due.",
        )
    if charge.status != "succeeded":
        return (
            "no_charge",
            f"its charge {charge.id} is {charge.status}.",
            " It is looked at again when the charge succeeds.",
        )
    if charge.currency != invoice.currency:
        return (
            "wrong_currency",
            f"its charge {charge.id} is in {charge.currency.upper()}.",
            " Nothing is converted; settle it by hand.",
        )
    if charge.amount_refunded:
        refunded = format_money(charge.amount_refunded, charge.currency)
        return (
            "charge_refunded",
            f"{refunded} of its charge {charge.id} was refunded.",
            " Decide with the seller what is still due.",
        )
    if charge.disputed:
        return (
            "charge_disputed",
            f"its charge {charge.id} is disputed.",
            " Wait for the dispute's outcome, then settle by hand.",
        )
    return None


def shareable(invoice: InvoiceFacts, charge: ChargeFacts) -> int:
    """What of the charge may be shared out: its amount without the invoice's tax."""
    return charge.amount - invoice.tax


def _over_charge(
    invoice: InvoiceFacts, charge: ChargeFacts | None, proposals: Sequence[Proposal], committed: Mapping[str, int]
) -> list[Problem]:
    """All of them when together they exceed what the charge brought: which seller gives way is not ours to choose."""
    if charge is None or not proposals:
        return []
    shares = {proposal.seller: proposal.amount for proposal in proposals} | dict(committed)
    total, limit = sum(shares.values()), shareable(invoice, charge)
    if total <= limit:
        return []
    text = (
        f"The shares in invoice {invoice.number or invoice.id} come to {format_money(total, invoice.currency)}, its "
        "charge "
        f"{charge.id} brought {format_money(limit, invoice.currency)} without tax. Nothing was paid out. Look at "
        "credits, "
        "partial payments and negative lines of the platform, then settle by hand."
    )
    return [
        Problem("over_charge", proposal.seller, text, tuple(share.line.id for share in proposal.lines), proposal.amount)
        for proposal in proposals
        if proposal.seller not in committed
    ]
