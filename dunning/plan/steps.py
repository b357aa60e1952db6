"""What a plan is made of: steps, each one a suggestion to come, in lanes of which only one step runs at a time."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from datetime import datetime
from enum import StrEnum
from typing import Any

VERSION = "rules dunning v2"

RETRY, TAKE_OVER, DEFAULT_METHOD = "retry_payment", "take_over_retries", "set_default_method"
NOTIFY = "notify_customer"
GRACE, END_GRACE, PAUSE, RESUME = "grace_period", "end_grace", "pause_collection", "resume_collection"
DOWNGRADE, UNCOLLECTIBLE, CANCEL = "downgrade_subscription", "mark_uncollectible", "cancel_subscription"
ESCALATE = "escalate"
KINDS = (
    RETRY, TAKE_OVER, DEFAULT_METHOD, NOTIFY, GRACE, END_GRACE, PAUSE, RESUME, DOWNGRADE, UNCOLLECTIBLE, CANCEL,
    ESCALATE,
)  # fmt: skip
ON_SUBSCRIPTION = frozenset({GRACE, END_GRACE, PAUSE, RESUME, DOWNGRADE, CANCEL})  # what changes the subscription


class Lane(StrEnum):
    """Steps of one lane wait for one another; steps of different lanes do not."""

    COLLECT = "collect"
    TELL = "tell"
    SERVICE = "service"
    PERSON = "person"


LANES = {
    RETRY: Lane.COLLECT, TAKE_OVER: Lane.COLLECT, DEFAULT_METHOD: Lane.COLLECT,
    NOTIFY: Lane.TELL,
    GRACE: Lane.SERVICE, END_GRACE: Lane.SERVICE, PAUSE: Lane.SERVICE, RESUME: Lane.SERVICE, DOWNGRADE: Lane.SERVICE,
    UNCOLLECTIBLE: Lane.SERVICE, CANCEL: Lane.SERVICE,
    ESCALATE: Lane.PERSON,
}  # fmt: skip


class Risk(StrEnum):
    """How much harm a wrong step does: what a policy, and a person, weighs it by."""

    LOW = "low"  # nothing the customer notices, or easily taken back
    MEDIUM = "medium"  # the customer notices
    HIGH = "high"  # money moves, or the service changes
    FINAL = "final"  # cannot be taken back


RISKS = {
    RETRY: Risk.HIGH, TAKE_OVER: Risk.MEDIUM, DEFAULT_METHOD: Risk.MEDIUM, NOTIFY: Risk.MEDIUM, GRACE: Risk.LOW,
    END_GRACE: Risk.MEDIUM, PAUSE: Risk.HIGH, RESUME: Risk.MEDIUM, DOWNGRADE: Risk.HIGH, UNCOLLECTIBLE: Risk.FINAL,
    CANCEL: Risk.FINAL, ESCALATE: Risk.LOW,
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Step:
    """One step. `at`: when it is to take effect, None = as soon as it is approved.

    mark       which entry of the sequence asked for it ("" = the reason did); with the kind it says "done already"
    method     payment method to charge (pm_…), "" = the one Stripe would take
    deadline   what a message gives the customer
    days, until  a grace period's
    price      a downgrade's new price (price_…)
    flags      (code, text) of what a reviewer should know
    """

    kind: str
    reason_code: str
    rationale: str
    at: datetime | None = None
    mark: str = ""
    template: str = ""
    tone: str = ""
    channel: str = ""
    method: str = ""
    deadline: datetime | None = None
    days: int = 0
    until: datetime | None = None
    price: str = ""
    flags: tuple[tuple[str, str], ...] = ()
    version: str = VERSION
    confidence: None = None  # the rules have no measured hit rate to base a figure on

    @property
    def lane(self) -> Lane:
        return LANES[self.kind]

    @property
    def risk(self) -> Risk:
        return RISKS[self.kind]

    def moved_to(self, at: datetime | None) -> Step:
        return replace(self, at=at)

    def as_json(self) -> dict[str, Any]:
        """For `DunningCase.plan`: times as ISO text, empty fields left out."""
        # Not asdict: it copies deeply, which is felt with thousands of plans.
        found = {name: value for name in _KEPT if (value := getattr(self, name)) not in ("", None, 0, ())}
        return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in found.items()} | {
            "risk": self.risk.value
        }


_KEPT = tuple(one.name for one in fields(Step) if one.name not in ("version", "flags"))


@dataclass(frozen=True, slots=True)
class Plan:
    """What comes next. `steps`: in the order of their times, the first of each lane is what may be proposed now.

    options   what may be done now instead, best first, at most one of each kind (an agent may choose among them)
    held      why nothing happens before `until`, in words ("" = nothing holds it)
    """

    steps: tuple[Step, ...] = ()
    options: tuple[Step, ...] = ()
    held: str = ""
    until: datetime | None = None

    @property
    def next(self) -> Step | None:
        return self.steps[0] if self.steps else None

    def first_of(self, lane: Lane) -> Step | None:
        return next((step for step in self.steps if step.lane == lane), None)
