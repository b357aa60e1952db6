"""What the platform keeps of a base. Pure; all amounts are minor units of one currency.

* percent: (100 − seller's percent) of the base, rounded half-even; a negative line (a proration) has a negative fee
* flat_per_unit: fee × quantity, flat: fee once per line. Never more than the base; on a negative line the fee is given
  back by the same rule: sign(base) × min(fee, |base|)
* a minimum and a maximum fee bound the line's fee, up or down to the base; likewise on a negative line
* tiered: see `retained`. Currencies in which Stripe moves only multiples of 10 or 100 minor units (three-decimal ones;
  isk, ugx): what cannot be moved of a share stays with the platform
"""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction

from billingops.money import (
    THREE_DECIMAL,
    WHOLE_UNITS_CHARGED_AS_TWO_DECIMAL,
    allocate,
    percent_of,
    round_half_even,
)
from settlements.ruleset import FLAT_PER_UNIT, PERCENT, TIERED, WHOLE, Rule


def smallest_step(currency: str) -> int:
    """Minor units that a transfer must be a multiple of. Source: https://docs.stripe.com/currencies (special cases)."""
    return 100 if currency in WHOLE_UNITS_CHARGED_AS_TWO_DECIMAL else 10 if currency in THREE_DECIMAL else 1


def fee_of(base: int, quantity: int, rule: Rule, currency: str) -> int:
    """The platform's part of one line's `base` under a rule that is not tiered."""
    if rule.share_type == TIERED:
        raise ValueError("What a tiered rule keeps depends on the volume of its period; see `retained`.")
    if rule.share_type == PERCENT:
        fee = abs(round_half_even(percent_of(base, 100 - rule.percent)))
    else:
        fee = rule.fee * max(quantity, 0) if rule.share_type == FLAT_PER_UNIT else rule.fee
    if rule.minimum_fee is not None:
        fee = max(fee, rule.minimum_fee)
    if rule.maximum_fee is not None:
        fee = min(fee, rule.maximum_fee)
    fee = min(fee, abs(base)) * (-1 if base < 0 else 1)
    return base - movable(base - fee, currency)


def movable(share: int, currency: str) -> int:
    """What of a share Stripe can move, towards zero."""
    step = smallest_step(currency)
    return abs(share) // step * step * (-1 if share < 0 else 1)


def split(base: int, share: int, weights: Sequence[int], currency: str) -> list[tuple[int, int]]:
    """(base, share) of each seller of one line, by weight; both add up to what was split, each share can be moved."""
    if len(weights) == 1:
        return [(base, share)]
    step = smallest_step(currency)  # of which every share is a multiple, see `movable`
    shares = [part * step for part in allocate(share // step, weights)]
    return list(zip(allocate(base, weights), shares, strict=True))


# -- tiers -------------------------------------------------------------------------------------------------------------


def tier_percent(volume: int, rule: Rule) -> Decimal:
    """The seller's percent in the tier that a volume reaches; a volume of nothing or less lies in the first."""
    for tier in rule.tiers:
        if tier.up_to is None or volume <= tier.up_to:
            return tier.percent
    return rule.tiers[-1].percent


def exact_fee(volume: int, rule: Rule) -> Fraction:
    """F(V): the platform's exact part of a period's volume.

    marginal: each tier's rate on the part of the volume that falls into it; whole: the reached tier's rate on all of
    it. Below zero (prorations outweigh) the first tier's rate holds, so that nothing jumps there.
    """
    if rule.mode == WHOLE or volume <= 0:
        return percent_of(volume, 100 - tier_percent(volume, rule))
    total, floor = Fraction(0), 0
    for tier in rule.tiers:
        ceiling = volume if tier.up_to is None else min(tier.up_to, volume)
        total += percent_of(max(ceiling - floor, 0), 100 - tier.percent)
        floor = max(floor, ceiling)
    return total + percent_of(volume - floor, 100 - rule.tiers[-1].percent)


def retained(volume: int, rule: Rule, currency: str) -> int:
    """What the platform keeps of a period's whole volume, to the unit, so that the rest can be moved.

    The fee of an invoice is the difference before and after it: retained(before + base) − retained(before). The sum
    over a period is therefore retained(total), whatever the order in which its invoices come.
    """
    return volume - movable(volume - round_half_even(exact_fee(volume, rule)), currency)


def tiered_fees(before: int, bases: Sequence[int], rule: Rule, currency: str) -> tuple[list[int], int]:
    """The fee of each line of one invoice under one tiered rule, and the adjustment in the seller's favour.

    whole: a line's fee is the reached tier's rate on its own base; what the new rate changes on the period's earlier
    invoices is the adjustment (positive: the seller gets more). Σ fees − adjustment is the difference of `retained`.
    """
    after = before + sum(bases)
    if rule.mode != WHOLE:
        fees, volume = [], before
        for base in bases:
            fees.append(retained(volume + base, rule, currency) - retained(volume, rule, currency))
            volume += base
        return fees, 0
    rate = 100 - tier_percent(after, rule)
    fees = [base - movable(base - round_half_even(percent_of(base, rate)), currency) for base in bases]
    return fees, sum(fees) - (retained(after, rule, currency) - retained(before, rule, currency))
