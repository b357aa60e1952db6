"""The case follows its suggestion. Runs inside the gate's transaction."""

from __future__ import annotations

from typing import Any

from django.dispatch import receiver

from approvals.models import Suggestion
from approvals.signals import suggestion_changed
from billingops.actors import Actor
from dunning import services


@receiver(suggestion_changed, sender=Suggestion, dispatch_uid="dunning.follow")
def follow_suggestion(sender: Any, suggestion: Suggestion, actor: Actor, **kwargs: Any) -> None:
    if suggestion.kind in services.KINDS:
        services.follow(suggestion=suggestion, actor=actor)
