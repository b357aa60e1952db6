"""The backfill: everything once, on after an interruption, failures named."""

from __future__ import annotations

import io

import pytest
from django.core.management import CommandError, call_command
from djstripe import models as dj

from billingops.exceptions import InvalidInput
from billingops.stripe import backfill, reads, sync
from billingops.stripe.models import InvoicePayment, MirroredObject, SyncCheckpoint
from sandbox import Fault

pytestmark = pytest.mark.django_db


@pytest.fixture
def shop(sandbox, stripe_api):
    api = stripe_api.v1
    product = api.products.create({"name": "Box"}).id
    price = api.prices.create(
        {"product": product, "currency": "usd", "unit_amount": 900, "recurring": {"interval": "month"}}
    ).id
    for name in ("Ana", "Ben", "Cai"):
        customer = api.customers.create({"name": name}).id
        method = api.payment_methods.attach("pm_card_visa", {"customer": customer}).id
        api.customers.update(customer, {"invoice_settings": {"default_payment_method": method}})
        api.subscriptions.create({"customer": customer, "items": [{"price": price}]})
    account = api.accounts.create({"type": "standard", "country": "US"}).id
    api.customers.create({"name": "Dee"}, {"stripe_account": account})
    charge = api.charges.list().data[0].id
    api.refunds.create({"charge": charge, "amount": 100})
    sandbox.requests.clear()
    return account


@pytest.fixture
def small_pages(monkeypatch):
    """Two objects a page, so that a few make several pages."""
    whole = reads.pages
    monkeypatch.setattr(reads, "pages", lambda *args, **kwargs: whole(*args, **{**kwargs, "limit": 2}))


def run(*models: str, **options) -> tuple[str, str, int]:
    out, err, code = io.StringIO(), io.StringIO(), 0
    try:
        call_command("djstripe_sync_models", *models, stdout=out, stderr=err, **options)
    except SystemExit as stop:
        code = int(stop.code or 0)
    return out.getvalue(), err.getvalue(), code


def test_it_brings_everything_platform_and_connected_accounts_alike(sandbox, shop):
    out, err, code = run()
    assert code == 0
    counts = {model.__name__: model.objects.count() for model in (dj.Customer, dj.Subscription, dj.Invoice, dj.Charge)}
    assert counts == {"Customer": 4, "Subscription": 3, "Invoice": 3, "Charge": 3}
    assert dj.Customer.objects.get(djstripe_owner_account=shop).stripe_data["name"] == "Dee"
    assert (dj.LineItem.objects.count(), InvoicePayment.objects.count(), dj.Refund.objects.count()) == (3, 3, 1)
    assert set(InvoicePayment.objects.values_list("status", flat=True)) == {"paid"}
    assert all(InvoicePayment.objects.values_list("charge_id", flat=True))
    assert dj.PaymentMethod.objects.count() == 3
    assert dj.BalanceTransaction.objects.count() == 4
    assert dj.APIKey.objects.count() == 0
    assert "objects stored, 0 failed" in out
    assert "Customer: 3 stored, 0 failed" in err
    assert [record.path for record in sandbox.requests].count("/v1/accounts") == 1


def test_what_it_brings_tells_the_same_as_stripe(shop):
    run()
    for invoice in dj.Invoice.objects.values_list("id", flat=True):
        assert sync.invoice_facts(invoice, live=False) == sync.invoice_facts(invoice, live=True)


def test_it_repeats_harmlessly(shop):
    run()
    rows = MirroredObject.objects.order_by("object_id").values_list("object_id", "status", "amount", "customer_id")
    before = list(rows)
    assert run()[2] == 0
    assert list(rows.all()) == before
    assert not SyncCheckpoint.objects.exists()


@pytest.mark.usefixtures("small_pages")
def test_interrupted_it_goes_on_behind_the_last_finished_page(sandbox, shop, monkeypatch):
    store_many, calls = sync.store_many, []

    def interrupted(rows, account="", **kwargs):
        calls.append([row["id"] for row in rows])
        if rows[0]["object"] == "customer" and len([ids for ids in calls if ids[0].startswith("cus_")]) == 2:
            raise KeyboardInterrupt
        return store_many(rows, account, **kwargs)

    monkeypatch.setattr(sync, "store_many", interrupted)
    with pytest.raises(CommandError, match="go on"):
        run("Product", "Customer")
    assert dj.Customer.objects.count() == 2
    first_page = next(ids for ids in calls if ids[0].startswith("cus_"))
    assert SyncCheckpoint.objects.get(model="Customer").cursor == first_page[-1]

    monkeypatch.setattr(sync, "store_many", store_many)
    sandbox.requests.clear()
    _, err, code = run("Product", "Customer")
    assert code == 0
    assert dj.Customer.objects.count() == 3
    assert [record.path for record in sandbox.requests] == [
        "/v1/customers"
    ]  # products were done, so was the first page
    assert "Customer: done, 3 stored" in err


@pytest.mark.usefixtures("small_pages")
def test_restart_begins_anew(sandbox, shop):
    SyncCheckpoint.objects.create(model="Customer", cursor="cus_nonsense", stored=7)
    _, err, code = run("Customer", restart=True)
    assert code == 0
    assert "Customer: done, 3 stored" in err


def test_an_object_that_cannot_be_stored_is_named_and_the_exit_code_says_so(shop, monkeypatch):
    from billingops.stripe import store

    real = store._sync

    def sync_but_one(item, key):
        if item.data.get("name") == "Ben":
            raise ValueError("secret of a customer")
        real(item, key)

    monkeypatch.setattr(store, "_sync", sync_but_one)
    out, err, code = run("Customer")
    ben = next(row["id"] for row in sync.list_objects("customer") if row["name"] == "Ben")
    assert code == 1
    assert f"customer {ben}: ValueError" in err
    assert "secret" not in err
    assert "1 failed" in out
    assert dj.Customer.objects.count() == 2


def test_a_throttled_page_is_asked_for_again(sandbox, shop):
    sandbox.faults.add(Fault("rate_limit", path="/v1/customers", times=2))
    assert run("Customer")[2] == 0
    assert dj.Customer.objects.count() == 3


def test_when_stripe_stops_answering_the_next_run_goes_on(sandbox, shop, monkeypatch):
    monkeypatch.setattr(reads.time, "sleep", lambda seconds: None)
    sandbox.faults.add(Fault("error_before", path="/v1/customers", times=5))
    _, err, code = run("Product", "Customer")
    assert code == 1
    assert "Customer: stopped" in err
    assert dj.Product.objects.count() == 1
    assert SyncCheckpoint.objects.filter(model="Product", finished_at__isnull=False).exists()
    sandbox.requests.clear()
    assert run("Product", "Customer")[2] == 0
    assert {record.path for record in sandbox.requests} == {"/v1/customers"}


def test_a_model_that_is_not_mirrored_is_refused_with_those_that_are(db):
    with pytest.raises(CommandError, match="'Unicorn' is not mirrored; there are Account, Product"):
        run("Unicorn")


def test_models_run_in_their_own_order_whatever_order_they_are_named_in():
    assert backfill.chosen_models(["invoice", "Customer"]) == ["Customer", "Invoice"]
    assert backfill.chosen_models([])[0] == "Account"
    assert "InvoicePayment" not in backfill.chosen_models([])
    with pytest.raises(InvalidInput):
        backfill.chosen_models(["invoices"])
