"""What a case says of its invoice once it is over: what was recovered, how it ended, and what follows from that."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import pytest
from django.apps import apps
from django.db import connection
from django.utils import timezone
from stripe import CardError

from approvals import services as gate
from approvals.models import Suggestion
from approvals.states import State
from billingops.actors import Actor
from dunning import loading, planning, service_events, service_state
from dunning.models import DunningCase, ServiceState
from dunning.plan.steps import ESCALATE, NOTIFY, PAUSE, RESUME
from dunning.states import CaseState, ClosedReason
from dunning.tests.conftest import Debtor, only_case, waiting
from dunning.tests.test_steps_kinds import Stage

pytestmark = pytest.mark.django_db
WORKER = Actor.system("dunning")
WHOLE = 7900


@pytest.fixture
def stage(debtor: Debtor, deliver: Callable[..., Any]) -> Stage:
    return Stage(debtor, deliver)


def pay_part(debtor: Debtor, invoice: str, amount: int) -> None:
    """By a payment of the customer's own that is credited to the invoice."""
    given = {"amount": amount, "currency": "eur", "customer": debtor.customer, "payment_method": "pm_card_visa"}
    intent = debtor.stripe.v1.payment_intents.create({**given, "confirm": True, "off_session": True})
    debtor.stripe.v1.invoices.attach_payment(invoice, {"payment_intent": intent.id})


def decline(debtor: Debtor, invoice: str, code: str) -> None:
    """A payment of the invoice is tried and fails."""
    debtor.sandbox.cards.set_outcome(debtor.method, code)
    with pytest.raises(CardError):
        debtor.stripe.v1.invoices.pay(invoice)


def money() -> tuple[str, int, int, int]:
    case = only_case()
    return case.state, case.amount_at_opening, case.amount_remaining, case.recovered_amount


# -- what was recovered ------------------------------------------------------------------------------------------------


def test_what_was_credited_is_not_recovered(stage: Stage, deliver: Callable[..., Any]) -> None:
    stage.v1.credit_notes.create({"invoice": stage.invoice, "amount": 2000})
    deliver()
    assert money() == ("open", WHOLE, WHOLE - 2000, 0)
    stage.debtor.mend()
    stage.v1.invoices.pay(stage.invoice)
    deliver()
    assert money() == ("recovered", WHOLE, WHOLE - 2000, WHOLE - 2000)


def test_an_invoice_that_was_credited_as_a_whole_is_not_recovered(stage: Stage, deliver: Callable[..., Any]) -> None:
    stage.v1.credit_notes.create({"invoice": stage.invoice, "amount": WHOLE})
    deliver()
    case = only_case()
    assert (case.state, case.closed_reason, case.recovered_amount) == (CaseState.CLOSED, ClosedReason.CREDITED, 0)
    assert not waiting()


def test_paid_out_of_band_is_paid(stage: Stage, deliver: Callable[..., Any]) -> None:
    stage.v1.credit_notes.create({"invoice": stage.invoice, "amount": 900})
    stage.v1.invoices.pay(stage.invoice, {"paid_out_of_band": True})
    deliver()
    assert (only_case().state, only_case().recovered_amount) == (CaseState.RECOVERED, WHOLE - 900)


def test_what_was_paid_in_part_counts_from_then_on_and_the_rest_is_planned_anew(
    stage: Stage, deliver: Callable[..., Any]
) -> None:
    before = only_case().step
    pay_part(stage.debtor, stage.invoice, 3000)
    deliver()
    assert money() == ("open", WHOLE, WHOLE - 3000, 3000)
    assert only_case().step > before
    assert {one.facts["amount_remaining"] for one in waiting()} <= {WHOLE - 3000}
    stage.debtor.mend()
    stage.v1.invoices.pay(stage.invoice)
    deliver()
    assert money() == ("recovered", WHOLE, WHOLE - 3000, WHOLE)


def test_a_newer_failure_tells_what_was_paid_meanwhile(stage: Stage, deliver: Callable[..., Any]) -> None:
    pay_part(stage.debtor, stage.invoice, 3000)
    stage.debtor.sandbox.retry_invoice(stage.invoice)
    deliver(order=lambda events: [one for one in events if one["type"] == "invoice.payment_failed"])
    assert money() == ("open", WHOLE, WHOLE - 3000, 3000)


def test_what_was_paid_before_the_case_was_opened_is_none_of_it(debtor: Debtor, deliver: Callable[..., Any]) -> None:
    v1 = debtor.stripe.v1
    invoice = v1.invoices.create({"customer": debtor.customer, "currency": "eur"}).id
    v1.invoice_items.create({"customer": debtor.customer, "invoice": invoice, "amount": 5000, "currency": "eur"})
    v1.invoices.finalize_invoice(invoice)
    pay_part(debtor, invoice, 1000)
    decline(debtor, invoice, "insufficient_funds")
    deliver()
    case = only_case()
    assert (case.invoice, case.amount_at_opening, case.paid_at_opening) == (invoice, 4000, 1000)
    v1.credit_notes.create({"invoice": invoice, "amount": 500})
    deliver()
    debtor.mend()
    v1.invoices.pay(invoice)
    deliver()
    assert money() == ("recovered", 4000, 3500, 3500)


ENDS: dict[str, Callable[[Stage], Any]] = {
    ClosedReason.UNCOLLECTIBLE: lambda stage: stage.v1.invoices.mark_uncollectible(stage.invoice),
    ClosedReason.VOIDED: lambda stage: stage.v1.invoices.void_invoice(stage.invoice),
    ClosedReason.CANCELLED: lambda stage: stage.v1.subscriptions.cancel(stage.debtor.subscription),
}


@pytest.mark.parametrize("reason", ENDS)
def test_a_part_that_was_paid_is_recovered_however_the_case_ended(
    reason: str, stage: Stage, deliver: Callable[..., Any]
) -> None:
    pay_part(stage.debtor, stage.invoice, 3000)
    ENDS[reason](stage)
    # The payment's own events never arrive.
    deliver(
        order=lambda events: [
            one for one in events if "payment" not in one["type"] and one["type"] != "invoice.updated"
        ]
    )
    case = only_case()
    assert (case.state, case.closed_reason, case.recovered_amount) == (CaseState.CLOSED, reason, 3000)


def test_a_part_that_comes_after_the_invoice_was_given_up_is_recovered(
    stage: Stage, deliver: Callable[..., Any]
) -> None:
    stage.v1.invoices.mark_uncollectible(stage.invoice)
    deliver()
    assert money() == ("closed", WHOLE, WHOLE, 0)
    pay_part(stage.debtor, stage.invoice, 3000)
    deliver()
    assert money() == ("closed", WHOLE, WHOLE, 3000)
    pay_part(stage.debtor, stage.invoice, WHOLE - 3000)
    deliver()
    assert money() == ("recovered", WHOLE, WHOLE, WHOLE)


# -- a draft that was finalized at last --------------------------------------------------------------------------------


@pytest.fixture
def draft(debtor: Debtor, deliver: Callable[..., Any]) -> str:
    """Of an invoice that could not be finalized until its customer's address was known; its case is open."""
    v1 = debtor.stripe.v1
    invoice = v1.invoices.create(
        {"customer": debtor.customer, "currency": "eur", "automatic_tax": {"enabled": True}}
    ).id
    v1.invoice_items.create({"customer": debtor.customer, "invoice": invoice, "amount": 5000, "currency": "eur"})
    with pytest.raises(Exception, match="location"):
        v1.invoices.finalize_invoice(invoice)
    deliver()
    assert (only_case().code, only_case().attempts) == ("customer_tax_location_invalid", 0)
    v1.customers.update(debtor.customer, {"address": {"country": "DE"}})
    return str(invoice)


def test_a_draft_that_was_finalized_is_no_case_any_more(
    draft: str, debtor: Debtor, deliver: Callable[..., Any]
) -> None:
    debtor.stripe.v1.invoices.finalize_invoice(draft)
    deliver()
    case = only_case()
    assert (case.state, case.closed_reason) == (CaseState.CLOSED, ClosedReason.FINALIZED)
    assert (case.next_step_at, case.recovered_amount) == (None, 0)
    assert not waiting()
    debtor.stripe.v1.invoices.pay(draft)
    deliver()
    case = only_case()
    assert (case.state, case.recovered_amount) == (CaseState.RECOVERED, 5000)


def test_a_finalized_draft_is_not_dunned_either_when_its_event_was_lost(
    draft: str, debtor: Debtor, deliver: Callable[..., Any]
) -> None:
    debtor.stripe.v1.invoices.finalize_invoice(draft)  # nothing is delivered of it
    planning.look_again(case_id=only_case().pk, actor=WORKER, because="somebody looked")
    assert (only_case().state, only_case().closed_reason) == (CaseState.CLOSED, ClosedReason.FINALIZED)
    assert not waiting()


def test_a_finalized_draft_whose_payment_fails_is_opened_again_as_if_anew(
    draft: str, debtor: Debtor, deliver: Callable[..., Any]
) -> None:
    long_ago = timezone.now() - timedelta(days=60)
    DunningCase.objects.update(opened_at=long_ago, last_failed_at=long_ago)
    debtor.stripe.v1.invoices.finalize_invoice(draft)
    deliver()
    step, lines = only_case().step, only_case().history.count()
    decline(debtor, draft, "expired_card")
    deliver()
    case = only_case()
    assert (case.state, case.closed_reason, case.closed_at) == (CaseState.OPEN, "", None)
    assert (case.decline_code or case.code, case.amount_at_opening) == ("expired_card", 5000)
    assert case.opened_at > long_ago + timedelta(days=59)
    assert (case.sequence, case.step > step) == ("standard", True)
    assert [one.kind for one in waiting()] == [NOTIFY]
    # Nothing of what it was before is lost.
    assert case.history.count() > lines
    assert case.history.filter(closed_reason=ClosedReason.FINALIZED, opened_at=long_ago).exists()


def test_a_failure_that_is_heard_of_before_the_finalization_stays_open(
    draft: str, debtor: Debtor, deliver: Callable[..., Any]
) -> None:
    debtor.stripe.v1.invoices.finalize_invoice(draft)
    decline(debtor, draft, "expired_card")
    deliver(order=lambda events: events[::-1])
    assert only_case().state == CaseState.OPEN
    assert [one.kind for one in waiting()] == [NOTIFY]
    assert not Suggestion.objects.filter(kind=ESCALATE, state=State.PENDING).exists()


def test_a_case_that_ended_otherwise_is_not_opened_again(stage: Stage, deliver: Callable[..., Any]) -> None:
    stage.v1.subscriptions.cancel(stage.debtor.subscription)
    deliver()
    stage.debtor.sandbox.retry_invoice(stage.invoice)
    deliver()
    assert (only_case().state, only_case().closed_reason) == (CaseState.CLOSED, ClosedReason.CANCELLED)


# -- whose no it was ---------------------------------------------------------------------------------------------------


def approved_notice(debtor: Debtor, deliver: Callable[..., Any], finance: Any) -> Suggestion:
    """Approved, and its mail not sent yet."""
    debtor.fail("expired_card")
    deliver()
    (notice,) = waiting()
    gate.approve(suggestion_id=notice.pk, actor=Actor.person(finance), version=notice.version)
    notice.refresh_from_db()
    return notice


def test_a_step_that_events_overtook_is_asked_for_again(
    debtor: Debtor, deliver: Callable[..., Any], finance: Any
) -> None:
    notice = approved_notice(debtor, deliver, finance)
    planning.look_again(case_id=only_case().pk, actor=WORKER, because="a dispute was settled")
    notice.refresh_from_db()
    assert notice.state == State.CANCELLED
    (again,) = waiting()
    assert (again.kind, again.dedupe_key.partition("#")[2]) == (NOTIFY, notice.dedupe_key.partition("#")[2])


def test_a_step_that_a_person_cancelled_is_not_asked_for_again(
    debtor: Debtor, deliver: Callable[..., Any], finance: Any
) -> None:
    notice = approved_notice(debtor, deliver, finance)
    gate.cancel(suggestion_id=notice.pk, actor=Actor.person(finance), version=notice.version, comment="They called.")
    planning.look_again(case_id=only_case().pk, actor=WORKER, because="a dispute was settled")
    mark = notice.dedupe_key.partition("#")[2]
    assert mark not in {one.dedupe_key.partition("#")[2] for one in waiting()}
    (loaded,) = loading.load_cases([only_case()], now=timezone.now())
    assert mark in {one.mark for one in loaded.facts.done}


# -- what was paused goes on -------------------------------------------------------------------------------------------


def pause(stage: Stage, decide: Callable[..., Suggestion], deliver: Callable[..., Any]) -> None:
    done = decide(stage.propose(stage.ready(PAUSE)))
    assert done.state == State.EXECUTED
    deliver()


@pytest.mark.parametrize("reason", [ClosedReason.VOIDED, ClosedReason.UNCOLLECTIBLE])
def test_what_we_paused_for_an_invoice_goes_on_when_nobody_collects_that_any_more(
    reason: str, stage: Stage, decide: Callable[..., Suggestion], deliver: Callable[..., Any]
) -> None:
    pause(stage, decide, deliver)
    assert not Suggestion.objects.filter(kind=RESUME).exists()
    ENDS[reason](stage)
    deliver(order=lambda events: [*events, *events])
    (resume,) = Suggestion.objects.filter(kind=RESUME)
    assert (resume.state, resume.reason_code) == (State.PENDING, "no_longer_owed")
    assert "paid" not in resume.rationale.replace("unpaid", "")
    assert decide(resume).state == State.EXECUTED
    assert stage.subscription().pause_collection is None


def test_what_follows_a_case_is_suggested_also_when_its_event_was_lost(
    stage: Stage, decide: Callable[..., Suggestion], deliver: Callable[..., Any], run_jobs: Callable[[], int]
) -> None:
    pause(stage, decide, deliver)
    stage.v1.invoices.void_invoice(stage.invoice)  # nothing is delivered of it
    planning.look_again(case_id=only_case().pk, actor=WORKER, because="somebody looked")
    assert only_case().closed_reason == ClosedReason.VOIDED
    run_jobs()
    assert Suggestion.objects.get(kind=RESUME).state == State.PENDING
    deliver()
    run_jobs()
    assert Suggestion.objects.filter(kind=RESUME).count() == 1


def test_a_pause_goes_on_while_another_invoice_is_unpaid_and_no_longer(
    stage: Stage, decide: Callable[..., Suggestion], deliver: Callable[..., Any]
) -> None:
    other = stage.debtor.fail("insufficient_funds")
    deliver()
    pause(stage, decide, deliver)
    stage.v1.invoices.void_invoice(stage.invoice)
    deliver()
    assert not Suggestion.objects.filter(kind=RESUME).exists()
    stage.v1.invoices.void_invoice(other)
    deliver()
    assert Suggestion.objects.filter(kind=RESUME, subject=other).count() == 1


def test_nothing_is_resumed_that_has_ended_or_that_somebody_else_has_paused_since(
    stage: Stage, decide: Callable[..., Suggestion], deliver: Callable[..., Any]
) -> None:
    pause(stage, decide, deliver)
    assert decide(stage.propose(stage.ready(RESUME))).state == State.EXECUTED
    behavior = {"pause_collection": {"behavior": "void"}}
    stage.v1.subscriptions.update(stage.debtor.subscription, behavior)
    stage.v1.invoices.void_invoice(stage.invoice)
    deliver()
    assert Suggestion.objects.filter(kind=RESUME).count() == 1  # the one that was carried out


def test_a_subscription_that_ended_is_not_resumed(
    stage: Stage, decide: Callable[..., Suggestion], deliver: Callable[..., Any]
) -> None:
    pause(stage, decide, deliver)
    stage.v1.invoices.void_invoice(stage.invoice)
    stage.v1.subscriptions.cancel(stage.debtor.subscription)
    deliver()
    assert not Suggestion.objects.filter(kind=RESUME).exists()


# -- the sweep of grace periods ----------------------------------------------------------------------------------------


def test_a_grace_period_that_cannot_be_ended_keeps_no_other_waiting(monkeypatch: Any, caplog: Any) -> None:
    now = timezone.now()
    for number in range(3):
        DunningCase.objects.create(
            invoice=f"in_{number}", subscription=f"sub_{number}", customer=f"cus_{number}", currency="eur",
            amount_remaining=WHOLE, last_failed_at=now - timedelta(days=9), opened_at=now - timedelta(days=9),
            grace_period_until=now - timedelta(hours=3 - number), category="later",
        )  # fmt: skip
        ServiceState.objects.create(
            subscription=f"sub_{number}", customer=f"cus_{number}", state=ServiceState.State.GRACE,
            until=now - timedelta(hours=3 - number),
        )  # fmt: skip
    real = service_state.derived

    def derived(subscription: str, *args: Any, **kwargs: Any) -> Any:
        if subscription == "sub_0":
            raise ValueError("broken")
        return real(subscription, *args, **kwargs)

    monkeypatch.setattr(service_state, "derived", derived)
    assert service_events.grace_periods(now) == 2
    states = dict(ServiceState.objects.values_list("subscription", "state"))
    assert states == {"sub_0": "grace", "sub_1": "suspended", "sub_2": "suspended"}
    assert str(ServiceState.objects.get(subscription="sub_0").pk) in caplog.text


# -- rows of before ----------------------------------------------------------------------------------------------------


def test_rows_of_before_keep_what_was_said_of_them() -> None:
    """At risk was what was open at the latest failure; a recovered case of which 0 was written down, that as well."""
    now = timezone.now()
    states = {
        "open": ("open", "", 0), "said": ("recovered", "paid", 700), "unsaid": ("recovered", "paid", 0),
        "more": ("recovered", "paid", 1200), "lost": ("closed", "uncollectible", 0),
    }  # fmt: skip
    for name, (state, reason, recovered) in states.items():
        DunningCase.objects.create(
            invoice=name, currency="eur", amount_remaining=1000, recovered_amount=recovered, state=state,
            closed_reason=reason, closed_at=now if reason else None, last_failed_at=now, category="later",
        )  # fmt: skip
    migration = import_module("dunning.migrations.0008_what_was_paid")
    for _ in range(2):  # twice does no harm
        migration.keep_what_was_said(apps, SimpleNamespace(connection=connection))
        columns = ("invoice", "amount_at_opening", "paid_at_opening", "recovered_amount")
        assert {name: amounts for name, *amounts in DunningCase.objects.values_list(*columns)} == {
            "open": [1000, 0, 0], "said": [1000, 0, 700], "unsaid": [1000, 0, 1000], "more": [1200, 0, 1200],
            "lost": [1000, 0, 0],
        }  # fmt: skip
