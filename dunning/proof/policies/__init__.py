"""Who charges and writes when. One interface (engine.Policy): a view of what the platform can see in, the next charge
and the next message out.

    ladders.py  fixed days, and the schedules of Stripe's custom rules, Lago, Kill Bill and Polar, sources beside them
    smart.py    Stripe's Smart Retries, modelled generously: it may look into the future
    ours.py     dunning.plan as it stands
"""

from __future__ import annotations

from collections.abc import Callable

from dunning.proof.engine import Policy
from dunning.proof.policies import ladders, ours, smart

OURS = ours.NAME
FACTORIES: dict[str, Callable[[], Policy]] = {
    **{name: (lambda name=name: ladders.LADDERS[name]) for name in ladders.LADDERS},  # type: ignore[misc]
    smart.NAME: smart.SmartRetries,
    ours.NAME: ours.Ours,
    ours.REVIEWED: lambda: ours.Ours(reviewed=True),
}
FIXED = tuple(ladders.LADDERS)
NAMES = tuple(FACTORIES)


def make(name: str) -> Policy:
    return FACTORIES[name]()
