"""After the approval: one effect, whatever happens to the worker, the connection or the order of things."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from approvals import executions, services, tasks
from approvals.models import Execution, Policy
from approvals.states import State
from billingops.actors import Actor
from billingops.exceptions import InvalidTransition, VersionConflict
from billingops.stripe.errors import Ambiguous, Refused, Throttled

SYSTEM = Actor.system("inbox")


class WorkerKilled(BaseException):
    """What a SIGKILL looks like from inside: nothing after it runs."""


def raising(error):
    def act():
        raise error

    return act


@pytest.fixture
def approved(propose, finance):
    return services.approve(suggestion_id=propose().pk, actor=Actor.person(finance), version=1)


def state_of(suggestion):
    suggestion.refresh_from_db()
    return suggestion.state, suggestion.executions.order_by("-attempt").first().state


def long_ago(execution):
    Execution.objects.filter(pk=execution.pk).update(
        started_at=timezone.now() - timedelta(hours=1), finished_at=timezone.now() - timedelta(hours=1),
        not_before=timezone.now() - timedelta(hours=1),
    )  # fmt: skip


def test_the_worker_carries_it_out_and_the_event_confirms_it(approved, run_jobs, bank):
    run_jobs()
    assert state_of(approved) == (State.EXECUTED, "executed")
    execution = approved.executions.get()
    assert (execution.object_id, execution.request_id) == ("tr_1", "req_1")
    assert services.confirm(suggestion_id=approved.pk, event_id="evt_1", object_id="tr_1", actor=SYSTEM)
    assert state_of(approved) == (State.CONFIRMED, "confirmed")
    assert services.confirm(suggestion_id=approved.pk, event_id="evt_1", object_id="tr_1", actor=SYSTEM)


def test_a_task_delivered_twice_has_one_effect(approved, bank):
    execution = approved.executions.get()
    for _ in range(3):
        tasks.execute(execution.pk)
    assert len(bank.effects) == 1


def test_the_event_may_overtake_the_answer(approved, bank):
    execution = approved.executions.get()
    bank.after = lambda: services.confirm(suggestion_id=approved.pk, event_id="evt_1", object_id="tr_1", actor=SYSTEM)
    tasks.execute(execution.pk)
    assert state_of(approved) == (State.CONFIRMED, "confirmed")


def test_an_event_of_another_object_confirms_nothing(approved, run_jobs):
    run_jobs()
    assert not services.confirm(suggestion_id=approved.pk, event_id="evt_1", object_id="tr_other", actor=SYSTEM)
    assert state_of(approved) == (State.EXECUTED, "executed")


def test_a_definite_refusal_fails_and_a_retry_has_a_new_key(approved, bank, finance, run_jobs):
    bank.before = raising(Refused("insufficient funds", code="balance_insufficient", request_id="req_9"))
    run_jobs()
    first = approved.executions.get()
    assert state_of(approved) == (State.FAILED, "failed")
    assert (first.error_code, first.request_id) == ("balance_insufficient", "req_9")
    bank.before = None
    services.retry(suggestion_id=approved.pk, actor=Actor.person(finance), version=approved.version)
    run_jobs()
    assert state_of(approved) == (State.EXECUTED, "executed")
    assert approved.executions.count() == 2
    assert first.idempotency_key not in bank.effects


@pytest.mark.parametrize("happened", [True, False])
def test_an_ambiguous_answer_is_unknown_until_looked_up(approved, bank, happened, settings):
    error = raising(Ambiguous("connection lost", code="api_connection_error"))
    bank.after, bank.before = (error, None) if happened else (None, error)
    bank.looking = raising(Ambiguous("still no answer"))
    execution = approved.executions.get()
    tasks.execute(execution.pk)
    assert state_of(approved) == (State.UNKNOWN, "unknown")
    bank.looking = None
    long_ago(execution)
    tasks.sweep_executions()
    assert state_of(approved) == ((State.EXECUTED, "executed") if happened else (State.FAILED, "failed"))
    assert len(bank.effects) == int(happened)


def test_nothing_there_is_not_believed_at_once(approved, bank):
    bank.before = raising(Ambiguous("timeout"))
    tasks.execute(approved.executions.get().pk)
    assert state_of(approved) == (State.UNKNOWN, "unknown")


def test_the_event_settles_an_unknown_result(approved, bank):
    bank.after = raising(Ambiguous("connection lost"))
    bank.looking = raising(Ambiguous("still no answer"))
    tasks.execute(approved.executions.get().pk)
    assert services.confirm(suggestion_id=approved.pk, event_id="evt_1", object_id="tr_1", actor=SYSTEM)
    assert state_of(approved) == (State.CONFIRMED, "confirmed")


@pytest.mark.parametrize("moment", ["reading", "before", "after"])
def test_a_worker_killed_at_any_point_loses_nothing_and_repeats_nothing(approved, bank, moment, run_jobs):
    execution = approved.executions.get()
    setattr(bank, moment, raising(WorkerKilled()))
    with pytest.raises(WorkerKilled):
        tasks.execute(execution.pk)
    setattr(bank, moment, None)
    long_ago(execution)
    tasks.sweep_executions()  # finds it due, or hanging
    long_ago(execution)
    tasks.sweep_executions()  # looks the unknown one up
    expected = {"reading": State.EXECUTED, "before": State.FAILED, "after": State.EXECUTED}[moment]
    assert state_of(approved)[0] == expected
    assert len(bank.effects) == (0 if moment == "before" else 1)


def test_our_own_mistake_after_the_call_is_unknown_not_failed(approved, bank):
    bank.after = raising(KeyError("bug"))
    tasks.execute(approved.executions.get().pk)
    assert state_of(approved) == (State.EXECUTED, "executed")  # the look-up that follows finds the effect
    assert len(bank.effects) == 1


def test_facts_that_moved_make_it_stale_and_say_what_moved(approved, bank):
    bank.facts["amount"] = 9000
    tasks.execute(approved.executions.get().pk)
    assert state_of(approved) == (State.STALE, "dropped")
    assert "amount: 13303 → 9000" in approved.executions.get().error
    assert not bank.effects


def test_the_policy_is_asked_again_when_it_is_executed(approved, bank):
    Policy.objects.create(kind="test_payout", mode="off")
    tasks.execute(approved.executions.get().pk)
    assert state_of(approved) == (State.CANCELLED, "dropped")
    assert not bank.effects


def test_a_policy_that_now_asks_for_two_sends_it_back(approved, bank):
    Policy.objects.create(kind="*", two_approvers_over={"usd": 1})
    tasks.execute(approved.executions.get().pk)
    assert state_of(approved) == (State.STALE, "dropped")
    assert not bank.effects


def test_facts_that_cannot_be_read_are_read_again_a_bounded_number_of_times(approved, bank):
    bank.reading = raising(Ambiguous("no answer"))
    execution = approved.executions.get()
    for _ in range(executions.MAX_READS):
        long_ago(execution)
        tasks.execute(execution.pk)
    assert state_of(approved) == (State.STALE, "dropped")


def test_being_throttled_is_repeated_with_the_same_key(approved, bank, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    answers = [Throttled("slow down"), Throttled("slow down")]

    def throttle():
        if answers:
            raise answers.pop()

    bank.before = throttle
    tasks.execute(approved.executions.get().pk)
    assert state_of(approved) == (State.EXECUTED, "executed")
    assert approved.executions.count() == 1


def test_look_ups_end_and_a_person_can_ask_again(approved, bank, finance):
    bank.after = raising(Ambiguous("lost"))
    bank.looking = raising(Ambiguous("no answer"))
    execution = approved.executions.get()
    tasks.execute(execution.pk)
    for _ in range(executions.MAX_LOOK_UPS + 2):
        long_ago(execution)
        tasks.sweep_executions()
    execution.refresh_from_db()
    assert (execution.state, execution.tries) == ("unknown", executions.MAX_LOOK_UPS)
    bank.looking = None
    approved.refresh_from_db()
    services.look_again(suggestion_id=approved.pk, actor=Actor.person(finance), version=approved.version)
    tasks.sweep_executions()
    assert state_of(approved) == (State.EXECUTED, "executed")


def test_a_later_time_is_waited_for(propose, finance, bank, run_jobs):
    import dataclasses

    from approvals import registry

    later = timezone.now() + timedelta(hours=2)
    kind = dataclasses.replace(registry.get("test_payout"), due_at=lambda suggestion: later)
    registry._kinds["test_payout"] = kind  # the bank takes it away again
    suggestion = services.approve(suggestion_id=propose().pk, actor=Actor.person(finance), version=1)
    run_jobs()
    tasks.sweep_executions()
    assert state_of(suggestion) == (State.APPROVED, "queued")
    long_ago(suggestion.executions.get())
    tasks.sweep_executions()
    assert state_of(suggestion) == (State.EXECUTED, "executed")


def test_an_event_that_comes_after_we_gave_up_is_remembered_for_the_retry(approved, bank, finance, run_jobs):
    """The look-up said "not there", then the transfer turned up. The retry finds it and is confirmed at once."""
    bank.before = raising(Refused("not carried out", code="not_carried_out"))
    run_jobs()
    assert not services.confirm(suggestion_id=approved.pk, event_id="evt_late", object_id="tr_1", actor=SYSTEM)
    assert state_of(approved) == (State.FAILED, "failed")
    bank.before = None
    services.retry(suggestion_id=approved.pk, actor=Actor.person(finance), version=approved.version)
    run_jobs()
    assert state_of(approved) == (State.CONFIRMED, "confirmed")
    assert approved.executions.order_by("-attempt").first().confirmed_event == "evt_late"


def test_a_broken_execution_does_not_stop_the_others(propose, finance, bank):
    broken, whole = propose(), propose(dedupe_key="b")
    for suggestion in (broken, whole):
        services.approve(suggestion_id=suggestion.pk, actor=Actor.person(finance), version=1)
    type(broken).objects.filter(pk=broken.pk).update(kind="no_such_kind")
    tasks.sweep_executions()
    assert state_of(whole) == (State.EXECUTED, "executed")
    assert state_of(broken) == (State.APPROVED, "queued")


@pytest.mark.parametrize("version", [1, 99])
def test_another_look_up_is_asked_for_on_the_page_as_it_is_now(approved, bank, finance, version):
    bank.after = raising(Ambiguous("lost"))
    bank.looking = raising(Ambiguous("no answer"))
    tasks.execute(approved.executions.get().pk)
    with pytest.raises(VersionConflict):
        services.look_again(suggestion_id=approved.pk, actor=Actor.person(finance), version=version)


def test_only_an_unknown_result_is_looked_up_again(approved, finance):
    with pytest.raises(InvalidTransition):
        services.look_again(suggestion_id=approved.pk, actor=Actor.person(finance), version=approved.version)


def test_what_falls_due_together_is_handed_on_and_not_carried_out_by_one_sweep(propose, finance, bank, run_jobs):
    """A thousand whose time to be taken back ends together would keep one task far beyond the queue's limit, which
    kills it in the middle of a call."""
    Policy.objects.create(kind="test_payout", undo_seconds=60)
    made = [propose(dedupe_key=f"due-{number}") for number in range(tasks.AT_ONCE + 5)]
    for suggestion in made:
        services.approve(suggestion_id=suggestion.pk, actor=Actor.person(finance), version=1)
    run_jobs()
    assert not bank.effects
    Execution.objects.update(not_before=timezone.now() - timedelta(seconds=1))
    assert tasks.sweep_executions()["due"] <= tasks.AT_ONCE
    assert len(bank.effects) <= tasks.AT_ONCE
    run_jobs()
    assert len(bank.effects) == len(made)


def test_look_ups_that_take_long_do_not_keep_what_is_due_from_its_turn(propose, finance, bank, monkeypatch):
    lost, whole = propose(), propose(dedupe_key="b")
    bank.after = raising(Ambiguous("lost"))
    bank.looking = raising(Ambiguous("no answer"))
    services.approve(suggestion_id=lost.pk, actor=Actor.person(finance), version=1)
    tasks.execute(lost.executions.get().pk)
    bank.after = None
    services.approve(suggestion_id=whole.pk, actor=Actor.person(finance), version=1)
    long_ago(lost.executions.get())
    monkeypatch.setattr(tasks, "SWEEP_SECONDS", -1.0)
    assert tasks.sweep_executions() == {"due": 1, "stuck": 0, "unknown": 0}
    assert state_of(whole) == (State.EXECUTED, "executed")
    assert state_of(lost) == (State.UNKNOWN, "unknown")  # its turn comes with the next sweep
