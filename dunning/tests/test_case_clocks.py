"""What time does to cases: promises not kept, hand-overs that nobody acted on, grace that has ended."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from django.utils import timezone

from approvals.models import AuditEntry
from billingops.actors import Actor
from dunning import sweeps, work
from dunning.models import CaseNote, DunningCase
from dunning.models.cases import promise_ends
from dunning.states import CaseState
from dunning.tests.conftest import Debtor, only_case
from sandbox import Fault

pytestmark = pytest.mark.django_db


@pytest.fixture
def case(debtor: Debtor, deliver: Callable[..., Any]) -> DunningCase:
    debtor.fail("expired_card")
    deliver()
    return only_case()


@pytest.fixture
def agent(support_agent: Any) -> Actor:
    return Actor.person(support_agent)


def change(**values: Any) -> None:
    DunningCase.objects.update(**values)


def days_ago(days: int) -> date:
    return timezone.now().date() - timedelta(days=days)


# -- promises ----------------------------------------------------------------------------------------------------------


def test_a_day_has_ended_when_it_has_ended_everywhere() -> None:
    assert promise_ends(date(2026, 11, 27)) == datetime(2026, 11, 28, 12, tzinfo=UTC)


def test_a_promise_that_was_not_kept_brings_the_case_up_again(
    case: DunningCase, agent: Actor, run_jobs: Callable[[], int]
) -> None:
    work.promise(case_id=case.pk, actor=agent, version=1, day=timezone.localdate() + timedelta(days=1))
    assert sweeps.promises() == 0  # its day is still to come
    change(promised_for=days_ago(3))
    assert sweeps.promises() == 1
    run_jobs()
    broken = only_case()
    assert (broken.promised_for, broken.promises_broken) == (None, 1)
    assert CaseNote.objects.get(kind="broken").facts == {"day": days_ago(3).isoformat()}
    assert AuditEntry.objects.filter(action="case.promise_broken").count() == 1
    assert sweeps.promises() == 0
    assert sweeps.promise_ended(case.pk) == "nothing"  # it may be called twice
    assert only_case().promises_broken == 1


def test_nobody_breaks_a_promise_whose_payment_is_only_late_in_the_post(debtor: Debtor, case: DunningCase) -> None:
    change(promised_for=days_ago(3))
    debtor.mend()
    debtor.stripe.v1.invoices.pay(case.invoice)  # the event has not come yet
    assert sweeps.promise_ended(case.pk) == "closed"
    paid = only_case()
    assert (paid.state, paid.promises_broken, paid.promised_for) == (CaseState.RECOVERED, 0, None)
    assert CaseNote.objects.filter(kind="kept").count() == 1


def test_a_promise_is_not_judged_while_stripe_does_not_answer(case: DunningCase, sandbox: Any) -> None:
    change(promised_for=days_ago(3))
    sandbox.faults.add(Fault("error_before", method="GET", path=f"/v1/invoices/{case.invoice}", times=20))
    assert sweeps.promise_ended(case.pk) == "later"
    assert only_case().promised_for == days_ago(3)


# -- hand-overs --------------------------------------------------------------------------------------------------------


def test_who_does_not_act_in_time_is_relieved_by_the_lead(
    case: DunningCase, agent: Actor, finance: Any, lead: Any, run_jobs: Callable[[], int]
) -> None:
    work.hand_over(case_id=case.pk, actor=agent, version=1, to=finance, text="Call them.")
    assert sweeps.hand_overs() == 0
    change(sla_due_at=timezone.now() - timedelta(minutes=1))
    assert sweeps.hand_overs() == 1
    run_jobs()
    first = only_case()
    assert (first.owner, str(first.owner_group), first.sla_level, first.is_late) == (None, "Finance lead", 1, True)
    assert first.sla_due_at is not None
    assert first.sla_due_at > timezone.now() + timedelta(hours=23)
    assert CaseNote.objects.filter(kind="late").first().facts == {"level": 1, "to": "Finance lead", "from": "finance"}

    change(sla_due_at=timezone.now() - timedelta(minutes=1))
    sweeps.hand_overs()
    run_jobs()
    second = only_case()
    assert (second.sla_level, str(second.owner_group)) == (2, "Finance lead")
    assert sweeps.hand_overs() == 0  # there is no further level: it stays overdue
    assert list(DunningCase.objects.overdue(timezone.now())) == [second]
    assert sweeps.hand_on(case.pk) == "nothing"

    work.write(case_id=case.pk, actor=Actor.person(lead), kind="call", text="Reached them.")
    acted = only_case()
    assert (acted.sla_level, acted.is_late) == (0, False)
    assert not DunningCase.objects.overdue(timezone.now()).exists()


def test_the_clock_rests_until_the_promised_day_has_ended(case: DunningCase, agent: Actor, finance: Any) -> None:
    work.hand_over(case_id=case.pk, actor=agent, version=1, to=finance, text="Call them.")
    day = timezone.localdate() + timedelta(days=3)
    promised = work.promise(case_id=case.pk, actor=Actor.person(finance), version=2, day=day)
    assert promised.sla_due_at == promise_ends(day) + timedelta(hours=24)


def test_nobody_is_late_with_what_is_paused_or_over(
    debtor: Debtor, case: DunningCase, agent: Actor, finance: Any, deliver: Callable[..., Any]
) -> None:
    work.hand_over(case_id=case.pk, actor=agent, version=1, to=finance, text="Call them.")
    assert work.pause(case_id=case.pk, actor=agent, version=2, text="moving").sla_due_at is None
    assert work.resume(case_id=case.pk, actor=agent, version=3).sla_due_at is not None
    debtor.mend()
    debtor.stripe.v1.invoices.pay(case.invoice)
    deliver()
    assert (only_case().state, only_case().sla_due_at) == (CaseState.RECOVERED, None)


def test_without_hours_nobody_is_hurried(case: DunningCase, agent: Actor, finance: Any, settings: Any) -> None:
    settings.DUNNING = {"sla_hours": ()}
    handed = work.hand_over(case_id=case.pk, actor=agent, version=1, to=finance, text="Call them.")
    assert handed.sla_due_at is None
    assert sweeps.hand_overs() == 0


# -- grace -------------------------------------------------------------------------------------------------------------


def test_a_grace_period_that_has_ended_makes_the_case_due(case: DunningCase, run_jobs: Callable[[], int]) -> None:
    now = timezone.now()
    change(grace_period_until=now + timedelta(hours=1), planned_at=now - timedelta(days=7), next_step_at=None)
    assert sweeps.grace_periods() == 0
    change(grace_period_until=now - timedelta(minutes=1))
    assert sweeps.grace_periods() == 1
    assert sweeps.grace_ended(case.pk) == "due"
    due = only_case()
    assert due.next_step_at is not None
    assert due.next_step_at <= timezone.now()
    change(planned_at=timezone.now(), next_step_at=None)
    assert sweeps.grace_periods() == 0  # it was planned since; that plan knows of it
