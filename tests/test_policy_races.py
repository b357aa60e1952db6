"""Caps and the kill switch under workers that begin at the same time, on PostgreSQL."""

from __future__ import annotations

import threading
import time
from collections import Counter
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from approvals import services, switches, tasks
from approvals.models import AuditEntry, Execution, Policy, PolicyUsage, Suggestion
from approvals.policies import changing
from approvals.tests.conftest import bank, propose  # noqa: F401  (fixtures)
from billingops.actors import Actor
from billingops.stripe.errors import Refused
from tests.test_races import at_once

pytestmark = [pytest.mark.postgres, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def approved(propose, finance):  # noqa: F811
    """Twelve approved payouts of USD 133.03, of four customers."""
    made = []
    for number in range(12):
        suggestion = propose(dedupe_key=str(number), customer=f"cus_{number % 4}")
        services.approve(suggestion_id=suggestion.pk, actor=Actor.person(finance), version=1)
        made.append(suggestion.executions.get().pk)
    return made


@pytest.mark.parametrize(
    ("caps", "most"),
    [
        ({"account_day": {"count": 3}}, 3),
        ({"customer_day": {"count": 1}}, 4),
        ({"day": {"count": 5}}, 5),
        ({"day": {"sum": {"usd": 13303 * 7 + 13302}}}, 7),
    ],
)
def test_workers_that_begin_at_once_do_not_exceed_a_cap_together(approved, bank, caps, most):  # noqa: F811
    Policy.objects.create(kind="test_payout", caps=caps)
    results = at_once(12, lambda n: tasks.execute(approved[n]))
    assert Counter(map(str, results)) == {"executed": most, "queued": 12 - most}
    assert len(bank.effects) == most
    assert PolicyUsage.objects.get(scope="kind").count == most
    assert Execution.objects.exclude(held="").count() == 12 - most


def test_what_fails_at_the_same_time_is_given_back_to_the_last(approved, bank):  # noqa: F811
    def refuse() -> None:
        raise Refused("insufficient funds")

    bank.before = refuse
    at_once(12, lambda n: tasks.execute(approved[n]))
    assert Counter(Execution.objects.values_list("state", flat=True)) == {"failed": 12}
    assert set(PolicyUsage.objects.values_list("count", "amount")) == {(0, 0)}


def test_when_the_click_has_returned_nothing_begins(approved, lead, bank):  # noqa: F811
    begun_before = threading.Event()

    def begin(number: int) -> Any:
        if number == 12:
            begun_before.wait(10)
            answer = switches.flip(kind="", on=True, actor=Actor.person(lead))
            return answer, timezone.now()
        time.sleep(0.01 * number)
        return tasks.execute(approved[number])

    bank.before = begun_before.set
    results = at_once(13, begin)
    flipped, returned = results[12]
    started = list(Execution.objects.exclude(started_at=None).values_list("started_at", flat=True))
    assert started
    assert all(moment < returned for moment in started)
    assert len(bank.effects) == len(started)
    assert Execution.objects.filter(state="queued").count() == 12 - len(started)
    assert AuditEntry.objects.filter(action="kill_switch.on").count() == 1
    assert {execution.pk for execution in flipped.running} <= set(approved)


def test_a_flip_waits_for_what_is_just_beginning_and_names_it(approved, lead, bank, monkeypatch):  # noqa: F811
    """Somebody stops everything between an execution's look at the switch and its commit."""
    from approvals import executions

    looked, flipping = threading.Event(), threading.Event()
    real = executions.usage.take

    def slowly(*args: Any, **kwargs: Any) -> None:
        looked.set()
        flipping.wait(10)
        time.sleep(0.3)  # the flip waits for the lock meanwhile
        real(*args, **kwargs)

    monkeypatch.setattr(executions.usage, "take", slowly)
    seen: list[str] = []
    bank.before = lambda: time.sleep(0.3)

    def act(number: int) -> Any:
        if number == 0:
            return tasks.execute(approved[0])
        looked.wait(10)
        flipping.set()
        flipped = switches.flip(kind="test_payout", on=True, actor=Actor.person(lead))
        seen.extend(execution.state for execution in flipped.running)
        return flipped

    results = at_once(2, act)
    assert results[0] == "executed"
    assert seen == ["executing"]
    assert [execution.pk for execution in results[1].running] == [approved[0]]


def test_a_policy_changed_while_workers_begin_holds_for_all_that_begin_after_it(approved, lead, bank):  # noqa: F811
    Policy.objects.create(kind="test_payout")

    def act(number: int) -> Any:
        if number == 12:
            values = {"destinations": ["acct_other"]}
            changing.change(kind="test_payout", account="", values=values, version=1, actor=Actor.person(lead))
            return timezone.now()
        time.sleep(0.01 * number)
        return tasks.execute(approved[number])

    results = at_once(13, act)
    assert not any(isinstance(result, Exception) for result in results)
    started = Execution.objects.exclude(started_at=None)
    assert all(moment < results[12] for moment in started.values_list("started_at", flat=True))
    assert Suggestion.objects.filter(state="stale").count() == 12 - started.count()


def test_flips_changes_and_executions_at_once_never_wait_for_each_other_in_a_circle(approved, lead):
    Policy.objects.create(kind="test_payout")

    def act(number: int) -> Any:
        if number < 12:
            return tasks.execute(approved[number])
        if number < 14:
            for on in (True, False) * 3:
                switches.flip(kind="", on=on, actor=Actor.person(lead), reason="test")
            return tasks.wake_held("*", "")
        for step in range(3):
            version = Policy.objects.get().version
            values = {"undo_seconds": step + 1}
            changing.change(kind="test_payout", account="", values=values, version=version, actor=Actor.person(lead))
        return tasks.wake_held("test_payout", "acct_1")

    results = at_once(15, act)
    assert [result for result in results if isinstance(result, Exception)] == []
    Execution.objects.filter(state="queued").update(not_before=timezone.now())
    tasks.sweep_executions()
    assert Counter(Execution.objects.values_list("state", flat=True)) == {"executed": 12}
    assert PolicyUsage.objects.get(scope="kind").count == 12
    connection.close()
