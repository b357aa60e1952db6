"""The verbs on support tasks: cases handed to a person. Each change is one short transaction.

The case first, then its tasks, so that closing a case and finishing its task never wait for each other.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.utils import timezone

from approvals.models import Execution, Suggestion
from billingops import access
from billingops.actors import Actor, save_with_history
from billingops.exceptions import InvalidInput, VersionConflict
from dunning import config, sla, states
from dunning.messages import by_hand
from dunning.models import DunningCase, SupportTask
from dunning.states import CaseState, TaskState

MAX_RESULT = 2000


def open_for(
    *,
    suggestion: Suggestion,
    execution: Execution,
    actor: Actor,
    channel: str = "",
    due_at: datetime | None = None,
    title: str = "",
    text: str = "",
) -> SupportTask:
    """The task an approved suggestion asks for (its params' `title` and `text` where none are given); the same one when
    called again. `channel`: phone or post, "" as one sees fit."""
    with transaction.atomic():
        case = DunningCase.objects.of_invoice(suggestion.subject, suggestion.account).get()
        task = SupportTask.objects.filter(suggestion=suggestion).first()
        if task is None:
            task = SupportTask(
                suggestion=suggestion,
                case=case,
                account=case.account,
                customer=case.customer,
                title=(title or suggestion.params["title"])[:200],
                text=text or suggestion.params["text"],
                channel=channel,
                due_at=due_at,
            )
            save_with_history(task, actor=actor, reason=f"attempt {execution.attempt} of an approved suggestion")
        return task


def take(*, task_id: int, actor: Actor) -> SupportTask:
    """A person takes the task on, or puts it back when it is theirs. Raises PermissionDenied, InvalidTransition."""
    with transaction.atomic():
        task = _locked_task(task_id, actor)
        if task.state != TaskState.OPEN:
            states.check_task(task.state, TaskState.DONE)
        if task.assigned_id is not None and task.assigned_id != actor.user.pk:  # type: ignore[union-attr]
            raise InvalidInput("Somebody else has this task already. Nothing was changed.", field="assigned")
        task.assigned = None if task.assigned_id else actor.user
        task.version += 1
        save_with_history(task, actor=actor, reason="taken" if task.assigned else "put back")
        return task


def complete(*, task_id: int, actor: Actor, version: int, result: str) -> SupportTask:
    """A person has dealt with it; `result` says what came of it. The case is looked at again after the notice period.

    Raises PermissionDenied, InvalidTransition (done already), VersionConflict, InvalidInput (no result, too long).
    """
    if not result.strip() or len(result) > MAX_RESULT:
        raise InvalidInput(f"Say in one to {MAX_RESULT} characters what came of it.", field="result")
    with transaction.atomic():
        # The case first, as `close` does, so that the two never wait for each other.
        case = DunningCase.objects.select_for_update().get(tasks__pk=task_id)
        task = _locked_task(task_id, actor)
        states.check_task(task.state, TaskState.DONE)
        if task.version != version:
            raise VersionConflict(f"You saw version {version}, it is now version {task.version}. Nothing was changed.")
        finish(task, actor=actor, result=result.strip())
        # A new card or a newer failure may have moved the case on meanwhile, and left it to whoever has the task.
        left = case.state == CaseState.ESCALATED or (
            case.is_unpaid and not case.paused and case.next_step_at is None and case.state != CaseState.WAITING
        )
        if left and not case.tasks.filter(state=TaskState.OPEN).exists():
            states.check_case(case.state, CaseState.WAITING)
            notice_ends = timezone.now() + timedelta(days=config.current().notice_days)
            case.state, case.next_step_at = CaseState.WAITING, notice_ends
            sla.stop(case)
            save_with_history(case, actor=actor, reason="its support task is done")
        return task


def may_complete(user: object) -> bool:
    return user.has_perm("dunning.complete_supporttask")  # type: ignore[attr-defined]


def _locked_task(task_id: int, actor: Actor) -> SupportTask:
    task = SupportTask.objects.select_for_update().get(pk=task_id)
    if actor.user is None or not may_complete(actor.user):
        raise PermissionDenied("You may look at support tasks but not work on them.")
    if not access.may_see_account(actor.user, task.account):
        raise PermissionDenied("This task belongs to an account that you have no access to.")
    return task


def finish(task: SupportTask, *, actor: Actor, result: str) -> None:
    """Ends it: a person has done it, or (by the system) there is nothing left to do."""
    task.state, task.done_by, task.done_at, task.result = TaskState.DONE, actor.name, timezone.now(), result
    task.version += 1
    save_with_history(task, actor=actor, reason="done")
    by_hand.finished(task=task, actor=actor, done=actor.is_person)
