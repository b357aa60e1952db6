"""A rule in words: for lists, memos, the import's difference and the page that explains it. Pure."""

from __future__ import annotations

from decimal import Decimal

from billingops.money import format_money
from settlements.ruleset import FLAT_PER_UNIT, PERCENT, TIERED, WHOLE, Rule


def share_text(rule: Rule) -> str:
    """`70 % to the seller`, `USD 5.00 per unit to the platform, at most USD 50.00 per line`,
    `70 % to the seller up to USD 10,000.00 a month, then 80 %`."""
    if rule.share_type == PERCENT:
        text = f"{percent_text(rule.percent)} to the seller"
    elif rule.share_type == TIERED:
        text = _tiers(rule)
    else:
        per = "unit" if rule.share_type == FLAT_PER_UNIT else "line"
        text = f"{format_money(rule.fee, rule.currency)} per {per} to the platform"
    return text + _limits(rule) + _split(rule)


def match_text(rule: Rule) -> str:
    """`product prod_1`, `anything in EUR for tier gold`."""
    text = f"{rule.match_type} {rule.match_value}" if rule.match_value else "anything"
    text += f" in {rule.match_currency.upper()}" if rule.match_currency else ""
    text += f" for tier {rule.match_tier}" if rule.match_tier else ""
    return f"{text} (promotion)" if rule.promotion else text


def percent_text(percent: Decimal) -> str:
    return f"{percent.normalize():f} %"


def _tiers(rule: Rule) -> str:
    parts = []
    for index, tier in enumerate(rule.tiers):
        given = percent_text(tier.percent) + ("" if index else " to the seller")
        if tier.up_to is None:
            parts.append(f"then {given}" if index else given)
        else:
            parts.append(
                f"{given} up to {format_money(tier.up_to, rule.currency)}{'' if index else f' a {rule.period}'}"
            )
    of = ", on the whole volume" if rule.mode == WHOLE else ""
    return ", ".join(parts) + of


def _limits(rule: Rule) -> str:
    limits = [("at least", rule.minimum_fee), ("at most", rule.maximum_fee)]
    given = [f"{word} {format_money(fee, rule.currency)}" for word, fee in limits if fee is not None]
    subject = "" if rule.share_type != PERCENT else "the platform keeps "
    return f", {subject}{' and '.join(given)} per line" if given else ""


def _split(rule: Rule) -> str:
    if not rule.split:
        return ""
    each = " : ".join(f"{account} {weight}" for account, weight in rule.split)
    return f", shared by {each}"
