"""Who a campaign is meant for, and which of several campaigns a case follows. Pure.

Every condition that a segment names must hold; one that it does not name always holds. Of the campaigns that match, the
highest priority wins, then one of the case's own connected account over one for all accounts, then the one that names
more. Two that could match the same case and are equal in all of this are refused when they are activated.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

CARD, WALLET, BANK_DEBIT, OTHER = "card", "wallet", "bank_debit", "other"
FAMILIES = (CARD, WALLET, BANK_DEBIT, OTHER)
# Stripe's payment method types. Source: https://docs.stripe.com/api/payment_methods/object#payment_method_object-type
_FAMILY_OF = {
    **dict.fromkeys(("card", "card_present", "interac_present"), CARD),
    **dict.fromkeys(
        (
            *("link", "paypal", "cashapp", "amazon_pay", "revolut_pay", "alipay", "wechat_pay", "grabpay", "kakao_pay"),
            *("naver_pay", "payco", "samsung_pay", "mobilepay", "satispay", "twint", "swish", "gopay"),
        ),
        WALLET,
    ),
    **dict.fromkeys(
        ("sepa_debit", "us_bank_account", "acss_debit", "bacs_debit", "au_becs_debit", "nz_bank_account"), BANK_DEBIT
    ),
}


def family_of(method_type: str) -> str:
    """`card`, `wallet`, `bank_debit` or `other`; a failure without a method counts as `other`."""
    return _FAMILY_OF.get(method_type, OTHER)


@dataclass(frozen=True, slots=True)
class CaseProfile:
    """What of a case decides about its campaign.

    amount    open amount in minor units of `currency`, when the case was opened
    price, product   of the subscription's first item, "" where there is none
    country   two capital letters, "" where not known; `tier`: the customer's metadata `tier`, lower-case
    category  dunning.reasons.Category of the first failure; `family`: of the method that failed, see `family_of`
    invoice   only where there is no customer: then the invoice is assigned to an arm
    """

    account: str = ""
    customer: str = ""
    amount: int = 0
    currency: str = ""
    price: str = ""
    product: str = ""
    country: str = ""
    tier: str = ""
    category: str = ""
    family: str = OTHER
    invoice: str = ""


@dataclass(frozen=True, slots=True)
class Range:
    """Minor units: `at_least` ≤ amount < `below`; None = no upper limit."""

    at_least: int = 0
    below: int | None = None

    def holds(self, amount: int) -> bool:
        return amount >= self.at_least and (self.below is None or amount < self.below)

    def meets(self, other: Range) -> bool:
        """Whether some amount lies in both."""
        first = max(self.at_least, other.at_least)
        return (self.below is None or first < self.below) and (other.below is None or first < other.below)


@dataclass(frozen=True, slots=True)
class Segment:
    """`amount`: per currency; where it names any, a currency that it does not name is outside. The rest: sets of the
    profile's values; empty = all."""

    amount: Mapping[str, Range] = field(default_factory=dict)
    prices: frozenset[str] = frozenset()
    products: frozenset[str] = frozenset()
    countries: frozenset[str] = frozenset()
    tiers: frozenset[str] = frozenset()
    categories: frozenset[str] = frozenset()
    families: frozenset[str] = frozenset()

    @property
    def named(self) -> tuple[str, ...]:
        """The conditions it has, by name."""
        return tuple(name for name in ("amount", *SETS) if getattr(self, name))

    @property
    def weight(self) -> int:
        """How much it names: one for each condition, two for a price, which is narrower than a product."""
        return len(self.named) + bool(self.prices)


# Of a segment → of a profile.
SETS = {
    "prices": "price",
    "products": "product",
    "countries": "country",
    "tiers": "tier",
    "categories": "category",
    "families": "family",
}


def match(segment: Segment, profile: CaseProfile) -> bool:
    """Whether the case is in the segment. The account is the campaign's, not the segment's: see `applies`."""
    if segment.amount:
        limits = segment.amount.get(profile.currency)
        if limits is None or not limits.holds(profile.amount):
            return False
    return all(getattr(profile, one) in wanted for name, one in SETS.items() if (wanted := getattr(segment, name)))


def overlap(one: Segment, other: Segment) -> bool:
    """Whether a case could be in both. A price and a product may belong together, so they never keep segments apart."""
    if one.amount and other.amount:
        shared = set(one.amount) & set(other.amount)
        if not any(one.amount[currency].meets(other.amount[currency]) for currency in shared):
            return False
    for name in SETS:
        mine, theirs = getattr(one, name), getattr(other, name)
        if mine and theirs and not mine & theirs:
            return False
    return True


@dataclass(frozen=True, slots=True)
class Candidate:
    """A campaign that takes cases now. `content`: whatever the caller wants back."""

    name: str
    account: str
    priority: int
    segment: Segment
    content: Any = None

    @property
    def rank(self) -> tuple[int, bool, int]:
        return (self.priority, bool(self.account), self.segment.weight)

    def applies(self, profile: CaseProfile) -> bool:
        return self.account in ("", profile.account) and match(self.segment, profile)

    def rivals(self, other: Candidate) -> bool:
        """Whether a case could match both with nothing to choose between them."""
        return (
            self.name != other.name
            and self.rank == other.rank
            and self.account == other.account
            and overlap(self.segment, other.segment)
        )


def winner(candidates: Iterable[Candidate], profile: CaseProfile) -> Candidate | None:
    """The campaign a case follows, None where none matches. Equals, which activation refuses, go by name."""
    found = [one for one in candidates if one.applies(profile)]
    return min(found, key=lambda one: (-one.rank[0], not one.rank[1], -one.rank[2], one.name), default=None)
