"""What a campaign asks for: which messages and measures on which day, and how retries are timed. Pure data.

`dunning/campaigns/` stores versions of these; `STANDARD` is what holds where no campaign matches. A day counts from the
first failure of the invoice, in the customer's own time zone; day 0 is the day of the failure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from dunning.plan import steps


class Timing(StrEnum):
    BY_REASON = "by_reason"  # the moment the reason of the failure suggests
    FIXED = "fixed"  # on the given days, whatever the reason, where the reason permits a retry at all


class Stripe(StrEnum):
    """What to do where Stripe has scheduled an attempt of its own (Smart Retries)."""

    ADVISE = "advise"  # leave retries to Stripe; ours begin when its own have ended
    TAKE_OVER = "take_over"  # propose to switch Stripe's own attempts off for the invoice, then use ours
    BESIDE = "beside"  # both; they share one budget


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a sequence. `kind`: notify_customer, grace_period, pause_collection, downgrade_subscription, escalate
    mark_uncollectible, cancel_subscription. Conditions that are empty hold always.

    template   a message's; "" = the one that fits the reason
    needs      when: "" always · "customer" only where the customer must act · "bank" only where a retry may help
    over       only for open amounts above these, minor units per currency (a currency not named: never)
    """

    day: int
    kind: str
    template: str = ""
    tone: str = "friendly"  # friendly | firm | final
    channel: str = "email"  # email | phone | post
    days: int = 0
    price: str = ""
    needs: str = ""
    over: Mapping[str, int] = field(default_factory=dict)

    @property
    def mark(self) -> str:
        """Names the entry within its version: done once per case."""
        return f"{self.day}:{self.kind}:{self.channel if self.kind == steps.NOTIFY else ''}"


RECOVERED, SERVICE_PAUSED = "recovered", "service_paused"
OCCASIONS = (RECOVERED, SERVICE_PAUSED)


@dataclass(frozen=True, slots=True)
class Sequence:
    """One campaign's version. `window_days`: no retry later than that after the first failure; `max_attempts`: of all
    attempts, Stripe's and the first one included; `max_messages`: per case.

    `occasions`: messages that something brings about, on whatever day: `recovered` once the invoice is paid, where a
    message had been sent before; `service_paused` once a pause of ours has taken effect.
    """

    name: str
    version: int = 1
    timing: Timing = Timing.BY_REASON
    retry_days: tuple[int, ...] = ()  # for Timing.FIXED
    window_days: int = 28
    max_attempts: int = 8
    max_messages: int = 4
    stripe: Stripe = Stripe.ADVISE
    entries: tuple[Entry, ...] = ()
    occasions: tuple[str, ...] = (RECOVERED,)


# Five messages and ten attempts in five weeks; what it recovers: docs/dunning-proof.md.
STANDARD = Sequence(
    name="standard",
    window_days=35,
    max_attempts=10,
    max_messages=5,
    entries=(
        Entry(0, steps.NOTIFY, needs="customer"),
        Entry(3, steps.NOTIFY, needs="bank"),
        Entry(7, steps.NOTIFY, template="reminder"),
        Entry(14, steps.NOTIFY, template="reminder", tone="firm"),
        Entry(21, steps.NOTIFY, template="reminder", tone="firm"),
        Entry(28, steps.NOTIFY, template="last_notice", tone="final"),
        Entry(35, steps.ESCALATE),
    ),
)
