"""What a person does with an event: have it processed again, or dismiss it. Each leaves a row in the history."""

from __future__ import annotations

from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.utils import timezone

from billingops.access import may_see_account
from billingops.actors import Actor, save_with_history
from billingops.exceptions import InvalidInput, InvalidTransition
from billingops.inbox import waker
from billingops.inbox.models import InboundEvent
from billingops.journal import Note, note

State = InboundEvent.State
REPLAYABLE = frozenset({State.PARKED, State.DISMISSED, State.IGNORED, State.GONE, State.DONE})
DISMISSIBLE = frozenset({State.PARKED, State.WAITING})


def may_replay(event: InboundEvent) -> bool:
    """Closed or parked, or waiting for its next try after a failure."""
    return event.state in REPLAYABLE or (event.state == State.WAITING and event.attempts > 0)


def may_dismiss(event: InboundEvent) -> bool:
    return event.state in DISMISSIBLE


def replay(*, event_pk: int, actor: Actor) -> InboundEvent:
    """Process the event again, now, with all its attempts before it. Raises InvalidTransition, PermissionDenied."""
    with transaction.atomic():
        event = _locked(event_pk, actor, "inbox.replay_inboundevent")
        if not may_replay(event):
            raise InvalidTransition(f"This event is {event.get_state_display()}; there is nothing to replay.")
        before = event.get_state_display()
        event.state, event.attempts, event.next_attempt_at = State.WAITING, 0, timezone.now()
        event.error = event.note = event.claimed_by = event.dismissed_by = event.dismiss_reason = ""
        event.claimed_at = event.handled_at = None
        save_with_history(event, actor=actor, reason=f"Replayed; it was {before}.")
        _note("event.replayed", event, actor, {"was": before})
        waker.request_drain()
    return event


def dismiss(*, event_pk: int, actor: Actor, reason: str) -> InboundEvent:
    """Close the event without processing it. Raises InvalidInput (no reason), InvalidTransition, PermissionDenied."""
    reason = reason.strip()
    if not reason:
        raise InvalidInput("Say why this event is dismissed.", field="reason")
    if len(reason) > 500:
        raise InvalidInput("The reason may have 500 characters.", field="reason")
    with transaction.atomic():
        event = _locked(event_pk, actor, "inbox.dismiss_inboundevent")
        if not may_dismiss(event):
            raise InvalidTransition(f"This event is {event.get_state_display()}; it cannot be dismissed.")
        event.state, event.handled_at = State.DISMISSED, timezone.now()
        event.dismissed_by, event.dismiss_reason = actor.name, reason
        save_with_history(event, actor=actor, reason=f"Dismissed: {reason}")
        _note("event.dismissed", event, actor, {"reason": reason})
    return event


def _note(action: str, event: InboundEvent, actor: Actor, data: dict[str, str]) -> None:
    data = {"type": event.type, "object": event.object_id, **data}
    note(Note(action, f"event:{event.event_id}", actor, data, event.account, event.event_id))


def _locked(event_pk: int, actor: Actor, permission: str) -> InboundEvent:
    event = InboundEvent.objects.select_for_update().get(pk=event_pk)
    if actor.user is not None and not (actor.user.has_perm(permission) and may_see_account(actor.user, event.account)):
        raise PermissionDenied(f"{actor.name} may not do this with this event.")
    return event
