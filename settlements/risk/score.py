"""The score: facts in, points out. Pure; the same facts and terms always give the same score.

It is about the account's verification and its payment data. It never judges whether a person pays their debts, and
reads nothing of who a person is: no name, age, sex, origin or address, only whether two names differ. The country and
the line of business count where the platform or the card networks list them, and the kind of business only where the
platform lists it; a private person is never listed for being one (config.py refuses it).

Each part gives a share of its weight, in quarters; the score is their sum, at most 100. A proportion counts by the
lower bound of its interval, and only from a few cases on, so that one dispute of two payments condemns nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from fractions import Fraction
from typing import Any

from billingops.money import round_half_even
from billingops.statistics import wilson
from settlements.flags import factor_text, median
from settlements.risk import reasons

VERSION = "risk v1"
HIGHEST = 100
WINDOW_DAYS = 90  # of payments, refunds and disputes
USUAL_WEEKS = 8
LEAST_WEEKS = 4  # with sales, before a week can be a jump
LEAST_DISPUTES = 3
LEAST_REFUNDS = 3
# Visa's Integrity Risk Program: lines of business that the network has acquirers register. It says nothing of a seller
# but that more is asked of whoever sells these things. Source: _PROGRAM below (the program's tiers 1 to 3).
NETWORK_MCCS = (
    "4816", "5122", "5816", "5912", "5966", "5967", "5968", "5993", "6012", "6051", "6211", "7273", "7995",
)  # fmt: skip

NONE, QUARTER, HALF, FULL = Fraction(0), Fraction(1, 4), Fraction(1, 2), Fraction(1)


@dataclass(frozen=True)
class RiskFacts:
    """What the score is made of. `today`: the day (UTC) that ages are counted to.

    payments, refunded, disputed   of the last WINDOW_DAYS: paid invoices, and those refunded or disputed
    weeks                          currency → sales per full week in minor units, the newest first (the week that ends
                                   today, then the USUAL_WEEKS before it)
    names                          how alike the configured and Stripe's name are, in percent; None: one is missing
    """

    account: str
    today: date
    created_on: date | None = None
    disconnected: bool = False
    disabled_reason: str = ""
    past_due: int = 0
    currently_due: int = 0  # without those past due
    country: str = ""
    business_type: str = ""
    mcc: str = ""
    payments: int = 0
    refunded: int = 0
    disputed: int = 0
    weeks: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    bank_changed_on: date | None = None
    names: int | None = None


@dataclass(frozen=True)
class Terms:
    """What the platform has set. `hold_bar` None: nothing is ever held by the score alone."""

    bar: int = 40
    hold_bar: int | None = None
    hold_days: int = 0
    weights: Mapping[str, int] = field(default_factory=dict)
    high_risk_countries: frozenset[str] = frozenset()
    high_risk_mccs: frozenset[str] = frozenset(NETWORK_MCCS)
    high_risk_business_types: frozenset[str] = frozenset()
    id: int | None = None  # of the terms' row


@dataclass(frozen=True)
class Found:
    """What one part found: `share` of its weight, in quarters."""

    share: Fraction
    evidence: str
    figures: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Part:
    code: str
    label: str
    points: int
    weight: int
    evidence: str
    figures: dict[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        return {
            "code": self.code, "label": self.label, "points": self.points, "weight": self.weight,
            "evidence": self.evidence, "figures": self.figures,
        }  # fmt: skip


@dataclass(frozen=True)
class Score:
    total: int
    parts: tuple[Part, ...]
    version: str = VERSION

    @property
    def points(self) -> dict[str, int]:
        return {part.code: part.points for part in self.parts}

    @property
    def counting(self) -> list[Part]:
        """Those with points, the heaviest first."""
        return sorted((part for part in self.parts if part.points), key=lambda part: (-part.points, part.code))


@dataclass(frozen=True)
class Row:
    """One row of the table of parts. `why`: why it counts; `find`: the facts' share of the weight; `source`: a page."""

    code: str
    label: str
    weight: int
    why: str
    find: Callable[[RiskFacts, Terms], Found]
    source: str = ""


# -- the parts ---------------------------------------------------------------------------------------------------------


def _restriction(facts: RiskFacts, terms: Terms) -> Found:
    if facts.disconnected:
        return Found(FULL, "The account has disconnected from the platform.", {"disconnected": True})
    if not facts.disabled_reason:
        return Found(NONE, "Stripe does not restrict the account.")
    reason = reasons.find(facts.disabled_reason)
    shares = {reasons.Weight.FINAL: FULL, reasons.Weight.SERIOUS: HALF, reasons.Weight.OPEN: QUARTER}
    text = f"Stripe has paused the account because {reason.words}."
    return Found(shares[reason.weight], text, {"disabled_reason": facts.disabled_reason})


def _past_due(facts: RiskFacts, terms: Terms) -> Found:
    count = facts.past_due
    if not count:
        return Found(NONE, "Nothing that Stripe asked for is overdue.", {"count": 0})
    return Found(FULL if count >= 3 else HALF, f"{_items(count)} that Stripe asked for: overdue.", {"count": count})


def _currently_due(facts: RiskFacts, terms: Terms) -> Found:
    count = facts.currently_due
    if not count:
        return Found(NONE, "Stripe asks for nothing at present.", {"count": 0})
    return Found(FULL if count >= 4 else HALF, f"{_items(count)} that Stripe asks for, not yet due.", {"count": count})


def _age(facts: RiskFacts, terms: Terms) -> Found:
    if facts.created_on is None:
        return Found(NONE, "Stripe does not say when the account was made.")
    days = (facts.today - facts.created_on).days
    share = FULL if days < 7 else HALF if days < 30 else QUARTER if days < 90 else NONE
    return Found(share, f"Made {_days_ago(days)}, on {facts.created_on}.", {"days": days})


def _country(facts: RiskFacts, terms: Terms) -> Found:
    listed = facts.country in terms.high_risk_countries
    said = "is" if listed else "is not"
    if not facts.country:
        return Found(NONE, "Stripe names no country.")
    text = f"{facts.country} {said} on the platform's list of countries to look at more closely."
    return Found(FULL if listed else NONE, text, {"country": facts.country})


def _business(facts: RiskFacts, terms: Terms) -> Found:
    figures = {"mcc": facts.mcc, "business_type": facts.business_type}
    if facts.mcc and facts.mcc in terms.high_risk_mccs:
        return Found(FULL, f"The line of business (MCC {facts.mcc}) is on the list in force.", figures)
    if facts.business_type and facts.business_type in terms.high_risk_business_types:
        return Found(FULL, f"The kind of business ({facts.business_type}) is on the platform's list.", figures)
    if not facts.mcc:
        return Found(NONE, "Stripe names no line of business.", figures)
    return Found(NONE, f"The line of business (MCC {facts.mcc}) is on no list.", figures)


def _disputes(facts: RiskFacts, terms: Terms) -> Found:
    return _proportion(facts.disputed, facts.payments, "disputed", LEAST_DISPUTES, (75, 150))


def _refunds(facts: RiskFacts, terms: Terms) -> Found:
    return _proportion(facts.refunded, facts.payments, "refunded", LEAST_REFUNDS, (1_000, 2_000))


def _proportion(count: int, payments: int, what: str, least: int, steps: tuple[int, int]) -> Found:
    """`steps`: for half and for full, in hundredths of a percent, of the interval's lower bound."""
    if not payments:
        return Found(NONE, f"No payments in {WINDOW_DAYS} days.", {"count": count, "payments": 0})
    count = min(count, payments)
    lower = int(wilson(count, payments)[0] * 10_000)
    figures = {"count": count, "payments": payments, "at_least_per_10000": lower}
    said = f"{count:,} of {payments:,} payments {what} in {WINDOW_DAYS} days"
    if count < least:
        return Found(NONE, f"{said}: fewer than {least} say nothing.", figures)
    share = FULL if lower >= steps[1] else HALF if lower >= steps[0] else NONE
    return Found(share, f"{said}: with 95 % certainty at least {lower // 100}.{lower % 100:02d} %.", figures)


def _volume(facts: RiskFacts, terms: Terms) -> Found:
    highest: tuple[Fraction, str, int] | None = None
    for currency, weeks in sorted(facts.weeks.items()):
        if len(weeks) < 2:
            continue
        usual = [amount for amount in weeks[1 : USUAL_WEEKS + 1] if amount > 0]
        if len(usual) < LEAST_WEEKS:
            continue
        ratio = Fraction(weeks[0]) / median(usual)
        if highest is None or ratio > highest[0]:
            highest = (ratio, currency, len(usual))
    if highest is None:
        return Found(NONE, f"Fewer than {LEAST_WEEKS} weeks of sales: nothing is usual yet.")
    ratio, currency, count = highest
    share = FULL if ratio >= 5 else HALF if ratio >= 3 else NONE
    text = f"Sales of the last 7 days in {currency.upper()}: {factor_text(ratio)} the median of {count} weeks."
    return Found(share, text, {"currency": currency, "factor": factor_text(ratio), "weeks": count})


def _bank(facts: RiskFacts, terms: Terms) -> Found:
    if facts.bank_changed_on is None:
        return Found(NONE, "No change of the bank account is known.")
    days = (facts.today - facts.bank_changed_on).days
    share = FULL if days <= 3 else HALF if days <= 14 else QUARTER if days <= 30 else NONE
    return Found(share, f"The bank account changed {_days_ago(days)}, on {facts.bank_changed_on}.", {"days": days})


def _names(facts: RiskFacts, terms: Terms) -> Found:
    if facts.names is None:
        return Found(NONE, "Only one of the two names is known: nothing to compare.")
    share = FULL if facts.names < 50 else HALF if facts.names < 80 else NONE
    text = f"The configured name and the one at Stripe {name_verdict(facts.names)} ({facts.names} % alike)."
    return Found(share, text, {"alike_percent": facts.names})


def name_verdict(alike: int | None) -> str:
    return (
        "cannot be compared"
        if alike is None
        else "differ"
        if alike < 50
        else "differ in part"
        if alike < 80
        else ("agree")
    )


def _items(count: int) -> str:
    return "1 item" if count == 1 else f"{count} items"


def _days_ago(days: int) -> str:
    return "today" if days <= 0 else "1 day ago" if days == 1 else f"{days:,} days ago"


_REQUIREMENTS = "https://docs.stripe.com/connect/handling-api-verification"
_DISPUTES = "https://docs.stripe.com/disputes/measuring"
_PROGRAM = "https://ccbill.com/doc/?p=8750"
TABLE = (
    Row("restriction", "Stripe's restriction", 40, "Stripe's own finding outweighs every other.", _restriction,
        reasons.SOURCE),
    Row("past_due", "Requirements overdue", 20, "Stripe stops payouts for it.", _past_due, _REQUIREMENTS),
    Row("currently_due", "Requirements due", 8, "Becomes overdue if nothing is handed in.", _currently_due,
        _REQUIREMENTS),
    Row("age", "Age of the account", 10, "An account without a past has nothing to speak for it; it fades in 90 days.",
        _age),
    Row("country", "Country", 10, "Only where the platform lists it; empty by default.", _country),
    Row("business", "Line of business", 10,
        "Visa's Integrity Risk Program lists lines of business for closer looks; the platform may set its own.",
        _business, _PROGRAM),
    Row("disputes", "Disputes", 20, "From 0.75 % on the card networks watch, from 1.5 % (Visa's VAMP) they fine.",
        _disputes, _DISPUTES),
    Row("refunds", "Refunds", 10, "Money sent back at a rate that no ordinary trade has.", _refunds),
    Row("volume", "Jump in sales", 12, "A sudden rise comes before most losses by fraud; each is looked at.", _volume),
    Row("bank", "Change of bank account", 12, "How somebody who got into an account takes the money away.", _bank),
    Row("names", "Names differ", 15, "The platform's contract is with one name, Stripe's verification is of another.",
        _names),
)  # fmt: skip
CODES = tuple(row.code for row in TABLE)


def score(facts: RiskFacts, terms: Terms) -> Score:
    parts = []
    for row in TABLE:
        found = row.find(facts, terms)
        weight = terms.weights.get(row.code, row.weight)
        points = round_half_even(found.share * weight)
        parts.append(Part(row.code, row.label, points, weight, found.evidence, found.figures))
    return Score(min(HIGHEST, sum(part.points for part in parts)), tuple(parts))


def sealed(facts: RiskFacts, scored: Score, terms: Terms) -> dict[str, Any]:
    """What a decision rests on, as JSON: it moves when a part's points move, and when one of the account's own facts
    does; not with every sale and every day. Holds no name."""
    return {
        "account": facts.account,
        "version": scored.version,
        "terms": terms.id or 0,
        "score": scored.total,
        "points": scored.points,
        "disconnected": facts.disconnected,
        "disabled_reason": facts.disabled_reason,
        "past_due": facts.past_due,
        "currently_due": facts.currently_due,
        "country": facts.country,
        "business_type": facts.business_type,
        "mcc": facts.mcc,
        "created_on": facts.created_on.isoformat() if facts.created_on else "",
        "bank_changed_on": facts.bank_changed_on.isoformat() if facts.bank_changed_on else "",
        "names": name_verdict(facts.names),
    }
