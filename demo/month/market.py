"""The sellers of the month with their terms and rules: made from a number alone, the same every time.

`Deal` is what was agreed with a seller, as a person would write it down; byhand.py computes with it. `config` says the
same as the config file that the back office imports.
"""

from __future__ import annotations

import calendar
import random
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import Any

import yaml

DAY = 86_400
BASE_PRICE = {"usd": 4_310, "eur": 3_970, "gbp": 3_450, "jpy": 5_230, "kwd": 13_370}
CURRENCIES = ("usd",) * 9 + ("eur",) * 5 + ("gbp",) * 2 + ("jpy",) * 2 + ("kwd",) * 2
WORDS = ["Bakery", "Studio", "Kyoto", "Cedar", "Harbour", "Lantern", "Meadow", "Copper", "Atlas", "Willow", "Juniper",
         "Granite", "Orchard", "Velvet", "Comet", "Saffron", "Marble", "Thistle", "Ember", "Pebble"]  # fmt: skip
TRADES = ["Supplies", "Ceramics", "Prints", "Coffee", "Leather", "Textiles", "Toys", "Tools", "Books", "Flowers",
          "Wines", "Cycles", "Music", "Paper", "Glass"]  # fmt: skip
PERCENT, FLAT, PER_UNIT, TIERED = "percent", "flat", "flat_per_unit", "tiered"


@dataclass(frozen=True)
class Fee:
    """What the platform keeps. `seller`: the seller's percent. `tiers`: (up to, seller's percent), the last open."""

    kind: str = PERCENT
    seller: str = "80"
    fee: int = 0
    minimum: int | None = None
    maximum: int | None = None
    tiers: tuple[tuple[int | None, str], ...] = ()
    whole: bool = False


@dataclass
class Deal:
    """One seller. `fees` by currency; `promotion`: (first day, day after the last, the seller's percent then); `split`:
    who shares the lines of this seller's joint product, by weight."""

    account: str
    name: str
    currencies: tuple[str, ...]
    schedule: str = "weekly"
    hold_days: int = 0
    minimum_payout: int = 0
    reserve_percent: str = "0"
    reserve_days: int = 0
    tax_percent: str = "0"
    bears_stripe_fees: bool = False
    offsets: bool = False
    destination: bool = False  # its customers are charged with transfer_data: Stripe moves the share itself
    fees: dict[str, Fee] = field(default_factory=dict)
    promotion: tuple[date, date, str] | None = None
    split: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True)
class Month:
    """A calendar month that is over. Days count from 1; moments are unix seconds, UTC."""

    year: int
    number: int

    @property
    def name(self) -> str:
        return f"{self.year}-{self.number:02}"

    @property
    def first(self) -> date:
        return date(self.year, self.number, 1)

    @property
    def days(self) -> int:
        return calendar.monthrange(self.year, self.number)[1]

    def at(self, day: float) -> int:
        """The moment `day` begins: at(1) is the first of the month, at(28.5) the 28th at noon."""
        return int(datetime(self.year, self.number, 1, tzinfo=UTC).timestamp() + (day - 1) * DAY)


def last_month(today: date) -> Month:
    last = today.replace(day=1) - timedelta(days=1)
    return Month(last.year, last.month)


def market(sellers: int, month: Month) -> list[Deal]:
    """Every kind of term and rule is there from a dozen sellers on."""
    rng = random.Random(20_26)  # noqa: S311  the same every time, no secret
    deals = []
    for index in range(sellers):
        currency = CURRENCIES[(index * 7) % len(CURRENCIES)]
        currencies = ("usd", "eur") if index % 11 == 3 else (currency,)
        name = f"{WORDS[index % len(WORDS)]} {TRADES[(index // len(WORDS)) % len(TRADES)]}"
        deal = Deal(f"acct_month_{index:03}", name, currencies, _schedule(index))
        _terms(deal, index)
        for code in currencies:
            deal.fees[code] = _fee(index, code, rng)
        if index % 12 == 5:
            deal.promotion = (month.first.replace(day=10), month.first.replace(day=18), "92.5")
        deals.append(deal)
    for index, deal in enumerate(deals):
        if index % 12 == 7 and index + 1 < len(deals):
            deal.split = ((deal.account, 2), (deals[index + 1].account, 1))
    return deals


def _schedule(index: int) -> str:
    if index % 24 == 1:
        return "per_invoice"
    return ("daily", "weekly", "monthly", "weekly", "daily")[index % 5]


def _terms(deal: Deal, index: int) -> None:
    match index % 12:
        case 2:
            deal.hold_days = 3
        case 4:
            deal.reserve_percent, deal.reserve_days = "10", 120  # still there when the month is over
        case 6:
            deal.reserve_percent, deal.reserve_days = "7.5", 1  # released within the month
        case 8:
            deal.tax_percent = "15"
        case 9:
            deal.bears_stripe_fees = True
        case 10:
            deal.offsets = True
        case 11 if index % 24 == 23:
            deal.hold_days = 120  # nothing is due yet
        case 11:
            deal.destination = deal.schedule != "per_invoice"
        case 0 if index % 24 == 12:
            deal.minimum_payout = 100_000_000  # all of it is carried forward
        case 3:
            deal.bears_stripe_fees, deal.tax_percent = True, "10"
            deal.reserve_percent, deal.reserve_days = "5", 120


def _fee(index: int, currency: str, rng: random.Random) -> Fee:
    unit = BASE_PRICE[currency]
    percent = ("70", "80", "82.5", "90", "66.67")[rng.randrange(5)]
    match index % 12:
        case 0:
            return Fee(seller=percent, minimum=unit // 3)
        case 1:
            return Fee(FLAT, fee=unit // 7)
        case 2:
            return Fee(PER_UNIT, fee=unit // 9)
        case 5 | 7 | 11:
            return Fee(seller=percent)
        case 6:
            return Fee(TIERED, tiers=((unit * 9, "70"), (unit * 21, "77.5"), (None, "85")))
        case 9:
            return Fee(seller=percent, maximum=unit // 4)
        case 10:
            return Fee(TIERED, tiers=((unit * 13, "70"), (None, "80")), whole=True)
    return Fee(seller=percent)


# -- as the config file ------------------------------------------------------------------------------------------------


def joint_product(account: str) -> str:
    """Of the product that a seller sells together with others; the sandbox lets the caller choose ids."""
    return f"prod_joint_{account.removeprefix('acct_')}"


def config(deals: list[Deal], month: Month) -> str:
    """The config file (docs/finance.md) as YAML."""
    since = (month.first - timedelta(days=400)).replace(day=1)
    sellers, rules = [], []
    for deal in deals:
        row: dict[str, Any] = {"account": deal.account, "name": deal.name, "schedule": deal.schedule}
        row["hold_days"] = deal.hold_days
        if deal.minimum_payout:
            row["minimum_payout"] = dict.fromkeys(deal.currencies, deal.minimum_payout)
        if deal.reserve_days:
            row |= {"reserve_percent": deal.reserve_percent, "reserve_days": deal.reserve_days}
        row["tax_withholding_percent"] = deal.tax_percent
        row["stripe_fees"] = "seller" if deal.bears_stripe_fees else "platform"
        row["recovery"] = "offset" if deal.offsets else "reversal"
        sellers.append(row)
        short = deal.account.removeprefix("acct_").replace("_", "-")
        for currency, fee in deal.fees.items():
            rule: dict[str, Any] = {"name": f"{short}-{currency}", "seller": deal.account, "valid_from": since}
            rule |= {"match": {"currency": currency}, "share": _share(fee, currency)}
            rules.append(rule)
            if deal.split:
                named = [{"account": account, "weight": weight} for account, weight in deal.split]
                match = {"product": joint_product(deal.account), "currency": currency}
                joint = {"name": f"{short}-{currency}-joint", "match": match, "share": _share(fee, currency)}
                rules.append({**joint, "split": named, "valid_from": since})
            if deal.promotion:
                first, end, percent = deal.promotion
                sale: dict[str, Any] = {
                    "name": f"{short}-{currency}-sale",
                    "seller": deal.account,
                    "match": {"currency": currency},
                }
                sale["share"] = {"type": PERCENT, "seller": percent}
                sale["promotion"] = True
                rules.append({**sale, "valid_from": first, "valid_until": end})
    review = {"kind": "*", "account": None, "mode": "review"}
    content = {"sellers": sellers, "rules": rules, "policies": [review]}
    return yaml.dump(content, Dumper=_Plain, sort_keys=False, allow_unicode=True)


class _Plain(yaml.SafeDumper):
    """The config file has no anchors: what comes twice is written out twice."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _share(fee: Fee, currency: str) -> dict[str, Any]:
    if fee.kind == TIERED:
        tiers = [{"seller": percent} | ({"up_to": up_to} if up_to else {}) for up_to, percent in fee.tiers]
        mode = "whole" if fee.whole else "marginal"
        return {"type": TIERED, "period": "month", "mode": mode, "currency": currency, "tiers": tiers}
    if fee.kind != PERCENT:
        return {"type": fee.kind, "fee": fee.fee, "currency": currency}
    limits = {"minimum_fee": fee.minimum, "maximum_fee": fee.maximum}
    given = {name: value for name, value in limits.items() if value is not None}
    return {"type": PERCENT, "seller": fee.seller, **given, **({"currency": currency} if given else {})}
