"""Several people and workers at once, on PostgreSQL, where rows are really locked side by side."""

from __future__ import annotations

import threading
import uuid
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied
from django.db import connection
from django.utils import timezone

from approvals import audit, services, summary, tasks
from approvals.models import AuditEntry, Decision, Execution, Policy, Suggestion
from approvals.services import desk
from approvals.tests.conftest import bank, propose  # noqa: F401  (fixtures)
from billingops.actors import Actor
from billingops.exceptions import BillingOpsError

pytestmark = [pytest.mark.postgres, pytest.mark.django_db(transaction=True)]


def at_once(count: int, act: Callable[[int], Any]) -> list[Any]:
    """Run `act(0..count-1)` in threads that start together; returns what each returned or raised."""
    results: list[Any] = [None] * count
    start = threading.Barrier(count)

    def run(number: int) -> None:
        try:
            start.wait()
            results[number] = act(number)
        except Exception as error:
            results[number] = error
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_two_people_who_approve_at_the_same_time_make_one_execution(propose, make_user):  # noqa: F811
    suggestion = propose()
    users = [make_user(f"finance{number}", "Finance") for number in range(6)]
    results = at_once(
        6, lambda n: services.approve(suggestion_id=suggestion.pk, actor=Actor.person(users[n]), version=1)
    )
    assert sum(isinstance(result, Suggestion) for result in results) == 1
    assert all(isinstance(result, (Suggestion, BillingOpsError)) for result in results)
    assert (Execution.objects.count(), Decision.objects.count()) == (1, 1)


def test_the_same_person_in_two_windows_is_one_pair_of_eyes(propose, lead):  # noqa: F811
    Policy.objects.create(kind="*", two_approvers_over={"usd": 1})
    suggestion = propose()

    def approve(number: int) -> Any:
        version = Suggestion.objects.values_list("version", flat=True).get(pk=suggestion.pk)
        return services.approve(suggestion_id=suggestion.pk, actor=Actor.person(lead), version=version)

    at_once(4, approve)
    results = at_once(4, approve)
    assert all(isinstance(result, (PermissionDenied, BillingOpsError)) for result in results)
    assert Decision.objects.count() == 1
    assert not Execution.objects.exists()


def test_one_dedupe_key_one_suggestion_however_many_propose_it(propose):  # noqa: F811
    results = at_once(8, lambda n: propose())
    assert {result.pk for result in results} == {Suggestion.objects.get().pk}


def test_many_workers_with_the_same_task_have_one_effect(propose, finance, bank):  # noqa: F811
    suggestion = services.approve(suggestion_id=propose().pk, actor=Actor.person(finance), version=1)
    execution = suggestion.executions.get()
    calls: Counter[str] = Counter()
    bank.before = lambda: calls.update(["call"])
    at_once(8, lambda n: tasks.execute(execution.pk))
    assert (calls["call"], len(bank.effects)) == (1, 1)
    execution.refresh_from_db()
    assert execution.state == "executed"


def test_the_audit_chain_stays_whole_when_many_write_at_once(db):
    actor = Actor.system("test")

    def write(number: int) -> None:
        for step in range(10):
            audit.record(action="test.step", subject=f"{number}", actor=actor, data={"step": step})

    before = audit.verify().entries
    assert at_once(8, write) == [None] * 8
    assert audit.verify() == audit.Verdict(entries=before + 80)


def test_of_many_who_take_at_once_one_has_it(propose, make_user):  # noqa: F811
    suggestion = propose()
    users = [make_user(f"finance{number}", "Finance") for number in range(6)]
    results = at_once(6, lambda n: services.take(suggestion_id=suggestion.pk, actor=Actor.person(users[n])))
    (winner,) = [result for result in results if isinstance(result, Suggestion)]
    assert sum(isinstance(result, services.AlreadyTaken) for result in results) == 5
    assert Suggestion.objects.get(pk=suggestion.pk).assignee_id == winner.assignee_id
    assert AuditEntry.objects.filter(action="suggestion.taken").count() == 1


def test_of_two_leads_who_give_it_away_at_once_one_is_told(propose, make_user):  # noqa: F811
    suggestion = propose()
    leads = [make_user(f"lead{number}", "Finance lead") for number in range(4)]

    def give(number: int) -> Any:
        to = leads[(number + 1) % 4]
        return services.assign(suggestion_id=suggestion.pk, actor=Actor.person(leads[number]), to=to, seen=None)

    results = at_once(4, give)
    assert sum(isinstance(result, Suggestion) for result in results) == 1
    assert sum(isinstance(result, services.AlreadyTaken) for result in results) == 3


def test_an_approval_and_a_taking_at_once_leave_one_story(propose, finance, lead):  # noqa: F811
    """Either it was taken first and the approval asks again, or it was approved first and there is nothing to take."""
    for _ in range(5):
        suggestion = propose(dedupe_key=f"k{uuid.uuid4()}")

        def act(number: int, one: Suggestion = suggestion) -> Any:
            if number == 0:
                return services.take(suggestion_id=one.pk, actor=Actor.person(lead))
            person = Actor.person(finance)
            return desk.decide(services.approve, suggestion_id=one.pk, actor=person, despite=False, version=1)

        taken, approved = at_once(2, act)
        now = Suggestion.objects.get(pk=suggestion.pk)
        if isinstance(approved, Suggestion):
            assert (now.state, now.assignee_id) == ("approved", None)
            assert isinstance(taken, BillingOpsError)
        else:
            assert isinstance(approved, services.AlreadyTaken)
            assert (now.state, now.assignee_id) == ("pending", lead.pk)


def test_the_summary_of_a_day_goes_once_however_many_workers_send_it(propose, finance, settings):  # noqa: F811
    propose()
    finance.email = "finance@example.com"
    finance.save()
    noon = timezone.now().replace(hour=12)
    assert sum(at_once(6, lambda n: summary.send_due(now=noon))) == 1
