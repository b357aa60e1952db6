"""Subscriptions and invoices: what is billed, what happens when the card says no, and how it comes right again."""

from __future__ import annotations

from typing import Any

import pytest
import stripe

from .build import Shop

DAY = 86400


def test_a_subscription_makes_and_pays_its_first_invoice(shop: Shop) -> None:
    subscription = shop.subscription(quantity=2, expand=["latest_invoice.payments"])
    invoice = subscription.latest_invoice
    assert (subscription.status, invoice.status, invoice.billing_reason) == ("active", "paid", "subscription_create")
    assert (invoice.total, invoice.amount_paid, invoice.amount_remaining, invoice.attempt_count) == (10000, 10000, 0, 1)
    assert invoice.parent.subscription_details.subscription == subscription.id
    assert invoice.number.endswith("-0001")
    assert invoice.hosted_invoice_url.startswith("https://invoice.stripe.com/")
    line = invoice.lines.data[0]
    assert (line.quantity, line.amount) == (2, 10000)
    assert line.parent.subscription_item_details.subscription_item == subscription["items"].data[0].id
    assert line.pricing.price_details.price == subscription["items"].data[0].price.id
    payment = invoice.payments.data[0]
    assert (payment.status, payment.amount_paid, payment.is_default) == ("paid", 10000, True)
    assert shop.v1.invoice_payments.list({"invoice": invoice.id}).data[0].id == payment.id


def test_the_events_of_a_first_payment_come_in_stripes_kinds(shop: Shop) -> None:
    shop.subscription()
    types = shop.types()
    wanted = [
        "customer.subscription.created",
        "invoice.created",
        "invoice.finalized",
        "charge.succeeded",
        "payment_intent.succeeded",
        "invoice_payment.paid",
        "invoice.paid",
        "invoice.payment_succeeded",
        "customer.subscription.updated",
    ]
    positions = [types.index(type) for type in wanted]
    assert positions == sorted(positions)


def test_a_failed_renewal_leaves_the_invoice_open_and_the_subscription_past_due(shop: Shop) -> None:
    customer = shop.customer()
    subscription = shop.subscription(customer)
    shop.server.cards.set_outcome(shop.card_of(customer), "insufficient_funds", "try_again_later", "51")
    before = len(shop.types())
    billed = shop.server.bill_subscription(subscription.id)
    assert billed is not None
    invoice = shop.v1.invoices.retrieve(billed["id"], {"expand": ["payments.data.payment.payment_intent"]})
    assert (invoice.status, invoice.attempt_count, invoice.attempted) == ("open", 1, True)
    assert abs(invoice.next_payment_attempt - shop.server.clock.now() - 3 * DAY) <= 2
    assert shop.v1.subscriptions.retrieve(subscription.id).status == "past_due"
    intent = invoice.payments.data[0].payment.payment_intent
    assert intent.status == "requires_payment_method"
    assert (intent.last_payment_error.code, intent.last_payment_error.decline_code) == (
        "card_declined",
        "insufficient_funds",
    )
    charge = shop.v1.charges.retrieve(intent.latest_charge)
    assert (charge.status, charge.failure_code, charge.failure_message) == (
        "failed",
        "card_declined",
        "Your card has insufficient funds.",
    )
    assert (charge.outcome.reason, charge.outcome.type) == ("insufficient_funds", "issuer_declined")
    assert (charge.outcome.advice_code, charge.outcome.network_decline_code) == ("try_again_later", "51")
    assert charge.balance_transaction is None
    assert {"charge.failed", "payment_intent.payment_failed", "invoice.payment_failed"} <= set(shop.types()[before:])


def test_paying_by_hand_with_the_same_card_is_a_card_error(shop: Shop) -> None:
    customer = shop.customer()
    invoice = shop.open_invoice(customer=customer)
    shop.server.cards.set_outcome(shop.card_of(customer), "expired_card")
    with pytest.raises(stripe.CardError) as caught:
        shop.v1.invoices.pay(invoice.id)
    error = caught.value.error
    assert (caught.value.http_status, error.code, error.decline_code) == (402, "expired_card", "expired_card")
    assert error.charge.startswith("ch_")
    assert error.payment_intent.id.startswith("pi_")
    assert shop.v1.invoices.retrieve(invoice.id).status == "open"


def test_a_card_that_works_again_pays_and_the_subscription_is_active(shop: Shop) -> None:
    customer = shop.customer()
    subscription = shop.subscription(customer)
    shop.server.cards.set_outcome(shop.card_of(customer), "generic_decline")
    invoice = shop.server.bill_subscription(subscription.id)
    assert invoice is not None
    shop.server.cards.set_outcome(shop.card_of(customer))
    assert shop.v1.invoices.pay(invoice["id"]).status == "paid"
    assert shop.v1.subscriptions.retrieve(subscription.id).status == "active"


def test_only_stripes_own_retries_count_after_the_first(shop: Shop) -> None:
    customer = shop.customer()
    subscription = shop.subscription(customer)
    shop.server.cards.set_outcome(shop.card_of(customer), "generic_decline")
    invoice: Any = shop.server.bill_subscription(subscription.id)
    with pytest.raises(stripe.CardError):
        shop.v1.invoices.pay(invoice["id"])
    assert shop.v1.invoices.retrieve(invoice["id"]).attempt_count == 1
    counts = [shop.server.retry_invoice(invoice["id"])["attempt_count"] for _ in range(3)]
    assert counts == [2, 3, 4]
    assert shop.v1.invoices.retrieve(invoice["id"]).next_payment_attempt is None


def test_outcomes_can_be_limited_in_number(shop: Shop) -> None:
    customer = shop.customer()
    invoice = shop.open_invoice(customer=customer)
    shop.server.cards.set_outcome(shop.card_of(customer), "processing_error", times=1)
    with pytest.raises(stripe.CardError):
        shop.v1.invoices.pay(invoice.id)
    assert shop.v1.invoices.pay(invoice.id).status == "paid"


def test_another_payment_method_can_be_given_to_pay(shop: Shop) -> None:
    customer = shop.customer("pm_card_chargeCustomerFail")
    invoice = shop.open_invoice(customer=customer)
    with pytest.raises(stripe.CardError):
        shop.v1.invoices.pay(invoice.id)
    assert shop.v1.invoices.pay(invoice.id, {"payment_method": "pm_card_mastercard"}).status == "paid"


@pytest.mark.parametrize(
    ("token", "code", "decline"),
    [
        ("pm_card_visa_chargeDeclined", "card_declined", "generic_decline"),
        ("pm_card_visa_chargeDeclinedInsufficientFunds", "card_declined", "insufficient_funds"),
        ("pm_card_visa_chargeDeclinedLostCard", "card_declined", "lost_card"),
        ("pm_card_visa_chargeDeclinedStolenCard", "card_declined", "stolen_card"),
        ("pm_card_chargeDeclinedExpiredCard", "expired_card", "expired_card"),
        ("pm_card_chargeDeclinedProcessingError", "processing_error", "processing_error"),
        ("pm_card_chargeDeclinedIncorrectCvc", "incorrect_cvc", "incorrect_cvc"),
    ],
)
def test_stripes_declining_test_cards_decline(shop: Shop, token: str, code: str, decline: str) -> None:
    with pytest.raises(stripe.CardError) as caught:
        shop.charge(card=token)
    assert (caught.value.code, caught.value.error.decline_code) == (code, decline)
    with pytest.raises(stripe.CardError):
        shop.customer(token)


def test_a_blocked_payment_never_reached_the_network(shop: Shop) -> None:
    with pytest.raises(stripe.CardError) as caught:
        shop.charge(card="pm_card_radarBlock")
    outcome = shop.v1.charges.retrieve(caught.value.error.charge).outcome
    assert (outcome.type, outcome.network_status, outcome.risk_level) == ("blocked", "not_sent_to_network", "highest")


def test_an_incomplete_subscription_becomes_active_when_paid(shop: Shop) -> None:
    customer = shop.customer("pm_card_chargeCustomerFail")
    subscription = shop.subscription(customer)
    assert subscription.status == "incomplete"
    shop.v1.invoices.pay(subscription.latest_invoice, {"payment_method": "pm_card_visa"})
    assert shop.v1.subscriptions.retrieve(subscription.id).status == "active"


def test_error_if_incomplete_makes_nothing(shop: Shop) -> None:
    customer = shop.customer("pm_card_chargeCustomerFail")
    with pytest.raises(stripe.CardError):
        shop.subscription(customer, payment_behavior="error_if_incomplete")
    assert shop.v1.subscriptions.list({"status": "all"}).data == []


def test_default_incomplete_waits_with_an_open_invoice(shop: Shop) -> None:
    subscription = shop.subscription(payment_behavior="default_incomplete", expand=["latest_invoice"])
    assert (subscription.status, subscription.latest_invoice.status) == ("incomplete", "open")


def test_a_trial_bills_nothing_until_it_ends(shop: Shop) -> None:
    subscription = shop.subscription(trial_period_days=14, expand=["latest_invoice"])
    assert (subscription.status, subscription.latest_invoice.total) == ("trialing", 0)
    shop.server.clock.advance(days=14)
    invoice: Any = shop.server.bill_subscription(subscription.id)
    assert (invoice["total"], invoice["status"]) == (5000, "paid")
    assert shop.v1.subscriptions.retrieve(subscription.id).status == "active"


def test_renewal_moves_the_items_period_by_a_calendar_month(shop: Shop) -> None:
    shop.server.clock.set(1_769_860_800)  # 31 January 2026
    subscription = shop.subscription()
    ends = []
    for _ in range(3):
        shop.server.bill_subscription(subscription.id)
        ends.append(shop.v1.subscriptions.retrieve(subscription.id)["items"].data[0].current_period_end)
    assert [end - 1_769_860_800 for end in ends] == [59 * DAY, 89 * DAY, 120 * DAY]


def test_a_quantity_change_prorates_with_a_negative_line(shop: Shop) -> None:
    shop.server.clock.set(1_767_225_600)  # 1 January 2026
    subscription = shop.subscription(price=shop.price(3100), quantity=2)
    item = subscription["items"].data[0]
    moment = item.current_period_start + 10 * DAY
    updated = shop.v1.subscriptions.update(
        subscription.id, {"items": [{"id": item.id, "quantity": 1}], "proration_date": moment}
    )
    assert updated["items"].data[0].quantity == 1
    credit, charge = shop.v1.invoice_items.list({"pending": True}).data[::-1]
    assert (credit.amount, charge.amount) == (-4200, 2100)
    assert credit.proration is True
    invoice: Any = shop.server.bill_subscription(subscription.id)
    assert invoice["total"] == 3100 - 4200 + 2100
    negative = next(line for line in invoice["lines"]["data"] if line["amount"] < 0)
    details = negative["parent"]["subscription_item_details"]
    assert details["proration"] is True
    assert details["proration_details"]["credited_items"]["invoice"] == subscription.latest_invoice
    assert shop.v1.invoice_items.list({"pending": True}).data == []


def test_always_invoice_bills_the_proration_at_once_and_a_credit_stays_with_the_customer(shop: Shop) -> None:
    customer = shop.customer()
    subscription = shop.subscription(customer, price=shop.price(3000), quantity=3)
    item = subscription["items"].data[0]
    updated = shop.v1.subscriptions.update(
        subscription.id,
        {
            "items": [{"id": item.id, "quantity": 1}],
            "proration_behavior": "always_invoice",
            "proration_date": item.current_period_start,
            "expand": ["latest_invoice"],
        },
    )
    invoice = updated.latest_invoice
    assert (invoice.billing_reason, invoice.total, invoice.status) == ("subscription_update", -6000, "paid")
    assert (invoice.amount_due, invoice.ending_balance) == (0, -6000)
    assert shop.v1.customers.retrieve(customer.id).balance == -6000
    renewed: Any = shop.server.bill_subscription(subscription.id)
    assert (renewed["total"], renewed["amount_due"], renewed["status"]) == (3000, 0, "paid")
    assert shop.v1.customers.retrieve(customer.id).balance == -3000


def test_a_change_of_interval_begins_a_new_period_and_bills_it(shop: Shop) -> None:
    subscription = shop.subscription()
    item, yearly = subscription["items"].data[0], shop.price(50000, interval="year")
    updated = shop.v1.subscriptions.update(
        subscription.id, {"items": [{"id": item.id, "price": yearly.id}], "expand": ["latest_invoice"]}
    )
    period = updated["items"].data[0]
    assert period.current_period_end - period.current_period_start >= 365 * DAY
    assert updated.latest_invoice.billing_reason == "subscription_update"
    assert updated.latest_invoice.lines.data[0].amount == 50000


def test_items_are_added_and_removed(shop: Shop) -> None:
    subscription = shop.subscription()
    extra = shop.v1.subscription_items.create(
        {"subscription": subscription.id, "price": shop.price(700).id, "proration_behavior": "none"}
    )
    assert len(shop.v1.subscription_items.list({"subscription": subscription.id}).data) == 2
    shop.v1.subscription_items.delete(extra.id, {"proration_behavior": "none"})
    with pytest.raises(stripe.InvalidRequestError):
        shop.v1.subscription_items.delete(subscription["items"].data[0].id)


def test_cancelling_ends_now_or_at_the_periods_end(shop: Shop) -> None:
    now = shop.v1.subscriptions.cancel(shop.subscription().id)
    assert now.status == "canceled"
    later = shop.v1.subscriptions.update(shop.subscription().id, {"cancel_at_period_end": True})
    assert (later.status, later.cancel_at) == ("active", later["items"].data[0].current_period_end)
    assert shop.server.bill_subscription(later.id) is None
    assert shop.v1.subscriptions.retrieve(later.id).status == "canceled"
    assert shop.types().count("customer.subscription.deleted") == 2


def test_updates_carry_previous_attributes(shop: Shop) -> None:
    subscription = shop.subscription(metadata={"a": "1"})
    shop.v1.subscriptions.update(subscription.id, {"metadata": {"a": "2", "grace_period_until": "x"}})
    event = shop.server.events("customer.subscription.updated")[-1]
    assert event["data"]["previous_attributes"] == {"metadata": {"a": "1", "grace_period_until": None}}
    assert event["data"]["object"]["metadata"] == {"a": "2", "grace_period_until": "x"}


def test_invoices_by_hand_are_made_finalized_and_voided(shop: Shop) -> None:
    invoice = shop.open_invoice(1234, collection_method="send_invoice", days_until_due=30)
    assert (invoice.status, invoice.total, invoice.due_date - invoice.created) == ("open", 1234, 30 * DAY)
    assert shop.v1.invoices.void_invoice(invoice.id).status == "void"
    with pytest.raises(stripe.InvalidRequestError):
        shop.v1.invoices.pay(invoice.id)


def test_an_invoice_paid_out_of_band_has_no_charge(shop: Shop) -> None:
    invoice = shop.v1.invoices.pay(shop.open_invoice().id, {"paid_out_of_band": True, "expand": ["payments"]})
    assert (invoice.status, invoice.amount_paid_off_stripe) == ("paid", 5000)
    assert [payment.status for payment in invoice.payments.data] == ["canceled"]
    assert shop.v1.charges.list().data == []


def test_an_invoice_can_be_given_up(shop: Shop) -> None:
    assert shop.v1.invoices.mark_uncollectible(shop.open_invoice().id).status == "uncollectible"
    assert "invoice.marked_uncollectible" in shop.types()


def test_drafts_can_be_changed_and_deleted(shop: Shop) -> None:
    customer = shop.customer()
    draft = shop.v1.invoices.create({"customer": customer.id})
    item = shop.v1.invoice_items.create(
        {"customer": customer.id, "invoice": draft.id, "amount": 500, "currency": "usd"}
    )
    shop.v1.invoice_items.update(item.id, {"amount": 700})
    assert shop.v1.invoices.retrieve(draft.id).total == 700
    assert shop.v1.invoices.delete(draft.id).deleted is True
    with pytest.raises(stripe.InvalidRequestError):
        shop.v1.invoices.delete(shop.open_invoice().id)


def test_a_preview_keeps_nothing(shop: Shop) -> None:
    subscription = shop.subscription()
    shop.v1.invoice_items.create({"customer": subscription.customer, "amount": 250, "currency": "usd"})
    counts = shop.server.state.counts()
    preview = shop.v1.invoices.create_preview({"subscription": subscription.id})
    assert (preview.total, len(preview.lines.data), preview.billing_reason) == (5250, 2, "upcoming")
    assert shop.server.state.counts() == counts


def test_lines_are_paged(shop: Shop) -> None:
    customer = shop.customer()
    draft = shop.v1.invoices.create({"customer": customer.id, "currency": "usd"})
    for amount in range(1, 13):
        shop.v1.invoice_items.create(
            {"customer": customer.id, "invoice": draft.id, "amount": amount, "currency": "usd"}
        )
    invoice = shop.v1.invoices.retrieve(draft.id)
    assert (len(invoice.lines.data), invoice.lines.has_more) == (10, True)
    assert [line.amount for line in invoice.lines.auto_paging_iter()] == list(range(1, 13))


def test_pausing_collection_keeps_invoices_as_drafts(shop: Shop) -> None:
    subscription = shop.subscription()
    shop.v1.subscriptions.update(subscription.id, {"pause_collection": {"behavior": "keep_as_draft"}})
    invoice: Any = shop.server.bill_subscription(subscription.id)
    assert invoice["status"] == "draft"


def test_credit_notes_lower_what_is_due_or_refund_what_was_paid(shop: Shop) -> None:
    unpaid = shop.open_invoice(5000)
    note = shop.v1.credit_notes.create({"invoice": unpaid.id, "amount": 2000, "reason": "order_change"})
    assert (note.type, note.pre_payment_amount, note.refunds) == ("pre_payment", 2000, [])
    assert shop.v1.invoices.retrieve(unpaid.id).amount_remaining == 3000
    paid = shop.v1.invoices.pay(unpaid.id)
    assert paid.amount_paid == 3000
    note = shop.v1.credit_notes.create({"invoice": unpaid.id, "amount": 1000, "refund_amount": 1000})
    refund = shop.v1.refunds.retrieve(note.refunds[0].refund)
    assert (note.type, refund.amount) == ("post_payment", 1000)
    with pytest.raises(stripe.InvalidRequestError, match="cannot exceed"):
        shop.v1.credit_notes.create({"invoice": unpaid.id, "refund_amount": 2500})


def test_a_credit_note_on_a_line_credits_its_discount_and_tax_in_proportion(shop: Shop) -> None:
    customer = shop.customer()
    coupon = shop.v1.coupons.create({"percent_off": 10, "duration": "forever"})
    rate = shop.v1.tax_rates.create({"display_name": "VAT", "percentage": 20, "inclusive": False})
    draft = shop.v1.invoices.create(
        {"customer": customer.id, "discounts": [{"coupon": coupon.id}], "default_tax_rates": [rate.id]}
    )
    for amount in (1000, 4000):
        of = {"customer": customer.id, "invoice": draft.id, "currency": "usd"}
        shop.v1.invoice_items.create({**of, "unit_amount_decimal": str(amount), "quantity": 2})
    shop.v1.invoices.finalize_invoice(draft.id)
    shop.v1.invoices.pay(draft.id)
    lines = {line.amount: line.id for line in shop.v1.invoices.retrieve(draft.id).lines.data}
    one = {"type": "invoice_line_item", "invoice_line_item": lines[8000], "quantity": 1}
    note = shop.v1.credit_notes.create({"invoice": draft.id, "lines": [one], "refund_amount": 4320})
    (line,) = note.lines.data
    assert (line.amount, line.invoice_line_item, line.type) == (4000, lines[8000], "invoice_line_item")
    assert [item.amount for item in line.discount_amounts] == [400]
    assert [tax.amount for tax in line.taxes] == [720]
    assert (note.subtotal, note.total_excluding_tax, note.total, note.amount) == (4000, 3600, 4320, 4320)
    assert [tax.amount for tax in note.total_taxes] == [720]


def test_a_customer_is_delinquent_while_stripes_attempts_fail(shop: Shop) -> None:
    customer = shop.customer()
    subscription = shop.subscription(customer)
    shop.server.cards.set_outcome(shop.card_of(customer), "generic_decline")
    invoice: Any = shop.server.bill_subscription(subscription.id)
    assert shop.v1.customers.retrieve(customer.id).delinquent is True
    shop.v1.invoices.pay(invoice["id"], {"payment_method": "pm_card_mastercard"})
    assert shop.v1.customers.retrieve(customer.id).delinquent is False


def test_a_canceled_subscriptions_open_invoice_is_no_longer_collected(shop: Shop) -> None:
    customer = shop.customer()
    subscription = shop.subscription(customer)
    shop.server.cards.set_outcome(shop.card_of(customer), "generic_decline")
    invoice: Any = shop.server.bill_subscription(subscription.id)
    shop.v1.subscriptions.cancel(subscription.id)
    left = shop.v1.invoices.retrieve(invoice["id"])
    assert (left.status, left.next_payment_attempt) == ("open", None)


def test_a_customer_is_made_with_a_card_in_one_call(shop: Shop) -> None:
    customer = shop.v1.customers.create(
        {"payment_method": "pm_card_visa", "invoice_settings": {"default_payment_method": "pm_card_visa"}}
    )
    methods = shop.v1.customers.payment_methods.list(customer.id).data
    assert [method.id for method in methods] == [customer.invoice_settings.default_payment_method]
    with pytest.raises(stripe.CardError):
        shop.v1.customers.create({"payment_method": "pm_card_visa_chargeDeclined"})
    assert len(shop.v1.customers.list().data) == 1
