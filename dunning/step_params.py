"""The parameters of the kinds that change something at Stripe, from a planned step and the snapshot it rests on. Pure.

Those of messages and escalations are made elsewhere (proposals.py): they need words.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from dunning.facts import Snapshot
from dunning.plan.steps import (
    CANCEL,
    DEFAULT_METHOD,
    DOWNGRADE,
    END_GRACE,
    GRACE,
    PAUSE,
    RESUME,
    RETRY,
    TAKE_OVER,
    UNCOLLECTIBLE,
    Step,
)

Params = dict[str, Any]
KEEP = "keep_as_draft"  # of the three ways to pause the one that gives nothing up


def _retry(step: Step, snapshot: Snapshot) -> Params:
    return {"when": "at" if step.at else "now", "at": _at(step), "method": step.method}


def _default_method(step: Step, snapshot: Snapshot) -> Params:
    """The default of the place that Stripe looks at first: the subscription's where it has one of its own."""
    own = snapshot.subscription is not None and bool(snapshot.subscription.default_payment_method_id)
    return {
        "method": step.method,
        "customer": snapshot.invoice.customer_id,
        "subscription": snapshot.invoice.subscription_id if own else "",
    }


def _grace(step: Step, snapshot: Snapshot) -> Params:
    return {"days": step.days, "until": step.until.isoformat() if step.until else ""}


def _end_grace(step: Step, snapshot: Snapshot) -> Params:
    metadata = snapshot.subscription.metadata if snapshot.subscription else {}
    return {"until": metadata.get("grace_period_until", "")}


def _pause(step: Step, snapshot: Snapshot) -> Params:
    until = step.until or (step.at + timedelta(days=step.days) if step.at and step.days else None)
    return {"behavior": KEEP, "resumes_at": until.isoformat() if until else ""}


def _downgrade(step: Step, snapshot: Snapshot) -> Params:
    items = snapshot.subscription.items if snapshot.subscription else ()
    return {"item": items[0][0] if items else "", "price": step.price, "proration": "none"}


def _cancel(step: Step, snapshot: Snapshot) -> Params:
    """At once, as Stripe's own setting for the end of all retries does: the period that runs has not been paid."""
    return {"at_period_end": False, "invoice_now": False, "prorate": False}


def _nothing(step: Step, snapshot: Snapshot) -> Params:
    return {}


_MAKERS: Mapping[str, Callable[[Step, Snapshot], Params]] = {
    RETRY: _retry,
    TAKE_OVER: _nothing,
    DEFAULT_METHOD: _default_method,
    GRACE: _grace,
    END_GRACE: _end_grace,
    PAUSE: _pause,
    RESUME: _nothing,
    DOWNGRADE: _downgrade,
    UNCOLLECTIBLE: _nothing,
    CANCEL: _cancel,
}
WITH_OWN_TIME = frozenset(_MAKERS) - {RETRY, GRACE}
WITH_AMOUNT = (RETRY, UNCOLLECTIBLE)  # their suggestions carry what is open, so that a policy's limits apply


def of(step: Step, snapshot: Snapshot) -> Params:
    """Raises KeyError for a kind that is not made here."""
    params = _MAKERS[step.kind](step, snapshot)
    if step.at is not None and step.kind in WITH_OWN_TIME:
        params["at"] = _at(step)
    return params


def _at(step: Step) -> str:
    return step.at.isoformat() if step.at else ""
