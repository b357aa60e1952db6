"""What is agreed in a history: sellers, their terms and the rules, by its random numbers."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import date, timedelta
from decimal import Decimal
from typing import Any

from settlements.models import Seller
from settlements.rules import Terms
from settlements.ruleset import (
    FLAT,
    FLAT_PER_UNIT,
    MARGINAL,
    MONTH,
    NONE,
    PERCENT,
    PRICE,
    TIERED,
    WHOLE,
    YEAR,
    Rule,
    Tier,
)

FIRST_DAY = date(2026, 1, 5)
UNIT = {"usd": 100, "eur": 100, "jpy": 10, "krw": 100, "kwd": 1000, "bhd": 1000, "isk": 1000, "ugx": 10_000}
PERCENTS = tuple(Decimal(text) for text in ("70", "0", "100", "33.333333", "85.5", "12.25", "66.666667", "50"))
RATES = tuple(Decimal(text) for text in ("0", "0", "0", "5", "10", "12.5", "30.000001", "100"))


def terms_of(rng: random.Random, account: str, currency: str) -> Terms:
    reserve = rng.choice(RATES)
    unit = UNIT[currency]
    return Terms(
        account=account,
        name=account,
        schedule=rng.choice(("per_invoice", "per_invoice", "daily", "weekly", "monthly")),
        hold_days=rng.choice((0, 0, 0, 1, 7)),
        minimum={currency: unit * rng.choice((1, 10, 50))} if rng.random() < 0.3 else {},
        reserve_percent=reserve,
        reserve_days=rng.choice((1, 10, 60)) if reserve else 0,
        tax_withholding_percent=rng.choice(RATES[:-1]),
        stripe_fees=rng.choice(("platform", "platform", "seller")),
        recovery=rng.choice(("reversal", "reversal", "offset")),
    )


def row_of(number: int, terms: Terms) -> Seller:
    return Seller(
        pk=number,
        account=terms.account,
        name=terms.name,
        schedule=terms.schedule,
        minimum_payout=dict(terms.minimum),
        recovery=terms.recovery,
    )


def rules_of(rng: random.Random, accounts: list[str], currency: str) -> list[Rule]:
    made = [_rule(rng, f"{account}-rule", account, currency) for account in accounts]
    if rng.random() < 0.2:
        account = rng.choice(accounts)
        promotion = Rule(
            name="promotion",
            version=1,
            seller=account,
            match_type=NONE,
            match_value="",
            share_type=PERCENT,
            valid_from=FIRST_DAY + timedelta(days=2),
            valid_until=FIRST_DAY + timedelta(days=20),
            percent=rng.choice(PERCENTS),
            promotion=True,
        )
        made.append(promotion)
    if rng.random() < 0.2:  # another version from a day on: what was computed before stays
        old = made[0]
        made.append(replace(old, version=2, valid_from=FIRST_DAY + timedelta(days=6), **_share(rng, currency, tiers=0)))
    if rng.random() < 0.15:
        made.append(replace(_rule(rng, "gold", accounts[0], currency, tiers=0), match_tier="gold"))
    if len(accounts) > 1 and rng.random() < 0.4:
        weights = tuple((account, rng.randint(1, 5)) for account in accounts)
        shared = _rule(rng, "shared", "", currency)
        made.append(replace(shared, match_type=PRICE, match_value="price_shared", split=weights))
    return made


def _rule(rng: random.Random, name: str, account: str, currency: str, *, tiers: float = 0.25) -> Rule:
    share = _share(rng, currency, tiers=tiers)
    return Rule(
        name=name, version=1, seller=account, match_type=NONE, match_value="", valid_from=date(2025, 1, 1), **share
    )


def _share(rng: random.Random, currency: str, *, tiers: float) -> dict[str, Any]:
    """Every column of a share, so that it may replace another."""
    unit = UNIT[currency]
    given: dict[str, Any] = {
        "share_type": PERCENT, "percent": Decimal(0), "fee": 0, "currency": "", "period": "", "mode": "", "tiers": (),
        "minimum_fee": None, "maximum_fee": None,
    }  # fmt: skip
    if rng.random() < tiers:
        rates = rng.sample(PERCENTS, 3)
        ups = sorted(rng.sample(range(1, 40), 2))
        bounds = [unit * ups[0] * 10, unit * ups[1] * 10, None]
        return given | {
            "share_type": TIERED,
            "currency": currency,
            "period": rng.choice((MONTH, YEAR)),
            "mode": rng.choice((MARGINAL, WHOLE)),
            "tiers": tuple(Tier(bound, rate) for bound, rate in zip(bounds, rates, strict=True)),
        }
    kind = rng.choice((PERCENT, PERCENT, PERCENT, FLAT, FLAT_PER_UNIT))
    if kind == PERCENT:
        given["percent"] = rng.choice(PERCENTS)
        if rng.random() < 0.3:
            low = rng.randint(0, unit * 5)
            given |= {"minimum_fee": low, "maximum_fee": low + rng.randint(0, unit * 30), "currency": currency}
        return given
    return given | {"share_type": kind, "fee": rng.randint(0, unit * 8), "currency": currency}
