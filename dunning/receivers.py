"""The cases follow their suggestions. Runs inside the gate's transaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.dispatch import receiver

from approvals.models import Suggestion
from approvals.signals import Change, suggestions_changed
from billingops.actors import Actor
from dunning import services


@receiver(suggestions_changed, sender=Suggestion, dispatch_uid="dunning.follow")
def follow_suggestions(sender: Any, changes: Sequence[Change], actor: Actor, **kwargs: Any) -> None:
    services.follow(changes=changes, actor=actor)
