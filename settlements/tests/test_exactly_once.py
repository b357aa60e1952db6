"""One effect for one approval, where it is hardest: workers that wake up late, keys that Stripe forgot, reversals that
look alike, look-ups without an answer."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from approvals import executions
from approvals import services as gate
from approvals.models import Execution, Suggestion
from approvals.states import State
from billingops.actors import Actor
from sandbox import Fault
from settlements import actions, lookups

pytestmark = pytest.mark.django_db
PRODUCT = ("acct_bakery", 10_000)


@pytest.fixture
def queued(market, approve):
    """`queued()` → the suggestion and the attempt of an approved payout that no worker has touched."""

    def make():
        _, record = market.settled(PRODUCT)
        suggestion = approve(record)
        return suggestion, Execution.objects.get(suggestion=suggestion)

    return make


def again(suggestion, person):
    """A person asks for another attempt; returns it."""
    suggestion.refresh_from_db()
    gate.retry(suggestion_id=suggestion.pk, actor=Actor.person(person), version=suggestion.version)
    return suggestion.executions.latest("attempt")


def posts(sandbox, path):
    return [request for request in sandbox.requests if request.method == "POST" and request.path == path]


def test_a_worker_that_wakes_up_after_another_attempt_has_paid_sends_nothing(
    market, queued, finance, monkeypatch, settings
):
    settings.EXECUTION_LOOKUP_SECONDS = 0
    suggestion, first = queued()
    look = lookups.transfer_of
    meanwhile = []

    def stopped(asked):
        found = look(asked)
        if not meanwhile:  # stopped right after its look-up; all of this happens before it goes on
            meanwhile.append(executions.record_unknown(first.pk, code="worker_lost", message="no sign of it"))
            meanwhile.append(executions.resolve(first.pk))
            meanwhile.append(executions.execute(again(suggestion, finance).pk))
        return found

    monkeypatch.setattr(lookups, "transfer_of", stopped)
    executions.execute(first.pk)
    assert meanwhile == ["unknown", "failed", "executed"]
    assert len(market.transfers()) == 1
    assert [execution.state for execution in suggestion.executions.all()] == ["failed", "executed"]


def test_an_attempt_that_is_a_day_late_is_not_sent_with_a_key_that_stripe_forgot(market, queued, sandbox, monkeypatch):
    _, execution = queued()
    look = lookups.transfer_of

    def suspended(asked):
        found = look(asked)
        sandbox.clock.advance(hours=25)
        Execution.objects.filter(pk=execution.pk).update(started_at=timezone.now() - timedelta(hours=25))
        return found

    monkeypatch.setattr(lookups, "transfer_of", suspended)
    assert executions.execute(execution.pk) == Execution.State.FAILED
    execution.refresh_from_db()
    assert execution.error_code == "too_late"
    assert posts(sandbox, "/v1/transfers") == []


def test_a_look_up_without_an_answer_before_the_call_is_a_failure_for_certain(market, queued, sandbox, monkeypatch):
    _, execution = queued()
    find = actions._find_payout

    def lost(*args):
        sandbox.faults.add(Fault("drop_before", method="GET", path="/v1/transfers", times=5))
        return find(*args)

    monkeypatch.setattr(actions, "_find_payout", lost)
    assert executions.execute(execution.pk) == Execution.State.FAILED
    execution.refresh_from_db()
    assert "Nothing was sent" in execution.error
    assert posts(sandbox, "/v1/transfers") == []


@pytest.fixture
def second_reversal(market, approve, queued):
    """Of one transfer the first of two reversals over the same amount is confirmed, the second is approved."""
    suggestion, _ = queued()
    market.run_jobs()
    market.deliver()
    charge = suggestion.params["source_transaction"]
    for _ in range(2):
        market.api.v1.refunds.create({"charge": charge, "amount": 2_000})
        market.deliver()
        asked = Suggestion.objects.filter(kind="transfer_reversal").waiting().get()
        assert asked.amount == 1_400
        approve(asked)
        if not Suggestion.objects.filter(kind="transfer_reversal", state=State.CONFIRMED).exists():
            market.run_jobs()
            market.deliver()
    return asked


@pytest.mark.parametrize(("fault", "found"), [("drop_before", State.FAILED), ("drop_after", State.EXECUTED)])
def test_an_earlier_reversal_of_the_same_amount_is_not_taken_for_this_one(
    market, sandbox, second_reversal, settings, fault, found
):
    settings.EXECUTION_LOOKUP_SECONDS = 0
    path = f"/v1/transfers/{second_reversal.subject}/reversals"
    sandbox.faults.add(Fault(fault, method="POST", path=path))
    market.run_jobs()
    second_reversal.refresh_from_db()
    assert second_reversal.state == found
    [transfer] = market.transfers()
    assert transfer.amount_reversed == (1_400 if found == State.FAILED else 2_800)


def test_a_transfer_that_stripe_does_not_show_leaves_the_reversal_unknown(market, sandbox, second_reversal, settings):
    settings.EXECUTION_LOOKUP_SECONDS = 0
    execution = Execution.objects.get(suggestion=second_reversal)
    path = f"/v1/transfers/{second_reversal.subject}/reversals"
    sandbox.faults.add(Fault("drop_after", method="POST", path=path))
    assert executions.execute(execution.pk) == Execution.State.UNKNOWN
    platform = sandbox.state.platform
    transfer = platform.get("transfer", second_reversal.subject)
    platform.remove(transfer)
    assert executions.resolve(execution.pk) == Execution.State.UNKNOWN
    platform.add(transfer)
    assert executions.resolve(execution.pk) == Execution.State.EXECUTED
