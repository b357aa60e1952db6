"""From a paid invoice to a confirmed transfer, on the sandbox: what is proposed, executed once, confirmed, and what
not."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from approvals import executions, registry, sealing
from approvals import services as gate
from approvals.models import Execution, Suggestion
from approvals.states import State
from billingops.actors import Actor
from billingops.ids import seal
from sandbox.faults import Fault
from settlements import rules, services
from settlements.models import Finding, PayoutRecord
from settlements.states import PayoutState
from settlements.tests.conftest import CONFIG

pytestmark = pytest.mark.django_db


def fresh(record):
    return PayoutRecord.objects.select_related("suggestion").get(pk=record.pk)


def execution_of(record):
    return Execution.objects.filter(suggestion=record.suggestion_id).order_by("-attempt").first()


def test_a_paid_invoice_becomes_one_payout_per_seller_with_lines_that_add_up(market):
    invoice = market.paid(("acct_bakery", 19_004), ("acct_studio", 2_000, 3), ("", 1_000))
    market.deliver()
    bakery = PayoutRecord.objects.get(account="acct_bakery")
    studio = PayoutRecord.objects.get(account="acct_studio")
    assert PayoutRecord.objects.count() == 2
    assert (bakery.amount, bakery.fee_total, bakery.currency) == (13_303, 5_701, "usd")
    assert (studio.amount, studio.fee_total) == (4_500, 1_500)
    line = bakery.lines.get()
    assert (line.base, line.fee, line.share, line.rule.name, line.rule_version) == (
        19_004,
        5_701,
        13_303,
        "bakery-70-30",
        1,
    )
    assert studio.lines.get().quantity == 3
    suggestion = bakery.suggestion
    assert (suggestion.kind, suggestion.state, suggestion.subject) == ("seller_payout", State.PENDING, invoice.id)
    assert (suggestion.account, suggestion.amount, suggestion.currency) == ("acct_bakery", 13_303, "usd")
    assert suggestion.customer == invoice.customer
    assert suggestion.event_id.startswith("evt_")
    assert suggestion.facts_hash == seal(suggestion.facts)
    assert suggestion.suggested_by == rules.VERSION
    assert "Your payout is USD 133.03." in bakery.memo
    assert bakery.memo_by == rules.VERSION
    assert "Jenny" not in bakery.memo + suggestion.rationale + str(suggestion.facts)
    assert bakery.history.get().history_change_reason.startswith("suggested")


def test_approved_it_is_transferred_once_and_the_returning_event_confirms_it(market, approve, finance):
    invoice, record = market.settled(("acct_bakery", 19_004))
    approve(record)
    assert fresh(record).state == PayoutState.PENDING_TRANSFER
    market.run_jobs()
    waiting = fresh(record)
    (transfer,) = market.transfers()
    # Answered is not done: only Stripe's own event makes it so.
    assert (waiting.state, waiting.transfer) == (PayoutState.PENDING_TRANSFER, transfer.id)
    assert waiting.suggestion.state == State.EXECUTED
    assert (transfer.amount, transfer.currency, transfer.destination) == (13_303, "usd", "acct_bakery")
    assert (transfer.source_transaction, transfer.transfer_group) == (market.charge_of(invoice), invoice.id)
    assert transfer.metadata.to_dict() == {
        "billingops_suggestion": str(record.suggestion_id),
        "billingops_event": record.suggestion.event_id,
        "billingops_approved_by": str(finance.pk),
        "invoice": invoice.id,
    }
    market.deliver()
    done = fresh(record)
    assert (done.state, done.suggestion.state) == (PayoutState.TRANSFERRED, State.CONFIRMED)
    assert done.transferred_at is not None
    market.deliver(order=lambda events: events)
    market.run_jobs()
    assert len(market.transfers()) == 1


def test_what_is_shown_before_is_what_is_sent(market, approve):
    _, record = market.settled(("acct_bakery", 19_004))
    preview = record.suggestion.preview()
    assert preview.sentence == (
        f"Transfers USD 133.03 to Bakery Supplies (acct_bakery) from charge {record.charge}; "
        "available to the seller together with the charge's funds."
    )
    shown = dict(approve(record).preview().call)
    assert shown.pop("POST") == "/v1/transfers"
    market.run_jobs()
    (transfer,) = market.transfers()
    sent = {f"metadata[{key}]": value for key, value in transfer.metadata.to_dict().items()}
    sent |= {key: str(getattr(transfer, key)) for key in shown if not key.startswith("metadata")}
    assert sent == shown


def test_the_same_event_twice_and_other_events_of_the_invoice_propose_nothing_more(market):
    market.paid(("acct_bakery", 10_000))
    market.deliver(order=lambda events: events + events[::-1])
    assert PayoutRecord.objects.count() == Suggestion.objects.count() == 1


def test_events_out_of_order_lead_to_the_same_payout(market):
    market.paid(("acct_bakery", 10_000), ("acct_studio", 4_000))
    market.deliver(order=lambda events: events[::-1])
    assert sorted(PayoutRecord.objects.values_list("account", "amount")) == [
        ("acct_bakery", 7_000),
        ("acct_studio", 3_500),
    ]


def test_a_rejected_payout_is_not_brought_back_by_a_replay(market, finance):
    invoice, record = market.settled(("acct_bakery", 10_000))
    gate.reject(suggestion_id=record.suggestion_id, actor=Actor.person(finance), version=1, reason_code="wrong_amount")
    assert fresh(record).state == PayoutState.CANCELLED
    services.settle_invoice(invoice_id=invoice.id, actor=services.ACTOR, live=True)
    assert Suggestion.objects.count() == 1


def test_a_zero_decimal_currency_is_paid_in_whole_units(market, approve):
    _, record = market.settled(("acct_kyoto", 50_000), currency="jpy")
    assert (record.amount, record.fee_total, record.money) == (49_200, 800, "JPY 49,200")
    approve(record)
    market.run_jobs()
    market.deliver()
    (transfer,) = market.transfers()
    assert (transfer.amount, transfer.currency, fresh(record).state) == (49_200, "jpy", PayoutState.TRANSFERRED)


def test_mirror_and_stripe_give_the_same_facts_so_nothing_goes_stale_by_itself(market):
    _, record = market.settled(("acct_bakery", 9_999), ("", 100))
    assert (
        sealing.differences(record.suggestion.facts, registry.get("seller_payout").rebuild_facts(record.suggestion))
        == []
    )


# -- why nobody is paid ------------------------------------------------------------------------------------------------


def test_a_missing_rule_is_a_finding_and_the_imported_rule_heals_it(market):
    invoice = market.paid(("acct_new", 10_000))
    market.deliver()
    finding = Finding.objects.get()
    assert (finding.code, finding.state, finding.subject, finding.account) == (
        "missing_rule",
        "open",
        invoice.id,
        "acct_new",
    )
    assert not PayoutRecord.objects.exists()
    market.import_config(
        'rules: [{name: new, seller: acct_new, share: {type: percent, seller: "50"}, valid_from: 2020-01-01}]'
    )
    market.run_jobs()
    finding.refresh_from_db()
    assert (finding.state, finding.closed_reason) == ("resolved", "a payout is suggested")
    assert PayoutRecord.objects.get().amount == 5_000


def test_a_restricted_account_is_a_finding_until_stripe_lifts_it(market):
    market.sandbox.restrict_account("acct_bakery")
    market.paid(("acct_bakery", 10_000))
    market.deliver()
    finding = Finding.objects.get()
    assert (finding.code, finding.account) == ("account_restricted", "acct_bakery")
    assert "requirements.past_due" in finding.text
    assert not PayoutRecord.objects.exists()
    account = market.sandbox.state.platform.get("account", "acct_bakery")
    with (
        market.sandbox.world.lock,
        market.sandbox.world.changes(market.sandbox.state.platform, account, "account.updated"),
    ):
        account["capabilities"] = dict.fromkeys(account["capabilities"], "active")
        account["requirements"] = {**account["requirements"], "disabled_reason": None}
    market.deliver()
    market.run_jobs()
    finding.refresh_from_db()
    assert (finding.state, PayoutRecord.objects.get().amount) == ("resolved", 7_000)


def test_a_restriction_withdraws_what_waits(market):
    _, record = market.settled(("acct_bakery", 10_000))
    market.sandbox.restrict_account("acct_bakery")
    market.deliver()
    market.run_jobs()
    assert fresh(record).suggestion.state == State.SUPERSEDED
    assert fresh(record).state == PayoutState.CANCELLED
    assert Finding.objects.open().get().code == "account_restricted"


def test_an_invoice_paid_out_of_band_has_no_charge_to_pay_from(market):
    draft = market.api.v1.invoices.create(
        {"customer": market.customer().id, "metadata": {"seller_account": "acct_bakery"}}
    )
    market.api.v1.invoice_items.create(
        {"customer": draft.customer, "invoice": draft.id, "amount": 5_000, "currency": "usd"}
    )
    market.api.v1.invoices.finalize_invoice(draft.id)
    market.api.v1.invoices.pay(draft.id, {"paid_out_of_band": True})
    market.deliver()
    assert Finding.objects.get().code == "no_charge"


def test_an_invoice_on_a_connected_account_is_not_shared_out(market):
    settled = services.settle_invoice(invoice_id="in_x", account="acct_bakery", actor=services.ACTOR)
    assert settled.proposed == []
    assert "connected account" in settled.notes[0]


def test_an_invoice_that_stripe_no_longer_has_changes_nothing(market):
    settled = services.settle_invoice(invoice_id="in_gone", actor=services.ACTOR, live=True)
    assert (settled.proposed, settled.found) == ([], [])
    assert "no longer" in settled.notes[0]


# -- the facts move ----------------------------------------------------------------------------------------------------


def test_a_refund_before_the_approval_withdraws_the_payout_and_proposes_what_is_left(market):
    invoice, record = market.settled(("acct_bakery", 10_000))
    market.api.v1.refunds.create({"charge": market.charge_of(invoice), "amount": 100})
    market.deliver()
    assert fresh(record).suggestion.state == State.SUPERSEDED
    again = PayoutRecord.objects.live().get()
    assert (again.amount, again.suggestion.state) == (6_930, State.PENDING)  # 70.00 − 70 % of 1.00
    assert again.suggestion.previous_id == record.suggestion_id
    assert "USD 0.70 taken back by refunds" in again.suggestion.rationale
    assert not Finding.objects.open().exists()


def test_a_full_refund_before_the_approval_withdraws_the_payout(market):
    invoice, record = market.settled(("acct_bakery", 10_000))
    market.api.v1.refunds.create({"charge": market.charge_of(invoice)})
    market.deliver()
    assert fresh(record).suggestion.state == State.SUPERSEDED
    assert not PayoutRecord.objects.live().exists()


def test_a_refund_between_approval_and_execution_goes_stale_and_proposes_what_is_left(market, approve):
    invoice, record = market.settled(("acct_bakery", 10_000))
    approve(record)
    market.api.v1.refunds.create({"charge": market.charge_of(invoice), "amount": 100})
    market.run_jobs()
    assert market.transfers() == []
    stale = fresh(record)
    assert (stale.suggestion.state, stale.state) == (State.STALE, PayoutState.CANCELLED)
    again = PayoutRecord.objects.live().get()  # the stale one was looked at again
    assert (again.amount, again.suggestion.state) == (6_930, State.PENDING)
    assert again.suggestion.previous_id == record.suggestion_id


def test_a_changed_rule_leaves_what_was_computed_as_it_is(market, approve):
    _, record = market.settled(("acct_bakery", 10_000))
    approve(record)
    market.import_config(CONFIG.replace('"70"', '"80"'))
    market.run_jobs()
    assert [transfer.amount for transfer in market.transfers()] == [7_000]
    assert record.lines.get().rule_version == 1
    _, later = market.settled(("acct_bakery", 10_000))
    assert (later.amount, later.lines.get().rule_version) == (8_000, 2)


def test_an_approval_between_the_look_and_the_withdrawal_is_not_lost_with_its_payout(market, approve, monkeypatch):
    """A cancelled one keeps its key, so nothing could be proposed in its place; the check before the execution reads
    Stripe anyway and sends it back."""
    invoice, record = market.settled(("acct_bakery", 10_000))
    market.api.v1.refunds.create({"charge": market.charge_of(invoice), "amount": 100})
    supersede = gate.supersede

    def meanwhile(**asked):
        approve(record)
        return supersede(**asked)

    monkeypatch.setattr(gate, "supersede", meanwhile)
    services.settle_invoice(invoice_id=invoice.id, actor=services.ACTOR, live=True)
    assert fresh(record).suggestion.state == State.APPROVED
    monkeypatch.undo()
    market.run_jobs()
    assert fresh(record).suggestion.state == State.STALE  # which gives its key back
    again = PayoutRecord.objects.live().get()
    assert (again.amount, again.suggestion.state, market.transfers()) == (6_930, State.PENDING, [])


# -- what Stripe answers -----------------------------------------------------------------------------------------------


def test_a_refused_transfer_fails_and_a_retry_has_a_new_key(market, approve, finance):
    _, record = market.settled(("acct_bakery", 10_000))
    approve(record)
    # Somebody has moved the charge's money by hand meanwhile.
    taken = market.api.v1.transfers.create(
        {"amount": 9_000, "currency": "usd", "destination": "acct_studio", "source_transaction": record.charge}
    )
    market.run_jobs()
    failed = fresh(record)
    assert (failed.state, failed.suggestion.state) == (PayoutState.FAILED, State.FAILED)
    first = execution_of(record)
    assert "exceeds" in first.error
    market.api.v1.transfers.reversals.create(taken.id)
    market.sandbox.state.platform.get("transfer", taken.id)["amount"] = 0  # the sandbox counts what is left
    market.sandbox.state.platform.get("transfer", taken.id)["amount_reversed"] = 0
    gate.retry(suggestion_id=record.suggestion_id, actor=Actor.person(finance), version=failed.suggestion.version)
    assert fresh(record).state == PayoutState.PENDING_TRANSFER
    market.run_jobs()
    second = execution_of(record)
    assert (second.attempt, second.state) == (2, Execution.State.EXECUTED)
    assert second.idempotency_key != first.idempotency_key
    market.deliver()
    assert fresh(record).state == PayoutState.TRANSFERRED


def test_a_lost_answer_is_looked_up_and_never_sent_twice(market, approve):
    _, record = market.settled(("acct_bakery", 10_000))
    approve(record)
    market.sandbox.faults.add(Fault("drop_after", method="POST", path="/v1/transfers"))
    market.run_jobs()
    assert len(market.transfers()) == 1
    found = execution_of(record)
    assert (found.state, found.attempt) == (Execution.State.EXECUTED, 1)
    assert found.object_id == market.transfers()[0].id
    assert found.result["summary"].startswith("looked up")
    market.deliver()
    assert (fresh(record).state, len(market.transfers())) == (PayoutState.TRANSFERRED, 1)


def test_an_answer_lost_before_the_effect_fails_only_after_a_while_and_may_be_tried_again(market, approve, finance):
    _, record = market.settled(("acct_bakery", 10_000))
    approve(record)
    market.sandbox.faults.add(Fault("drop_before", method="POST", path="/v1/transfers"))
    market.run_jobs()
    unknown = execution_of(record)
    assert unknown.state == Execution.State.UNKNOWN
    assert fresh(record).state == PayoutState.PENDING_TRANSFER  # not known is neither done nor failed
    Execution.objects.filter(pk=unknown.pk).update(finished_at=timezone.now() - timedelta(minutes=10))
    executions.resolve(unknown.pk)
    assert fresh(record).state == PayoutState.FAILED
    gate.retry(
        suggestion_id=record.suggestion_id, actor=Actor.person(finance), version=fresh(record).suggestion.version
    )
    market.run_jobs()
    market.deliver()
    assert (fresh(record).state, len(market.transfers())) == (PayoutState.TRANSFERRED, 1)


def test_a_retry_finds_the_transfer_of_an_attempt_that_was_only_slow(market, approve, finance):
    _, record = market.settled(("acct_bakery", 10_000))
    approve(record)
    market.sandbox.faults.add(Fault("drop_before", method="POST", path="/v1/transfers"))
    market.run_jobs()
    executions.record_failed(execution_of(record).pk, code="not_carried_out", message="looked up too early")
    late = market.api.v1.transfers.create(
        {
            "amount": 7_000,
            "currency": "usd",
            "destination": "acct_bakery",
            "source_transaction": record.charge,
            "transfer_group": record.invoice,
            "metadata": {"billingops_suggestion": str(record.suggestion_id)},
        }
    )
    gate.retry(
        suggestion_id=record.suggestion_id, actor=Actor.person(finance), version=fresh(record).suggestion.version
    )
    market.run_jobs()
    assert [transfer.id for transfer in market.transfers()] == [late.id]
    assert execution_of(record).object_id == late.id


def test_the_event_may_overtake_the_answer(market, approve):
    _, record = market.settled(("acct_bakery", 10_000))
    approve(record)
    market.sandbox.faults.add(Fault("drop_after", method="POST", path="/v1/transfers"))
    executions.execute(execution_of(record).pk)
    assert execution_of(record).state == Execution.State.UNKNOWN
    market.deliver()
    assert (fresh(record).state, fresh(record).suggestion.state) == (PayoutState.TRANSFERRED, State.CONFIRMED)
    assert fresh(record).transfer == market.transfers()[0].id


def test_a_transfer_that_is_not_what_was_approved_confirms_nothing(market, approve):
    _, record = market.settled(("acct_bakery", 10_000))
    approve(record)
    market.api.v1.transfers.create(
        {
            "amount": 1,
            "currency": "usd",
            "destination": "acct_bakery",
            "source_transaction": record.charge,
            "metadata": {"billingops_suggestion": str(record.suggestion_id)},
        }
    )
    market.deliver()
    assert fresh(record).state == PayoutState.PENDING_TRANSFER
    finding = Finding.objects.get()
    assert finding.code == "unexpected_transfer"
    assert "USD 0.01" in finding.text


def test_a_second_transfer_for_the_same_payout_is_found(market, approve):
    _, record = market.settled(("acct_bakery", 10_000), ("", 10_000))
    approve(record)
    market.run_jobs()
    market.deliver()
    second = market.api.v1.transfers.create(
        {
            "amount": 7_000,
            "currency": "usd",
            "destination": "acct_bakery",
            "source_transaction": record.charge,
            "metadata": {"billingops_suggestion": str(record.suggestion_id)},
        }
    )
    market.deliver()
    finding = Finding.objects.get()
    assert (finding.code, finding.subject) == ("unexpected_transfer", second.id)
    assert "another transfer has paid it already" in finding.text
    assert fresh(record).transfer != second.id


@pytest.mark.parametrize("value", ["", "not-a-uuid", "00000000-0000-0000-0000-000000000000"])
def test_a_transfer_of_somebody_else_is_none_of_our_business(market, value):
    charge = market.charge_of(market.paid(("", 1_000)))
    market.api.v1.transfers.create(
        {
            "amount": 1,
            "currency": "usd",
            "destination": "acct_bakery",
            "source_transaction": charge,
            "metadata": {"billingops_suggestion": value},
        }
    )
    counts = market.deliver()
    assert counts["parked"] == counts["retried"] == 0
    assert not Finding.objects.exists()
