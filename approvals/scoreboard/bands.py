"""Amount bands: from the policy, or ours. Pure."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from billingops.money import format_amount, minor_digits

# 100, 1,000 and 10,000 whole units; where a currency has no minor unit, one of its units is worth about a hundredth.
_STEPS = (100, 1_000, 10_000)


class Band(NamedTuple):
    """Amounts above `over`, up to and including `up_to` (0: no upper bound), in minor units. No currency: no amount."""

    currency: str
    over: int
    up_to: int

    def holds(self, amount: int | None, currency: str) -> bool:
        if amount is None or not self.currency:
            return amount is None and not self.currency
        return currency == self.currency and amount > self.over and (not self.up_to or amount <= self.up_to)

    def __str__(self) -> str:
        if not self.currency:
            return "no amount"
        code = self.currency.upper()
        if not self.up_to:
            return f"{code} over {format_amount(self.over, self.currency)}"
        if not self.over:
            return f"{code} up to {format_amount(self.up_to, self.currency)}"
        return f"{code} {format_amount(self.over, self.currency)} to {format_amount(self.up_to, self.currency)}"


NO_AMOUNT = Band("", 0, 0)


def default_bounds(currency: str) -> list[int]:
    """Upper bounds in minor units: USD 100.00 is 10000, KWD 100.000 is 100000, JPY 10,000 is 10000."""
    digits = minor_digits(currency)
    return [step * (10**digits if digits else 100) for step in _STEPS]


def bounds(currency: str, set_by_policy: Mapping[str, Sequence[int]] | None) -> list[int]:
    """The policy's upper bounds for the currency, or the defaults; ascending."""
    return sorted((set_by_policy or {}).get(currency) or default_bounds(currency))


def band_of(amount: int | None, currency: str, set_by_policy: Mapping[str, Sequence[int]] | None) -> Band:
    if amount is None or not currency:
        return NO_AMOUNT
    edges = bounds(currency, set_by_policy)
    index = bisect_left(edges, amount)
    return Band(currency, edges[index - 1] if index else 0, edges[index] if index < len(edges) else 0)


def all_bands(currencies: Iterable[str], set_by_policy: Mapping[str, Sequence[int]] | None) -> list[Band]:
    found = []
    for currency in sorted(set(currencies)):
        edges = bounds(currency, set_by_policy)
        found += [Band(currency, low, high) for low, high in zip([0, *edges], [*edges, 0], strict=True)]
    return found
