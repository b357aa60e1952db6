"""Thousands of cases in one pass: as one by one, in a number of statements that does not grow."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from approvals.models import Suggestion
from billingops.actors import Actor
from dunning import planning, services, tasks
from dunning.models import DunningCase
from dunning.plan.steps import NOTIFY, RETRY
from dunning.tests.cases import open_cases

pytestmark = pytest.mark.django_db
WORKER = Actor.system("dunning")


def pass_over(count: int) -> int:
    """Statements of one pass over that many cases that are due."""
    with CaptureQueriesContext(connection) as seen:
        assert planning.review_many(actor=WORKER) == count
    return len([one for one in seen if not one["sql"].startswith(("SAVEPOINT", "RELEASE"))])


def test_each_case_gets_its_plan_and_its_suggestions() -> None:
    open_cases(6)
    assert planning.review_many(actor=WORKER) == 6
    for case in DunningCase.objects.all():
        assert case.plan
        assert case.planned_at is not None
        assert case.step == 1
        assert case.suggestion is not None
        assert case.history.count() == 1
        assert case.suggestion.dedupe_key.startswith(f"dunning:platform:{case.invoice}:")
    kinds = set(Suggestion.objects.values_list("kind", flat=True))
    assert {RETRY, NOTIFY} <= kinds


def test_a_second_pass_finds_nothing_due() -> None:
    open_cases(5)
    planning.review_many(actor=WORKER)
    made = Suggestion.objects.count()
    assert planning.review_many(actor=WORKER) == 0
    assert Suggestion.objects.count() == made


def test_what_waits_at_the_gate_is_not_suggested_again() -> None:
    open_cases(5)
    planning.review_many(actor=WORKER)
    made = Suggestion.objects.filter(kind=RETRY).count()
    DunningCase.objects.update(next_step_at=timezone.now() - timedelta(minutes=1))
    planning.review_many(actor=WORKER)
    assert Suggestion.objects.filter(kind=RETRY).count() == made


def test_a_thousand_cases_cost_thirty_statements_at_most() -> None:
    open_cases(20)
    few = pass_over(20)
    DunningCase.objects.all().update(next_step_at=None)
    open_cases(120, start=1000)
    many = pass_over(120)
    assert many <= few
    assert many <= 30


def test_the_sweep_plans_what_is_due(monkeypatch: Any, settings: Any) -> None:
    open_cases(3)
    assert tasks.follow_up() == 3
    assert Suggestion.objects.exists()


def test_a_case_that_somebody_holds_is_left_for_the_next_pass(transactional_db: None) -> None:
    open_cases(2)
    first = DunningCase.objects.order_by("pk").first()
    assert first is not None
    read = list(DunningCase.objects.order_by("pk"))
    DunningCase.objects.filter(pk=first.pk).update(updated_at=timezone.now())
    with transaction.atomic():
        fresh = services.still_due(read)
    assert set(fresh) == {read[1].pk}
