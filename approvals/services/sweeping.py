"""What happens to suggestions without a person's verdict: overtaken by events, expired."""

from __future__ import annotations

import logging
import uuid

from django.db import transaction

from approvals.models import Suggestion
from approvals.services import steps
from approvals.states import WAITING_FOR_A_PERSON, State
from billingops.actors import Actor

logger = logging.getLogger(__name__)


def supersede(*, suggestion_id: uuid.UUID | str, actor: Actor, reason: str, only_waiting: bool = False) -> Suggestion:
    """The world has moved on (paid meanwhile, a newer failure). What already runs or has ended is left alone.

    `only_waiting`: leave what is approved alone as well. For those who propose anew under the same key, which a
    cancelled one keeps; if the facts have moved, the check before the execution gives the key back.
    """
    with transaction.atomic():
        suggestion = Suggestion.objects.select_for_update(no_key=True).get(pk=suggestion_id)
        if suggestion.state in WAITING_FOR_A_PERSON:
            return steps.move(suggestion, State.SUPERSEDED, actor=actor, reason=reason)
        if suggestion.state == State.APPROVED and not only_waiting:
            steps.drop_queued(suggestion, reason)
            return steps.move(suggestion, State.CANCELLED, actor=actor, reason=reason)
        return suggestion


def expire_due(*, actor: Actor, limit: int = 500) -> int:
    """Expire what nobody decided in time; returns how many. At most `limit` a call."""
    count = 0
    for pk in list(Suggestion.objects.overdue().values_list("pk", flat=True)[:limit]):
        try:
            with transaction.atomic():
                suggestion = Suggestion.objects.select_for_update(no_key=True).get(pk=pk)
                if suggestion.is_overdue:
                    steps.move(suggestion, State.EXPIRED, actor=actor, reason="nobody decided in time")
                    count += 1
        except Exception:  # a receiver that refuses one must not keep the others waiting
            logger.exception("suggestion %s could not be expired", pk)
    return count
