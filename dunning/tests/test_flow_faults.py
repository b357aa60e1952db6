"""Ambiguous results, escalations, the backfill."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.core.exceptions import PermissionDenied

from approvals import executions
from approvals.models import Execution, Suggestion
from approvals.states import State
from billingops.actors import Actor
from billingops.exceptions import InvalidInput, InvalidTransition, VersionConflict
from billingops.stripe.errors import Refused
from dunning import actions, backfill, planning, services, support_tasks
from dunning.models import DunningCase, SupportTask
from dunning.plan.steps import ESCALATE, GRACE, NOTIFY, RETRY
from dunning.states import CaseState, TaskState
from dunning.tests.conftest import Debtor, only_case, waiting
from sandbox import Fault

pytestmark = pytest.mark.django_db


@pytest.fixture
def retry_now(debtor: Debtor, deliver: Callable[..., Any]) -> Suggestion:
    """A retry that is due at once: the customer has another card."""
    debtor.fail("stolen_card")
    deliver()
    debtor.new_card()
    deliver()
    (suggestion,) = waiting()
    assert suggestion.kind == RETRY
    return suggestion


@pytest.mark.parametrize("fault", ["error_after", "drop_after"])
def test_a_charge_with_an_unknown_result_is_found_by_looking(
    retry_now: Suggestion, debtor: Debtor, attempt: Callable[..., Suggestion], fault: str
) -> None:
    debtor.sandbox.faults.add(Fault(fault, method="POST", path=f"/v1/invoices/{retry_now.subject}/pay"))
    assert attempt(retry_now).state == State.UNKNOWN
    executions.resolve(Execution.objects.get().pk)
    retry_now.refresh_from_db()
    assert retry_now.state == State.EXECUTED
    charges = debtor.stripe.v1.charges.list({"customer": debtor.customer}).data
    assert sum(charge.status == "succeeded" for charge in charges) == 2  # the first period, and this one


def test_a_charge_that_never_reached_stripe_fails_after_a_while(
    retry_now: Suggestion, debtor: Debtor, attempt: Callable[..., Suggestion], settings: Any
) -> None:
    settings.EXECUTION_LOOKUP_SECONDS = 0
    debtor.sandbox.faults.add(Fault("error_before", method="POST", path=f"/v1/invoices/{retry_now.subject}/pay"))
    assert attempt(retry_now).state == State.UNKNOWN
    executions.resolve(Execution.objects.get().pk)
    retry_now.refresh_from_db()
    assert retry_now.state == State.FAILED
    assert Execution.objects.get().error_code == "not_carried_out"


def test_the_returning_event_settles_an_unknown_charge(
    retry_now: Suggestion, debtor: Debtor, attempt: Callable[..., Suggestion], deliver: Callable[..., Any]
) -> None:
    debtor.sandbox.faults.add(Fault("drop_after", method="POST", path=f"/v1/invoices/{retry_now.subject}/pay"))
    assert attempt(retry_now).state == State.UNKNOWN
    deliver()
    retry_now.refresh_from_db()
    assert retry_now.state == State.CONFIRMED
    assert only_case().recovered_by == RETRY


@pytest.fixture
def debit(debtor: Debtor, retry_now: Suggestion, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """From now on a collected invoice stays open while its payment is on its way, as with a bank debit. Calling it ends
    that: the next attempt at the sandbox, by hand or not, has its result at once."""
    from sandbox.billing import collection

    intents: list[dict[str, Any]] = []
    collect = collection.collect

    def begin(world: Any, scope: Any, invoice: Any, **given: Any) -> None:
        payment = collection.payment_of(scope, invoice)
        assert payment is not None
        intents.append(scope.get("payment_intent", payment["payment"]["payment_intent"]))
        intents[0].update(status="processing", last_payment_error=None)

    def end() -> None:
        monkeypatch.setattr(collection, "collect", collect)
        intents[0]["status"] = "requires_payment_method"

    monkeypatch.setattr(collection, "collect", begin)
    return end


def test_a_debit_on_its_way_is_unknown_until_it_is_paid(
    retry_now: Suggestion,
    debtor: Debtor,
    debit: Callable[[], None],
    attempt: Callable[..., Suggestion],
    deliver: Callable[..., Any],
    settings: Any,
) -> None:
    settings.EXECUTION_LOOKUP_SECONDS = 0
    assert attempt(retry_now).state == State.UNKNOWN
    execution = Execution.objects.get()
    assert execution.error_code == "payment_processing"
    executions.resolve(execution.pk)
    retry_now.refresh_from_db()
    assert retry_now.state == State.UNKNOWN
    debit()
    debtor.sandbox.retry_invoice(retry_now.subject)
    deliver()
    retry_now.refresh_from_db()
    assert retry_now.state == State.CONFIRMED


def test_a_debit_that_fails_at_last_is_a_failed_retry_and_no_later_payment_confirms_it(
    retry_now: Suggestion,
    debtor: Debtor,
    debit: Callable[[], None],
    attempt: Callable[..., Suggestion],
    deliver: Callable[..., Any],
    settings: Any,
) -> None:
    settings.EXECUTION_LOOKUP_SECONDS = 0
    assert attempt(retry_now).state == State.UNKNOWN
    debit()
    method = retry_now.facts["payment_method"]
    debtor.sandbox.cards.set_outcome(method, "insufficient_funds")
    debtor.sandbox.retry_invoice(retry_now.subject)
    deliver()
    retry_now.refresh_from_db()
    assert retry_now.state == State.FAILED
    debtor.sandbox.cards.set_outcome(method)
    debtor.sandbox.retry_invoice(retry_now.subject)
    deliver()
    retry_now.refresh_from_db()
    assert retry_now.state == State.FAILED
    assert only_case().state == CaseState.RECOVERED


def test_a_grace_period_with_an_unknown_result_is_found_by_looking(
    make_debtor: Callable[..., Debtor], deliver: Callable[..., Any], attempt: Callable[..., Suggestion]
) -> None:
    debtor = make_debtor(days=900)
    debtor.fail("insufficient_funds")
    deliver()
    (suggestion,) = waiting()
    assert suggestion.kind == GRACE
    path = f"/v1/subscriptions/{debtor.subscription}"
    debtor.sandbox.faults.add(Fault("drop_after", method="POST", path=path))
    assert attempt(suggestion).state == State.UNKNOWN
    executions.resolve(Execution.objects.get().pk)
    suggestion.refresh_from_db()
    assert suggestion.state == State.EXECUTED


def test_a_grace_period_whose_attempt_was_given_up_is_not_written_any_more(
    make_debtor: Callable[..., Debtor], deliver: Callable[..., Any], attempt: Callable[..., Suggestion]
) -> None:
    debtor = make_debtor(days=900)
    debtor.fail("insufficient_funds")
    deliver()
    (suggestion,) = waiting()
    debtor.sandbox.faults.add(Fault("drop_before", method="POST", path=f"/v1/subscriptions/{debtor.subscription}"))
    assert attempt(suggestion).state == State.UNKNOWN
    with pytest.raises(Refused, match="Nothing was sent"):
        actions.grace.grant(suggestion, suggestion.executions.get())
    assert "grace_period_until" not in debtor.stripe.v1.subscriptions.retrieve(debtor.subscription).metadata


def test_foreign_metadata_confirms_no_grace_period(
    make_debtor: Callable[..., Debtor], deliver: Callable[..., Any], decide: Callable[..., Suggestion]
) -> None:
    debtor = make_debtor(days=900)
    debtor.fail("insufficient_funds")
    deliver()
    (suggestion,) = waiting()
    decide(suggestion)
    update = debtor.stripe.v1.subscriptions.update
    update(debtor.subscription, {"metadata": {"grace_period_until": "2099-01-01T00:00:00+00:00"}})
    deliver(order=lambda events: [one for one in events if "2099-01-01" in str(one)])  # our own event is lost
    suggestion.refresh_from_db()
    assert suggestion.state == State.EXECUTED
    update(debtor.subscription, {"metadata": {"billingops_suggestion": "not-a-uuid"}})
    deliver()
    suggestion.refresh_from_db()
    assert suggestion.state == State.EXECUTED


# -- escalation --------------------------------------------------------------------------------------------------------


@pytest.fixture
def task(
    make_debtor: Callable[..., Debtor], deliver: Callable[..., Any], decide: Callable[..., Suggestion]
) -> SupportTask:
    make_debtor(email="").fail("expired_card")
    deliver()
    (suggestion,) = waiting()
    assert suggestion.kind == ESCALATE
    assert decide(suggestion).state == State.CONFIRMED
    return SupportTask.objects.get()


def test_an_escalation_opens_one_task_and_hands_the_case_over(task: SupportTask, deliver: Callable[..., Any]) -> None:
    case = only_case()
    assert (task.case, task.state, task.customer) == (case, TaskState.OPEN, case.customer)
    assert case.state == CaseState.ESCALATED
    assert case.money in task.title
    execution = Execution.objects.get()
    again = support_tasks.open_for(suggestion=task.suggestion, execution=execution, actor=Actor.system("worker"))
    assert again == task


def test_a_case_with_a_person_gets_no_further_suggestion(
    task: SupportTask, sandbox: Any, deliver: Callable[..., Any]
) -> None:
    sandbox.retry_invoice(task.case.invoice)
    deliver()
    assert only_case().attempt_count == 2
    assert waiting() == []


def test_support_completes_a_task_with_its_result(task: SupportTask, support_agent: Any) -> None:
    support = Actor.person(support_agent)
    support_tasks.take(task_id=task.pk, actor=support)
    task.refresh_from_db()
    assert task.assigned == support_agent
    with pytest.raises(InvalidInput):
        support_tasks.complete(task_id=task.pk, actor=support, version=task.version, result=" ")
    with pytest.raises(VersionConflict):
        support_tasks.complete(task_id=task.pk, actor=support, version=1, result="called")
    support_tasks.complete(task_id=task.pk, actor=support, version=task.version, result="They will pay on Friday.")
    task.refresh_from_db()
    assert (task.state, task.done_by, task.result) == (TaskState.DONE, "support", "They will pay on Friday.")
    assert only_case().state == CaseState.WAITING
    with pytest.raises(InvalidTransition):
        support_tasks.complete(task_id=task.pk, actor=support, version=task.version, result="again")
    last = task.history.first()
    assert last.history_user == support_agent


@pytest.mark.parametrize("group", ["Finance", "Auditor"])
def test_others_may_not_complete_a_task(task: SupportTask, make_user: Callable[..., Any], group: str) -> None:
    actor = Actor.person(make_user("other", group))
    with pytest.raises(PermissionDenied):
        support_tasks.complete(task_id=task.pk, actor=actor, version=task.version, result="done")
    with pytest.raises(PermissionDenied):
        support_tasks.take(task_id=task.pk, actor=actor)


def test_a_task_of_another_account_is_out_of_reach(task: SupportTask, make_user: Callable[..., Any]) -> None:
    actor = Actor.person(make_user("limited", "Support", accounts=["acct_other"]))
    with pytest.raises(PermissionDenied):
        support_tasks.complete(task_id=task.pk, actor=actor, version=task.version, result="done")


def test_a_payment_closes_the_task_too(
    task: SupportTask, sandbox: Any, stripe_api: Any, deliver: Callable[..., Any]
) -> None:
    method = stripe_api.v1.payment_methods.attach("pm_card_visa", {"customer": task.customer})
    stripe_api.v1.invoices.pay(task.case.invoice, {"payment_method": method.id})
    deliver()
    task.refresh_from_db()
    assert (task.state, task.done_by) == (TaskState.DONE, "system:inbox")
    assert only_case().state == CaseState.RECOVERED


# -- backfill ----------------------------------------------------------------------------------------------------------


def test_the_backfill_suggests_for_what_the_mirror_holds_and_nothing_twice(
    debtor: Debtor, deliver: Callable[..., Any]
) -> None:
    invoice = debtor.fail("expired_card")
    deliver()
    DunningCase.history.all().delete()
    DunningCase.objects.update(suggestion=None)
    Suggestion.objects.all()._raw_delete("default")
    DunningCase.objects.all()._raw_delete("default")
    assert list(backfill.unpaid_invoices(None)) == [(invoice, True)]
    (suggestion,) = waiting()
    assert suggestion.kind == NOTIFY
    assert list(backfill.unpaid_invoices(None)) == [(invoice, False)]
    assert len(waiting()) == 1
    assert only_case().decline_code == "expired_card"


def test_one_broken_invoice_does_not_end_the_backfill(
    debtor: Debtor, deliver: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    broken, sound = debtor.fail("expired_card"), debtor.fail("expired_card")
    deliver()
    take_up = planning.take_up

    def breaks(*, invoice: str, **given: Any) -> Any:
        if invoice == broken:
            raise KeyError("a payload nobody expected")
        return take_up(invoice=invoice, **given)

    monkeypatch.setattr(planning, "take_up", breaks)
    assert dict(backfill.unpaid_invoices(None)).keys() == {broken, sound}
    assert f"{broken} was left out" in caplog.text


def test_one_case_that_cannot_be_queued_does_not_end_the_sweep(
    debtor: Debtor, deliver: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from django.utils import timezone

    from billingops import jobs
    from dunning import tasks

    debtor.fail("expired_card")
    debtor.fail("expired_card")
    deliver()
    DunningCase.objects.update(next_step_at=timezone.now())
    first = min(DunningCase.objects.values_list("pk", flat=True))
    queued: list[int] = []

    def enqueue(task: str, case_id: int) -> None:
        if case_id == first:
            raise RuntimeError("the queue is full")
        queued.append(case_id)

    monkeypatch.setattr(jobs, "enqueue", enqueue)
    monkeypatch.setattr(planning, "is_for_one_by_one", lambda: True)  # as where a model words the messages
    assert tasks.follow_up() == 1
    assert len(queued) == 1


def test_the_mirror_and_stripe_tell_the_same_facts(debtor: Debtor, deliver: Callable[..., Any]) -> None:
    from dunning import facts

    invoice = debtor.fail("expired_card", network_decline_code="54")
    deliver()
    mirrored, live = facts.read(invoice, "", live=False), facts.read(invoice, "", live=True)
    assert mirrored is not None
    assert live is not None
    for kind in services.KINDS:
        assert facts.sealed(kind, mirrored) == facts.sealed(kind, live)


def test_a_review_of_a_case_that_was_paid_unseen_closes_it(debtor: Debtor, deliver: Callable[..., Any]) -> None:
    from django.utils import timezone

    invoice = debtor.fail("expired_card")
    deliver()
    debtor.mend()
    debtor.stripe.v1.invoices.pay(invoice)  # its events never arrive
    DunningCase.objects.update(next_step_at=timezone.now())
    planning.review(case_id=only_case().pk, actor=Actor.system("dunning"))
    assert only_case().state == CaseState.RECOVERED
    assert waiting() == []
