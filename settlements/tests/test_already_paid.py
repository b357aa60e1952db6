"""Money that is at Stripe already is never sent again, and what Stripe reports confirms only what was approved."""

from __future__ import annotations

from dataclasses import replace

import pytest

from approvals import executions
from approvals.models import Execution, Suggestion
from approvals.states import State
from billingops.inbox.routes import EventNote
from billingops.stripe import reads
from sandbox.faults import Fault
from settlements import actions, event_handlers, services, tasks
from settlements.models import Finding, PayoutRecord
from settlements.states import PayoutState
from settlements.tests.test_flow import execution_of, fresh

pytestmark = pytest.mark.django_db


def send(market, record_or_charge, amount=3_000, **more):
    """A transfer that somebody makes in Stripe's dashboard."""
    charge = getattr(record_or_charge, "charge", record_or_charge)
    params = {"amount": amount, "currency": "usd", "destination": "acct_bakery", "source_transaction": charge}
    return market.api.v1.transfers.create({**params, **more})


def note_of(market, transfer_id, *, kind="transfer.created", account=""):
    """The event as the inbox would hand it over."""
    events = [event for event in market.sandbox.events() if event["type"] == kind]
    data = next(event["data"]["object"] for event in events[::-1] if event["data"]["object"]["id"] == transfer_id)
    created = PayoutRecord.objects.latest("pk").created_at
    return EventNote("evt_x", kind, account, created, transfer_id, "transfer", data, {}, None)


# -- money that is there already ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("group", ["invoice", "another", "none"])
def test_a_transfer_made_by_hand_turns_the_approved_payout_stale(market, approve, group):
    invoice, record = market.settled(("acct_bakery", 10_000))
    approve(record)
    by_hand = send(
        market, record, **({"transfer_group": {"invoice": invoice.id}.get(group, group)} if group != "none" else {})
    )
    market.run_jobs()
    assert [made.id for made in market.transfers()] == [by_hand.id]
    assert fresh(record).suggestion.state == State.STALE
    finding = Finding.objects.open().get()
    assert (finding.code, finding.subject, finding.account) == ("already_transferred", invoice.id, "acct_bakery")
    for words in (by_hand.id, "USD 30.00", "Nothing was paid out"):
        assert words in finding.text
    assert not Suggestion.objects.waiting().exists()


def test_a_transfer_in_the_mirror_keeps_the_payout_from_being_suggested(market, monkeypatch):
    invoice = market.paid(("acct_bakery", 10_000))
    by_hand = send(market, market.charge_of(invoice))
    asked = []
    pages = reads.pages
    monkeypatch.setattr(reads, "pages", lambda kind, *args, **more: asked.append(kind) or pages(kind, *args, **more))
    market.deliver()
    assert "transfer" not in asked  # a backfill of thousands asks Stripe for no list
    assert not PayoutRecord.objects.exists()
    assert Finding.objects.open().get().code == "already_transferred"
    market.api.v1.transfers.reversals.create(by_hand.id)
    market.deliver()
    tasks.sweep()
    assert PayoutRecord.objects.get().amount == 7_000
    assert not Finding.objects.open().exists()


def test_a_transfer_without_a_charge_but_in_the_invoices_group_counts_too(market, approve):
    invoice, record = market.settled(("acct_bakery", 10_000))
    approve(record)
    by_hand = send(market, record, transfer_group=invoice.id)
    with market.sandbox.world.lock:
        market.sandbox.state.platform.get("transfer", by_hand.id)["source_transaction"] = None
    market.run_jobs()
    assert fresh(record).suggestion.state == State.STALE
    assert Finding.objects.open().get().code == "already_transferred"


def test_a_transfer_made_by_hand_withdraws_what_waits(market):
    _, record = market.settled(("acct_bakery", 10_000))
    send(market, record)
    market.deliver()
    assert fresh(record).suggestion.state == State.SUPERSEDED
    assert Finding.objects.open().get().code == "already_transferred"


def test_a_transfer_to_another_seller_of_the_same_charge_holds_nobody_up(market, approve):
    invoice = market.paid(("acct_bakery", 10_000), ("acct_studio", 4_000))
    market.deliver()
    for record in PayoutRecord.objects.order_by("account"):
        approve(record)
        market.run_jobs()
    assert sorted(made.amount for made in market.transfers()) == [3_500, 7_000]
    market.deliver()
    assert set(PayoutRecord.objects.values_list("state", flat=True)) == {PayoutState.TRANSFERRED}
    services.settle_invoice(invoice_id=invoice.id, actor=services.ACTOR, live=True)
    assert not Finding.objects.exists()


def test_after_a_restored_backup_the_first_attempt_finds_the_transfer_of_the_same_suggestion(market, approve):
    _, record = market.settled(("acct_bakery", 10_000))
    approve(record)
    execution = execution_of(record)
    before = send(
        market,
        record,
        7_000,
        transfer_group=record.invoice,
        metadata={"billingops_suggestion": str(record.suggestion_id)},
    )
    executions.execute(execution.pk)  # attempt 1, a key that Stripe has never seen
    assert [made.id for made in market.transfers()] == [before.id]
    found = execution_of(record)
    assert (found.attempt, found.state, found.object_id) == (1, Execution.State.EXECUTED, before.id)


def test_after_a_restored_backup_the_first_attempt_finds_the_reversal_of_the_same_suggestion(market, approve):
    _, record = market.settled(("acct_bakery", 10_000))
    approve(record)
    market.run_jobs()
    market.deliver()
    market.api.v1.refunds.create({"charge": record.charge, "amount": 5_000})
    market.deliver()
    reversal = Suggestion.objects.waiting().get(kind="transfer_reversal")
    approve(reversal)
    execution = Execution.objects.get(suggestion=reversal)
    market.api.v1.transfers.reversals.create(
        fresh(record).transfer, {"amount": reversal.amount, "metadata": {"billingops_suggestion": str(reversal.pk)}}
    )
    outcome = actions._reverse(reversal, execution)
    (transfer,) = market.transfers()
    assert transfer.amount_reversed == reversal.amount == 3_500
    assert outcome.summary.startswith("looked up")


# -- what Stripe reports ----------------------------------------------------------------------------------------------


def test_a_reversal_that_is_not_what_was_approved_confirms_nothing(market, approve):
    _, record = market.settled(("acct_bakery", 10_000))
    approve(record)
    market.run_jobs()
    market.deliver()
    market.api.v1.refunds.create({"charge": record.charge, "amount": 5_000})
    market.deliver()
    reversal = Suggestion.objects.waiting().get(kind="transfer_reversal")
    approve(reversal)
    market.sandbox.faults.add(
        Fault("drop_before", method="POST", path=f"/v1/transfers/{fresh(record).transfer}/reversals")
    )
    market.run_jobs()
    reversal.refresh_from_db()
    assert reversal.state == State.UNKNOWN
    wrong = market.api.v1.transfers.reversals.create(
        fresh(record).transfer, {"amount": 1, "metadata": {"billingops_suggestion": str(reversal.pk)}}
    )
    market.deliver()
    reversal.refresh_from_db()
    assert reversal.state == State.UNKNOWN
    finding = Finding.objects.get()
    assert (finding.code, finding.subject, finding.amount) == ("unexpected_transfer", wrong.id, 1)
    assert "USD 0.01" in finding.text
    assert actions._find_reversal(reversal, Execution.objects.get(suggestion=reversal)) is None


def test_a_reversal_of_another_transfer_confirms_nothing(market, approve):
    _, other = market.settled(("acct_bakery", 20_000))
    _, record = market.settled(("acct_bakery", 10_000))
    for one in (other, record):
        approve(one)
    market.run_jobs()
    market.deliver()
    market.api.v1.refunds.create({"charge": record.charge, "amount": 5_000})
    market.deliver()
    reversal = Suggestion.objects.waiting().get(kind="transfer_reversal")
    approve(reversal)
    execution = Execution.objects.get(suggestion=reversal)
    assert executions.begin(execution.pk, reversal.facts)
    market.api.v1.transfers.reversals.create(
        fresh(other).transfer, {"amount": reversal.amount, "metadata": {"billingops_suggestion": str(reversal.pk)}}
    )
    market.deliver()
    execution.refresh_from_db()
    assert (execution.confirmed_event, execution.object_id) == ("", "")
    assert Finding.objects.get().code == "unexpected_transfer"
    assert fresh(other).amount_reversed == reversal.amount  # it did leave the seller


def test_what_happens_on_a_connected_account_confirms_nothing(market, approve):
    _, record = market.settled(("acct_bakery", 10_000))
    approve(record)
    market.sandbox.faults.add(Fault("drop_after", method="POST", path="/v1/transfers"))
    executions.execute(execution_of(record).pk)
    (transfer,) = market.transfers()
    note = note_of(market, transfer.id)
    event_handlers.confirm_payout(replace(note, account="acct_evil"))
    assert fresh(record).suggestion.state == State.UNKNOWN
    assert not Finding.objects.exists()
    event_handlers.confirm_payout(note)
    assert fresh(record).state == PayoutState.TRANSFERRED
    market.api.v1.transfers.reversals.create(transfer.id)
    note = note_of(market, transfer.id, kind="transfer.reversed", account="acct_evil")
    event_handlers.note_reversal(note)
    assert fresh(record).amount_reversed == 0


@pytest.mark.parametrize("wrong", ["source_transaction", "transfer_group"])
def test_a_transfer_from_another_charge_or_group_confirms_nothing_and_is_not_found(market, approve, wrong):
    _, other = market.settled(("acct_bakery", 10_000))
    _, record = market.settled(("acct_bakery", 10_000))
    approve(record)
    market.sandbox.faults.add(Fault("drop_before", method="POST", path="/v1/transfers"))
    executions.execute(execution_of(record).pk)
    params = {
        "source_transaction": record.charge,
        "transfer_group": record.invoice,
        "metadata": {"billingops_suggestion": str(record.suggestion_id)},
    }
    send(market, record, 7_000, **{**params, wrong: other.charge if wrong == "source_transaction" else "of_somebody"})
    market.deliver()
    assert fresh(record).suggestion.state == State.UNKNOWN
    assert actions._find_payout(record.suggestion, execution_of(record)) is None
    assert "unexpected_transfer" in Finding.objects.open().values_list("code", flat=True)


# -- reversed before it was confirmed --------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["reversed first", "created first"])
def test_a_reversal_that_arrives_before_the_confirmation_is_not_lost(market, approve, order):
    _, record = market.settled(("acct_bakery", 10_000))
    approve(record)
    market.sandbox.faults.add(Fault("drop_after", method="POST", path="/v1/transfers"))
    executions.execute(execution_of(record).pk)
    (transfer,) = market.transfers()
    market.api.v1.transfers.reversals.create(transfer.id)
    market.deliver(order=lambda events: events[::-1] if order == "reversed first" else events)
    done = fresh(record)
    assert (done.suggestion.state, done.state, done.amount_reversed) == (State.CONFIRMED, PayoutState.REVERSED, 7_000)


def test_a_reversal_before_the_answer_is_recorded_counts_once_it_is(market, approve):
    _, record = market.settled(("acct_bakery", 10_000))
    approve(record)
    execution = execution_of(record)
    assert executions.begin(execution.pk, record.suggestion.facts)
    outcome = actions._pay(record.suggestion, execution)
    market.api.v1.transfers.reversals.create(outcome.object_id, {"amount": 2_000})
    market.deliver()
    assert fresh(record).transfer == ""
    executions.record_executed(execution.pk, outcome)
    done = fresh(record)
    assert (done.state, done.amount_reversed) == (PayoutState.TRANSFERRED, 2_000)


# -- one broken item ---------------------------------------------------------------------------------------------------


def test_one_broken_invoice_does_not_hold_the_others_up(market, monkeypatch):
    market.sandbox.restrict_account("acct_bakery")
    first, second = market.paid(("acct_bakery", 10_000)), market.paid(("acct_bakery", 10_000))
    market.deliver()
    looked = []
    settle = services.settle_invoice

    def sometimes(*, invoice_id, **more):
        looked.append(invoice_id)
        if invoice_id == first.id:
            raise KeyError("broken")
        return settle(invoice_id=invoice_id, **more)

    monkeypatch.setattr(services, "settle_invoice", sometimes)
    assert tasks.sweep()["looked_at"] == 2
    assert sorted(looked) == sorted([first.id, second.id])
