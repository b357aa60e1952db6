"""What the gate may carry out for dunning, a module per kind. The only package here that writes to Stripe."""

from __future__ import annotations

from dunning.actions import (
    collection,
    default_method,
    escalate,
    grace,
    notify,
    retry,
    service,
    takeover,
    uncollectible,
)
from dunning.actions.common import WORKER

__all__ = ["WORKER", "register"]


def register() -> None:
    for module in (retry, takeover, default_method, notify, grace, collection, service, uncollectible, escalate):
        module.register()
