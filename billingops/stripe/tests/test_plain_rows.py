"""What is written in bulk is what dj-stripe would have written one by one."""

from __future__ import annotations

import pytest
from djstripe import models as dj

from billingops.stripe import backfill, rows, sync

pytestmark = pytest.mark.django_db

OWN = {"djstripe_created", "djstripe_updated", "djstripe_id"}


def table(model):
    names = [field.attname for field in model._meta.concrete_fields if field.attname not in OWN]
    return {row["id"]: row for row in model.objects.values(*names)}


def test_the_bulk_writes_what_dj_stripe_writes(sandbox, stripe_api, monkeypatch):
    api = stripe_api.v1
    seller = api.accounts.create({"type": "express", "capabilities": {"transfers": {"requested": True}}}).id
    plan = api.prices.create({"product": api.products.create({"name": "Box"}).id, "currency": "jpy",
                              "unit_amount": 900, "recurring": {"interval": "month"}}).id  # fmt: skip
    for options in ({}, {"stripe_account": seller}):
        customer = api.customers.create({"name": "Ana"}, options).id
        card = api.payment_methods.attach("pm_card_visa", {"customer": customer}, options).id
        api.customers.update(customer, {"invoice_settings": {"default_payment_method": card}}, options)
        draft = api.invoices.create({"customer": customer, "metadata": {"a": "b"}}, options).id
        api.invoice_items.create({"customer": customer, "invoice": draft, "amount": 700, "currency": "usd"}, options)
        api.invoices.pay(draft, {}, options)
        api.invoices.create({"customer": customer, "default_payment_method": card}, options)
        if not options:
            api.subscriptions.create({"customer": customer, "items": [{"price": plan}]})
            sandbox.create_dispute(api.charges.list().data[0].id)
    share = {"transfer_data": {"destination": seller}, "on_behalf_of": seller}
    paid = {"amount": 1_000, "currency": "usd", "payment_method": "pm_card_visa", "confirm": True}
    api.payment_intents.create({**paid, **share})
    with pytest.raises(Exception, match="declined"):
        api.payment_intents.create({**paid, "payment_method": "pm_card_chargeDeclined"})
    models = (dj.PaymentIntent, dj.Charge, dj.Invoice)
    backfill.run([])
    bulk = [table(model) for model in models]
    assert [len(found) for found in bulk] == [5, 6, 5]
    for model in (dj.Dispute, dj.LineItem, dj.Invoice, dj.Charge, dj.PaymentIntent, dj.BalanceTransaction):
        model.objects.all().delete()
    monkeypatch.setattr(rows, "PLAIN", frozenset())
    backfill.run([])
    for before, model in zip(bulk, models, strict=True):
        after = table(model)
        assert before.keys() == after.keys()
        for pk, row in before.items():
            assert {name: (row[name], after[pk][name]) for name in row if row[name] != after[pk][name]} == {}
    assert all(row["balance_transaction_id"] for row in bulk[1].values() if row["status"] == "succeeded")


def test_a_second_writing_updates_and_keeps_what_stands(sandbox, stripe_api):
    api = stripe_api.v1
    customer = api.customers.create({"name": "Ana"}).id
    invoice = api.invoices.create({"customer": customer}).id
    sync.refresh("invoice", invoice)
    first = dj.Invoice.objects.get(id=invoice)
    api.invoices.update(invoice, {"metadata": {"seen": "yes"}})
    sync.refresh("invoice", invoice)
    second = dj.Invoice.objects.get(id=invoice)
    assert (second.pk, second.djstripe_created) == (first.pk, first.djstripe_created)
    assert second.djstripe_updated > first.djstripe_updated
    assert second.metadata == {"seen": "yes"} == second.stripe_data["metadata"]
