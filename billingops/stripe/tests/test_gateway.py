"""The gateway: each write with its key, and what an answer means."""

from __future__ import annotations

import pytest
from django.db import transaction

from billingops.stripe import errors, gateway
from sandbox import Fault


@pytest.fixture
def seller(stripe_api) -> str:
    return stripe_api.v1.accounts.create(
        {"type": "express", "country": "US", "capabilities": {"transfers": {"requested": True}}}
    ).id


@pytest.fixture
def customer(stripe_api) -> str:
    api = stripe_api.v1
    made = api.customers.create({"name": "Ana"}).id
    method = api.payment_methods.attach("pm_card_visa", {"customer": made}).id
    api.customers.update(made, {"invoice_settings": {"default_payment_method": method}})
    return made


@pytest.fixture
def charge(stripe_api, customer) -> str:
    intent = stripe_api.v1.payment_intents.create(
        {"amount": 10_000, "currency": "usd", "customer": customer, "payment_method": "pm_card_visa", "confirm": True}
    )
    return intent.latest_charge


def transfer(seller: str, charge: str, *, key: str = "k-1", amount: int = 700, **changes) -> gateway.Answer:
    values = {
        "amount": amount,
        "currency": "usd",
        "destination": seller,
        "source_transaction": charge,
        "transfer_group": "in_1",
        "description": "Share",
        "metadata": {"suggestion_id": "s-1"},
        "idempotency_key": key,
    }
    return gateway.create_transfer(**(values | changes))


def test_a_transfer_carries_all_it_was_given(sandbox, stripe_api, seller, charge):
    answer = transfer(seller, charge)
    made = stripe_api.v1.transfers.retrieve(answer.object_id)
    assert (made.amount, made.currency, made.destination, made.source_transaction) == (700, "usd", seller, charge)
    assert (made.transfer_group, made.description, made.metadata["suggestion_id"]) == ("in_1", "Share", "s-1")
    assert answer.request_id.startswith("req_")
    assert answer.data["id"] == answer.object_id
    assert answer.replayed is False


def test_the_same_key_is_answered_with_the_first_answer(sandbox, stripe_api, seller, charge):
    first, again = transfer(seller, charge), transfer(seller, charge)
    assert (again.object_id, again.replayed) == (first.object_id, True)
    assert len(stripe_api.v1.transfers.list().data) == 1


def test_a_transfer_is_taken_back_in_part(sandbox, seller, charge):
    made = transfer(seller, charge)
    answer = gateway.reverse_transfer(
        transfer_id=made.object_id, amount=200, metadata={"suggestion_id": "s-2"}, idempotency_key="k-2"
    )
    assert (answer.data["amount"], answer.data["transfer"]) == (200, made.object_id)


def test_an_open_invoice_is_paid(sandbox, stripe_api, customer):
    api = stripe_api.v1
    invoice = api.invoices.create({"customer": customer, "auto_advance": False}).id
    api.invoice_items.create({"customer": customer, "invoice": invoice, "amount": 700, "currency": "usd"})
    api.invoices.finalize_invoice(invoice)
    answer = gateway.pay_invoice(invoice_id=invoice, account="", idempotency_key="k-3")
    assert (answer.object_id, answer.data["status"]) == (invoice, "paid")


def test_metadata_are_merged_into_a_subscription_of_a_connected_account(sandbox, stripe_api, seller):
    api, there = stripe_api.v1, {"stripe_account": seller}
    product = api.products.create({"name": "Box"}, there).id
    price = api.prices.create(
        {"product": product, "currency": "usd", "unit_amount": 0, "recurring": {"interval": "month"}}, there
    ).id
    customer = api.customers.create({"name": "Ana"}, there).id
    made = api.subscriptions.create(
        {"customer": customer, "items": [{"price": price}], "metadata": {"a": "1"}}, there
    ).id
    answer = gateway.set_subscription_metadata(
        subscription_id=made, account=seller, metadata={"grace_period_until": "2026-12-01"}, idempotency_key="k-4"
    )
    assert answer.data["metadata"] == {"a": "1", "grace_period_until": "2026-12-01"}


def test_a_portal_session_has_a_link(sandbox, customer):
    answer = gateway.create_portal_session(
        customer_id=customer, account="", return_url="https://shop.example/", idempotency_key="k-5"
    )
    assert answer.data["url"].startswith("https://")


@pytest.mark.parametrize(
    ("kind", "error", "happened"),
    [
        ("rate_limit", errors.Throttled, 0),
        ("error_before", errors.Ambiguous, 0),
        ("error_after", errors.Ambiguous, 1),
        ("drop_after", errors.Ambiguous, 1),
    ],
)
def test_no_call_is_repeated_by_itself(sandbox, stripe_api, seller, charge, kind, error, happened):
    sandbox.faults.add(Fault(kind, path="/v1/transfers"))
    sandbox.requests.clear()
    with pytest.raises(error):
        transfer(seller, charge)
    assert len(sandbox.requests) == 1
    assert len(stripe_api.v1.transfers.list().data) == happened


def test_a_refusal_is_definite(sandbox, seller, charge):
    with pytest.raises(errors.Refused) as refusal:
        transfer(seller, "", amount=10**9, key="k-6")
    assert refusal.value.code == "balance_insufficient"
    assert refusal.value.request_id.startswith("req_")
    with pytest.raises(errors.Refused):
        transfer(seller, charge, destination="acct_nobody", key="k-7")


def test_changed_parameters_under_one_key_are_refused(sandbox, seller, charge):
    transfer(seller, charge)
    with pytest.raises(errors.Refused):
        transfer(seller, charge, amount=701)


@pytest.mark.parametrize("key", ["", None])
def test_without_a_key_nothing_is_sent(sandbox, seller, charge, key):
    sandbox.requests.clear()
    with pytest.raises(ValueError, match="idempotency key"):
        transfer(seller, charge, key=key)
    assert not sandbox.requests


@pytest.mark.django_db(transaction=True)
def test_inside_a_transaction_nothing_is_sent(sandbox, seller, charge):
    sandbox.requests.clear()
    with transaction.atomic(), pytest.raises(transaction.TransactionManagementError):
        transfer(seller, charge)
    assert not sandbox.requests


@pytest.mark.django_db
def test_inside_a_tests_own_transaction_it_works_but_not_in_one_within(sandbox, seller, charge):
    assert transfer(seller, charge).object_id
    with transaction.atomic(), pytest.raises(transaction.TransactionManagementError):
        transfer(seller, charge, key="k-8")
