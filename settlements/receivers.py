"""The gate's steps, as settlements see them. Runs inside the step's transaction."""

from __future__ import annotations

from typing import Any

from django.dispatch import receiver

from approvals.models import Suggestion
from approvals.signals import suggestion_changed
from billingops.actors import Actor
from settlements import reversals, services


@receiver(suggestion_changed, dispatch_uid="settlements.follow")
def follow(
    sender: type[Suggestion], suggestion: Suggestion, previous: str | None, actor: Actor, reason: str, **kwargs: Any
) -> None:
    services.follow(suggestion=suggestion, previous=previous, actor=actor, reason=reason)
    reversals.follow(suggestion=suggestion)
