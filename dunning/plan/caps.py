"""How often a card may be charged: the networks' caps, Stripe's own attempts included. Pure.

Mastercard counts 10 attempts a day and 35 in 30 days per card, Visa 15 in 30 days (its newer rules say 20; the older
figure is the safe one). Other networks publish none; they get Visa's. Bank debits have no such caps, but their own:
see dunning/reasons/debits.py.
Sources: https://developers.tabapay.com/docs/excessive-retry-rules (10 and 35; 20),
https://www.payway.com/visa-excessive-reattempts-rule-fees (15)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

DAY = timedelta(days=1)
MONTH = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class Cap:
    per_day: int | None
    per_30_days: int


CAPS = {"mastercard": Cap(10, 35), "visa": Cap(None, 15)}
OTHER_CAP = Cap(None, 15)


def cap_of(brand: str) -> Cap:
    return CAPS.get(brand.lower(), OTHER_CAP)


def over_cap(brand: str, *, last_day: int, last_30_days: int) -> str:
    """ "" when one more attempt stays within the network's caps, else the cap that forbids it, in words."""
    cap = cap_of(brand)
    name = brand.capitalize() or "the card network"
    if last_30_days >= cap.per_30_days:
        return f"{name} allows {cap.per_30_days} attempts in 30 days and {last_30_days} were made"
    if cap.per_day is not None and last_day >= cap.per_day:
        return f"{name} allows {cap.per_day} attempts a day and {last_day} were made"
    return ""


def used_up(brand: str, attempts: Iterable[datetime], at: datetime) -> str:
    """The same of attempts at these times, for one more at `at`; those after `at` count as well."""
    times = list(attempts)
    return over_cap(
        brand,
        last_day=sum(moment > at - DAY for moment in times),
        last_30_days=sum(moment > at - MONTH for moment in times),
    )


def first_free(brand: str, attempts: Sequence[datetime], at: datetime) -> datetime:
    """The first moment at or after `at` at which the caps allow one more attempt."""
    cap = cap_of(brand)
    times = sorted(attempts)
    free = at
    for width, most in ((MONTH, cap.per_30_days), (DAY, cap.per_day)):
        if most is not None and len(times) >= most:
            free = max(free, times[-most] + width)
    return free
