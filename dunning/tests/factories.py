"""Facts for the pure tests: a plain unpaid invoice that each test bends where it matters."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from billingops.stripe.facts import PaymentFailure
from dunning.config import RuleConfig
from dunning.plan.facts import Method, PlanFacts
from dunning.plan.planner import plan
from dunning.plan.sequences import STANDARD, Entry, Sequence
from dunning.plan.steps import CANCEL, PAUSE, UNCOLLECTIBLE, Lane, Plan, Step

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)  # a Tuesday
DAY = timedelta(days=1)
TOMORROW = NOW + DAY
LONG_AGO = NOW - timedelta(days=800)


def failure(decline_code: str = "", **changes: Any) -> PaymentFailure:
    given = {
        "code": "card_declined",
        "decline_code": decline_code,
        "payment_method_id": "pm_old",
        "payment_method_type": "card",
        "card_brand": "visa",
        "charge_id": "ch_1",
        "at": NOW,
    }
    return PaymentFailure(**{**given, **changes})


OLD = Method("pm_old", "card", "visa", "fp_old", attempts=(NOW,))
NEW = Method("pm_new", "card", "mastercard", "fp_new")


def known(decline_code: str = "insufficient_funds", **changes: Any) -> PlanFacts:
    """What the planner may know of a plain case: one failed attempt on a Visa card, a subscription, an address."""
    given: dict[str, Any] = {
        "invoice": "in_1",
        "status": "open",
        "amount_remaining": 7900,
        "currency": "eur",
        "attempt_count": 1,
        "failure": failure(decline_code),
        "failed_at": NOW,
        "first_failed_at": NOW,
        "failed": OLD,
        "methods": (OLD,),
        "subscription": "sub_1",
        "subscription_status": "past_due",
        "customer": "cus_1",
        "country": "DE",
        "zone": "Europe/Berlin",
        "customer_since": NOW - timedelta(days=90),
    }
    return PlanFacts(**{**given, **changes})


# -- planned -----------------------------------------------------------------------------------------------------------

NEW_CARD: dict[str, Any] = {"methods": (NEW,)}
SMART: dict[str, Any] = {"next_payment_attempt": TOMORROW}
FINAL = replace(
    STANDARD,
    entries=(*STANDARD.entries, Entry(15, PAUSE), Entry(28, CANCEL), Entry(30, UNCOLLECTIBLE, over={"usd": 1})),
)


def made(code: str = "insufficient_funds", *, sequence: Sequence = STANDARD, **changes: Any) -> Plan:
    return plan(known(code, **changes), sequence, NOW, RuleConfig())


def first(code: str, **changes: Any) -> Step:
    step = made(code, **changes).next
    assert step is not None
    return step


def retry(code: str, **changes: Any) -> Step:
    step = made(code, **changes).first_of(Lane.COLLECT)
    assert step is not None
    return step


def times(found: Plan, kind: str) -> list[datetime]:
    return [step.at or NOW for step in found.steps if step.kind == kind]
