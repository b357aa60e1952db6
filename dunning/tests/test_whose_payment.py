"""A retry with an unknown result, and a customer who pays by another way meanwhile: that payment is not our effect."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from approvals import executions
from approvals.models import Execution, Suggestion
from approvals.states import State
from dunning.plan.steps import RETRY
from dunning.states import CaseState
from dunning.tests.conftest import Debtor, only_case, waiting
from sandbox import Fault

pytestmark = pytest.mark.django_db


@pytest.fixture
def lost_on_its_way(
    debtor: Debtor, deliver: Callable[..., Any], attempt: Callable[..., Suggestion], settings: Any
) -> Suggestion:
    """An approved retry whose call never reached Stripe; nobody here knows."""
    settings.EXECUTION_LOOKUP_SECONDS = 0
    debtor.fail("stolen_card")
    deliver()
    debtor.new_card()
    deliver()
    (suggestion,) = waiting()
    assert suggestion.kind == RETRY
    debtor.sandbox.faults.add(Fault("drop_before", method="POST", path=f"/v1/invoices/{suggestion.subject}/pay"))
    assert attempt(suggestion).state == State.UNKNOWN
    return suggestion


def pay_with_another_card(debtor: Debtor, invoice: str) -> None:
    method = debtor.stripe.v1.payment_methods.attach("pm_card_visa", {"customer": debtor.customer})
    debtor.stripe.v1.invoices.pay(invoice, {"payment_method": method.id})


def pay_outside_of_stripe(debtor: Debtor, invoice: str) -> None:
    debtor.stripe.v1.invoices.pay(invoice, {"paid_out_of_band": True})


def pay_with_the_approved_card(debtor: Debtor, invoice: str) -> None:
    debtor.stripe.v1.invoices.pay(invoice)


@pytest.mark.parametrize("pay", [pay_with_another_card, pay_outside_of_stripe])
@pytest.mark.parametrize("event_first", [True, False])
def test_another_payment_is_not_taken_for_the_effect_of_the_retry(
    lost_on_its_way: Suggestion,
    debtor: Debtor,
    deliver: Callable[..., Any],
    pay: Callable[..., None],
    event_first: bool,
) -> None:
    pay(debtor, lost_on_its_way.subject)
    execution = Execution.objects.get(suggestion=lost_on_its_way)
    steps: list[Callable[[], Any]] = [deliver, lambda: executions.resolve(execution.pk)]
    for step in steps if event_first else reversed(steps):
        step()
    lost_on_its_way.refresh_from_db()
    execution.refresh_from_db()
    assert (lost_on_its_way.state, execution.error_code) == (State.FAILED, "not_carried_out")
    case = only_case()
    assert (case.state, case.recovered_by) == (CaseState.RECOVERED, "")


def test_a_payment_with_the_approved_card_settles_the_unknown_retry(
    lost_on_its_way: Suggestion, debtor: Debtor, deliver: Callable[..., Any]
) -> None:
    """Nothing tells it from our own call, and the invoice is paid once either way."""
    pay_with_the_approved_card(debtor, lost_on_its_way.subject)
    deliver()
    lost_on_its_way.refresh_from_db()
    assert lost_on_its_way.state == State.CONFIRMED
    assert only_case().recovered_by == RETRY


def test_a_case_closed_before_the_answer_is_recorded_names_the_retry(
    debtor: Debtor, deliver: Callable[..., Any], finance: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from approvals import services as gate
    from billingops.actors import Actor
    from billingops.stripe import gateway

    debtor.fail("stolen_card")
    deliver()
    debtor.new_card()
    deliver()
    (suggestion,) = waiting()
    gate.approve(suggestion_id=suggestion.pk, actor=Actor.person(finance), version=suggestion.version)
    pay = gateway.pay_invoice

    def overtaken(**given: Any) -> Any:
        answer = pay(**given)
        deliver()  # the event is here before the answer
        return answer

    monkeypatch.setattr(gateway, "pay_invoice", overtaken)
    executions.execute(Execution.objects.get(suggestion=suggestion).pk)
    suggestion.refresh_from_db()
    case = only_case()
    assert (suggestion.state, case.state, case.recovered_by) == (State.CONFIRMED, CaseState.RECOVERED, RETRY)
