"""Every movement on a balance reaches the typed table, whichever way it came, in few statements."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from djstripe import models as dj

from billingops.stripe import backfill, reads, sync
from billingops.stripe.models import MirroredBalanceTransaction as Row
from sandbox import Fault

pytestmark = pytest.mark.django_db


@pytest.fixture
def api(stripe_api):
    return stripe_api.v1


def charge(api, amount=10_000, **params):
    intent = api.payment_intents.create(
        {"amount": amount, "currency": "usd", "payment_method": "pm_card_visa", "confirm": True, **params}
    )
    return api.charges.retrieve(intent.latest_charge)


@pytest.fixture
def seller(api):
    return api.accounts.create({"type": "express", "capabilities": {"transfers": {"requested": True}}}).id


def kinds(**where):
    return sorted(Row.objects.filter(**where).values_list("reporting_category", "amount", "fee", "net"))


def test_an_object_brings_the_movement_it_made(sandbox, api, seller):
    paid = charge(api)
    refund = api.refunds.create({"charge": paid.id, "amount": 1_000})
    transfer = api.transfers.create(
        {"amount": 5_000, "currency": "usd", "destination": seller, "source_transaction": paid.id}
    )
    reversal = api.transfers.reversals.create(transfer.id, {"amount": 700})
    dispute = sandbox.create_dispute(paid.id)
    for kind, object_id in (("refund", refund.id), ("transfer", transfer.id), ("dispute", dispute["id"])):
        sync.refresh(kind, object_id)
    sources = dict(Row.objects.values_list("source_id", "amount"))
    assert sources == {refund.id: -1_000, transfer.id: -5_000, reversal.id: 700, dispute["id"]: -9_000, paid.id: 10_000}
    row = Row.objects.get(source_id=paid.id)
    assert (row.account, row.type, row.fee, row.net, row.status) == ("", "charge", 320, 9_680, "pending")
    assert row.fee_details == [{"type": "stripe_fee", "amount": 320, "currency": "usd", "application": ""}]
    assert row.available_on - row.created == timedelta(days=2)
    assert Row.objects.get(source_id=dispute["id"]).fee == 1_500


def test_a_connected_accounts_movements_are_its_own(sandbox, api, seller):
    transfer = api.transfers.create(
        {"amount": 5_000, "currency": "usd", "destination": seller, "source_transaction": charge(api).id}
    )
    assert sync.balance_transactions(seller) == 1
    (row,) = Row.objects.all()
    assert (row.account, row.amount, row.source_id) == (seller, 5_000, transfer.destination_payment)


def test_the_backfill_brings_them_all_platform_and_accounts(sandbox, api, seller):
    paid = charge(api)
    api.transfers.create({"amount": 5_000, "currency": "usd", "destination": seller, "source_transaction": paid.id})
    backfill.run(["Account", "BalanceTransaction"])
    assert kinds(account="") == [("charge", 10_000, 320, 9_680), ("transfer", -5_000, 0, -5_000)]
    assert kinds(account=seller) == [("charge", 5_000, 0, 5_000)]
    assert dj.BalanceTransaction.objects.get(type="transfer").amount == -5_000
    assert dj.BalanceTransaction.objects.get(type="payment").djstripe_owner_account_id == seller


def test_an_automatic_payouts_transactions_are_marked_with_it_and_stay_so(sandbox, api):
    charge(api)
    sandbox.clock.advance(days=3)
    payout = sandbox.auto_payout()
    charge(api, 500)
    assert sync.balance_transactions(payout=payout["id"]) == 2
    sync.balance_transactions()
    assert sorted(Row.objects.values_list("type", "payout_id")) == [
        ("charge", ""), ("charge", payout["id"]), ("payout", payout["id"]),
    ]  # fmt: skip


def test_what_changed_at_stripe_changes_here(sandbox, api):
    charge(api)
    sync.balance_transactions()
    sandbox.clock.advance(days=3)
    sync.balance_transactions()
    assert Row.objects.get().status == "available"


def test_a_page_costs_the_same_however_many_it_holds(sandbox, api, seller):
    def statements() -> int:
        with CaptureQueriesContext(
            connection,
        ) as queries:
            sync.balance_transactions(seller)
        return len(queries)

    paid = charge(api, 100_000)
    sync.refresh("account", seller)
    params = {"amount": 100, "currency": "usd", "destination": seller, "source_transaction": paid.id}
    api.transfers.create(params)
    few = statements()
    for _ in range(30):
        api.transfers.create(params)
    assert statements() == few
    assert Row.objects.filter(account=seller).count() == 31


def test_a_throttled_page_is_asked_for_again(sandbox, api):
    charge(api)
    sandbox.faults.add(Fault("rate_limit", path="/v1/balance_transactions"))
    assert sync.balance_transactions() == 1


def test_many_pages_are_read_to_the_last(sandbox, api, monkeypatch):
    for amount in range(100, 107):
        charge(api, amount)
    whole = reads.pages
    monkeypatch.setattr(reads, "pages", lambda *args, **kwargs: whole(*args, **{**kwargs, "limit": 2}))
    assert sync.balance_transactions() == 7
    assert Row.objects.count() == 7
