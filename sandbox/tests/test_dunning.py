"""What dunning needs of Stripe: automatic collection on and off, pauses, write-offs, debits, mandates, renewed cards,
drafts that cannot be finalized, 3-D Secure."""

from __future__ import annotations

from typing import Any

import pytest
import stripe

from .build import Shop

GERMAN_IBAN, FAILING_IBAN = "DE89370400440532013000", "DE62370400440532013001"


@pytest.fixture
def overdue(shop: Shop) -> Any:
    """An invoice of a renewal whose card was declined."""
    customer = shop.customer()
    subscription = shop.subscription(customer)
    shop.server.cards.set_outcome(shop.card_of(customer), "insufficient_funds")
    return shop.v1.invoices.retrieve(shop.server.bill_subscription(subscription.id)["id"])


def sub_of(invoice: Any) -> str:
    return str(invoice.parent.subscription_details.subscription)


def test_without_automatic_collection_nothing_is_scheduled_or_tried(shop: Shop, overdue: Any) -> None:
    assert overdue.auto_advance
    assert overdue.next_payment_attempt
    off = shop.v1.invoices.update(overdue.id, {"auto_advance": False, "metadata": {"who": "us"}})
    assert (off.auto_advance, off.next_payment_attempt, off.metadata["who"]) == (False, None, "us")
    told = [one["data"] for one in shop.server.events("invoice.updated") if one["data"]["object"]["id"] == overdue.id]
    assert told[-1]["previous_attributes"]["auto_advance"] is True
    assert shop.server.retry_invoice(overdue.id)["attempt_count"] == 1
    with pytest.raises(stripe.CardError):
        shop.v1.invoices.pay(overdue.id)
    assert shop.v1.invoices.retrieve(overdue.id).next_payment_attempt is None
    on = shop.v1.invoices.update(overdue.id, {"auto_advance": True})
    assert on.next_payment_attempt


@pytest.mark.parametrize(
    ("behavior", "status"), [("keep_as_draft", "draft"), ("mark_uncollectible", "uncollectible"), ("void", "void")]
)
def test_a_pause_decides_what_becomes_of_new_invoices_until_it_ends(shop: Shop, behavior: str, status: str) -> None:
    subscription = shop.subscription()
    until = shop.server.clock.now() + 86400 * 10
    pause = {"behavior": behavior, "resumes_at": until}
    paused = shop.v1.subscriptions.update(subscription.id, {"pause_collection": pause})  # type: ignore[typeddict-item]
    assert (paused.status, paused.pause_collection.behavior) == ("active", behavior)
    invoice = shop.server.bill_subscription(subscription.id)
    assert invoice is not None
    assert invoice["status"] == status
    assert not invoice["auto_advance"]
    shop.server.clock.advance(days=11)
    assert shop.v1.subscriptions.retrieve(subscription.id).pause_collection is None
    assert shop.server.bill_subscription(subscription.id)["status"] == "paid"  # type: ignore[index]


def test_a_pause_is_taken_away_by_an_empty_value(shop: Shop) -> None:
    subscription = shop.subscription()
    shop.v1.subscriptions.update(subscription.id, {"pause_collection": {"behavior": "void"}})
    assert shop.v1.subscriptions.update(subscription.id, {"pause_collection": ""}).pause_collection is None


def test_a_write_off_leaves_the_subscription_active(shop: Shop, overdue: Any) -> None:
    assert shop.v1.subscriptions.retrieve(sub_of(overdue)).status == "past_due"
    assert shop.v1.invoices.mark_uncollectible(overdue.id).status == "uncollectible"
    assert shop.v1.subscriptions.retrieve(sub_of(overdue)).status == "active"


def test_a_price_without_proration_bills_nothing_now(shop: Shop) -> None:
    subscription, small = shop.subscription(), shop.price(1000)
    before = len(shop.v1.invoices.list().data)
    item = subscription["items"].data[0].id
    changed = shop.v1.subscriptions.update(
        subscription.id, {"items": [{"id": item, "price": small.id}], "proration_behavior": "none"}
    )
    assert changed["items"].data[0].price.id == small.id
    assert len(shop.v1.invoices.list().data) == before
    assert shop.v1.invoice_items.list().data == []
    assert shop.server.bill_subscription(subscription.id)["total"] == 1000  # type: ignore[index]


def test_a_debit_is_on_its_way_for_days_and_then_pays(shop: Shop) -> None:
    customer = shop.customer("pm_usBankAccount_success")
    invoice = shop.open_invoice(customer=customer)
    open_one = shop.v1.invoices.pay(invoice.id)
    assert open_one.status == "open"
    intent = shop.v1.payment_intents.list().data[0]
    charge = shop.v1.charges.retrieve(str(intent.latest_charge))
    assert (intent.status, charge.status, charge.payment_method_details.type) == (
        "processing",
        "pending",
        "us_bank_account",
    )
    shop.server.clock.advance(days=3)
    assert shop.v1.invoices.retrieve(invoice.id).status == "open"
    shop.server.clock.advance(days=2)
    assert shop.v1.invoices.retrieve(invoice.id).status == "paid"
    assert {"charge.pending", "payment_intent.processing", "charge.succeeded", "invoice.paid"} <= set(shop.types())


@pytest.mark.parametrize(
    ("token", "failure", "network"),
    [
        ("pm_usBankAccount_insufficientFunds", "insufficient_funds", "R01"),
        ("pm_usBankAccount_accountClosed", "account_closed", "R02"),
        ("pm_usBankAccount_noAccount", "no_account", "R03"),
        ("pm_usBankAccount_debitNotAuthorized", "debit_not_authorized", "R10"),
    ],
)
def test_a_debit_comes_back_with_the_banks_code(shop: Shop, token: str, failure: str, network: str) -> None:
    customer = shop.customer(token)
    invoice = shop.open_invoice(customer=customer)
    shop.v1.invoices.pay(invoice.id)
    made = shop.server.settle_debit(invoice.id)
    assert (made["status"], made["failure_code"]) == ("failed", failure)
    assert made["outcome"]["network_decline_code"] == network
    intent = shop.v1.payment_intents.list().data[0]
    assert (intent.status, intent.last_payment_error.code) == ("requires_payment_method", failure)
    assert shop.v1.invoices.retrieve(invoice.id).status == "open"
    assert "invoice.payment_failed" in shop.types()
    with pytest.raises(LookupError, match="no debit"):
        shop.server.settle_debit(invoice.id)


def test_sepa_debits_by_iban_with_a_mandate(shop: Shop) -> None:
    made = shop.v1.payment_methods.create({"type": "sepa_debit", "sepa_debit": {"iban": FAILING_IBAN}})
    assert (made.type, made.sepa_debit.last4, made.sepa_debit.country) == ("sepa_debit", "3001", "DE")
    customer = shop.customer(made.id)
    invoice = shop.open_invoice(customer=customer, currency="eur")
    shop.v1.invoices.pay(invoice.id)
    charge = shop.v1.charges.list().data[0]
    mandate = shop.v1.mandates.retrieve(str(charge.payment_method_details.sepa_debit.mandate))
    assert (mandate.status, mandate.payment_method) == ("active", made.id)
    assert shop.server.settle_debit(invoice.id)["outcome"]["network_decline_code"] == "AM04"
    shop.server.set_mandate(made.id, "inactive")
    (event,) = shop.server.events("mandate.updated")
    assert event["data"]["previous_attributes"] == {"status": "active"}
    with pytest.raises(stripe.InvalidRequestError, match="mandate"):
        shop.v1.invoices.pay(invoice.id)


def test_a_second_payment_waits_while_a_debit_is_on_its_way(shop: Shop) -> None:
    invoice = shop.open_invoice(customer=shop.customer("pm_usBankAccount_success"))
    shop.v1.invoices.pay(invoice.id)
    with pytest.raises(stripe.InvalidRequestError):
        shop.v1.invoices.pay(invoice.id)


def test_the_network_renews_a_card_under_its_id(shop: Shop) -> None:
    customer = shop.customer("pm_card_chargeCustomerFail")
    card = shop.card_of(customer)
    invoice = shop.open_invoice(customer=customer)
    with pytest.raises(stripe.CardError):
        shop.v1.invoices.pay(invoice.id)
    before = shop.v1.payment_methods.retrieve(card)
    shop.server.renew_card(card, token="pm_card_mastercard", exp_year=2040)
    (event,) = shop.server.events("payment_method.automatically_updated")
    assert (event["data"]["object"]["id"], event["data"]["object"]["card"]["exp_year"]) == (card, 2040)
    assert event["data"]["previous_attributes"]["card"]["fingerprint"] == before.card.fingerprint
    assert shop.v1.invoices.pay(invoice.id).status == "paid"


def test_a_draft_without_a_place_for_tax_is_not_finalized(shop: Shop) -> None:
    customer = shop.customer()
    subscription = shop.subscription(customer)
    shop.v1.subscriptions.update(subscription.id, {"metadata": {}})
    taxed = shop.v1.subscriptions.create(
        {
            "customer": customer.id,
            "items": [{"price": shop.price().id}],
            "automatic_tax": {"enabled": True},
        }
    )
    invoice = shop.v1.invoices.retrieve(str(taxed.latest_invoice))
    assert (invoice.status, invoice.automatic_tax.status) == ("draft", "requires_location_inputs")
    assert invoice.last_finalization_error.code == "customer_tax_location_invalid"
    assert len(shop.server.events("invoice.finalization_failed")) == 1
    shop.v1.customers.update(customer.id, {"address": {"country": "DE", "postal_code": "10115"}})
    done = shop.v1.invoices.finalize_invoice(invoice.id)
    assert (done.last_finalization_error, done.automatic_tax.status) == (None, "complete")


def test_a_draft_fails_as_a_test_says(shop: Shop) -> None:
    draft = shop.v1.invoices.create({"customer": shop.customer().id, "currency": "usd"})
    shop.server.fail_finalization(draft.id, "tax_id_invalid")
    with pytest.raises(stripe.InvalidRequestError):
        shop.v1.invoices.finalize_invoice(draft.id)
    shop.server.fail_finalization(draft.id, None)
    assert shop.v1.invoices.finalize_invoice(draft.id).status == "paid"


def test_a_card_that_wants_its_owner_tells_so(shop: Shop) -> None:
    customer = shop.customer()
    subscription = shop.subscription(customer)
    method = shop.v1.payment_methods.create({"type": "card", "card": {"number": "4000002760003184"}})
    shop.server.cards.set_outcome(shop.card_of(customer), "authentication_required")
    assert method.card.three_d_secure_usage.supported
    invoice = shop.server.bill_subscription(subscription.id)
    assert invoice is not None
    (event,) = shop.server.events("invoice.payment_action_required")
    assert event["data"]["object"]["id"] == invoice["id"]


def test_the_controls_work_from_another_process(shop: Shop) -> None:
    from sandbox import SandboxControl

    control = SandboxControl(shop.server.url)
    customer = shop.customer("pm_usBankAccount_success")
    method = shop.card_of(customer)
    invoice = shop.open_invoice(customer=customer)
    shop.v1.invoices.pay(invoice.id)
    assert control.settle_debit(invoice.id, failure="account_closed", network="R02")["status"] == "failed"
    assert control.set_mandate(method, "inactive")["status"] == "inactive"
    card = shop.card_of(shop.customer())
    assert control.renew_card(card, exp_year=2041)["card"]["exp_year"] == 2041
    draft = shop.v1.invoices.create({"customer": customer.id, "currency": "usd"})
    assert control.fail_finalization(draft.id, "tax_id_invalid")["last_finalization_error"]["code"] == "tax_id_invalid"


def test_a_payment_that_is_attached_pays_a_part_and_the_rest_stays_open(shop: Shop, overdue: Any) -> None:
    whole = overdue.amount_remaining

    def attached(amount: int) -> Any:
        given = {"amount": amount, "currency": overdue.currency, "customer": overdue.customer, "confirm": True}
        intent = shop.v1.payment_intents.create({**given, "payment_method": "pm_card_visa", "off_session": True})  # type: ignore[typeddict-item]
        return shop.v1.invoices.attach_payment(overdue.id, {"payment_intent": intent.id})

    part = attached(100)
    assert (part.status, part.amount_paid, part.amount_remaining, part.amount_due) == ("open", 100, whole - 100, whole)
    (told,) = shop.server.events("invoice_payment.paid")[-1:]
    assert (told["data"]["object"]["invoice"], told["data"]["object"]["amount_paid"]) == (overdue.id, 100)
    shop.v1.credit_notes.create({"invoice": overdue.id, "amount": 50})
    part = shop.v1.invoices.retrieve(overdue.id)
    assert (part.amount_paid, part.amount_remaining, part.amount_due) == (100, whole - 150, whole - 50)
    shop.server.cards.set_outcome(shop.card_of(shop.v1.customers.retrieve(overdue.customer)))
    paid = shop.v1.invoices.pay(overdue.id)
    assert (paid.status, paid.amount_paid, paid.amount_remaining) == ("paid", whole - 50, 0)
