"""Two unpaid invoices of one subscription, each of whose cases was given a grace period."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from approvals.models import Suggestion
from approvals.states import State
from billingops.actors import Actor
from dunning import planning
from dunning.models import DunningCase
from dunning.plan.steps import END_GRACE
from dunning.tests.conftest import Debtor

WORKER = Actor.system("dunning")


@pytest.fixture
def two(debtor: Debtor, deliver: Callable[..., Any], no_stripe_retries: None) -> list[DunningCase]:
    for _ in range(2):
        debtor.fail("insufficient_funds")
        deliver()
    return list(DunningCase.objects.order_by("pk"))


def given(debtor: Debtor, deliver: Callable[..., Any], until: datetime | None) -> None:
    """What stands in the subscription."""
    text = until.isoformat() if until else ""
    debtor.stripe.v1.subscriptions.update(debtor.subscription, {"metadata": {"grace_period_until": text}})
    deliver()


def review(case: DunningCase) -> None:
    DunningCase.objects.filter(pk=case.pk).update(next_step_at=timezone.now() - timedelta(minutes=1))
    planning.review(case_id=case.pk, actor=WORKER)


def ends() -> list[Suggestion]:
    return list(Suggestion.objects.filter(kind=END_GRACE).order_by("id"))


def test_its_end_is_asked_for_by_one_case_and_done_once(
    debtor: Debtor, deliver: Callable[..., Any], two: list[DunningCase], decide: Callable[..., Suggestion]
) -> None:
    over = timezone.now() - timedelta(hours=1)
    DunningCase.objects.update(grace_period_until=over)
    given(debtor, deliver, over)
    for case in two:
        review(case)
    (end,) = ends()
    assert end.subject == two[0].invoice
    decide(end)
    deliver()
    end.refresh_from_db()
    assert end.state == State.CONFIRMED
    review(two[1])
    assert ends() == [end]  # the other case finds it ended


def test_a_later_date_that_another_case_was_given_has_to_pass(
    debtor: Debtor, deliver: Callable[..., Any], two: list[DunningCase]
) -> None:
    now = timezone.now()
    DunningCase.objects.filter(pk=two[0].pk).update(grace_period_until=now - timedelta(hours=1))
    given(debtor, deliver, now + timedelta(days=3))
    review(two[0])
    assert not ends()
    two[0].refresh_from_db()
    assert END_GRACE in [step["kind"] for step in two[0].plan]  # should the other case be paid by then
    given(debtor, deliver, now - timedelta(minutes=1))
    review(two[0])
    assert len(ends()) == 1
