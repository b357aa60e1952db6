"""What dunning hears: payments told by their payment, renewed cards, mandates, disputes, drafts that cannot be
finalized, 3-D Secure, bank debits. Every handler may run twice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from approvals.models import Execution, Suggestion
from approvals.states import State
from billingops.inbox.routes import EventNote, handlers_for
from dunning.actions import common, retry
from dunning.models import DunningCase
from dunning.plan.steps import DEFAULT_METHOD, ESCALATE, RETRY
from dunning.states import CaseState
from dunning.tests.conftest import Debtor, attach, only_case

pytestmark = pytest.mark.django_db


def waiting(kind: str) -> list[Suggestion]:
    return list(Suggestion.objects.filter(kind=kind, state=State.PENDING))


def again(debtor: Debtor, event_type: str) -> None:
    """The handlers of the last such event run once more."""
    from django.utils import timezone

    event = debtor.sandbox.events(event_type)[-1]
    data = event["data"]["object"]
    note = EventNote(
        event_id=event["id"],
        type=event["type"],
        account="",
        created=timezone.now(),
        object_id=data["id"],
        object_type=data["object"],
        data=data,
        previous=event["data"].get("previous_attributes") or {},
        current=data,
    )
    for handler in handlers_for(event_type):
        if handler.__module__.startswith("dunning"):
            handler(note)


def test_a_card_that_the_network_renewed_is_charged_again(debtor: Debtor, deliver: Callable[..., Any]) -> None:
    debtor.fail("stolen_card")
    deliver()
    assert waiting(RETRY) == []
    debtor.mend()
    debtor.sandbox.renew_card(debtor.method, token="pm_card_mastercard")
    deliver()
    (suggestion,) = waiting(RETRY)
    assert suggestion.facts["payment_method"] == debtor.method
    again(debtor, "payment_method.automatically_updated")
    assert len(waiting(RETRY)) == 1


def test_the_payments_own_event_closes_the_case(debtor: Debtor, deliver: Callable[..., Any]) -> None:
    invoice = debtor.fail("stolen_card")
    deliver()
    debtor.mend()
    debtor.stripe.v1.invoices.pay(invoice)
    deliver(order=lambda events: [event for event in events if event["type"] == "invoice_payment.paid"])
    assert only_case().state == CaseState.RECOVERED
    again(debtor, "invoice_payment.paid")
    assert only_case().state == CaseState.RECOVERED


@pytest.mark.parametrize(("setting", "suggested"), [("suggest", 1), ("off", 0)])
def test_the_method_that_paid_is_suggested_as_default_only_when_the_settings_say_so(
    debtor: Debtor, deliver: Callable[..., Any], settings: Any, setting: str, suggested: int
) -> None:
    settings.DUNNING = {"default_method_after_recovery": setting}
    invoice = debtor.fail("stolen_card")
    deliver()
    method = debtor.stripe.v1.payment_methods.attach("pm_card_mastercard", {"customer": debtor.customer}).id
    debtor.stripe.v1.invoices.pay(invoice, {"payment_method": method})
    deliver()
    found = waiting(DEFAULT_METHOD)
    assert len(found) == suggested
    for one in found:
        assert one.params == {"method": method, "customer": debtor.customer, "subscription": ""}
    again(debtor, "invoice.paid")
    assert len(waiting(DEFAULT_METHOD)) == suggested


def test_a_draft_that_cannot_be_finalized_goes_to_a_person(debtor: Debtor, deliver: Callable[..., Any]) -> None:
    taxed = debtor.stripe.v1.subscriptions.create(
        {
            "customer": debtor.customer,
            "items": [{"price": debtor.stripe.v1.prices.list().data[0].id}],
            "automatic_tax": {"enabled": True},
        }
    )
    deliver()
    case = only_case()
    assert (case.invoice, case.code, case.attempts) == (taxed.latest_invoice, "customer_tax_location_invalid", 0)
    (suggestion,) = waiting(ESCALATE)
    assert suggestion.reason_code == "not_finalized"
    assert "could not be finalized" in suggestion.params["title"]
    again(debtor, "invoice.finalization_failed")
    assert len(waiting(ESCALATE)) == 1
    debtor.stripe.v1.customers.update(debtor.customer, {"address": {"country": "DE"}})
    debtor.stripe.v1.invoices.finalize_invoice(case.invoice)
    debtor.stripe.v1.invoices.pay(case.invoice) if debtor.stripe.v1.invoices.retrieve(
        case.invoice
    ).status == "open" else None
    deliver()
    assert waiting(ESCALATE) == []
    assert only_case().state == CaseState.RECOVERED


def test_a_bank_that_wants_to_hear_from_the_customer_opens_a_case(debtor: Debtor, deliver: Callable[..., Any]) -> None:
    invoice = debtor.fail("authentication_required")
    deliver(order=lambda events: [event for event in events if event["type"] == "invoice.payment_action_required"])
    case = only_case()
    assert (case.invoice, case.code) == (invoice, "authentication_required")
    assert waiting(RETRY) == []


def test_a_dispute_stops_what_waits_for_this_customer(
    debtor: Debtor, deliver: Callable[..., Any], no_stripe_retries: None
) -> None:
    debtor.fail("insufficient_funds")
    deliver()
    assert len(waiting(RETRY)) == 1
    paid = [charge for charge in debtor.stripe.v1.charges.list({"customer": debtor.customer}).data if charge.paid]
    debtor.sandbox.create_dispute(paid[0].id)
    deliver()
    assert waiting(RETRY) == []


@pytest.fixture
def debited(debtor: Debtor, deliver: Callable[..., Any]) -> Callable[[str], tuple[str, str]]:
    """`debited(token)`: the customer pays by debit from now on; (payment method, an invoice whose debit came back)."""

    def make(token: str) -> tuple[str, str]:
        method = attach(debtor.stripe, token, debtor.customer, {})
        invoice = str(debtor.sandbox.bill_subscription(debtor.subscription)["id"])
        debtor.sandbox.settle_debit(invoice)
        deliver()
        return method, invoice

    return make


def test_a_debit_that_came_back_opens_a_case_with_the_banks_code(debited: Callable[..., tuple[str, str]]) -> None:
    method, invoice = debited("pm_usBankAccount_insufficientFunds")
    case = only_case()
    assert (case.invoice, case.payment_method, case.payment_method_type) == (invoice, method, "us_bank_account")
    assert (case.code, case.network_decline_code) == ("insufficient_funds", "R01")


def _retry_of(method: str, invoice: str, customer: str) -> Suggestion:
    return Suggestion(
        kind=RETRY,
        subject=invoice,
        customer=customer,
        amount=7900,
        currency="eur",
        params={"when": "now", "at": ""},
        facts={"payment_method": method, "currency": "eur", "amount_remaining": 7900},
    )


def _asked(suggestion: Suggestion) -> None:
    """What a retry asks before it charges."""
    retry._check_method(suggestion, common.look(suggestion))


def test_a_debit_is_presented_again_twice_and_no_more(debtor: Debtor, debited: Callable[..., tuple[str, str]]) -> None:
    """Whatever has been heard of: no event of the later debits comes in."""
    from billingops.stripe.errors import Refused

    method, invoice = debited("pm_usBankAccount_insufficientFunds")
    suggestion = _retry_of(method, invoice, debtor.customer)
    for _ in range(2):
        _asked(suggestion)
        debtor.stripe.v1.invoices.pay(invoice)
        with pytest.raises(Refused, match="still on its way"):
            _asked(suggestion)
        debtor.sandbox.settle_debit(invoice)
    with pytest.raises(Refused, match="presented again 2 times, and this one was presented 3 times"):
        _asked(suggestion)


def test_an_account_that_was_closed_is_never_debited_again(
    debtor: Debtor, debited: Callable[..., tuple[str, str]]
) -> None:
    from billingops.stripe.errors import Refused

    method, invoice = debited("pm_usBankAccount_accountClosed")
    with pytest.raises(Refused, match="for good"):
        _asked(_retry_of(method, invoice, debtor.customer))


def test_a_mandate_that_was_taken_back_is_looked_at_again(
    debtor: Debtor, debited: Callable[..., tuple[str, str]], deliver: Callable[..., Any]
) -> None:
    method, _ = debited("pm_usBankAccount_insufficientFunds")
    before = only_case().step
    debtor.sandbox.set_mandate(method, "inactive")
    deliver()
    assert only_case().step > before


def test_another_saved_method_that_was_taken_away_is_not_charged(
    debtor: Debtor, deliver: Callable[..., Any], attempt: Callable[..., Suggestion]
) -> None:
    from billingops.stripe.errors import Refused

    invoice = debtor.fail("stolen_card")
    deliver()
    method = debtor.stripe.v1.payment_methods.attach("pm_card_mastercard", {"customer": debtor.customer}).id
    suggestion = _retry_of(method, invoice, debtor.customer)
    suggestion.params["method"] = method
    _asked(suggestion)
    assert "another saved payment method" in suggestion.preview().sentence
    debtor.stripe.v1.payment_methods.detach(method)
    with pytest.raises(Refused, match="no longer the customer's"):
        _asked(suggestion)


def test_events_about_nothing_of_ours_change_nothing(debtor: Debtor, deliver: Callable[..., Any]) -> None:
    debtor.sandbox.renew_card(debtor.method, exp_year=2040)
    debtor.stripe.v1.subscriptions.update(debtor.subscription, {"pause_collection": {"behavior": "void"}})
    debtor.stripe.v1.customers.update(debtor.customer, {"metadata": {"billingops_suggestion": "not-a-uuid"}})
    deliver()
    assert not DunningCase.objects.exists()
    assert not Execution.objects.exists()
