"""Money: whole minor units (int) with a lower-case ISO currency, and the only places where a fraction is rounded.

No floats, no conversion, no sum across currencies. What is split adds up to what was split, to the unit.
Source of the tables: https://docs.stripe.com/currencies (zero-decimal, special cases, three-decimal), read 2026-11.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction

from billingops.exceptions import InvalidInput

ZERO_DECIMAL = frozenset(
    ["bif", "clp", "djf", "gnf", "jpy", "kmf", "krw", "mga", "pyg", "rwf", "vnd", "vuv", "xaf", "xof", "xpf"]
)
THREE_DECIMAL = frozenset(["bhd", "jod", "kwd", "omr", "tnd"])
# Charged as two-decimal for backward compatibility, but the minor part must be 00.
WHOLE_UNITS_CHARGED_AS_TWO_DECIMAL = frozenset({"isk", "ugx"})
# A payout in these must be whole units although their charges are two-decimal.
PAYOUT_WHOLE_UNITS = frozenset(["huf", "isk", "twd", "ugx"])


def normalise_currency(currency: str) -> str:
    """Lower-case ISO code. Raises InvalidInput unless it is three ASCII letters."""
    code = (currency or "").strip().lower()
    if len(code) != 3 or not (code.isascii() and code.isalpha()):
        raise InvalidInput(f"{currency!r} is not a three-letter ISO currency such as usd.", field="currency")
    return code


def minor_digits(currency: str) -> int:
    """How many digits of an amount in minor units stand behind the decimal point: 0, 2 or 3."""
    code = normalise_currency(currency)
    return 0 if code in ZERO_DECIMAL else 3 if code in THREE_DECIMAL else 2


def format_amount(amount: int, currency: str) -> str:
    """`-1234567, usd` → `-12,345.67`; `5000, jpy` → `5,000`; the currency code is the caller's to place."""
    digits = minor_digits(currency)
    return f"{Decimal(amount).scaleb(-digits):,.{digits}f}"


def format_money(amount: int, currency: str) -> str:
    """`13303, usd` → `USD 133.03`."""
    return f"{normalise_currency(currency).upper()} {format_amount(amount, currency)}"


def round_half_even(value: Fraction | Decimal | int) -> int:
    """The one named rounding step: to a whole minor unit, ties to even (Python's `round` of a Fraction is exact)."""
    return round(Fraction(value))


def percent_of(amount: int, percent: Decimal | str) -> Fraction:
    """`percent` of `amount` as an exact fraction of a minor unit; round it once, at the end."""
    return Fraction(amount) * Fraction(Decimal(percent)) / 100


def allocate(amount: int, weights: Sequence[int | Fraction]) -> list[int]:
    """Split `amount` (minor units, may be negative) by `weights` so that the parts add up to it exactly.

    Largest remainder; ties go to the earlier part, so the result does not depend on anything but its input.
    Raises InvalidInput when weights are empty, negative or all zero.
    """
    total = sum(Fraction(weight) for weight in weights)
    if total <= 0 or any(weight < 0 for weight in weights):
        raise InvalidInput("Weights must not be negative and must not all be zero.", field="weights")
    sign = -1 if amount < 0 else 1
    exact = [Fraction(abs(amount)) * Fraction(weight) / total for weight in weights]
    parts = [part.numerator // part.denominator for part in exact]
    by_remainder = sorted(range(len(parts)), key=lambda index: (parts[index] - exact[index], index))
    for index in by_remainder[: abs(amount) - sum(parts)]:
        parts[index] += 1
    return [sign * part for part in parts]


def sum_by_currency(rows: Iterable[tuple[int, str]]) -> dict[str, int]:
    """Sums per currency, sorted by code. The only way two amounts of a list are ever added for display."""
    sums: dict[str, int] = {}
    for amount, currency in rows:
        sums[currency] = sums.get(currency, 0) + amount
    return dict(sorted(sums.items()))


def exceeds(amount: int, currency: str, limits: Mapping[str, int] | None) -> bool:
    """True when `limits` (currency → minor units) has a limit for this currency and `amount` is above it."""
    limit = (limits or {}).get(currency)
    return limit is not None and amount > limit


def parse_percent(value: object, field: str) -> Decimal:
    """A percentage written as text (`"70"`, `"2.5"`): 0 to 100, no float. Raises InvalidInput naming `field`."""
    if isinstance(value, (float, bool)):
        raise InvalidInput(f'{field} must be written as text, for example "70" — a float is not exact.', field=field)
    try:
        percent = Decimal(str(value))
    except ArithmeticError:
        raise InvalidInput(f"{field}: {value!r} is not a percentage.", field=field)
    if not percent.is_finite() or not 0 <= percent <= 100:
        raise InvalidInput(f"{field}: {value!r} must lie between 0 and 100.", field=field)
    return percent


__all__ = [
    "PAYOUT_WHOLE_UNITS",
    "THREE_DECIMAL",
    "ZERO_DECIMAL",
    "allocate",
    "exceeds",
    "format_amount",
    "format_money",
    "minor_digits",
    "normalise_currency",
    "parse_percent",
    "percent_of",
    "round_half_even",
    "sum_by_currency",
]
