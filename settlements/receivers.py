"""The gate's steps, as settlements see them. Runs inside the steps' transaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.dispatch import receiver

from approvals.models import Suggestion
from approvals.signals import Change, suggestions_changed
from billingops.actors import Actor
from settlements import payouts, reversals


@receiver(suggestions_changed, dispatch_uid="settlements.follow")
def follow(sender: type[Suggestion], changes: Sequence[Change], actor: Actor, **kwargs: Any) -> None:
    payouts.follow(changes=changes, actor=actor)
    reversals.follow(changes=changes, actor=actor)
