"""A rule as the settlement reads it, and which rule counts for a line. Pure: no database, no clock.

The most specific rule wins: price > product > seller > default, then one for a customer tier, then one for a currency,
then a promotion, then the later `valid_from`. Of a rule's versions that have begun the highest speaks for it; once that
one has ended, none does (an older version must not come back because a newer one was shortened).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, date
from decimal import Decimal

from billingops.stripe.facts import ChargeFacts, InvoiceFacts, LineFacts

PERCENT, FLAT_PER_UNIT, FLAT, TIERED = "percent", "flat_per_unit", "flat", "tiered"
PRICE, PRODUCT, NONE = "price", "product", "none"
MARGINAL, WHOLE = "marginal", "whole"
MONTH, QUARTER, YEAR = "month", "quarter", "year"
SELLER_KEY, TIER_KEY = "seller_account", "tier"


@dataclass(frozen=True, slots=True)
class Tier:
    """Up to and including a volume of `up_to` (minor units; None: without end) the seller gets `percent`."""

    up_to: int | None
    percent: Decimal


@dataclass(frozen=True, slots=True)
class Rule:
    """One version of one rule.

    seller        "" = of any seller
    percent       the seller's; `fee`, `minimum_fee`, `maximum_fee`: the platform's, minor units of `currency`, a line
    match_*       match_currency and match_tier "" = any
    period, mode  of tiers: the volume of a month, quarter or year; marginal or whole
    split         several sellers of one line: (account, weight); the rule names them itself
    """

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
    match_currency: str = ""
    match_tier: str = ""
    promotion: bool = False
    minimum_fee: int | None = None
    maximum_fee: int | None = None
    period: str = ""
    mode: str = ""
    tiers: tuple[Tier, ...] = ()
    split: tuple[tuple[str, int], ...] = ()

    def matches(self, line: LineFacts, tier: str = "") -> bool:
        """Whether it covers such a line of a customer of that tier; whose line it is, is asked elsewhere."""
        if (self.match_tier and self.match_tier != tier) or (
            self.match_currency and self.match_currency != line.currency
        ):
            return False
        if self.match_type == PRICE:
            return self.match_value == line.price_id
        if self.match_type == PRODUCT:
            return self.match_value == line.product_id
        return True

    @property
    def specificity(self) -> tuple[int, bool, bool, bool]:
        """What it says more than others: price 3, product 2, seller 1, default 0; tier, currency, promotion."""
        narrow = {PRICE: 3, PRODUCT: 2}.get(self.match_type, 1 if self.seller else 0)
        return narrow, bool(self.match_tier), bool(self.match_currency), self.promotion

    @property
    def rank(self) -> tuple[tuple[int, bool, bool, bool], date, bool, str, int]:
        """The most specific first, then the later valid_from; the rest only makes the order total."""
        return self.specificity, self.valid_from, bool(self.seller), self.name, self.version

    @property
    def names_sellers(self) -> bool:
        """A rule by price or product that says itself whose the line is."""
        return self.match_type in (PRICE, PRODUCT) and bool(self.seller or self.split)

    @property
    def needs_currency(self) -> bool:
        """Whether it holds sums of money, which are never converted."""
        return self.share_type != PERCENT or self.minimum_fee is not None or self.maximum_fee is not None


@dataclass(frozen=True, slots=True)
class Assignment:
    """Whose a line is. `parts`: (seller, weight), empty = the platform's own revenue. `rule` None: none covers it."""

    rule: Rule | None
    parts: tuple[tuple[str, int], ...] = ()


def paid_day(invoice: InvoiceFacts, charge: ChargeFacts | None) -> date:
    """The day (UTC) by which rules are chosen: when the invoice was paid."""
    moment = invoice.paid_at or (charge.created if charge else None) or invoice.created
    return moment.astimezone(UTC).date()


def period_of(day: date, period: str) -> str:
    """The period of a tiered rule that the day lies in: `2026-11`, `2026-Q4` or `2026`."""
    if period == YEAR:
        return f"{day.year}"
    return f"{day.year}-Q{(day.month + 2) // 3}" if period == QUARTER else f"{day.year}-{day.month:02}"


def in_force(rules: Iterable[Rule], day: date) -> list[Rule]:
    """Of each name the version that speaks for it on `day`, unless it has ended. Best first."""
    latest: dict[str, Rule] = {}
    for rule in rules:
        if rule.valid_from <= day:
            held = latest.get(rule.name)
            if held is None or held.version < rule.version:
                latest[rule.name] = rule
    valid = [rule for rule in latest.values() if rule.valid_until is None or day < rule.valid_until]
    return sorted(valid, key=lambda rule: rule.rank, reverse=True)


def _named_by(line: LineFacts, rules: Sequence[Rule], tier: str) -> Rule | None:
    """The best rule by price or product that says whose the line is."""
    return next((rule for rule in rules if rule.names_sellers and rule.matches(line, tier)), None)


def _named_in_metadata(line: LineFacts, invoice: InvoiceFacts) -> str:
    sources = (line.price_metadata, line.product_metadata, invoice.subscription_metadata, invoice.metadata)
    for metadata in sources:
        if named := str(metadata.get(SELLER_KEY, "")).strip():
            return named[:64]  # other people write metadata; a column holds no more
    return invoice.transfer_destination or invoice.on_behalf_of


def seller_of(line: LineFacts, invoice: InvoiceFacts, rules: Sequence[Rule], tier: str = "") -> str:
    """The seller of a line (the first one of a rule that splits it), "" for the platform's own revenue. `rules`: those
    in force, best first (`in_force`); `tier`: the customer's.

    In this order: a rule by price or product that names a seller; `metadata.seller_account` of the price, the product,
    the subscription, the invoice; the invoice's transfer destination, or whom it was issued on behalf of.
    """
    if (naming := _named_by(line, rules, tier)) is not None:
        return naming.split[0][0] if naming.split else naming.seller
    return _named_in_metadata(line, invoice)


def rule_for(line: LineFacts, seller: str, rules: Sequence[Rule], tier: str = "") -> Rule | None:
    """The most specific rule in force for a line of `seller` (that no rule splits)."""
    return next((rule for rule in rules if _may_rule(rule, seller, None) and rule.matches(line, tier)), None)


def _may_rule(rule: Rule, seller: str, naming: Rule | None) -> bool:
    """A rule of this seller, or of any; one that names its sellers itself only where it has named them."""
    if rule.split and rule.names_sellers:
        return rule == naming
    return rule.seller in ("", seller)


def assign(line: LineFacts, invoice: InvoiceFacts, rules: Sequence[Rule], tier: str = "") -> Assignment:
    """Whose the line is, and the rule that shares it out. `rules`: those in force, best first.

    A split says who shares; a better rule of any seller (a promotion, say) then still says how much the platform keeps.
    """
    naming = _named_by(line, rules, tier)
    split = naming.split if naming else ()
    seller = "" if split else naming.seller if naming else _named_in_metadata(line, invoice)
    if not seller and not split:
        return Assignment(None)
    rule = next((one for one in rules if _may_rule(one, seller, naming) and one.matches(line, tier)), None)
    return Assignment(rule, split or (rule.split if rule else ()) or ((seller, 1),))


def sellers_of(
    invoice: InvoiceFacts, charge: ChargeFacts | None, rules: Iterable[Rule], tier: str = ""
) -> frozenset[str]:
    """Every seller that a line of the invoice names."""
    valid = in_force(rules, paid_day(invoice, charge))
    return frozenset(seller for line in invoice.lines for seller, _ in assign(line, invoice, valid, tier).parts)
