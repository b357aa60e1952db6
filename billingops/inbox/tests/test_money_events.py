"""Every event about money refreshes what it names, of the platform and of connected accounts."""

from __future__ import annotations

import pytest

from billingops.inbox.models import InboundEvent
from billingops.stripe import sync
from billingops.stripe.models import MirroredBalanceTransaction, MirroredObject

pytestmark = pytest.mark.django_db


@pytest.fixture
def api(stripe_api):
    return stripe_api.v1


@pytest.fixture
def seller(api):
    return api.accounts.create({"type": "express", "capabilities": {"transfers": {"requested": True}}}).id


def charge(api, amount=10_000, options=None, **params):
    values = {"amount": amount, "currency": "usd", "payment_method": "pm_card_bypassPending", "confirm": True}
    return api.payment_intents.create({**values, **params}, options or {}).latest_charge


def test_all_that_happens_to_a_charge_reaches_the_mirror(sandbox, api, seller, deliver):
    paid = charge(api)
    made = api.transfers.create(
        {"amount": 2_000, "currency": "usd", "destination": seller, "source_transaction": paid}
    ).id
    deliver()
    api.transfers.reversals.create(made, {"amount": 300})
    refund = api.refunds.create({"charge": paid, "amount": 1_000}).id
    dispute = sandbox.create_dispute(paid)["id"]
    deliver()
    sandbox.fail_refund(refund)
    sandbox.close_dispute(dispute, won=True)
    deliver()
    assert InboundEvent.objects.exclude(state__in=["done", "ignored"]).count() == 0
    assert sync.charge_facts(paid, live=False) == sync.charge_facts(paid, live=True)
    assert sync.refunds_of(paid, live=False) == sync.refunds_of(paid, live=True)
    assert sync.disputes_of(paid, live=False) == sync.disputes_of(paid, live=True)
    assert sync.transfer_facts(made, live=False) == sync.transfer_facts(made, live=True)
    assert sync.refunds_of(paid, live=False)[0].status == "failed"
    mine = set(MirroredBalanceTransaction.objects.filter(account="").values_list("object_id", flat=True))
    theirs = {entry["id"] for entry in sandbox.balance.find()}
    assert theirs - mine <= {entry["id"] for entry in sandbox.balance.find(type="refund_failure")}


@pytest.mark.parametrize("connected", [False, True])
def test_a_payout_is_followed_to_its_list_and_back(sandbox, api, seller, deliver, connected):
    account = seller if connected else ""
    charge(api, 5_000, {"stripe_account": account} if connected else None)
    payout = sandbox.auto_payout(account or None)["id"]
    deliver()
    assert sync.payout_facts(payout, account, live=False).status == "pending"
    assert not MirroredBalanceTransaction.objects.exclude(payout_id="").exists()
    sandbox.mark_payout(payout, "paid", account or None)
    sandbox.mark_payout(payout, "reconciled", account or None)
    deliver()
    held = MirroredBalanceTransaction.objects.filter(payout_id=payout, account=account)
    assert sorted(held.values_list("type", flat=True)) == ["charge", "payout"]
    assert sum(held.values_list("net", flat=True)) == 0
    sandbox.mark_payout(payout, "failed", account or None)
    deliver()
    facts = sync.payout_facts(payout, account, live=False)
    assert facts == sync.payout_facts(payout, account, live=True)
    assert (facts.account, facts.status) == (account, "failed")
    assert MirroredObject.objects.get(object_id=payout).account == account


def test_a_manual_payout_has_no_list_and_can_be_canceled(sandbox, api, deliver):
    charge(api)
    payout = api.payouts.create({"amount": 100, "currency": "usd"}).id
    sandbox.emit("payout.reconciliation_completed", payout)
    api.payouts.cancel(payout)
    deliver()
    assert not MirroredBalanceTransaction.objects.exclude(payout_id="").exists()
    assert sync.payout_facts(payout, live=False).status == "canceled"
    assert InboundEvent.objects.filter(state="done", type="payout.reconciliation_completed").exists()


def test_funds_become_available_by_the_balances_event(sandbox, api, seller, deliver):
    values = {"amount": 700, "currency": "usd", "payment_method": "pm_card_visa", "confirm": True}
    api.payment_intents.create(values)
    api.payment_intents.create(values, {"stripe_account": seller})
    deliver()
    states = MirroredBalanceTransaction.objects.values_list("account", "status")
    sync.balance_transactions(seller)
    assert sorted(states.all()) == [("", "pending"), (seller, "pending")]
    sandbox.clock.advance(days=3)
    deliver(lambda events: [event for event in events if not event.get("account")])
    assert sorted(states.all()) == [("", "available"), (seller, "pending")]


def test_fees_and_top_ups_are_listed_with_their_movements(sandbox, api, seller, deliver):
    paid = charge(api, application_fee_amount=900, transfer_data={"destination": seller})
    topup = sandbox.top_up(4_000)
    deliver()
    fee = MirroredObject.objects.get(object_type="application_fee")
    assert (fee.amount, fee.status, fee.parent_id, fee.account) == (900, "collected", paid, "")
    row = MirroredObject.objects.get(object_type="topup")
    assert (row.object_id, row.amount, row.status) == (topup["id"], 4_000, "succeeded")
    sources = set(MirroredBalanceTransaction.objects.filter(account="").values_list("source_id", flat=True))
    assert {fee.object_id, topup["id"]} <= sources
    api.application_fees.refunds.create(fee.object_id, {"amount": 400})
    deliver()
    fee.refresh_from_db()
    assert fee.status == "partially_refunded"


def test_a_credit_note_is_followed(sandbox, api, deliver):
    customer = api.customers.create({"name": "Ana"}).id
    draft = api.invoices.create({"customer": customer}).id
    api.invoice_items.create({"customer": customer, "invoice": draft, "amount": 1_000, "currency": "usd"})
    api.invoices.finalize_invoice(draft)
    note = api.credit_notes.create({"invoice": draft, "amount": 100}).id
    deliver()
    api.credit_notes.void_credit_note(note)
    deliver()
    assert [found.status for found in sync.credit_notes_of(draft, live=False)] == ["void"]


def test_the_past_lists_what_belonged_to_a_charge_by_then(sandbox, api, deliver):
    from django.utils import timezone

    from billingops.inbox.past import Past

    paid = charge(api)
    api.refunds.create({"charge": paid, "amount": 100})
    deliver()
    then = timezone.now()
    api.refunds.create({"charge": paid, "amount": 200})
    deliver()
    view = Past(then)
    with sync.reading_from(view):
        assert [refund.amount for refund in sync.refunds_of(paid, live=True)] == [100]
        assert sync.disputes_of(paid, live=True) == ()
    assert view.missing == set()
    assert len(sync.refunds_of(paid, live=True)) == 2


def test_an_account_that_disconnects_is_marked_and_comes_back_unmarked(sandbox, api, seller, deliver):
    deliver()
    sandbox.deauthorize_account(seller)
    deliver()
    assert sync.account_facts(seller, live=False).deauthorised
    assert sync.account_facts(seller, live=True).deauthorised
    sandbox.reauthorize_account(seller)
    deliver()
    assert sync.account_facts(seller, live=False) == sync.account_facts(seller, live=True)
    assert not sync.account_facts(seller, live=True).deauthorised


def test_a_payouts_list_is_complete_before_any_other_handler_sees_its_event(sandbox, api, deliver, monkeypatch):
    from billingops.inbox import routes

    seen = []

    def look(note):
        seen.append(MirroredBalanceTransaction.objects.filter(payout_id=note.object_id).count())

    monkeypatch.setitem(routes._families, "payout.", [*routes._families.get("payout.", []), look])
    routes.handlers_for.cache_clear()
    charge(api)
    payout = sandbox.auto_payout()["id"]
    sandbox.mark_payout(payout, "reconciled")
    deliver(lambda events: [event for event in events if event["type"] == "payout.reconciliation_completed"])
    routes.handlers_for.cache_clear()
    assert seen == [2]
