"""What a person does with an event."""

from __future__ import annotations

import pytest
from django.core.exceptions import PermissionDenied

from billingops.actors import Actor
from billingops.exceptions import InvalidInput, InvalidTransition
from billingops.inbox import services
from billingops.inbox.models import InboundEvent

State = InboundEvent.State
REPLAY = {state: state in services.REPLAYABLE for state in State}


def put(waiting, state: str, **values) -> InboundEvent:
    event = waiting("test.thing", subject={"id": "x_1", "object": "thing"})
    InboundEvent.objects.filter(pk=event.pk).update(state=state, **values)
    return event


@pytest.mark.parametrize("state", [state for state, may in REPLAY.items() if may])
def test_a_closed_event_can_be_replayed_with_all_its_attempts_before_it(waiting, lead, state):
    event = put(waiting, state, attempts=6, error="ValueError", note="x", dismissed_by="ana", dismiss_reason="y")
    services.replay(event_pk=event.pk, actor=Actor.person(lead))
    event.refresh_from_db()
    assert (event.state, event.attempts, event.error, event.note, event.dismissed_by) == (State.WAITING, 0, "", "", "")
    row = event.history.get()
    assert (row.history_user, row.history_change_reason) == (lead, f"Replayed; it was {State(state).label}.")


def test_an_event_in_back_off_can_be_tried_now(waiting, lead):
    event = put(waiting, State.WAITING, attempts=2)
    assert services.replay(event_pk=event.pk, actor=Actor.person(lead)).attempts == 0


@pytest.mark.parametrize("state", [state for state, may in REPLAY.items() if not may])
def test_an_event_that_is_not_closed_cannot_be_replayed(waiting, lead, state):
    event = put(waiting, state)
    with pytest.raises(InvalidTransition):
        services.replay(event_pk=event.pk, actor=Actor.person(lead))
    event.refresh_from_db()
    assert event.state == state
    assert not event.history.exists()


def test_a_replayed_event_is_handed_to_the_worker(waiting, heard, lead, run_jobs):
    event = put(waiting, State.PARKED)
    services.replay(event_pk=event.pk, actor=Actor.person(lead))
    run_jobs()
    event.refresh_from_db()
    assert event.state == State.DONE
    assert len(heard) == 1


@pytest.mark.parametrize("state", sorted(services.DISMISSIBLE))
def test_an_event_is_dismissed_with_a_reason(waiting, lead, state):
    event = put(waiting, state, error="ValueError")
    services.dismiss(event_pk=event.pk, actor=Actor.person(lead), reason="  a test of ours ")
    event.refresh_from_db()
    assert (event.state, event.dismissed_by, event.dismiss_reason) == (State.DISMISSED, "lead", "a test of ours")
    assert event.error == "ValueError"
    assert event.history.get().history_change_reason == "Dismissed: a test of ours"


@pytest.mark.parametrize("state", sorted(set(State) - services.DISMISSIBLE))
def test_other_events_cannot_be_dismissed(waiting, lead, state):
    event = put(waiting, state)
    with pytest.raises(InvalidTransition):
        services.dismiss(event_pk=event.pk, actor=Actor.person(lead), reason="why not")
    event.refresh_from_db()
    assert event.state == state


@pytest.mark.parametrize("reason", ["", "   ", "x" * 501])
def test_a_dismissal_needs_a_reason_of_some_length(waiting, lead, reason):
    event = put(waiting, State.PARKED)
    with pytest.raises(InvalidInput):
        services.dismiss(event_pk=event.pk, actor=Actor.person(lead), reason=reason)
    event.refresh_from_db()
    assert event.state == State.PARKED


def test_without_the_right_nothing_happens(waiting, support_agent, auditor, finance):
    event = put(waiting, State.PARKED)
    for user in (support_agent, auditor):
        with pytest.raises(PermissionDenied):
            services.replay(event_pk=event.pk, actor=Actor.person(user))
    with pytest.raises(PermissionDenied):
        services.dismiss(event_pk=event.pk, actor=Actor.person(finance), reason="x")
    event.refresh_from_db()
    assert event.state == State.PARKED


def test_an_event_of_another_account_is_out_of_reach(waiting, make_user):
    user = make_user("narrow", "Finance lead", accounts=["acct_1"])
    event = put(waiting, State.PARKED)
    with pytest.raises(PermissionDenied):
        services.replay(event_pk=event.pk, actor=Actor.person(user))
