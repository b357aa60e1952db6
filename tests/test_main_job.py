"""The main job, end to end in one process: signed event → inbox → mirror → rules → suggestion → approval → one call at
the sandbox → confirmed by the returning event. The demo plays the same with real processes (demo/tests)."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.management import call_command

from approvals import audit, services
from approvals.models import Suggestion
from approvals.states import State
from billingops.actors import Actor
from dunning.models import DunningCase
from settlements.models import PayoutRecord

CONFIG = """
sellers:
  - account: acct_seller
    name: Bakery Supplies
rules:
  - name: bakery-70-30
    seller: acct_seller
    match: none
    share: {type: percent, seller: "70"}
    valid_from: 2020-01-01
"""


@pytest.fixture
def shop(sandbox: Any, stripe_api: Any, tmp_path: Any, db: None) -> dict[str, str]:
    file = tmp_path / "config.yaml"
    file.write_text(CONFIG)
    call_command("import_config", str(file))
    api = stripe_api.v1
    api.accounts.create({"id": "acct_seller", "capabilities": {"transfers": {"requested": True}}})
    product = api.products.create({"name": "Box", "metadata": {"seller_account": "acct_seller"}})
    price = api.prices.create(
        {"product": product.id, "currency": "usd", "unit_amount": 19005, "recurring": {"interval": "month"}}
    )
    customer = api.customers.create({"name": "Ada", "email": "ada@example.com"})
    method = api.payment_methods.attach("pm_card_visa", {"customer": customer.id})
    api.customers.update(customer.id, {"invoice_settings": {"default_payment_method": method.id}})
    subscription = api.subscriptions.create({"customer": customer.id, "items": [{"price": price.id}]})
    return {"customer": customer.id, "method": method.id, "subscription": subscription.id}


def test_a_paid_invoice_becomes_one_confirmed_transfer(shop, sandbox, deliver, run_jobs, finance):
    assert not deliver()["retried"]
    suggestion = Suggestion.objects.get(kind="seller_payout")
    assert (suggestion.state, suggestion.amount, suggestion.currency) == (State.PENDING, 13303, "usd")
    services.approve(suggestion_id=suggestion.pk, actor=Actor.person(finance), version=suggestion.version)
    run_jobs()
    deliver()
    suggestion.refresh_from_db()
    record = PayoutRecord.objects.get()
    assert (suggestion.state, record.state) == (State.CONFIRMED, "transferred")
    [transfer] = [event["data"]["object"] for event in sandbox.events("transfer.created")]
    assert (transfer["id"], transfer["amount"], transfer["destination"]) == (record.transfer, 13303, "acct_seller")
    assert transfer["metadata"]["billingops_suggestion"] == str(suggestion.pk)
    assert transfer["source_transaction"] == record.charge
    assert audit.verify().broken_at is None


@pytest.mark.parametrize("order", ["reversed", "twice"])
def test_the_order_and_number_of_deliveries_do_not_matter(shop, deliver, order):
    deliver(order=(lambda events: events[::-1]) if order == "reversed" else (lambda events: events + events))
    assert Suggestion.objects.filter(kind="seller_payout").count() == 1
    assert PayoutRecord.objects.get().amount == 13303


def test_a_failed_payment_is_retried_with_a_new_card_and_the_case_closes(
    shop, sandbox, stripe_api, deliver, run_jobs, finance
):
    deliver()
    sandbox.cards.set_outcome(shop["method"], decline_code="expired_card", code="expired_card")
    invoice = sandbox.bill_subscription(shop["subscription"])
    deliver()
    case = DunningCase.objects.get(invoice=invoice["id"])
    [first] = Suggestion.objects.filter(subject=invoice["id"]).waiting()
    assert first.kind == "notify_customer"
    method = stripe_api.v1.payment_methods.attach("pm_card_mastercard", {"customer": shop["customer"]})
    stripe_api.v1.customers.update(shop["customer"], {"invoice_settings": {"default_payment_method": method.id}})
    deliver()
    run_jobs()
    [retry] = Suggestion.objects.filter(subject=invoice["id"]).waiting()
    assert retry.kind == "retry_payment"
    services.approve(suggestion_id=retry.pk, actor=Actor.person(finance), version=retry.version)
    run_jobs()
    deliver()
    retry.refresh_from_db()
    case.refresh_from_db()
    first.refresh_from_db()
    assert (first.state, retry.state, case.state) == (State.SUPERSEDED, State.CONFIRMED, "recovered")
    assert sandbox.show(invoice["id"])["status"] == "paid"
    # and the recovered invoice is shared out like any other
    assert Suggestion.objects.filter(kind="seller_payout", subject=invoice["id"]).count() == 1


def test_a_refund_while_the_approval_waits_for_the_worker_stops_the_transfer(
    shop, sandbox, stripe_api, deliver, run_jobs, finance
):
    deliver()
    suggestion = Suggestion.objects.get(kind="seller_payout")
    services.approve(suggestion_id=suggestion.pk, actor=Actor.person(finance), version=suggestion.version)
    stripe_api.v1.refunds.create({"charge": suggestion.params["source_transaction"]})
    run_jobs()
    suggestion.refresh_from_db()
    assert suggestion.state == State.STALE
    assert not sandbox.events("transfer.created")
    assert PayoutRecord.objects.get().state == "cancelled"


def test_a_backfill_then_suggest_proposes_the_same_and_nothing_twice(shop, sandbox, capsys, db):
    call_command("djstripe_sync_models")
    for _ in range(2):
        call_command("suggest")
        assert Suggestion.objects.filter(kind="seller_payout").count() == 1
    assert Suggestion.objects.get(kind="seller_payout").amount == 13303
