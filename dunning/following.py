"""The cases follow their suggestions: what becomes of one when a step of its was carried out, refused or went stale.

Runs inside the gate's transaction, so it touches our rows only.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from django.utils import timezone

from approvals.models import Suggestion
from approvals.signals import Change
from approvals.states import State
from billingops import bulk, jobs
from billingops.actors import Actor, save_with_history
from dunning import services, sla
from dunning.models import DunningCase
from dunning.plan.steps import END_GRACE, ESCALATE, GRACE, KINDS, NOTIFY, PAUSE, RETRY, TAKE_OVER
from dunning.states import CaseState

_SAID_NO = (State.REJECTED, State.CANCELLED, State.FAILED, State.OBSERVED)
FOLLOWED = (State.EXECUTED, State.CONFIRMED, *_SAID_NO, State.STALE, State.EXPIRED)


def follow(*, changes: Sequence[Change], actor: Actor) -> None:
    """Keep the cases in step with their suggestions. A verdict on many at once costs as many statements as on one."""
    steps = [one.suggestion for one in changes if one.suggestion.kind in KINDS and one.suggestion.state in FOLLOWED]
    if not steps:
        return
    found = DunningCase.objects.select_for_update().filter(invoice__in={one.subject for one in steps}).order_by("pk")
    cases = {(case.invoice, case.account): case for case in found}
    put_off: dict[int, tuple[DunningCase, str]] = {}
    for suggestion in steps:
        case = cases.get((suggestion.subject, suggestion.account))
        if case is not None and case.state == CaseState.RECOVERED:
            _give_credit(case, suggestion, actor=actor)
        if case is None or not case.is_unpaid:
            continue
        before = (case.state, case.next_step_at, case.grace_period_until, case.plan)
        follow_one(case, suggestion)
        if before[0] != case.state == CaseState.ESCALATED:
            services.let_others_speak(case)
        if before == (case.state, case.next_step_at, case.grace_period_until, case.plan):
            continue
        reason = f"{suggestion.kind} is {suggestion.get_state_display()}"
        if suggestion.state in _SAID_NO:
            put_off[case.pk] = (case, reason)
        else:
            save_with_history(case, actor=actor, reason=reason)
    if put_off:  # only their next step moves, which is no line of the timeline
        rows, reasons = zip(*put_off.values(), strict=True)
        for row in rows:
            row.updated_at = timezone.now()
        bulk.update_with_history(DunningCase, rows, ["next_step_at", "updated_at"], actor=actor, reasons=reasons)


def follow_one(case: DunningCase, suggestion: Suggestion) -> None:
    """What becomes of one step beside an escalation leaves the case with its person: nothing is thought of anew before
    their task is done. What has expired or gone stale by then is planned with the rest."""
    with_a_person, before = case.state == CaseState.ESCALATED, case.next_step_at
    _move_on(case, suggestion)
    if with_a_person:
        case.state, case.next_step_at = CaseState.ESCALATED, before
    elif case.next_step_at is not None and case.next_step_at != before and case.next_step_at <= timezone.now():
        jobs.enqueue("dunning.tasks.review", case.pk)


def _move_on(case: DunningCase, suggestion: Suggestion) -> None:
    now = timezone.now()
    if suggestion.state == State.EXECUTED:
        case.plan = _without(case.plan, suggestion.kind)
    if suggestion.state in (State.EXECUTED, State.CONFIRMED):
        if suggestion.kind == ESCALATE:
            case.state, case.next_step_at, case.escalated_at = CaseState.ESCALATED, None, now
            sla.start(case, now)
        else:
            case.state = CaseState.WAITING
        further = services.next_time(case, now=now)
        if suggestion.kind == GRACE:
            case.grace_period_until = datetime.fromisoformat(suggestion.params["until"])
            case.next_step_at = min(further or case.grace_period_until, case.grace_period_until)
        elif suggestion.kind == NOTIFY:
            case.next_step_at = min(further or services.notice_ends(now), services.notice_ends(now))
        elif suggestion.kind == RETRY:
            case.next_step_at = further  # beside that, its event makes the next step
        elif suggestion.kind in (TAKE_OVER, END_GRACE):
            # What follows them is up to us alone, and need not wait.
            if suggestion.kind == END_GRACE:
                case.grace_period_until = None
            if suggestion.state == State.EXECUTED:
                case.next_step_at = now
        elif suggestion.kind == PAUSE and suggestion.state == State.CONFIRMED:
            case.next_step_at = now  # the sequence may want the customer to be told
        elif suggestion.kind != ESCALATE:
            case.next_step_at = further or services.notice_ends(now)
    elif suggestion.state in _SAID_NO:
        # A person said no, or it did not work: nobody should have to remember the case, so it comes up again.
        case.next_step_at = case.next_step_at or services.notice_ends(now)
    else:
        case.state, case.next_step_at = CaseState.OPEN, now


def _without(plan: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    """The plan without the step that was carried out, the first of its kind: what is done is not to come any more."""
    done = next((index for index, step in enumerate(plan) if step.get("kind") == kind), None)
    return [step for index, step in enumerate(plan) if index != done]


def _give_credit(case: DunningCase, suggestion: Suggestion, *, actor: Actor) -> None:
    """The payment's event may close the case before the answer of the retry that brought it is recorded."""
    if suggestion.kind == RETRY and suggestion.state == State.CONFIRMED and not case.recovered_by:
        case.recovered_by = RETRY
        save_with_history(case, actor=actor, reason="the retry that brought the payment is confirmed")
