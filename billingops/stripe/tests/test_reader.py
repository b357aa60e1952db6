"""The reader: the same facts from both eras, from the SDK's objects and from plain JSON."""

from __future__ import annotations

import dataclasses
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
import stripe

from billingops.stripe import reader
from billingops.stripe.facts import PaymentFailure
from billingops.stripe.shapes import latest_charge

from .payloads import (
    CREATED,
    FAILED_CHARGE,
    NEW_INVOICE,
    NEW_LINE,
    OLD_INVOICE,
    OLD_LINE,
    PAYMENT,
    listed,
    variant,
)

AT = datetime.fromtimestamp(CREATED, tz=UTC)
FIXTURES = Path("/work/shared/data/stripe_fixtures3.json")
READERS = {
    "invoice": reader.read_invoice,
    "charge": reader.read_charge,
    "customer": reader.read_customer,
    "subscription": reader.read_subscription,
    "account": reader.read_account,
    "transfer": reader.read_transfer,
    "refund": reader.read_refund,
    "dispute": reader.read_dispute,
    "credit_note": reader.read_credit_note,
    "invoice_payment": reader.read_invoice_payment,
    "balance_transaction": reader.read_balance_transaction,
    "payout": reader.read_payout,
}


# -- invoices ----------------------------------------------------------------------------------------------------------
def test_both_eras_of_an_invoice_give_the_same_facts():
    old, new = reader.read_invoice(OLD_INVOICE), reader.read_invoice(NEW_INVOICE)
    assert old == new
    assert (new.subscription_id, new.charge_id, new.payment_intent_id) == ("sub_1", "ch_1", "pi_1")
    assert (new.tax, new.subscription_metadata, new.paid_out_of_band) == (1_000, {"plan": "pro"}, False)
    assert (new.is_paid, new.number, new.metadata) == (True, "BAR-1", {"order": "7"})


def test_both_eras_of_a_line_give_the_same_facts():
    old, new = reader.read_line(OLD_LINE), reader.read_line(NEW_LINE)
    assert old == new
    assert new.base == 10_000 - 1_000 - 700
    assert (new.discount, new.tax_inclusive, new.tax_exclusive, new.proration) == (1_000, 700, 300, True)
    assert (new.price_id, new.product_id, new.subscription_item_id) == ("price_1", "prod_1", "si_1")
    assert new.price_metadata == {"seller_account": "acct_1"}


@pytest.mark.parametrize("payload", [OLD_INVOICE, NEW_INVOICE])
def test_the_sdks_objects_read_like_plain_json(payload):
    built = stripe.Invoice.construct_from(variant(payload), "sk_test_x")
    assert reader.read_invoice(built, "acct_1") == reader.read_invoice(payload, "acct_1")


def test_an_expanded_product_brings_its_metadata_in_either_place():
    product = {"id": "prod_1", "object": "product", "metadata": {"seller_account": "acct_2"}}
    inside = variant(NEW_LINE)
    inside["pricing"]["price_details"]["price"]["product"] = product
    beside = variant(NEW_LINE)
    beside["pricing"]["price_details"]["product"] = product
    for line in (inside, beside):
        assert reader.read_line(line).product_metadata == {"seller_account": "acct_2"}
        assert reader.read_line(line).product_id == "prod_1"


def test_a_line_of_an_invoice_item_is_read():
    parent = {
        "type": "invoice_item_details",
        "invoice_item_details": {"invoice_item": "ii_1", "subscription": "sub_2", "proration": False},
        "subscription_item_details": None,
    }
    line = reader.read_line(variant(NEW_LINE, parent=parent, quantity=None, taxes=None, discount_amounts=None))
    assert (line.subscription_id, line.subscription_item_id, line.proration) == ("sub_2", "", False)
    assert (line.quantity, line.discount, line.tax_inclusive) == (1, 0, 0)


def test_a_negative_line_keeps_its_sign():
    line = reader.read_line(variant(NEW_LINE, amount=-2_500, discount_amounts=[], taxes=[]))
    assert line.base == -2_500


@pytest.mark.parametrize(
    ("invoice", "out_of_band"),
    [
        (variant(OLD_INVOICE, paid_out_of_band=True), True),
        (variant(NEW_INVOICE, payments=listed()), True),
        (variant(NEW_INVOICE, payments=listed(variant(PAYMENT, status="canceled"))), True),
        (variant(NEW_INVOICE, payments=listed(), amount_due=0, total=0), False),
        (variant(NEW_INVOICE, payments=listed(), status="open"), False),
        (variant(NEW_INVOICE, payments=None), False),
    ],
)
def test_what_was_paid_outside_stripe_is_recognised_and_has_no_charge(invoice, out_of_band):
    facts = reader.read_invoice(invoice)
    assert facts.paid_out_of_band is out_of_band
    assert facts.charge_id == ""


def test_the_charges_of_all_payments_are_named_the_largest_first():
    intent = {"id": "pi_2", "object": "payment_intent", "latest_charge": "ch_2"}
    small = variant(
        PAYMENT, id="inpay_2", amount_paid=100, payment={"type": "payment_intent", "payment_intent": intent}
    )
    bare = variant(PAYMENT, id="inpay_3", amount_paid=50, payment={"type": "charge", "charge": "ch_3"})
    for order in ((small, PAYMENT, bare), (PAYMENT, bare, small)):
        facts = reader.read_invoice(variant(NEW_INVOICE, payments=listed(*order)))
        assert facts.charge_ids == ("ch_1", "ch_2", "ch_3")
    assert reader.read_invoice(variant(NEW_INVOICE, payments=listed(bare))).charge_id == "ch_3"


@pytest.mark.parametrize(
    ("start", "end", "applied"),
    [(-2000, 0, 2000), (-5000, -1000, 4000), (0, -3000, -3000), (500, 0, -500), (0, 20, 20), (-2000, None, 0)],
)
def test_what_the_customers_balance_paid_of_an_invoice_is_read(start, end, applied):
    invoice = variant(NEW_INVOICE, starting_balance=start, ending_balance=end)
    assert reader.read_invoice(invoice).from_balance == applied


def test_an_unpaid_invoice_names_its_intent_but_no_paying_charge():
    for payload in (
        variant(OLD_INVOICE, status="open", paid=False, amount_paid=0, amount_remaining=9_300),
        variant(
            NEW_INVOICE,
            status="open",
            amount_paid=0,
            payments=listed(variant(PAYMENT, status="open", amount_paid=None)),
        ),
    ):
        facts = reader.read_invoice(payload)
        assert (facts.charge_id, facts.payment_intent_id) == ("", "pi_1")
        assert latest_charge(payload) == "ch_1"


def test_the_destination_of_a_destination_charge_is_read_in_both_eras():
    intent = variant(PAYMENT)
    intent["payment"]["payment_intent"]["transfer_data"] = {"destination": "acct_7"}
    assert reader.read_invoice(variant(NEW_INVOICE, payments=listed(intent))).transfer_destination == "acct_7"
    old = variant(OLD_INVOICE, transfer_data={"destination": {"id": "acct_7", "object": "account"}})
    assert reader.read_invoice(old).transfer_destination == "acct_7"


def test_without_a_snapshot_the_subscriptions_own_metadata_count():
    invoice = variant(NEW_INVOICE)
    invoice["parent"]["subscription_details"] = {
        "metadata": None,
        "subscription": {"id": "sub_1", "object": "subscription", "metadata": {"seller_account": "acct_3"}},
    }
    facts = reader.read_invoice(invoice)
    assert (facts.subscription_id, facts.subscription_metadata) == ("sub_1", {"seller_account": "acct_3"})


def test_a_credit_note_names_its_refunds_in_both_eras():
    note = {
        "id": "cn_1",
        "object": "credit_note",
        "invoice": "in_1",
        "amount": 5,
        "currency": "usd",
        "created": CREATED,
    }
    new = reader.read_credit_note(
        {**note, "refunds": [{"refund": "re_1"}, {"refund": {"id": "re_2", "object": "refund"}}]}
    )
    assert new.refund_ids == ("re_1", "re_2")
    assert reader.read_credit_note({**note, "refund": "re_1"}).refund_ids == ("re_1",)
    assert reader.read_credit_note({**note, "refund": None}).refund_ids == ()


# -- failures ----------------------------------------------------------------------------------------------------------
def test_why_a_charge_failed_is_read_in_stripes_own_codes():
    assert reader.read_payment_failure(FAILED_CHARGE) == PaymentFailure(
        code="card_declined",
        decline_code="insufficient_funds",
        advice_code="try_again_later",
        network_decline_code="51",
        network_advice_code="02",
        outcome_type="issuer_declined",
        risk_level="normal",
        payment_method_id="pm_9",
        payment_method_type="card",
        card_brand="visa",
        card_country="JP",
        charge_id="ch_9",
        payment_intent_id="pi_9",
        at=AT,
    )
    assert reader.read_charge(FAILED_CHARGE).failure == reader.read_payment_failure(FAILED_CHARGE)
    assert reader.read_payment_failure(variant(FAILED_CHARGE, status="succeeded")) is None


def test_why_an_intent_failed_is_read_from_its_charge_or_else_its_error():
    error = {
        "type": "card_error",
        "code": "card_declined",
        "decline_code": "do_not_honor",
        "advice_code": "do_not_try_again",
        "charge": "ch_9",
        "payment_method": {"id": "pm_9", "object": "payment_method", "type": "card", "card": {"brand": "amex"}},
    }
    intent = {"id": "pi_9", "object": "payment_intent", "last_payment_error": error, "latest_charge": "ch_9"}
    bare = reader.read_payment_failure(intent)
    assert bare is not None
    assert (bare.decline_code, bare.advice_code, bare.charge_id) == ("do_not_honor", "do_not_try_again", "ch_9")
    assert (bare.card_brand, bare.payment_method_id, bare.payment_intent_id) == ("amex", "pm_9", "pi_9")
    full = reader.read_payment_failure({**intent, "latest_charge": variant(FAILED_CHARGE, outcome={"type": "blocked"})})
    assert full is not None
    assert (full.outcome_type, full.decline_code, full.advice_code) == ("blocked", "do_not_honor", "do_not_try_again")
    assert reader.read_payment_failure({**intent, "last_payment_error": None}) is None


# -- the others --------------------------------------------------------------------------------------------------------
def test_a_subscriptions_period_is_the_earliest_of_its_items_or_its_own():
    item = {"id": "si_1", "price": {"id": "price_1", "product": "prod_1"}, "quantity": 2}
    base = {"id": "sub_1", "object": "subscription", "status": "active", "customer": "cus_1", "created": CREATED}
    new = reader.read_subscription(
        {
            **base,
            "items": listed(
                {**item, "current_period_start": CREATED + 9, "current_period_end": CREATED + 99},
                {**item, "id": "si_2", "current_period_start": CREATED, "current_period_end": CREATED + 90},
            ),
        }
    )
    assert (new.current_period_start, new.current_period_end) == (AT, datetime.fromtimestamp(CREATED + 90, tz=UTC))
    assert new.items[0] == ("si_1", "price_1", "prod_1", 2)
    old = reader.read_subscription({**base, "current_period_start": CREATED, "items": listed(item)})
    assert old.current_period_start == AT


@pytest.mark.parametrize(
    ("changes", "obstacle"),
    [
        ({}, ""),
        ({"capabilities": {"legacy_payments": "active"}}, ""),
        ({"capabilities": {"transfers": "pending"}}, "transfers capability"),
        ({"capabilities": None}, "transfers capability"),
        ({"requirements": {"disabled_reason": "rejected.fraud"}}, "rejected.fraud"),
        ({"deauthorised": True}, "disconnected"),
    ],
)
def test_why_an_account_can_receive_nothing_is_said(changes, obstacle):
    account = {"id": "acct_1", "object": "account", "capabilities": {"transfers": "active"}, **changes}
    said = reader.read_account(account).obstacle
    assert obstacle in said
    assert bool(obstacle) == bool(said)


@pytest.mark.parametrize(
    ("status", "case", "inquiry"),
    [("warning_needs_response", "inquiry", True), ("needs_response", "inquiry", False), ("lost", "chargeback", False)],
)
def test_an_inquiry_is_told_from_a_chargeback(status, case, inquiry):
    details = {"card": {"case_type": case}}
    dispute = {"id": "dp_1", "status": status, "payment_method_details": details, "evidence_details": {"due_by": 0}}
    facts = reader.read_dispute(dispute)
    assert (facts.is_inquiry, facts.due_by) == (inquiry, None)


def test_a_deleted_customer_is_known_as_such():
    facts = reader.read_customer({"id": "cus_1", "object": "customer", "deleted": True})
    assert (facts.deleted, facts.email, facts.created) == (True, "", None)


@pytest.mark.skipif(not FIXTURES.exists(), reason="Stripe's published examples are not on this machine")
@pytest.mark.parametrize("name", READERS)
def test_stripes_published_examples_can_be_read(name):
    data = json.loads(FIXTURES.read_text())["resources"][name]
    facts = READERS[name](data)
    assert facts.id == data["id"]
    for key in ("amount", "currency", "status"):
        if key in data and key in {field.name for field in dataclasses.fields(facts)}:
            assert getattr(facts, key) == data[key]


@pytest.mark.parametrize("name", READERS)
def test_a_shell_of_an_object_can_be_read(name):
    assert READERS[name]({"id": "x_1", "object": name}).id == "x_1"
