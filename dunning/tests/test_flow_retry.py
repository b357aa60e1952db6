"""From a failed payment to a charged card, at the sandbox, through the inbox, the gate and the worker."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from approvals import services as gate
from approvals.models import Execution, Suggestion
from approvals.states import State
from billingops.actors import Actor
from dunning import tasks
from dunning.models import DunningCase
from dunning.plan import caps
from dunning.plan.steps import ESCALATE, GRACE, NOTIFY, RETRY
from dunning.states import CaseState
from dunning.tests.conftest import Debtor, attach, only_case, waiting

pytestmark = pytest.mark.django_db


def test_a_failed_payment_opens_a_case_with_one_suggestion(
    debtor: Debtor, deliver: Callable[..., Any], no_stripe_retries: None
) -> None:
    invoice = debtor.fail("insufficient_funds", advice_code="try_again_later")
    deliver()
    case = only_case()
    assert (case.invoice, case.customer, case.subscription) == (invoice, debtor.customer, debtor.subscription)
    assert (case.amount_remaining, case.currency, case.attempt_count) == (7900, "eur", 1)
    assert (case.decline_code, case.state, case.category) == ("insufficient_funds", CaseState.OPEN, "later")
    (suggestion,) = waiting()
    assert (suggestion.kind, suggestion.subject, suggestion.customer) == (RETRY, invoice, debtor.customer)
    assert (suggestion.amount, suggestion.currency) == (7900, "eur")
    assert suggestion.params["when"] == "at"
    assert suggestion.suggested_by == "rules dunning v2"
    assert suggestion.event_id.startswith("evt_")
    assert case.suggestion == suggestion
    assert suggestion.preview().sentence.startswith("Charges EUR 79.00 to the customer's default card for invoice ")


def test_an_approved_retry_charges_once_and_the_event_confirms_it(
    debtor: Debtor, deliver: Callable[..., Any], attempt: Callable[..., Suggestion], no_stripe_retries: None
) -> None:
    invoice = debtor.fail("processing_error")
    deliver()
    (suggestion,) = waiting()
    debtor.mend()
    assert attempt(suggestion).state == State.EXECUTED
    assert debtor.stripe.v1.invoices.retrieve(invoice).status == "paid"
    deliver()
    suggestion.refresh_from_db()
    assert suggestion.state == State.CONFIRMED
    case = only_case()
    assert (case.state, case.closed_reason, case.recovered_by) == (CaseState.RECOVERED, "paid", RETRY)
    paid = [r for r in debtor.sandbox.requests if r.path == f"/v1/invoices/{invoice}/pay"]
    assert [record.idempotency_key for record in paid] == [Execution.objects.get().idempotency_key]


def test_a_declined_retry_fails_and_the_next_step_is_suggested(
    debtor: Debtor, deliver: Callable[..., Any], attempt: Callable[..., Suggestion], no_stripe_retries: None
) -> None:
    debtor.fail("generic_decline")
    deliver()
    (first,) = waiting()
    assert attempt(first).state == State.FAILED
    assert Execution.objects.get().error_code == "generic_decline"
    deliver()
    case = only_case()
    assert (case.attempt_count, case.by_hand_failures, case.attempts) == (1, 1, 2)
    (second,) = waiting()
    assert second.kind == RETRY
    assert second.dedupe_key != first.dedupe_key
    assert second.previous == first


def test_a_retry_waits_for_its_time(
    debtor: Debtor, deliver: Callable[..., Any], decide: Callable[..., Suggestion], no_stripe_retries: None
) -> None:
    debtor.fail("insufficient_funds")
    deliver()
    (suggestion,) = waiting()
    assert decide(suggestion).state == State.APPROVED
    assert Execution.objects.get().not_before.isoformat() == suggestion.params["at"]


def test_paid_in_the_meantime_supersedes_the_suggestion_and_closes_the_case(
    debtor: Debtor, deliver: Callable[..., Any], no_stripe_retries: None
) -> None:
    invoice = debtor.fail("insufficient_funds")
    deliver()
    (suggestion,) = waiting()
    debtor.mend()
    debtor.sandbox.retry_invoice(invoice)
    deliver()
    suggestion.refresh_from_db()
    assert suggestion.state == State.SUPERSEDED
    case = only_case()
    assert (case.state, case.closed_reason, case.recovered_by) == (CaseState.RECOVERED, "paid", "")


def test_paid_after_the_approval_cancels_what_was_not_carried_out(
    debtor: Debtor, deliver: Callable[..., Any], decide: Callable[..., Suggestion], no_stripe_retries: None
) -> None:
    invoice = debtor.fail("insufficient_funds")
    deliver()
    (suggestion,) = waiting()
    assert decide(suggestion).state == State.APPROVED
    debtor.mend()
    debtor.sandbox.retry_invoice(invoice)
    deliver()
    suggestion.refresh_from_db()
    assert suggestion.state == State.CANCELLED
    assert Execution.objects.get().state == Execution.State.DROPPED
    assert not [r for r in debtor.sandbox.requests if r.path.endswith("/pay") and r.method == "POST"]


def test_events_out_of_order_open_no_case_for_a_paid_invoice(
    debtor: Debtor, deliver: Callable[..., Any], no_stripe_retries: None
) -> None:
    invoice = debtor.fail("insufficient_funds")
    debtor.mend()
    debtor.sandbox.retry_invoice(invoice)
    deliver(order=lambda events: list(reversed(events)))
    assert not DunningCase.objects.exists()
    assert not waiting()


def test_duplicate_events_change_nothing(debtor: Debtor, deliver: Callable[..., Any], no_stripe_retries: None) -> None:
    debtor.fail("insufficient_funds")
    deliver(order=lambda events: [*events, *events])
    assert len(waiting()) == 1
    assert only_case().step == 0


def test_a_newer_failure_supersedes_the_older_suggestion(
    debtor: Debtor, deliver: Callable[..., Any], no_stripe_retries: None
) -> None:
    invoice = debtor.fail("insufficient_funds")
    deliver()
    (first,) = waiting()
    debtor.sandbox.cards.set_outcome(debtor.method, "expired_card")
    debtor.sandbox.retry_invoice(invoice)
    deliver()
    first.refresh_from_db()
    assert first.state == State.SUPERSEDED
    (second,) = waiting()
    assert (second.kind, second.reason_code) == (NOTIFY, "customer_must_act")
    assert second.params["template"] == "card_expired"
    assert only_case().attempt_count == 2


def test_stripes_own_retries_are_not_doubled(debtor: Debtor, deliver: Callable[..., Any]) -> None:
    debtor.fail("insufficient_funds")
    deliver()
    (suggestion,) = waiting()
    assert (suggestion.kind, suggestion.reason_code) == (NOTIFY, "stripe_retries")


def test_as_many_failed_attempts_as_the_setting_says_go_to_a_person(
    debtor: Debtor, deliver: Callable[..., Any], settings: Any
) -> None:
    settings.DUNNING = {**settings.DUNNING, "escalate_after_attempts": 4}
    invoice = debtor.fail("do_not_honor")
    for _ in range(3):
        debtor.sandbox.retry_invoice(invoice)
    deliver()
    (suggestion,) = waiting()
    assert (suggestion.kind, suggestion.reason_code) == (ESCALATE, "attempts_used")


def test_an_open_dispute_goes_to_a_person(debtor: Debtor, deliver: Callable[..., Any]) -> None:
    paid = debtor.stripe.v1.invoices.list({"customer": debtor.customer}).data[0]
    payment = debtor.stripe.v1.invoice_payments.list({"invoice": paid.id}).data[0]
    intent = debtor.stripe.v1.payment_intents.retrieve(payment.payment.payment_intent)
    debtor.sandbox.create_dispute(str(intent.latest_charge))
    deliver()
    debtor.fail("insufficient_funds")
    deliver()
    (suggestion,) = waiting()
    assert (suggestion.kind, suggestion.reason_code) == (ESCALATE, "dispute_open")


@pytest.mark.parametrize("path", ["voided", "uncollectible", "cancelled"])
def test_whatever_ends_the_claim_ends_the_case(debtor: Debtor, deliver: Callable[..., Any], path: str) -> None:
    invoice = debtor.fail("insufficient_funds")
    deliver()
    (suggestion,) = waiting()
    if path == "voided":
        debtor.stripe.v1.invoices.void_invoice(invoice)
    elif path == "uncollectible":
        debtor.stripe.v1.invoices.mark_uncollectible(invoice)
    else:
        debtor.stripe.v1.subscriptions.cancel(debtor.subscription)
    deliver()
    suggestion.refresh_from_db()
    case = only_case()
    assert suggestion.state == State.SUPERSEDED
    assert (case.state, case.closed_reason) == (CaseState.CLOSED, path)


def test_a_given_up_invoice_that_is_paid_after_all_counts_as_recovered(
    debtor: Debtor, deliver: Callable[..., Any]
) -> None:
    invoice = debtor.fail("insufficient_funds")
    deliver()
    debtor.stripe.v1.invoices.mark_uncollectible(invoice)
    deliver()
    assert only_case().state == CaseState.CLOSED
    debtor.mend()
    debtor.stripe.v1.invoices.pay(invoice)
    deliver()
    assert only_case().state == CaseState.RECOVERED


def test_a_new_card_turns_a_hard_decline_into_a_retry_now(
    debtor: Debtor, deliver: Callable[..., Any], decide: Callable[..., Suggestion]
) -> None:
    invoice = debtor.fail("stolen_card")
    deliver()
    (first,) = waiting()
    assert first.kind == NOTIFY
    method = debtor.new_card()
    deliver()
    first.refresh_from_db()
    assert first.state == State.SUPERSEDED
    (second,) = waiting()
    assert (second.kind, second.reason_code, second.params["when"]) == (RETRY, "new_payment_method", "now")
    assert second.facts["payment_method"] == method
    assert "new default payment method" in second.preview().sentence
    deliver(order=lambda events: events)
    assert len(waiting()) == 1
    assert decide(second).state == State.EXECUTED
    assert debtor.stripe.v1.invoices.retrieve(invoice).status == "paid"


def test_a_card_that_is_attached_but_not_used_suggests_nothing(debtor: Debtor, deliver: Callable[..., Any]) -> None:
    debtor.fail("stolen_card")
    deliver()
    debtor.stripe.v1.payment_methods.attach("pm_card_mastercard", {"customer": debtor.customer})
    deliver()
    (suggestion,) = waiting()
    assert suggestion.kind == NOTIFY


def test_a_long_standing_customer_gets_time(
    make_debtor: Callable[..., Debtor], deliver: Callable[..., Any], decide: Callable[..., Suggestion]
) -> None:
    debtor = make_debtor(days=900)
    debtor.fail("insufficient_funds")
    deliver()
    (suggestion,) = waiting()
    assert (suggestion.kind, suggestion.amount) == (GRACE, None)
    assert decide(suggestion).state == State.EXECUTED
    metadata = debtor.stripe.v1.subscriptions.retrieve(debtor.subscription).metadata
    assert metadata["grace_period_until"] == suggestion.params["until"]
    assert metadata["billingops_suggestion"] == str(suggestion.pk)
    deliver()
    suggestion.refresh_from_db()
    assert suggestion.state == State.CONFIRMED
    case = only_case()
    assert case.state == CaseState.WAITING
    assert case.grace_period_until is not None
    assert case.grace_period_until.isoformat() == suggestion.params["until"]


def test_facts_that_moved_send_the_approval_back_and_a_fresh_suggestion_follows(
    debtor: Debtor, deliver: Callable[..., Any], decide: Callable[..., Suggestion], run_jobs: Callable[[], int]
) -> None:
    debtor.fail("stolen_card")
    deliver()
    debtor.new_card()
    (suggestion,) = waiting()  # the event of the new card has not come in yet
    assert decide(suggestion).state == State.STALE
    run_jobs()
    (fresh,) = waiting()
    assert (fresh.kind, fresh.reason_code) == (RETRY, "new_payment_method")
    assert fresh.previous == suggestion


def test_an_invoice_of_a_connected_account_is_dunned_in_that_account(
    make_debtor: Callable[..., Debtor],
    stripe_api: Any,
    deliver: Callable[..., Any],
    decide: Callable[..., Suggestion],
) -> None:
    account = stripe_api.v1.accounts.create({"type": "express", "country": "DE"}).id
    debtor = make_debtor(account=account)
    invoice = debtor.fail("stolen_card")
    deliver()
    case = only_case()
    assert (case.account, case.invoice) == (account, invoice)
    debtor.new_card()
    deliver()
    (suggestion,) = waiting()
    assert (suggestion.kind, suggestion.account) == (RETRY, account)
    assert decide(suggestion).state == State.EXECUTED
    deliver()
    suggestion.refresh_from_db()
    assert suggestion.state == State.CONFIRMED
    (paid,) = [r for r in debtor.sandbox.requests if r.path == f"/v1/invoices/{invoice}/pay"]
    assert paid.account == account


def test_a_rejected_suggestion_comes_up_again_after_the_notice_period(
    debtor: Debtor, deliver: Callable[..., Any], finance: Any, run_jobs: Callable[[], int]
) -> None:
    debtor.fail("expired_card")
    deliver()
    (first,) = waiting()
    gate.reject(suggestion_id=first.pk, actor=Actor.person(finance), version=first.version, reason_code="bad_timing")
    deliver(order=lambda events: events)
    assert waiting() == []  # a person has decided; no replay brings it back
    case = only_case()
    assert case.next_step_at is not None
    assert case.next_step_at > timezone.now() + timedelta(days=6)
    DunningCase.objects.update(next_step_at=timezone.now())
    assert tasks.follow_up() == 1
    run_jobs()
    (second,) = waiting()
    assert second.previous == first


def test_a_review_leaves_what_is_under_way_alone(
    debtor: Debtor, deliver: Callable[..., Any], run_jobs: Callable[[], int]
) -> None:
    debtor.fail("expired_card")
    deliver()
    (suggestion,) = waiting()
    DunningCase.objects.update(next_step_at=timezone.now())
    tasks.follow_up()
    run_jobs()
    assert waiting() == [suggestion]


def test_a_card_at_its_networks_cap_is_not_charged_even_when_approved(
    debtor: Debtor,
    deliver: Callable[..., Any],
    attempt: Callable[..., Suggestion],
    no_stripe_retries: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    debtor.sandbox.bill_subscription(debtor.subscription)
    debtor.fail("insufficient_funds")
    deliver()
    (suggestion,) = waiting()
    assert suggestion.kind == RETRY
    monkeypatch.setattr(caps, "CAPS", {"visa": caps.Cap(None, 1)})
    assert attempt(suggestion).state == State.FAILED
    execution = Execution.objects.get()
    assert execution.error_code == "network_cap"
    assert "Visa allows 1 attempts in 30 days and 1 were made" in execution.error  # what went through does not count
    assert not [r for r in debtor.sandbox.requests if r.path.endswith("/pay")]


@pytest.mark.parametrize("decline", ["stolen_card", "revocation_of_authorization"])
def test_the_same_card_saved_again_is_not_charged_after_a_hard_decline(
    debtor: Debtor, deliver: Callable[..., Any], decline: str
) -> None:
    debtor.fail(decline)
    deliver()
    (notice,) = waiting()
    again = attach(debtor.stripe, "pm_card_visa", debtor.customer, debtor.options)
    assert again != debtor.method
    deliver()
    assert waiting() == [notice]
    assert notice.kind == NOTIFY


def test_a_card_that_was_declined_for_good_stays_so_after_another_card_failed(
    debtor: Debtor, deliver: Callable[..., Any], no_stripe_retries: None
) -> None:
    invoice = debtor.fail("stolen_card")
    deliver()
    debtor.sandbox.cards.set_outcome(debtor.new_card(), "insufficient_funds")
    debtor.sandbox.retry_invoice(invoice)
    deliver()
    attach(debtor.stripe, "pm_card_visa", debtor.customer, debtor.options)
    deliver()
    (suggestion,) = waiting()
    assert suggestion.kind != RETRY
    assert "refused_for_good" in [flag["code"] for flag in suggestion.flags]


def test_a_new_card_at_its_networks_cap_is_not_charged_even_when_approved(
    debtor: Debtor,
    deliver: Callable[..., Any],
    attempt: Callable[..., Suggestion],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    debtor.fail("stolen_card")
    deliver()
    debtor.new_card()
    deliver()
    (suggestion,) = waiting()
    assert suggestion.kind == RETRY
    monkeypatch.setattr(caps, "CAPS", {"mastercard": caps.Cap(None, 0)})
    assert attempt(suggestion).state == State.FAILED
    assert Execution.objects.get().error_code == "network_cap"
    assert not [r for r in debtor.sandbox.requests if r.path.endswith("/pay")]


def test_a_retry_charges_the_payment_method_that_was_approved(
    debtor: Debtor, deliver: Callable[..., Any], attempt: Callable[..., Suggestion]
) -> None:
    debtor.fail("stolen_card")
    deliver()
    method = debtor.new_card()
    deliver()
    (suggestion,) = waiting()
    attempt(suggestion)
    charges = debtor.stripe.v1.charges.list({"customer": debtor.customer}).data
    assert (charges[0].status, charges[0].payment_method) == ("succeeded", method)
