"""What a reviewer should look at twice before paying out. Pure; each flag names its figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction

from billingops.money import format_money

USUAL_SAMPLES = 5  # fewer payouts are no history
USUAL_FACTOR = 3


def median(amounts: Sequence[int]) -> Fraction:
    """Exact; the mean of the middle two for an even count."""
    ordered = sorted(amounts)
    middle = len(ordered) // 2
    return Fraction(ordered[middle]) if len(ordered) % 2 else Fraction(ordered[middle - 1] + ordered[middle], 2)


def factor_text(ratio: Fraction) -> str:
    """`4.2×`, one decimal, by integer arithmetic (half up)."""
    tenths = (ratio.numerator * 20 + ratio.denominator) // (2 * ratio.denominator)
    return f"{tenths // 10:,}.{tenths % 10}×"


def payout_flags(
    *, amount: int, currency: str, over: Mapping[str, int], usual: Sequence[int], claimed: int = 0
) -> list[dict[str, str]]:
    """`over`: threshold per currency. `usual`: the seller's last payouts in this currency, `claimed`: what is still to
    be taken back of them (minor units)."""
    flags = []
    if claimed:
        text = f"{format_money(claimed, currency)} is still to be taken back from this seller by reversals"
        flags.append({"code": "claimed_back", "text": text})
    limit = over.get(currency)
    if limit is not None and amount > limit:
        text = f"{format_money(amount, currency)} is over the threshold of {format_money(limit, currency)}"
        flags.append({"code": "over_threshold", "text": text})
    if len(usual) >= USUAL_SAMPLES:
        middle = median(usual)
        if middle > 0 and amount > USUAL_FACTOR * middle:
            text = f"{factor_text(amount / middle)} the seller's usual {format_money(round(middle), currency)}"
            flags.append({"code": "unusual_amount", "text": text + f" (median of the last {len(usual)})"})
    return flags
