"""A rule as a config file writes it: read, not yet saved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from typing import Any

from settlements.models import Seller
from settlements.ruleset import NONE, Rule, Tier


@dataclass(frozen=True)
class Share:
    type: str
    percent: Decimal | None = None
    fee: int | None = None
    currency: str = ""
    minimum_fee: int | None = None
    maximum_fee: int | None = None
    period: str = ""
    mode: str = ""
    tiers: tuple[Tier, ...] = ()


@dataclass(frozen=True)
class Match:
    type: str = NONE
    value: str = ""
    currency: str = ""
    tier: str = ""


Scope = tuple[str, str, str, str, bool, date]


@dataclass(frozen=True)
class RulePlan:
    name: str
    seller: str  # "" = of all sellers
    match: Match
    share: Share
    split: tuple[tuple[str, int], ...]
    promotion: bool
    valid_from: date
    valid_until: date | None

    @property
    def scope(self) -> Scope:
        """Two rules of one scope would leave it to chance which one counts."""
        match = self.match
        return match.type, match.value or self.seller, match.currency, match.tier, self.promotion, self.valid_from

    def content(self, sellers: Mapping[str, Seller]) -> dict[str, Any]:
        """As columns of ShareRule."""
        return {
            "seller": sellers.get(self.seller),
            "match_type": self.match.type,
            "match_value": self.match.value,
            "share_type": self.share.type,
            "seller_percent": self.share.percent,
            "fee": self.share.fee,
            "currency": self.share.currency,
            "match_currency": self.match.currency,
            "match_tier": self.match.tier,
            "promotion": self.promotion,
            "minimum_fee": self.share.minimum_fee,
            "maximum_fee": self.share.maximum_fee,
            "period": self.share.period,
            "tier_mode": self.share.mode,
            "tiers": [{"up_to": tier.up_to, "seller": f"{tier.percent.normalize():f}"} for tier in self.share.tiers],
            "split": [{"account": account, "weight": weight} for account, weight in self.split],
            "valid_from": self.valid_from,
            "valid_until": self.valid_until,
        }

    def over(self, since: date, until: date, *, version: int = 0) -> Rule:
        """The rule as if it had held from `since` to `until` already: what would it have done? A promotion that
        begins before `until` keeps its own days, and a rule that had ended has no say."""
        rule = self.as_rule(version=version)
        ended = self.valid_until is not None and self.valid_until <= since
        if ended or (self.promotion and self.valid_from < until):
            return rule
        return replace(rule, valid_from=min(since, self.valid_from), valid_until=None)

    def as_rule(self, *, version: int = 0) -> Rule:
        """What the settlement reads, before anything is saved."""
        return Rule(
            name=self.name,
            version=version,
            seller=self.seller,
            match_type=self.match.type,
            match_value=self.match.value,
            share_type=self.share.type,
            valid_from=self.valid_from,
            valid_until=self.valid_until,
            percent=self.share.percent or Decimal(0),
            fee=self.share.fee or 0,
            currency=self.share.currency,
            match_currency=self.match.currency,
            match_tier=self.match.tier,
            promotion=self.promotion,
            minimum_fee=self.share.minimum_fee,
            maximum_fee=self.share.maximum_fee,
            period=self.share.period,
            mode=self.share.mode,
            tiers=self.share.tiers,
            split=self.split,
        )
