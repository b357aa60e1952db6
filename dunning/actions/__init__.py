"""What the gate may carry out for dunning, a module per kind. The only package here that writes to Stripe."""

from __future__ import annotations

from dunning.actions import escalate, grace, notify, retry
from dunning.actions.common import WORKER

__all__ = ["WORKER", "register"]


def register() -> None:
    for module in (retry, notify, grace, escalate):
        module.register()
