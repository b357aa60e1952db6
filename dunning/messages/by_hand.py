"""A call or a letter: a task for a person, whose text is the script or the letter; the message says what came of it."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.utils import timezone

from approvals.models import Execution, Suggestion
from billingops.actors import Actor
from dunning import states
from dunning.messages import sending
from dunning.models import Message, SupportTask
from dunning.states import MessageState

WITHIN = timedelta(days=2)  # how long a person has to call, or to send the letter off


def due_at(suggestion: Suggestion, now: datetime) -> datetime:
    given = suggestion.params.get("not_before") or ""
    start = max(now, datetime.fromisoformat(given)) if given else now
    return start + WITHIN


def hand_over(*, suggestion: Suggestion, execution: Execution, actor: Actor) -> tuple[Message, SupportTask]:
    """The message and the task that an approved call or letter asks for; the same ones when called again."""
    from dunning import support_tasks  # which tells us when a task is done

    message = sending.prepare(suggestion=suggestion, actor=actor)
    task = support_tasks.open_for(
        suggestion=suggestion,
        execution=execution,
        actor=actor,
        channel=message.channel,
        due_at=due_at(suggestion, timezone.now()),
        title=message.subject,
        text=message.body_text,
    )
    sending.claim(message_id=message.pk, address="", portal_session="", actor=actor)
    return message, task


def finished(*, task: SupportTask, actor: Actor, done: bool) -> None:
    """The task of a call or a letter has ended: done by a person, or closed because nothing is owed any more. Call it
    inside the transaction that ends the task. Tasks of other kinds are passed over."""
    if task.channel not in (Message.Channel.PHONE, Message.Channel.POST):
        return
    message = Message.objects.filter(suggestion=task.suggestion_id).first()
    target = MessageState.SENT if done else MessageState.FAILED
    if message is None or target not in states.MESSAGE_TRANSITIONS[MessageState(message.state)]:
        return
    why = "" if done else "its task was closed before anybody did it"
    sending.settle(message_id=message.pk, target=target, error=why, actor=actor)
