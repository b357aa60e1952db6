"""The cases, and the states of service, follow their suggestions. Runs inside the gate's transaction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.dispatch import receiver

from approvals.models import Suggestion
from approvals.signals import Change, suggestions_changed
from approvals.states import State
from billingops.actors import Actor
from dunning import following, service_state
from dunning.plan.steps import CANCEL, END_GRACE, GRACE, PAUSE, RESUME


@receiver(suggestions_changed, sender=Suggestion, dispatch_uid="dunning.follow")
def follow_suggestions(sender: Any, changes: Sequence[Change], actor: Actor, **kwargs: Any) -> None:
    following.follow(changes=changes, actor=actor)


@receiver(suggestions_changed, sender=Suggestion, dispatch_uid="dunning.service")
def follow_service(sender: Any, changes: Sequence[Change], actor: Actor, **kwargs: Any) -> None:
    """A step that changes the service was carried out; such come one at a time. After `follow`: the case knows it."""
    steps = (GRACE, END_GRACE, PAUSE, RESUME, CANCEL)
    done = [
        one.suggestion for one in changes if one.suggestion.kind in steps and one.suggestion.state == State.EXECUTED
    ]
    for subscription, account in sorted({(str(one.facts.get("subscription", "")), one.account) for one in done}):
        service_state.bring_up_to_date(subscription=subscription, account=account, actor=actor)
