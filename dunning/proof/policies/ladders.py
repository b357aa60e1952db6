"""Fixed schedules: attempts on given days after the first failure, and a message with each failed one.

A ladder knows nothing of the reason, unless `stops_at_hard`: then what Stripe lists as a hard decline is not charged
again until there is another method (the schedule runs on meanwhile, as Stripe documents).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dunning.proof.calendars import DAY
from dunning.proof.engine import Next, View
from dunning.proof.sources import STRIPE_HARD
from dunning.proof.world import Known

SMART_RETRIES = "https://docs.stripe.com/billing/revenue-recovery/smart-retries"
LAGO = "https://getlago.com/docs/guide/dunning/automatic-dunning, getlago/lago-api: app/models/dunning_campaign.rb"
KILLBILL = (
    "killbill/killbill: util/src/main/java/org/killbill/billing/util/config/definition/PaymentConfig.java "
    "(org.killbill.payment.retry.days = 8,8,8; …failure.retry.start.sec = 300, multiplier 2, at most 8)"
)
POLAR = "polarsource/polar: server/polar/config.py (DUNNING_RETRY_INTERVALS = 2, 5, 7, 7 days)"
_GATEWAY_FAULTS = frozenset({"processing_error", "issuer_not_available"})


@dataclass(frozen=True, slots=True)
class Ladder:
    """`days`: of the attempts, from the first failure. `bank_debits`: how often those are tried again at most (None:
    like cards). `gateway_faults`: seconds after the failure of a technical kind. `writes`: with "each" failed attempt,
    the "first", or at both "ends". `new_method`: whether another method is charged as soon as it is there."""

    name: str
    label: str
    source: str
    days: tuple[float, ...]
    stops_at_hard: bool = False
    bank_debits: int | None = None
    gateway_faults: tuple[int, ...] = ()
    writes: str = "each"
    new_method: bool = False
    sees_the_future: bool = False

    def times(self, known: Known) -> tuple[int, ...]:
        start = known.failed_at
        if self.gateway_faults and known.code in _GATEWAY_FAULTS:
            return tuple(start + wait for wait in self.gateway_faults)
        days = self.days
        if known.method_type != "card" and self.bank_debits is not None:
            days = days[: self.bank_debits]
        return tuple(start + int(day * DAY) for day in days)

    def next(self, view: View, oracle: Callable[[int], bool] | None) -> Next:
        return Next(charge_at=self._charge(view), message_at=self._message(view))

    def _charge(self, view: View) -> int | None:
        known = view.known
        if view.pending:
            return None
        if self.new_method and view.method_changed_at is not None and not any(one.method for one in view.attempts):
            return view.method_changed_at
        if self.stops_at_hard and view.method == 0 and is_hard(view):
            return None
        last = view.attempts[-1].at if view.attempts else known.failed_at
        return next((at for at in self.times(known) if at > last and at >= view.now), None)

    def _message(self, view: View) -> int | None:
        failed = [known.known_at for known in view.attempts if known.known_at is not None and known.code]
        if self.writes == "first":
            due = 1
        elif self.writes == "ends":
            due = 1 + (len(failed) >= len(self.times(view.known)))
        else:
            due = 1 + len(failed)
        return view.last_failed_at if len(view.messages) < due else None


def is_hard(view: View) -> bool:
    """What Stripe does not try again without another method, or was advised not to."""
    code = next((one.code for one in reversed(view.attempts) if one.method == 0 and one.code), view.known.code)
    return code in STRIPE_HARD or view.known.advice_code == "do_not_try_again"


LADDERS: dict[str, Ladder] = {
    one.name: one
    for one in (
        Ladder("fixed_3_5_7", "Fixed 3-5-7", "the ladder the issue names: days 3, 5 and 7", (3, 5, 7)),
        Ladder(
            "fixed_month",
            "Fixed, seven in a month",
            "ours, as the hardest fixed ladder: as many attempts and days as our own plan may use",
            (1, 3, 5, 7, 14, 21, 28),
        ),
        Ladder(
            "stripe_custom",
            "Stripe, custom schedule",
            f"{SMART_RETRIES}#custom-retry-schedule: up to three retries, each some days after the one before; 3, "
            "5 and 7 days are taken; hard declines only with another method; bank debits are not tried again",
            (3, 8, 15),
            stops_at_hard=True,
            bank_debits=0,
        ),
        Ladder(
            "lago",
            "Lago",
            f"{LAGO}: a number of attempts with the same delay between them, each a charge, and an e-mail with a link "
            "when it fails; no default is published (the form is empty), so weekly, four times",
            (1, 8, 15, 22),
        ),
        Ladder(
            "killbill",
            "Kill Bill",
            KILLBILL,
            (8, 16, 24),
            gateway_faults=tuple(300 * (2**number - 1) for number in range(1, 9)),
        ),
        Ladder("polar", "Polar", POLAR, (2, 7, 14, 21), writes="ends", new_method=True),
    )
}
