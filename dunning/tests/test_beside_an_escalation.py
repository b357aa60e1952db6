"""A person has the case: what becomes of its steps beside that is theirs to see; nothing is planned anew meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from approvals import services as gate
from approvals.models import Suggestion
from approvals.states import State
from billingops.actors import Actor
from dunning import planning, support_tasks, tasks
from dunning.models import DunningCase, SupportTask
from dunning.plan.steps import ESCALATE, RETRY
from dunning.states import CaseState
from dunning.tests.cases import open_cases

pytestmark = pytest.mark.django_db
WORKER = Actor.system("dunning")


@pytest.fixture
def case() -> DunningCase:
    """With a retry that waits at the gate, and, as of a moment ago, with a person."""
    open_cases(1)
    planning.review_many(actor=WORKER)
    case = DunningCase.objects.get()
    assert [one.kind for one in at_the_gate()] == [RETRY]
    DunningCase.objects.update(state=CaseState.ESCALATED, next_step_at=None)
    case.refresh_from_db()
    return case


def at_the_gate() -> list[Suggestion]:
    return list(Suggestion.objects.filter(state=State.PENDING).order_by("id"))


def expire() -> None:
    Suggestion.objects.filter(state=State.PENDING).update(expires_at=timezone.now() - timedelta(minutes=1))
    assert gate.expire_due(actor=WORKER) == 1


def test_what_expires_is_not_planned_anew(case: DunningCase, run_jobs: Callable[[], int]) -> None:
    expire()
    assert run_jobs() == 0  # nobody is asked to look at it
    assert tasks.follow_up() == 0
    case.refresh_from_db()
    assert (case.state, case.next_step_at) == (CaseState.ESCALATED, None)
    assert not at_the_gate()


def test_it_comes_up_again_after_the_person_is_done(case: DunningCase, support_agent: Any) -> None:
    expire()
    given = Suggestion.objects.create(
        kind=ESCALATE, subject=case.invoice, state=State.CONFIRMED, params={}, facts={}, rationale="-",
        suggested_by="-", dedupe_key="escalated", expires_at=timezone.now(),
    )  # fmt: skip
    task = SupportTask.objects.create(suggestion=given, case=case, customer=case.customer, title="-", text="-")
    support_tasks.complete(
        task_id=task.pk, actor=Actor.person(support_agent), version=task.version, result="They will pay."
    )
    case.refresh_from_db()
    assert case.state == CaseState.WAITING
    assert case.next_step_at is not None
    DunningCase.objects.update(next_step_at=timezone.now() - timedelta(minutes=1))
    assert planning.review_many(actor=WORKER) == 1
    assert RETRY in [one.kind for one in at_the_gate()]


def test_what_expires_while_nobody_has_the_case_is_planned_anew(case: DunningCase, run_jobs: Callable[[], int]) -> None:
    DunningCase.objects.update(state=CaseState.OPEN)
    expire()
    case.refresh_from_db()
    assert case.next_step_at is not None
    assert case.next_step_at <= timezone.now()
    assert planning.review_many(actor=WORKER) == 1
    assert [one.kind for one in at_the_gate()] == [RETRY]
