"""Reading from Stripe and writing the mirror: what is read, what is stored, and that both tell the same."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone
from djstripe import models as dj

from billingops.stripe import errors, offline, reader, store, sync
from billingops.stripe.models import CreditNote, InvoicePayment, MirroredObject
from sandbox import Fault

from .payloads import NEW_INVOICE, OLD_INVOICE, listed, variant

pytestmark = pytest.mark.django_db


@pytest.fixture
def shop(sandbox, stripe_api):
    """A customer with a card and a subscription whose first invoice is paid; ids by name."""
    api = stripe_api.v1
    product = api.products.create({"name": "Box", "metadata": {"seller_account": "acct_1"}}).id
    price = api.prices.create(
        {
            "product": product,
            "currency": "usd",
            "unit_amount": 5_000,
            "recurring": {"interval": "month"},
            "metadata": {"tier": "pro"},
        }
    ).id
    customer = api.customers.create({"name": "Ana", "email": "ana@example.com"}).id
    method = api.payment_methods.attach("pm_card_visa", {"customer": customer}).id
    api.customers.update(customer, {"invoice_settings": {"default_payment_method": method}})
    subscription = api.subscriptions.create(
        {"customer": customer, "items": [{"price": price, "quantity": 2}], "metadata": {"plan": "pro"}}
    )
    invoice = reader.ident(reader.plain(subscription)["latest_invoice"])
    facts = reader.read_invoice(sync.fetch("invoice", invoice))
    sandbox.requests.clear()
    return {
        "product": product,
        "price": price,
        "customer": customer,
        "payment_method": method,
        "subscription": subscription.id,
        "invoice": invoice,
        "charge": facts.charge_id,
        "payment_intent": facts.payment_intent_id,
    }


FACTS = {
    "invoice": sync.invoice_facts,
    "charge": sync.charge_facts,
    "customer": sync.customer_facts,
    "subscription": sync.subscription_facts,
}


# -- facts -------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", FACTS)
def test_stripe_and_the_mirror_tell_the_same(shop, name):
    sync.refresh(name, shop[name])
    live, mirrored = FACTS[name](shop[name], live=True), FACTS[name](shop[name], live=False)
    assert live == mirrored
    assert live.id == shop[name]


def test_an_invoices_facts_come_with_all_that_rules_look_at(shop):
    sync.refresh("invoice", shop["invoice"])
    facts = sync.invoice_facts(shop["invoice"], live=False)
    (line,) = facts.lines
    assert (line.price_metadata, line.product_metadata) == ({"tier": "pro"}, {"seller_account": "acct_1"})
    assert (facts.subscription_metadata, facts.charge_id) == ({"plan": "pro"}, shop["charge"])
    assert (facts.total, facts.is_paid) == (10_000, True)


def test_a_charges_invoice_is_found_though_the_charge_no_longer_names_it(shop):
    sync.refresh("invoice", shop["invoice"])
    assert sync.charge_facts(shop["charge"], live=True).invoice_id == shop["invoice"]


def test_an_invoice_with_many_lines_is_read_to_its_last(sandbox, stripe_api):
    api = stripe_api.v1
    customer = api.customers.create({"name": "Ana"}).id
    invoice = api.invoices.create({"customer": customer, "auto_advance": False}).id
    for number in range(23):
        api.invoice_items.create({"customer": customer, "invoice": invoice, "amount": 100 + number, "currency": "usd"})
    sync.refresh("invoice", invoice)
    live, mirrored = (sync.invoice_facts(invoice, live=live) for live in (True, False))
    assert live == mirrored
    assert sum(line.amount for line in live.lines) == live.total == sum(range(100, 123))
    assert dj.LineItem.objects.count() == 23


def test_what_is_not_in_the_mirror_is_not_made_up(db):
    for read in (*FACTS.values(), sync.transfer_facts):
        assert read("x_1", live=False) is None
    assert sync.account_facts("acct_1", live=False) is None
    assert sync.payment_failure("in_1", live=False) is None


def test_an_account_that_stripe_no_longer_shows_is_disconnected(sandbox):
    facts = sync.account_facts("acct_gone", live=True)
    assert (facts.id, facts.deauthorised) == ("acct_gone", True)


def test_an_account_that_comes_back_loses_the_mark(sandbox, stripe_api):
    account = stripe_api.v1.accounts.create({"type": "express", "country": "US"}).id
    sync.refresh("account", account)
    sync.mark_deauthorised(account)
    assert sync.account_facts(account, live=False).deauthorised
    sync.refresh("account", account)
    assert sync.account_facts(account, live=False) == sync.account_facts(account, live=True)


def test_the_latest_failure_of_an_invoice_is_told_alike(sandbox, stripe_api, shop):
    api = stripe_api.v1
    bad = api.payment_methods.attach("pm_card_chargeCustomerFail", {"customer": shop["customer"]}).id
    invoice = api.invoices.create({"customer": shop["customer"], "default_payment_method": bad}).id
    api.invoice_items.create({"customer": shop["customer"], "invoice": invoice, "amount": 700, "currency": "usd"})
    api.invoices.finalize_invoice(invoice)
    with pytest.raises(Exception, match="declined"):
        api.invoices.pay(invoice)
    sync.refresh("invoice", invoice)
    live = sync.payment_failure(invoice, live=True)
    sync.refresh("charge", live.charge_id)
    assert live == sync.payment_failure(invoice, live=False)
    assert (live.code, live.payment_method_id) == ("card_declined", bad)
    assert live.decline_code
    assert sync.payment_failure(shop["invoice"], live=True) is None


# -- storing -----------------------------------------------------------------------------------------------------------
def test_one_invoice_brings_what_it_hangs_on_each_read_once(sandbox, shop):
    sync.refresh("invoice", shop["invoice"])
    read = [record.path for record in sandbox.requests]
    wanted = {"invoice": "invoices", "subscription": "subscriptions", "customer": "customers", "price": "prices"}
    assert sorted(read) == sorted(f"/v1/{path}/{shop[name]}" for name, path in wanted.items())
    invoice = dj.Invoice.objects.get()
    assert (invoice.customer_id, invoice.subscription_id) == (shop["customer"], shop["subscription"])
    assert dj.Price.objects.get().product_id == shop["product"]
    assert dj.PaymentIntent.objects.get().id == shop["payment_intent"]
    assert dj.SubscriptionItem.objects.get().price.id == shop["price"]
    payment = InvoicePayment.objects.get()
    assert (payment.invoice_id, payment.charge_id, payment.status) == (shop["invoice"], shop["charge"], "paid")
    assert payment.payment_intent_id == payment.stripe_data["payment"]["payment_intent"] == shop["payment_intent"]


def test_storing_makes_no_request_and_saves_no_key(sandbox, shop):
    data = {name: sync.fetch(name, shop[name]) for name in ("product", "price", "customer", "subscription", "invoice")}
    sandbox.requests.clear()
    for item in data.values():
        sync.store(item)
    assert not sandbox.requests
    assert dj.APIKey.objects.count() == 0


def test_what_is_stored_is_what_stripe_sent_with_ids_for_what_was_expanded(shop):
    sent = sync.refresh("invoice", shop["invoice"])
    stored = dj.Invoice.objects.get().stripe_data
    assert stored["lines"] == sent["lines"]
    assert stored["payments"]["data"][0]["payment"]["payment_intent"] == shop["payment_intent"]
    assert {key: value for key, value in stored.items() if key != "payments"} == {
        key: value for key, value in sent.items() if key != "payments"
    }


def test_a_customer_and_its_default_payment_method_find_each_other(shop):
    sync.refresh("customer", shop["customer"])
    assert dj.Customer.objects.get().default_payment_method is None
    sync.refresh("payment_method", shop["payment_method"])
    assert dj.Customer.objects.get().default_payment_method_id == shop["payment_method"]
    assert dj.PaymentMethod.objects.get().customer_id == shop["customer"]


def test_refunds_disputes_and_balance_transactions_are_filled_in(sandbox, stripe_api, shop):
    refund = stripe_api.v1.refunds.create({"charge": shop["charge"], "amount": 300}).id
    dispute = sandbox.create_dispute(shop["charge"])["id"]
    sync.refresh("refund", refund)
    sync.refresh("dispute", dispute)
    sync.refresh("charge", shop["charge"])
    assert dj.Refund.objects.get().charge_id == shop["charge"]
    assert dj.Dispute.objects.get().charge_id == shop["charge"]
    kinds = set(dj.BalanceTransaction.objects.values_list("type", flat=True))
    assert {"charge", "refund"} <= kinds
    listed_rows = MirroredObject.objects.filter(object_id__in=[refund, dispute])
    assert set(listed_rows.values_list("customer_id", "parent_id")) == {(shop["customer"], shop["charge"])}
    assert sync.charge_facts(shop["charge"], live=False).amount_refunded == 300


def test_a_credit_note_is_stored_in_columns(stripe_api, shop):
    note = stripe_api.v1.credit_notes.create({"invoice": shop["invoice"], "amount": 200, "credit_amount": 200})
    sync.refresh("credit_note", note.id)
    row = CreditNote.objects.get()
    assert (row.invoice_id, row.customer_id, row.amount, row.currency) == (
        shop["invoice"],
        shop["customer"],
        200,
        "usd",
    )
    assert row.number == note.number


def test_transfers_are_stored_with_their_reversals(stripe_api, shop):
    api = stripe_api.v1
    account = api.accounts.create(
        {"type": "express", "country": "US", "capabilities": {"transfers": {"requested": True}}}
    )
    transfer = api.transfers.create(
        {"amount": 500, "currency": "usd", "destination": account.id, "source_transaction": shop["charge"]}
    ).id
    sync.refresh("transfer", transfer)
    assert MirroredObject.objects.get(object_id=transfer).status == "created"
    api.transfers.reversals.create(transfer, {"amount": 200})
    sync.refresh("transfer", transfer)
    assert sync.transfer_facts(transfer, live=False) == sync.transfer_facts(transfer, live=True)
    row = MirroredObject.objects.get(object_id=transfer)
    assert (row.status, row.amount, row.parent_id) == ("partially_reversed", 500, shop["charge"])


def test_objects_of_a_connected_account_belong_to_it(sandbox, stripe_api):
    account = stripe_api.v1.accounts.create({"type": "standard", "country": "US"}).id
    customer = stripe_api.v1.customers.create({"name": "Ana"}, {"stripe_account": account}).id
    assert sync.refresh("customer", customer) is None
    data = sync.refresh("customer", customer, account)
    assert data["name"] == "Ana"
    assert dj.Customer.objects.get().djstripe_owner_account_id == account
    assert sync.customer_facts(customer, account, live=False) == sync.customer_facts(customer, account, live=True)


def test_a_deleted_customer_is_marked_and_what_was_known_stays(stripe_api, shop):
    sync.refresh("invoice", shop["invoice"])
    stripe_api.v1.customers.delete(shop["customer"])
    sync.refresh("customer", shop["customer"])
    facts = sync.customer_facts(shop["customer"], live=False)
    assert (facts.deleted, facts.name) == (True, "Ana")
    assert dj.Invoice.objects.exists()
    assert MirroredObject.objects.filter(customer_id=shop["customer"]).exists()


def test_a_customer_that_was_deleted_before_we_knew_it_gets_a_row(stripe_api, shop):
    stripe_api.v1.customers.delete(shop["customer"])
    sync.refresh("customer", shop["customer"])
    assert sync.customer_facts(shop["customer"], live=False).deleted


def test_an_invoice_that_is_gone_says_so_in_lists(stripe_api, shop):
    draft = stripe_api.v1.invoices.create({"customer": shop["customer"], "auto_advance": False}).id
    sync.refresh("invoice", draft)
    stripe_api.v1.invoices.delete(draft)
    assert sync.refresh("invoice", draft) is None
    assert MirroredObject.objects.get(object_id=draft).status == "deleted"


@pytest.mark.parametrize("where", ["customer", "subscription"])
def test_a_discount_in_todays_shape_is_no_obstacle(sandbox, stripe_api, shop, where):
    coupon = stripe_api.v1.coupons.create({"percent_off": 10, "duration": "forever"}).id
    if where == "customer":
        sandbox.set_customer_discount(shop["customer"], coupon)
    else:
        stripe_api.v1.subscriptions.update(shop["subscription"], {"discounts": [{"coupon": coupon}]})
    data = sync.refresh(where, shop[where])
    assert data.get("discount") or data.get("discounts")
    model = {"customer": dj.Customer, "subscription": dj.Subscription}[where]
    assert model.objects.get(id=shop[where]).stripe_data.get("discount") == data.get("discount")


@pytest.mark.parametrize("payload", [OLD_INVOICE, NEW_INVOICE], ids=["old", "new"])
def test_an_invoice_of_either_era_can_be_stored_without_asking_for_more(payload, monkeypatch):
    monkeypatch.setattr(sync.reads, "retrieve_many", lambda keys: pytest.fail(f"read {list(keys)}"))
    for kind, object_id in (("customer", "cus_1"), ("product", "prod_1")):
        sync.store({"id": object_id, "object": kind, "name": "x", "created": 1, "livemode": False})
    price = {"id": "price_1", "object": "price", "active": True, "currency": "usd", "product": "prod_1", "created": 1}
    sync.store(price)
    subscription = {"id": "sub_1", "object": "subscription", "customer": "cus_1", "status": "active", "created": 1}
    sync.store({**subscription, "items": listed(), "metadata": {"plan": "pro"}})
    for _ in range(2):
        sync.store(variant(payload))
    assert dj.Invoice.objects.get().subscription_id == "sub_1"
    row = MirroredObject.objects.get(object_type="invoice")
    assert (row.status, row.amount, row.number, row.parent_id) == ("paid", 9_300, "BAR-1", "sub_1")
    facts = sync.invoice_facts("in_1", live=False)
    assert (facts.charge_id, facts.subscription_metadata) == ("ch_1", {"plan": "pro"})


def test_one_object_that_cannot_be_stored_takes_no_other_with_it(sandbox):
    good = [{"id": f"cus_{number}", "object": "customer", "created": 1, "livemode": False} for number in range(3)]
    bad = {"id": "price_1", "object": "price", "active": None, "currency": "usd", "created": 1}
    problems = sync.store_many([good[0], bad, *good[1:]])
    assert [key[1] for key in problems] == ["price_1"]
    assert dj.Customer.objects.count() == 3


def test_what_another_process_has_stored_since_is_read_again(sandbox, stripe_api, shop, monkeypatch):
    sync.refresh("customer", shop["customer"])
    stale = sync.fetch("customer", shop["customer"])
    stripe_api.v1.customers.update(shop["customer"], {"name": "Bea"})
    sync.store_many([stale], read_at=timezone.now() - timedelta(seconds=30))
    assert sync.customer_facts(shop["customer"], live=False).name == "Bea"


# -- when Stripe does not answer ---------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("kind", "error"),
    [("rate_limit", errors.Throttled), ("error_before", errors.Ambiguous), ("drop_before", errors.Ambiguous)],
)
def test_a_read_that_fails_is_raised_and_nothing_is_stored(sandbox, shop, kind, error):
    sandbox.faults.add(Fault(kind, path="/v1/customers/*"))
    with pytest.raises(error):
        sync.refresh("customer", shop["customer"])
    assert not dj.Customer.objects.exists()


def test_a_memory_answers_instead_of_stripe_while_it_lasts(sandbox, shop):
    memory = sync.Memory()
    with sync.remembering(memory):
        first = sync.fetch("customer", shop["customer"])
        assert sync.fetch("customer", shop["customer"]) == first
    assert len(sandbox.requests) == 1
    sync.fetch("customer", shop["customer"])
    assert len(sandbox.requests) == 2


def test_a_memory_is_bounded():
    memory = sync.Memory(limit=3)
    for number in range(10):
        memory.put(("customer", f"cus_{number}", ""), {}, timezone.now())
    assert memory.get(("customer", "cus_6", "")) == (False, None)
    assert memory.get(("customer", "cus_9", "")) == (True, {})


# -- dj-stripe left alone ----------------------------------------------------------------------------------------------
def test_outside_of_storing_dj_stripe_speaks_to_stripe_as_ever(sandbox, shop):
    row = dj.Customer(id=shop["customer"])
    assert row.api_retrieve(api_key="sk_test_billingopssandbox0000000000")["id"] == shop["customer"]
    with offline.storing(None), pytest.raises(Exception, match="No such object"):
        row.api_retrieve()


def test_every_type_that_is_read_has_a_place_and_an_order():
    from billingops.stripe.reads import RESOURCES
    from billingops.stripe.relations import ORDER

    assert set(RESOURCES) == set(ORDER) == set(store.MODELS) | set(store.OURS) | store.INDEXED


def test_what_a_handler_has_read_is_stored_when_an_event_names_it(sandbox, stripe_api):
    customer = stripe_api.v1.customers.create({"name": "Ana"}).id
    key, memory = sync.key_of("customer", customer), sync.Memory()
    received = timezone.now() - timedelta(minutes=1)
    with sync.remembering(memory):
        sync.fetch(*key)
    assert not dj.Customer.objects.exists()
    sandbox.requests.clear()
    for _ in range(2):
        assert sync.refresh_many([key], memory=memory, since={key: received})[key].data["name"] == "Ana"
        assert dj.Customer.objects.get().id == customer
    assert not list(sandbox.requests)
    dj.Customer.objects.all().delete()
    sync.refresh_many([key], memory=memory, since={key: received})
    assert not dj.Customer.objects.exists()  # once stored it is not stored again in the same run of work


# -- shapes nobody knows ---------------------------------------------------------------------------------------------
CUT_LIST = {"object": "list", "has_more": True, "url": "/v1/tax_ids", "data": ["txi_1"]}


@pytest.fixture
def answers(monkeypatch):
    """`answers["cus_1"] = {…}`: what Stripe's answer for this object says beside, or instead of, the truth."""
    changed: dict[str, dict] = {}
    real = sync.reads._get

    def get(path, account, **params):
        data = real(path, account, **params)
        return {**data, **changed.get(path.rpartition("/")[2], {})}

    monkeypatch.setattr(sync.reads, "_get", get)
    return changed


@pytest.mark.parametrize(
    "change",
    [
        {"tax_ids": CUT_LIST},  # the read of the rest of a list stumbles
        {"shipping": {"object": ["customer"], "id": "x"}},  # what came expanded
        {"object": "toad"},  # it is something else
        {"id": 5},
        {"id": "cus_\x00"},
        {"created": "yesterday"},  # the writing
    ],
)
def test_an_answer_of_an_unknown_shape_fails_its_own_object_only(sandbox, stripe_api, answers, change):
    ids = [stripe_api.v1.customers.create({"name": name}).id for name in ("Ana", "Ben", "Cem")]
    answers[ids[1]] = change
    memory = sync.Memory()
    keys = [sync.key_of("customer", customer) for customer in ids]
    for _ in range(2):  # and what failed is not taken for stored the next time
        results = sync.refresh_many(keys, memory=memory)
        assert [result.problem is None for result in results.values()] == [True, False, True]
    assert set(dj.Customer.objects.values_list("id", flat=True)) == {ids[0], ids[2]}
    answers.clear()
    assert sync.refresh_many(keys, memory=memory)[keys[1]].data["name"] == "Ben"
    assert dj.Customer.objects.count() == 3


@pytest.mark.parametrize("reference", [5, "cus_\x00", {"id": 5, "object": "customer"}])
def test_a_reference_of_an_unknown_shape_fails_its_own_object_only(shop, stripe_api, answers, reference):
    other = stripe_api.v1.payment_methods.attach("pm_card_visa", {"customer": shop["customer"]}).id
    answers[shop["payment_method"]] = {"customer": reference}
    keys = [sync.key_of("payment_method", method) for method in (shop["payment_method"], other)]
    results = sync.refresh_many(keys)
    assert [results[key].problem is None for key in keys] == [False, True]
    assert list(dj.PaymentMethod.objects.values_list("id", flat=True)) == [other]


def test_what_cannot_be_stored_for_its_shape_is_named_and_the_others_are_stored(sandbox, stripe_api):
    good = reader.plain(stripe_api.v1.customers.create({"name": "Ana"}))
    problems = sync.store_many([{"object": "toad", "id": "x_1"}, good, {"id": "x_2"}])
    assert set(problems) == {("toad", "x_1", ""), ("None", "x_2", "")}
    assert list(dj.Customer.objects.values_list("id", flat=True)) == [good["id"]]


# -- a customer's charges ----------------------------------------------------------------------------------------------


@pytest.fixture
def declined(shop, sandbox):
    """Three more periods whose charges are declined: nothing of them is in the mirror."""
    sandbox.cards.set_outcome(shop["payment_method"], "insufficient_funds")
    for _ in range(3):
        sandbox.clock.advance(days=1)
        sandbox.bill_subscription(shop["subscription"])
    sandbox.requests.clear()


def test_a_customers_charges_are_the_newest_whatever_became_of_them(shop, declined, sandbox):
    found = sync.charges_of(shop["customer"], most=200)
    assert [charge.status for charge in found] == ["failed", "failed", "failed", "succeeded"]
    assert found[-1] == sync.charge_facts(shop["charge"], live=True)
    assert found[0].failure.decline_code == "insufficient_funds"
    assert len([one for one in sandbox.requests if one.path == "/v1/charges"]) == 1
    assert not MirroredObject.objects.filter(object_type="charge", status="failed").exists()


def test_a_customers_charges_are_read_page_by_page_up_to_a_limit(shop, declined, sandbox, monkeypatch):
    pages = sync.reads.pages
    monkeypatch.setattr(sync.reads, "pages", lambda *args, **given: pages(*args, limit=1, **given))
    newest = sync.charges_of(shop["customer"], most=2)
    assert [charge.status for charge in newest] == ["failed", "failed"]
    assert newest[0].created > newest[1].created
    assert len([one for one in sandbox.requests if one.path == "/v1/charges"]) == 2


def test_what_a_list_of_charges_has_shown_is_not_read_again(shop, sandbox):
    with sync.remembering(sync.Memory()):
        sync.charges_of(shop["customer"], most=200)
        sandbox.requests.clear()
        assert sync.charge_facts(shop["charge"], live=True).status == "succeeded"
    assert list(sandbox.requests) == []


def test_a_list_of_charges_that_fails_is_not_asked_for_again(shop, sandbox):
    sandbox.faults.add(Fault("drop_before", method="GET", path="/v1/charges", times=None))
    with pytest.raises(errors.Ambiguous):
        sync.charges_of(shop["customer"], most=200)
    sandbox.faults.clear()
    sandbox.faults.add(Fault("rate_limit", method="GET", path="/v1/charges"))
    with pytest.raises(errors.Throttled):
        sync.charges_of(shop["customer"], most=200)
