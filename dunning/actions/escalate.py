"""escalate: a support task for a person. Nothing reaches Stripe or the customer."""

from __future__ import annotations

from approvals import registry
from approvals.models import Execution, Suggestion
from approvals.registry import Kind, Outcome, Preview
from dunning import support_tasks
from dunning.actions import common
from dunning.models import SupportTask
from dunning.plan.steps import ESCALATE, GRACE, NOTIFY, RETRY


def preview_escalation(suggestion: Suggestion) -> Preview:
    return Preview(f"Opens a support task: “{suggestion.params['title']}”. Nothing is charged or sent.")


def hand_over(suggestion: Suggestion, execution: Execution) -> Outcome:
    task = support_tasks.open_for(suggestion=suggestion, execution=execution, actor=common.WORKER)
    return Outcome(f"task:{task.pk}", summary="support task opened")


def look_up_task(suggestion: Suggestion, execution: Execution) -> Outcome | None:
    task = SupportTask.objects.filter(suggestion=suggestion).first()
    return Outcome(f"task:{task.pk}", summary="support task opened") if task else None


def register() -> None:
    registry.register(
        Kind(
            name=ESCALATE,
            label="Escalation",
            alternatives=(RETRY, NOTIFY, GRACE),
            params_schema={"title": str, "text": str},
            moves_money=False,
            preview=preview_escalation,
            execute=hand_over,
            look_up=look_up_task,
            **common.SHARED,
        )
    )
