"""Charges, refunds, transfers, payouts, disputes: every unit is on a balance transaction, and the limits hold."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import pytest
import stripe

from .build import Shop

DAY = 86400
SELLER = "acct_demo_bakery"


def _sums(shop: Shop, account: str | None) -> dict[str, int]:
    options: Any = {"stripe_account": account} if account else {}
    sums: dict[str, int] = defaultdict(int)
    for txn in shop.v1.balance_transactions.list({"limit": 100}, options).auto_paging_iter():
        assert txn.net == txn.amount - txn.fee
        assert txn.fee == sum(detail.amount for detail in txn.fee_details)
        sums[txn.currency] += txn.net
    return dict(sums)


def _balance(shop: Shop, account: str | None) -> dict[str, int]:
    options: Any = {"stripe_account": account} if account else {}
    balance = shop.v1.balance.retrieve(options=options)
    sums: dict[str, int] = defaultdict(int)
    for entry in [*balance.available, *balance.pending]:
        sums[entry.currency] += entry.amount
    return {currency: amount for currency, amount in sums.items() if amount}


def _available(shop: Shop, account: str | None = None, currency: str = "usd") -> int:
    options: Any = {"stripe_account": account} if account else {}
    entries = shop.v1.balance.retrieve(options=options).available
    return sum(entry.amount for entry in entries if entry.currency == currency)


def test_the_balance_is_the_sum_of_its_transactions_whatever_happened(shop: Shop) -> None:
    seller = shop.seller()
    charge = shop.charge(10000)
    jpy = shop.charge(5000, "jpy")
    transfer = shop.v1.transfers.create(
        {"amount": 7000, "currency": "usd", "destination": seller.id, "source_transaction": charge.id}
    )
    shop.v1.transfers.create({"amount": 100, "currency": "jpy", "destination": seller.id, "source_transaction": jpy.id})
    shop.v1.refunds.create({"charge": charge.id, "amount": 2500})
    shop.v1.transfers.reversals.create(transfer.id, {"amount": 1750})
    shop.charge(card="pm_card_createDispute")
    shop.charge(transfer_data={"destination": seller.id}, application_fee_amount=123)
    shop.subscription()
    shop.server.clock.advance(days=3)
    payout = shop.v1.payouts.create({"amount": 4000, "currency": "usd"}, {"stripe_account": seller.id})
    shop.server.mark_payout(payout.id, "paid", seller.id)
    shop.server.mark_payout(payout.id, "failed", seller.id)
    for account in (None, seller.id):
        sums = {currency: amount for currency, amount in _sums(shop, account).items() if amount}
        assert _balance(shop, account) == sums


def test_what_leaves_the_platform_arrives_at_the_seller(shop: Shop) -> None:
    seller = shop.seller()
    charge = shop.charge(10000)
    before = _sums(shop, None)["usd"]
    transfer = shop.v1.transfers.create(
        {"amount": 7001, "currency": "usd", "destination": seller.id, "source_transaction": charge.id}
    )
    shop.v1.transfers.reversals.create(transfer.id, {"amount": 1})
    assert before - _sums(shop, None)["usd"] == _sums(shop, seller.id)["usd"] == 7000


def test_a_charge_costs_a_fee_and_is_available_after_two_days(shop: Shop) -> None:
    charge = shop.charge(10000)
    txn = shop.v1.balance_transactions.retrieve(charge.balance_transaction)
    assert (txn.amount, txn.fee, txn.net) == (10000, 320, 9680)
    assert (txn.type, txn.reporting_category, txn.status) == ("charge", "charge", "pending")
    assert txn.available_on - txn.created == 2 * DAY
    assert _available(shop) == 0
    shop.server.clock.advance(days=2)
    assert _available(shop) == 9680
    assert shop.v1.balance_transactions.retrieve(txn.id).status == "available"


def test_funds_that_become_available_are_announced(shop: Shop) -> None:
    shop.charge(10000)
    assert shop.server.events("balance.available") == []
    shop.server.clock.advance(days=2)
    (event,) = shop.server.events("balance.available")
    assert event["data"]["object"]["available"][0]["amount"] == 9680


def test_a_clock_that_goes_back_takes_availability_back(shop: Shop) -> None:
    shop.charge(10000)
    shop.server.clock.advance(days=2)
    assert _available(shop) == 9680
    shop.server.clock.advance(days=-2)
    assert _available(shop) == 0


def test_an_intent_is_confirmed_captured_and_canceled(shop: Shop) -> None:
    intent = shop.v1.payment_intents.create({"amount": 1000, "currency": "usd", "capture_method": "manual"})
    assert intent.status == "requires_payment_method"
    intent = shop.v1.payment_intents.confirm(intent.id, {"payment_method": "pm_card_visa"})
    assert (intent.status, intent.amount_capturable) == ("requires_capture", 1000)
    assert shop.v1.charges.retrieve(intent.latest_charge).captured is False
    intent = shop.v1.payment_intents.capture(intent.id, {"amount_to_capture": 900})
    assert (intent.status, intent.amount_received) == ("succeeded", 900)
    other = shop.v1.payment_intents.create({"amount": 1000, "currency": "usd"})
    assert shop.v1.payment_intents.cancel(other.id).status == "canceled"
    with pytest.raises(stripe.InvalidRequestError) as caught:
        shop.v1.payment_intents.cancel(intent.id)
    assert caught.value.code == "payment_intent_unexpected_state"


def test_authentication_stops_on_session_and_declines_off_session(shop: Shop) -> None:
    params: Any = {
        "amount": 100,
        "currency": "usd",
        "payment_method": "pm_card_authenticationRequired",
        "confirm": True,
    }
    assert shop.v1.payment_intents.create(params).status == "requires_action"
    with pytest.raises(stripe.CardError) as caught:
        shop.v1.payment_intents.create({**params, "off_session": True})
    assert caught.value.code == "authentication_required"


# Refunds


def test_refunds_stay_within_the_charge(shop: Shop) -> None:
    charge = shop.charge(1000)
    shop.v1.refunds.create({"charge": charge.id, "amount": 400, "metadata": {"suggestion": "7"}})
    with pytest.raises(stripe.InvalidRequestError, match="greater than unrefunded"):
        shop.v1.refunds.create({"charge": charge.id, "amount": 601})
    shop.v1.refunds.create({"payment_intent": charge.payment_intent})
    charge = shop.v1.charges.retrieve(charge.id, {"expand": ["refunds"]})
    assert (charge.refunded, charge.amount_refunded, len(charge.refunds.data)) == (True, 1000, 2)
    with pytest.raises(stripe.InvalidRequestError) as caught:
        shop.v1.refunds.create({"charge": charge.id})
    assert caught.value.code == "charge_already_refunded"
    assert {"refund.created", "charge.refunded"} <= set(shop.types())


def test_a_refund_reverses_the_transfer_only_when_asked(shop: Shop) -> None:
    seller = shop.seller()
    shared: dict[str, Any] = {"transfer_data": {"destination": seller.id}, "application_fee_amount": 100}
    plain, asked = shop.charge(1000, **shared), shop.charge(1000, **shared)
    shop.v1.refunds.create({"charge": plain.id, "amount": 500})
    shop.v1.refunds.create(
        {"charge": asked.id, "amount": 500, "reverse_transfer": True, "refund_application_fee": True}
    )
    assert shop.v1.transfers.retrieve(plain.transfer).amount_reversed == 0
    assert shop.v1.transfers.retrieve(asked.transfer).amount_reversed == 500
    assert shop.v1.application_fees.retrieve(asked.application_fee).amount_refunded == 50


# Transfers


def test_a_transfer_without_source_needs_available_balance(shop: Shop) -> None:
    seller = shop.seller()
    shop.charge(10000)
    params: Any = {"amount": 9680, "currency": "usd", "destination": seller.id}
    with pytest.raises(stripe.InvalidRequestError) as caught:
        shop.v1.transfers.create(params)
    assert (caught.value.http_status, caught.value.code) == (400, "balance_insufficient")
    shop.server.clock.advance(days=2)
    with pytest.raises(stripe.InvalidRequestError):
        shop.v1.transfers.create({**params, "amount": 9681})
    assert shop.v1.transfers.create(params).amount == 9680
    assert _available(shop, seller.id) == 9680


def test_transfers_from_a_charge_stay_within_it_and_share_its_availability(shop: Shop) -> None:
    seller = shop.seller()
    charge = shop.charge(10000)
    params: Any = {
        "currency": "usd",
        "destination": seller.id,
        "source_transaction": charge.id,
        "transfer_group": "order_1",
        "metadata": {"suggestion": "1"},
    }
    first = shop.v1.transfers.create({**params, "amount": 7000})
    with pytest.raises(stripe.InvalidRequestError, match="exceeds what is left"):
        shop.v1.transfers.create({**params, "amount": 3001})
    second = shop.v1.transfers.create({**params, "amount": 3000})
    payment = shop.v1.charges.retrieve(first.destination_payment, options={"stripe_account": seller.id})
    assert (payment.amount, payment.source_transfer) == (7000, first.id)
    assert _available(shop, seller.id) == 0
    shop.server.clock.advance(days=2)
    assert _available(shop, seller.id) == 10000
    listed = shop.v1.transfers.list({"transfer_group": "order_1", "destination": seller.id})
    assert [t.id for t in listed.data] == [second.id, first.id]
    assert shop.v1.transfers.list({"transfer_group": "order_2"}).data == []


def test_transfers_to_nobody_or_to_a_restricted_account_are_refused(shop: Shop) -> None:
    charge = shop.charge(10000)
    params: Any = {"amount": 1, "currency": "usd", "source_transaction": charge.id}
    with pytest.raises(stripe.InvalidRequestError, match="No such destination: 'acct_nobody'"):
        shop.v1.transfers.create({**params, "destination": "acct_nobody"})
    shop.seller()
    shop.server.restrict_account(SELLER)
    with pytest.raises(stripe.InvalidRequestError) as caught:
        shop.v1.transfers.create({**params, "destination": SELLER})
    assert caught.value.code == "insufficient_capabilities_for_transfer"
    event = shop.server.events("account.updated")[-1]
    assert (event["account"], event["data"]["object"]["payouts_enabled"]) == (SELLER, False)


def test_a_transfers_currency_is_its_charges(shop: Shop) -> None:
    shop.seller()
    with pytest.raises(stripe.InvalidRequestError, match="must be the same as the transfer currency"):
        shop.v1.transfers.create(
            {
                "amount": 1,
                "currency": "eur",
                "destination": SELLER,
                "source_transaction": shop.charge(currency="usd").id,
            }
        )


def test_reversals_stay_within_the_transfer_and_the_sellers_balance(shop: Shop) -> None:
    seller = shop.seller()
    charge = shop.charge(10000)
    transfer = shop.v1.transfers.create(
        {"amount": 5000, "currency": "usd", "destination": seller.id, "source_transaction": charge.id}
    )
    shop.v1.transfers.reversals.create(transfer.id, {"amount": 2000, "metadata": {"why": "refund"}})
    with pytest.raises(stripe.InvalidRequestError, match="greater than unreversed amount"):
        shop.v1.transfers.reversals.create(transfer.id, {"amount": 3001})
    shop.server.clock.advance(days=2)
    shop.v1.payouts.create({"amount": 2500, "currency": "usd"}, {"stripe_account": seller.id})
    with pytest.raises(stripe.InvalidRequestError) as caught:
        shop.v1.transfers.reversals.create(transfer.id, {"amount": 501})
    assert caught.value.code == "balance_insufficient"
    shop.v1.transfers.reversals.create(transfer.id, {"amount": 500})
    current = shop.v1.transfers.retrieve(transfer.id)
    assert (current.amount_reversed, current.reversed) == (2500, False)
    assert [r.amount for r in current.reversals.data] == [500, 2000]
    assert [r.amount for r in shop.v1.transfers.reversals.list(transfer.id).data] == [500, 2000]


def test_destination_charges_share_at_once(shop: Shop) -> None:
    seller = shop.seller()
    charge = shop.charge(10000, transfer_data={"destination": seller.id}, application_fee_amount=3000)
    transfer = shop.v1.transfers.retrieve(charge.transfer)
    assert (transfer.amount, transfer.source_transaction) == (10000, charge.id)
    fee = shop.v1.application_fees.retrieve(charge.application_fee)
    assert (fee.amount, fee.account, fee.originating_transaction) == (3000, seller.id, charge.id)
    assert _sums(shop, seller.id) == {"usd": 7000}
    assert _sums(shop, None) == {"usd": 10000 - 320 - 10000 + 3000}


def test_an_invoice_with_transfer_data_shares_when_paid(shop: Shop) -> None:
    seller = shop.seller()
    invoice = shop.open_invoice(5000, transfer_data={"destination": seller.id, "amount": 3500})
    shop.v1.invoices.pay(invoice.id)
    assert [t.amount for t in shop.v1.transfers.list({"destination": seller.id}).data] == [3500]


def test_direct_charges_belong_to_the_seller(shop: Shop) -> None:
    shop.seller()
    options: Any = {"stripe_account": SELLER}
    intent = shop.v1.payment_intents.create(
        {"amount": 1000, "currency": "usd", "payment_method": "pm_card_visa", "confirm": True,
         "application_fee_amount": 100},
        options,
    )  # fmt: skip
    charge = shop.v1.charges.retrieve(intent.latest_charge, options=options)
    txn = shop.v1.balance_transactions.retrieve(charge.balance_transaction, options=options)
    assert {detail.type: detail.amount for detail in txn.fee_details} == {"stripe_fee": 59, "application_fee": 100}
    assert _sums(shop, None) == {"usd": 100}


# Payouts


def test_payouts_need_available_balance(shop: Shop) -> None:
    shop.seller()
    with pytest.raises(stripe.InvalidRequestError) as caught:
        shop.v1.payouts.create({"amount": 1, "currency": "usd"}, {"stripe_account": SELLER})
    assert caught.value.code == "balance_insufficient"


def test_an_automatic_payout_tells_what_it_holds(shop: Shop) -> None:
    seller = shop.seller()
    options: Any = {"stripe_account": seller.id}
    charge = shop.charge(10000)
    for amount in (1000, 2000):
        shop.v1.transfers.create(
            {"amount": amount, "currency": "usd", "destination": seller.id, "source_transaction": charge.id}
        )
    shop.server.clock.advance(days=2)
    payout = shop.server.auto_payout(seller.id)
    assert (payout["amount"], payout["automatic"], payout["reconciliation_status"]) == (3000, True, "in_progress")
    held = shop.v1.balance_transactions.list({"payout": payout["id"]}, options).data
    assert {txn.reporting_category: txn.amount for txn in held if txn.type == "payout"} == {"payout": -3000}
    assert sum(txn.net for txn in held if txn.type != "payout") == 3000
    shop.server.mark_payout(payout["id"], "paid", seller.id)
    shop.server.mark_payout(payout["id"], "reconciled", seller.id)
    assert shop.v1.payouts.retrieve(payout["id"], options=options).reconciliation_status == "completed"
    events = [e["type"] for e in shop.server.events() if e["type"].startswith("payout") and e["account"] == seller.id]
    assert events == ["payout.created", "payout.paid", "payout.reconciliation_completed"]


def test_a_payout_can_fail_after_paid_or_be_canceled(shop: Shop) -> None:
    shop.charge(10000, card="pm_card_bypassPending")
    payout = shop.v1.payouts.create({"amount": 1000, "currency": "usd"})
    shop.server.mark_payout(payout.id, "paid")
    failed = shop.server.mark_payout(payout.id, "failed", failure_code="no_account")
    assert (failed["status"], failed["failure_code"]) == ("failed", "no_account")
    assert failed["failure_balance_transaction"].startswith("txn_")
    other = shop.v1.payouts.create({"amount": 1000, "currency": "usd"})
    assert shop.v1.payouts.cancel(other.id).status == "canceled"
    assert _available(shop) == 9680


# Disputes


def test_a_dispute_takes_the_money_and_a_fee_and_winning_gives_the_money_back(shop: Shop) -> None:
    charge = shop.charge(10000)
    dispute = shop.server.create_dispute(charge.id, reason="product_not_received")
    assert (dispute["status"], dispute["reason"]) == ("needs_response", "product_not_received")
    assert shop.v1.charges.retrieve(charge.id).disputed is True
    txn = shop.v1.disputes.retrieve(dispute["id"]).balance_transactions[0]
    (created,) = shop.server.events("charge.dispute.created")
    assert created["data"]["object"]["balance_transactions"][0]["id"] == txn.id
    assert (txn.amount, txn.fee, txn.type, txn.reporting_category) == (-10000, 1500, "adjustment", "dispute")
    with pytest.raises(stripe.InvalidRequestError) as caught:
        shop.v1.refunds.create({"charge": charge.id})
    assert caught.value.code == "charge_disputed"
    assert shop.server.close_dispute(dispute["id"], won=True)["status"] == "won"
    assert _sums(shop, None) == {"usd": 10000 - 320 - 1500}
    assert [e["type"] for e in shop.server.events() if "dispute" in e["type"]] == [
        "charge.dispute.created",
        "charge.dispute.funds_withdrawn",
        "charge.dispute.funds_reinstated",
        "charge.dispute.closed",
    ]


def test_evidence_is_submitted_unless_told_otherwise_and_only_once(shop: Shop) -> None:
    dispute = shop.server.create_dispute(shop.charge().id)
    draft = shop.v1.disputes.update(dispute["id"], {"evidence": {"uncategorized_text": "draft"}, "submit": False})
    assert (draft.status, draft.evidence_details.has_evidence) == ("needs_response", True)
    sent = shop.v1.disputes.update(dispute["id"], {"evidence": {"uncategorized_text": "final"}})
    assert (sent.status, sent.evidence_details.submission_count) == ("under_review", 1)
    with pytest.raises(stripe.InvalidRequestError):
        shop.v1.disputes.update(dispute["id"], {"evidence": {"uncategorized_text": "more"}})


def test_evidence_is_bounded_in_length_and_time(shop: Shop) -> None:
    dispute = shop.server.create_dispute(shop.charge().id, days=1)
    with pytest.raises(stripe.InvalidRequestError, match="150000"):
        shop.v1.disputes.update(dispute["id"], {"evidence": {"uncategorized_text": "x" * 150_001}})
    shop.server.clock.advance(days=2)
    with pytest.raises(stripe.InvalidRequestError, match="deadline"):
        shop.v1.disputes.update(dispute["id"], {"evidence": {"uncategorized_text": "late"}})


def test_an_inquiry_moves_no_money_and_closing_accepts_the_loss(shop: Shop) -> None:
    inquiry = shop.server.create_dispute(shop.charge().id, reason="inquiry")
    assert (inquiry["status"], inquiry["is_charge_refundable"]) == ("warning_needs_response", True)
    assert shop.v1.disputes.retrieve(inquiry["id"]).balance_transactions == []
    lost = shop.v1.disputes.close(shop.server.create_dispute(shop.charge().id)["id"])
    assert lost.status == "lost"


def test_a_test_card_brings_its_dispute(shop: Shop) -> None:
    charge = shop.charge(card="pm_card_createDispute")
    disputes = shop.v1.disputes.list({"charge": charge.id}).data
    assert [dispute.reason for dispute in disputes] == ["fraudulent"]
