"""Many objects' facts from the mirror: the same as one by one, in a number of statements that does not grow."""

from __future__ import annotations

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from billingops.stripe import backfill, sync

pytestmark = pytest.mark.django_db


@pytest.fixture
def api(stripe_api):
    return stripe_api.v1


def buyer(api, **params):
    customer = api.customers.create({"name": "Ana", **params}).id
    method = api.payment_methods.attach("pm_card_visa", {"customer": customer}).id
    api.customers.update(customer, {"invoice_settings": {"default_payment_method": method}})
    return customer


def price(api, number: int, **params) -> str:
    product = api.products.create({"name": f"Box {number}", "metadata": {"seller_account": f"acct_{number}"}}).id
    values = {"product": product, "currency": "usd", "unit_amount": 1_000 + number, "metadata": {"tier": str(number)}}
    return api.prices.create({**values, **params}).id


@pytest.fixture
def shop(sandbox, api):
    """Paid subscriptions and single invoices, a refunded one, a disputed one, one paid elsewhere; all in the mirror."""
    api.customers.create({"name": "Nobody"})
    invoices = []
    for number in range(4):
        plan = price(api, number, recurring={"interval": "month"})
        subscription = api.subscriptions.create(
            {
                "customer": buyer(api, metadata={"tier": "gold"}),
                "items": [{"price": plan}],
                "metadata": {"n": str(number)},
            }
        )
        invoices.append(subscription.latest_invoice)
    customer = buyer(api)
    for number in range(4, 7):
        draft = api.invoices.create({"customer": customer, "auto_advance": False}).id
        for extra in range(number):
            item = {"customer": customer, "invoice": draft, "pricing": {"price": price(api, 10 * number + extra)}}
            api.invoice_items.create(item)
        api.invoices.finalize_invoice(draft)
        api.invoices.pay(draft, {"paid_out_of_band": True} if number == 6 else {})
        invoices.append(draft)
    charges = [charge.id for charge in api.charges.list({"limit": 100}).data]
    api.refunds.create({"charge": charges[0], "amount": 300})
    api.refunds.create({"charge": charges[0], "amount": 200})
    sandbox.create_dispute(charges[1])
    parts = {"refund_amount": 100, "credit_amount": 50, "out_of_band_amount": 25}
    api.credit_notes.create({"invoice": invoices[0], "amount": 175, **parts})
    backfill.run([])
    return {"invoices": invoices, "charges": charges}


def counted(read, ids):
    with CaptureQueriesContext(connection) as queries:
        found = read(ids)
    return found, len(queries)


def test_many_invoices_are_read_as_one_by_one_in_six_statements(shop):
    found, statements = counted(sync.invoices_facts, [*shop["invoices"], "in_nowhere"])
    assert found == {pk: sync.invoice_facts(pk, live=False) for pk in shop["invoices"]}
    assert found == {pk: sync.invoice_facts(pk, live=True) for pk in shop["invoices"]}
    assert statements <= 6
    assert {line.product_metadata["seller_account"] for line in found[shop["invoices"][-2]].lines} == {
        "acct_50", "acct_51", "acct_52", "acct_53", "acct_54",
    }  # fmt: skip
    assert counted(sync.invoices_facts, shop["invoices"][:1])[1] <= statements
    assert sync.invoices_facts([]) == {}


def test_many_charges_are_read_as_one_by_one_in_three_statements(shop):
    found, statements = counted(sync.charges_facts, shop["charges"])
    assert found == {pk: sync.charge_facts(pk, live=False) for pk in shop["charges"]}
    assert found == {pk: sync.charge_facts(pk, live=True) for pk in shop["charges"]}
    assert statements == 3
    assert {facts.invoice_id for facts in found.values()} == set(shop["invoices"][:-1])
    assert all(facts.net == facts.amount - facts.fee for facts in found.values())


def test_what_belongs_to_many_is_read_as_of_each(shop):
    charges, invoices = shop["charges"], shop["invoices"]
    refunds, first = counted(sync.refunds_of_many, charges)
    disputes, second = counted(sync.disputes_of_many, charges)
    notes, third = counted(sync.credit_notes_of_many, invoices)
    assert (first, second, third) == (2, 2, 1)
    for live in (True, False):
        assert refunds == {pk: sync.refunds_of(pk, live=live) for pk in charges}
        assert disputes == {pk: sync.disputes_of(pk, live=live) for pk in charges}
        assert notes == {pk: sync.credit_notes_of(pk, live=live) for pk in invoices}
    assert [refund.amount for refund in refunds[charges[0]]] in ([300, 200], [200, 300])
    assert disputes[charges[1]][0].withdrawn == sync.charge_facts(charges[1], live=False).amount
    assert disputes[charges[2]] == ()
    (note,) = notes[invoices[0]]
    assert (note.refunded_amount, note.credit_amount, note.out_of_band_amount) == (100, 50, 25)


def test_customers_metadata_is_read_alone(shop, api):
    ids = [customer.id for customer in api.customers.list().data]
    found, statements = counted(sync.customers_metadata, ids)
    assert statements == 1
    assert found == {pk: dict(sync.customer_facts(pk, live=False).metadata) for pk in ids}
    assert sorted(map(str, found.values())) == ["{'tier': 'gold'}"] * 4 + ["{}"] * 2


def test_a_connected_accounts_objects_keep_their_account(sandbox, api):
    account = api.accounts.create({"type": "express", "country": "US"}).id
    options = {"stripe_account": account}
    paid = api.payment_intents.create(
        {"amount": 1_000, "currency": "usd", "payment_method": "pm_card_visa", "confirm": True}, options
    )
    api.refunds.create({"charge": paid.latest_charge}, options)
    backfill.run([])
    charge = sync.charges_facts([paid.latest_charge])[paid.latest_charge]
    assert charge == sync.charge_facts(charge.id, account, live=True)
    assert charge.account == account
    assert sync.refunds_of(charge.id, account, live=False) == sync.refunds_of(charge.id, account, live=True)
    assert sync.refunds_of(charge.id, account, live=False)[0].account == account


def test_more_than_a_thousand_at_once_are_refused():
    for read in (sync.invoices_facts, sync.charges_facts, sync.customers_metadata, sync.refunds_of_many):
        with pytest.raises(ValueError, match="1000"):
            read([f"x_{number}" for number in range(1001)])
