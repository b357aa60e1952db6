"""Stripe's Smart Retries with the recommended default: 8 attempts within 2 weeks.

The timing model is not published. Ours is generous: the two weeks are cut into eight equal windows, four moments of
each are looked at, and with probability FORESIGHT it *knows* which of them the bank would approve, by asking the
simulated bank itself; else it takes one of the four at random. Real timing has no such look into the future. With
"do_not_try_again" and after a hard decline only another method is charged.

Customers get an e-mail with each failed attempt: Stripe's setting, off by default, switched on here.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

from dunning.proof.bank import drawn
from dunning.proof.calendars import DAY, HOUR
from dunning.proof.engine import Next, View
from dunning.proof.policies.ladders import SMART_RETRIES, is_hard

NAME = "stripe_smart"
ATTEMPTS, DAYS, CANDIDATES, FORESIGHT = 8, 14, 4, 0.35
_KEY = 7_046_029_254_386_353_131


class SmartRetries:
    name = NAME
    label = "Stripe Smart Retries"
    source = f"{SMART_RETRIES}: the recommended default is 8 tries within 2 weeks; timing modelled, see {__name__}"
    sees_the_future = True

    def __init__(self, foresight: float = FORESIGHT) -> None:
        self.foresight = foresight

    def next(self, view: View, oracle: Callable[[int], bool] | None) -> Next:
        failed = 1 + sum(1 for one in view.attempts if one.known_at is not None and one.code)
        message = view.last_failed_at if len(view.messages) < failed else None
        return Next(charge_at=self._charge(view, oracle), message_at=message)

    def _charge(self, view: View, oracle: Callable[[int], bool] | None) -> int | None:
        known = view.known
        if view.pending or known.method_type != "card":  # bank debits are not tried again by themselves
            return None
        if view.method == 0 and is_hard(view):
            return None
        start, width = known.failed_at + HOUR, DAYS * DAY // ATTEMPTS
        last = view.attempts[-1].at if view.attempts else known.failed_at
        edges = [start + number * width for number in range(ATTEMPTS + 1)]
        for number, (first, until) in enumerate(pairwise(edges)):
            if until <= view.now or last >= first:
                continue
            draw = drawn(_KEY, known.number * 64 + number * 2)
            part = (until - first) // CANDIDATES
            moments = [first + place * part + int(draw * part) for place in range(CANDIDATES)]
            moments = [moment for moment in moments if moment >= view.now]
            if not moments:
                continue
            second = drawn(_KEY, known.number * 64 + number * 2 + 1)
            if oracle is not None and second < self.foresight:
                known_good = next((moment for moment in moments if oracle(moment)), None)
                if known_good is not None:
                    return known_good
            return moments[int(draw * len(moments))]
        return None
