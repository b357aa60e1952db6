"""Several people and the gate on one dunning case at once, on PostgreSQL, where rows are really locked side by side."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from approvals import services as gate
from approvals.models import AuditEntry, Suggestion
from approvals.services import AlreadyTaken
from billingops.actors import Actor
from billingops.exceptions import BillingOpsError, VersionConflict
from dunning import sweeps, work
from dunning.models import CaseNote, DunningCase
from dunning.plan.steps import ESCALATE
from dunning.reasons import Category
from tests.test_races import at_once

pytestmark = [pytest.mark.postgres, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def case() -> DunningCase:
    return DunningCase.objects.create(
        invoice="in_race",
        customer="cus_race",
        currency="eur",
        amount_remaining=7900,
        category=Category.LATER.value,
        last_failed_at=timezone.now(),
    )


def suggest(case: DunningCase, number: int = 0) -> Suggestion:
    suggestion = gate.propose(
        kind=ESCALATE,
        subject=case.invoice,
        customer=case.customer,
        params={"title": "Unpaid", "text": "Unpaid."},
        facts={"invoice": case.invoice},
        rationale="It is unpaid.",
        suggested_by="test",
        dedupe_key=f"race:{number}",
        actor=Actor.system("test"),
    ).suggestion
    assert suggestion is not None
    return suggestion


def test_of_many_who_take_it_at_once_one_has_it(case: DunningCase, make_user: Callable[..., Any]) -> None:
    users = [make_user(f"support{number}", "Support") for number in range(6)]
    results = at_once(6, lambda n: work.take(case_id=case.pk, actor=Actor.person(users[n])))
    (winner,) = [result for result in results if isinstance(result, DunningCase)]
    assert sum(isinstance(result, AlreadyTaken) for result in results) == 5
    case.refresh_from_db()
    assert (case.owner_id, case.version) == (winner.owner_id, 2)
    assert CaseNote.objects.count() == 1
    assert AuditEntry.objects.filter(action="case.take").count() == 1


def test_of_two_steps_on_the_same_version_one_is_told(case: DunningCase, make_user: Callable[..., Any]) -> None:
    users = [make_user(f"support{number}", "Support") for number in range(4)]
    day = timezone.localdate() + timedelta(days=2)

    def act(number: int) -> Any:
        actor = Actor.person(users[number])
        if number % 2:
            return work.pause(case_id=case.pk, actor=actor, version=1, text="x")
        return work.promise(case_id=case.pk, actor=actor, version=1, day=day)

    results = at_once(4, act)
    assert sum(isinstance(result, DunningCase) for result in results) == 1
    assert sum(isinstance(result, VersionConflict) for result in results) == 3
    case.refresh_from_db()
    assert case.paused != bool(case.promised_for)


def test_pausing_while_the_gate_decides_never_blocks_and_leaves_one_story(
    case: DunningCase, finance: Any, support_agent: Any
) -> None:
    """The gate locks suggestion, log, case; so does the pause, which drops several suggestions. Nobody deadlocks."""
    for round_ in range(6):
        case.refresh_from_db()
        suggestions = [suggest(case, 10 * round_ + number) for number in range(4)]

        def act(number: int, version: int = case.version, found: Any = suggestions) -> Any:
            if number == 0:
                return work.pause(case_id=case.pk, actor=Actor.person(support_agent), version=version, text="x")
            one = found[number]
            verb: Any = gate.reject if number % 2 else gate.approve
            given = {"reason_code": "not_needed", "comment": "x"} if number % 2 else {}
            return verb(suggestion_id=one.pk, actor=Actor.person(finance), version=one.version, **given)

        results = at_once(4, act)
        assert all(isinstance(result, (DunningCase, Suggestion, BillingOpsError)) for result in results), results
        assert isinstance(results[0], DunningCase)
        ended = Suggestion.objects.filter(pk__in=[one.pk for one in suggestions]).values_list("state", flat=True)
        assert set(ended) <= {"superseded", "cancelled", "rejected"}
        paused = DunningCase.objects.get(pk=case.pk)
        assert paused.paused
        work.resume(case_id=case.pk, actor=Actor.person(support_agent), version=paused.version)


def test_many_workers_hand_a_late_case_on_once(case: DunningCase) -> None:
    DunningCase.objects.update(sla_due_at=timezone.now() - timedelta(hours=1))
    results = at_once(6, lambda n: sweeps.hand_on(case.pk))
    assert sorted(results) == ["handed on", *["nothing"] * 5]
    case.refresh_from_db()
    assert (case.sla_level, CaseNote.objects.count()) == (1, 1)
