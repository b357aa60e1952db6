"""Faults in the books, accounts that are stopped or leave, and much at once."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import stripe

from sandbox import SandboxControl

from .build import Shop

DAY = 86400
SELLER = "acct_demo_bakery"


@pytest.fixture
def control(shop: Shop) -> SandboxControl:
    """The same controls over HTTP."""
    return SandboxControl(shop.server.url)


def _listed(shop: Shop, account: str | None = None, **params: Any) -> list[Any]:
    options: Any = {"stripe_account": account} if account else {}
    return list(shop.v1.balance_transactions.list({"limit": 100, **params}, options).auto_paging_iter())


def _balance(shop: Shop, currency: str = "usd") -> int:
    found = shop.v1.balance.retrieve()
    return sum(entry.amount for entry in [*found.available, *found.pending] if entry.currency == currency)


# The books


def test_a_hidden_movement_is_nowhere_to_be_seen_and_still_counts(shop: Shop, control: SandboxControl) -> None:
    charge = shop.charge(10000)
    (found,) = control.balance.find(source=charge.id)
    control.balance.hide(found["id"])
    assert _listed(shop) == []
    assert _listed(shop, source=charge.id) == []
    with pytest.raises(stripe.InvalidRequestError, match="No such balance transaction"):
        shop.v1.balance_transactions.retrieve(found["id"])
    shown = shop.v1.charges.retrieve(charge.id, {"expand": ["balance_transaction"]})
    assert shown.balance_transaction == found["id"]
    assert _balance(shop) == 9680
    control.balance.show(found["id"])
    assert [txn.id for txn in _listed(shop)] == [found["id"]]


def test_a_doubled_movement_counts_twice(shop: Shop, control: SandboxControl) -> None:
    charge = shop.charge(10000)
    second = control.balance.duplicate(str(charge.balance_transaction))
    both = _listed(shop, source=charge.id)
    assert {txn.id for txn in both} == {charge.balance_transaction, second["id"]}
    assert [txn.net for txn in both] == [9680, 9680]
    assert _balance(shop) == 2 * 9680


def test_a_movement_can_be_changed_and_stays_a_sound_one(shop: Shop, control: SandboxControl) -> None:
    txn = str(shop.charge(10000).balance_transaction)
    changed = control.balance.change(txn, amount=9900)
    assert (changed["amount"], changed["fee"], changed["net"]) == (9900, 320, 9580)
    changed = control.balance.change(txn, fee=420)
    assert (changed["net"], [detail["amount"] for detail in changed["fee_details"]]) == (9480, [420])
    changed = control.balance.change(txn, fee_currency="eur")
    assert (changed["currency"], changed["fee_details"][0]["currency"]) == ("usd", "eur")
    assert _balance(shop) == 9480
    control.balance.change(txn, currency="eur", exchange_rate=0.92)
    shown = shop.v1.balance_transactions.retrieve(txn)
    assert (shown.currency, shown.exchange_rate) == ("eur", 0.92)
    assert (_balance(shop), _balance(shop, "eur")) == (0, 9480)


def test_a_date_can_be_shifted(shop: Shop, control: SandboxControl) -> None:
    txn = shop.v1.balance_transactions.retrieve(str(shop.charge(10000).balance_transaction))
    control.balance.change(txn.id, created=txn.created - 3 * DAY)
    shown = shop.v1.balance_transactions.retrieve(txn.id)
    assert (shown.created, shown.available_on, shown.status) == (
        txn.created - 3 * DAY, txn.available_on - 3 * DAY, "available",
    )  # fmt: skip


def test_a_source_can_be_exchanged(shop: Shop, control: SandboxControl) -> None:
    charge = shop.charge(10000)
    control.balance.change(str(charge.balance_transaction), source="ch_other")
    assert _listed(shop, source=charge.id) == []
    assert len(_listed(shop, source="ch_other")) == 1


def test_what_is_no_field_of_a_movement_is_refused(shop: Shop, control: SandboxControl) -> None:
    txn = str(shop.charge(10000).balance_transaction)
    with pytest.raises(RuntimeError, match="cannot change status"):
        control.balance.change(txn, status="available")
    with pytest.raises(RuntimeError, match="no such balance transaction"):
        control.balance.hide("txn_nobody")


def test_movements_that_nobody_knows_can_be_added_anywhere(shop: Shop, control: SandboxControl) -> None:
    shop.seller()
    fee = control.balance.add("stripe_fee", -500, description="Connect account fee")
    assert (fee["reporting_category"], fee["source"], fee["net"]) == ("fee", None, -500)
    other = control.balance.add("adjustment", 1234, "eur", SELLER, fee=34, created=1_700_000_000, source="x_1")
    assert (other["net"], other["created"]) == (1200, 1_700_000_000)
    assert [txn.id for txn in _listed(shop, SELLER, source="x_1")] == [other["id"]]
    assert _balance(shop) == -500


def test_the_dashboard_can_refund_top_up_and_pay_out(shop: Shop, control: SandboxControl) -> None:
    charge = shop.charge(10000)
    refund = control.refund(charge.id, 700, reason="requested_by_customer")
    assert (refund["amount"], refund["metadata"]) == (700, {})
    topup = control.top_up(5000)
    assert topup["status"] == "succeeded"
    payout = control.pay_out(1500)
    assert payout["automatic"] is False
    assert [(txn.type, txn.reporting_category, txn.amount) for txn in _listed(shop)][:3] == [
        ("payout", "payout", -1500),
        ("topup", "topup", 5000),
        ("refund", "refund", -700),
    ]
    assert shop.v1.topups.retrieve(topup["id"], {"expand": ["balance_transaction"]}).balance_transaction.net == 5000
    assert [made.id for made in shop.v1.topups.list().data] == [topup["id"]]
    assert {"topup.created", "topup.succeeded"} <= set(shop.types())
    assert shop.v1.topups.create({"amount": 100, "currency": "usd", "metadata": {"a": "b"}}).metadata.to_dict() == {
        "a": "b"
    }


def test_a_refund_that_fails_comes_back(shop: Shop, control: SandboxControl) -> None:
    charge = shop.charge(10000)
    refund = shop.v1.refunds.create({"charge": charge.id, "amount": 4000})
    failed = control.fail_refund(refund.id)
    assert (failed["status"], failed["failure_reason"]) == ("failed", "lost_or_stolen_card")
    assert failed["failure_balance_transaction"] in {txn.id for txn in _listed(shop, source=refund.id)}
    assert _balance(shop) == 9680
    assert shop.v1.charges.retrieve(charge.id).amount_refunded == 0
    assert "refund.failed" in shop.types()


# Payouts


def test_an_automatic_payouts_list_adds_up_to_it_whatever_came_before(shop: Shop, control: SandboxControl) -> None:
    shop.charge(10000, card="pm_card_bypassPending")
    control.pay_out(1000)
    first = control.auto_payout()
    assert first["amount"] == 8680
    control.mark_payout(first["id"], "paid")
    control.mark_payout(first["id"], "failed")
    shop.charge(2000, card="pm_card_bypassPending")
    second = control.auto_payout()
    held = _listed(shop, payout=second["id"])
    assert Counter(txn.type for txn in held) == {"payout": 1, "payout_failure": 1, "charge": 1}
    assert sum(txn.net for txn in held) == 0
    assert second["amount"] == 8680 + 2000 - 88
    with pytest.raises(RuntimeError, match="nothing to pay out"):
        control.auto_payout()


def test_all_accounts_are_paid_out_at_once(shop: Shop, control: SandboxControl) -> None:
    charge = shop.charge(10000, card="pm_card_bypassPending")
    for name, amount in (("acct_a", 1000), ("acct_b", 2000), ("acct_c", 0)):
        shop.seller(name)
        if amount:
            params: Any = {"amount": amount, "currency": "usd", "destination": name, "source_transaction": charge.id}
            shop.v1.transfers.create(params)
    made = control.bulk.payouts()
    assert {(one["account"], one["amount"]) for one in made} == {("acct_a", 1000), ("acct_b", 2000)}
    shown = shop.v1.payouts.retrieve(made[0]["id"], options={"stripe_account": made[0]["account"]})
    assert (shown.status, shown.reconciliation_status) == ("paid", "completed")
    assert len(shop.server.events("payout.reconciliation_completed")) == 2


# Accounts


@pytest.mark.parametrize("reason", ["rejected.fraud", "listed", "under_review", "requirements.past_due"])
def test_an_account_is_stopped_for_a_reason_and_let_go_again(shop: Shop, control: SandboxControl, reason: str) -> None:
    shop.seller()
    control.set_account_state(SELLER, disabled_reason=reason, past_due=["individual.id_number"])
    account = shop.v1.accounts.retrieve(SELLER)
    assert (account.payouts_enabled, account.requirements.disabled_reason) == (False, reason)
    assert account.requirements.past_due == ["individual.id_number"]
    control.set_account_state(SELLER, currently_due=["external_account"], future={"currently_due": ["company.tax_id"]})
    account = shop.v1.accounts.retrieve(SELLER)
    assert (account.payouts_enabled, account.requirements.disabled_reason) == (True, None)
    assert (account.requirements.currently_due, account.future_requirements.currently_due) == (
        ["external_account"], ["company.tax_id"],
    )  # fmt: skip
    assert len(shop.server.events("account.updated")) == 3


def test_an_unknown_reason_is_refused(shop: Shop, control: SandboxControl) -> None:
    shop.seller()
    with pytest.raises(RuntimeError, match="unknown disabled_reason"):
        control.set_account_state(SELLER, disabled_reason="bad_mood")


def test_an_account_that_leaves_is_out_of_reach_until_it_comes_back(shop: Shop, control: SandboxControl) -> None:
    shop.seller()
    control.deauthorize_account(SELLER)
    (event,) = shop.server.events("account.application.deauthorized")
    assert (event["account"], event["data"]["object"]["object"]) == (SELLER, "application")
    with pytest.raises(stripe.PermissionError):
        shop.v1.accounts.retrieve(SELLER)
    with pytest.raises(stripe.PermissionError):
        shop.v1.balance.retrieve(options={"stripe_account": SELLER})
    with pytest.raises(stripe.InvalidRequestError, match="No such destination"):
        shop.v1.transfers.create({"amount": 1, "currency": "usd", "destination": SELLER})
    assert shop.v1.accounts.list().data == []
    control.reauthorize_account(SELLER)
    assert shop.v1.accounts.retrieve(SELLER).id == SELLER


def test_an_account_says_who_it_is(shop: Shop) -> None:
    account = shop.seller(
        business_type="individual", business_profile={"name": "Rye", "mcc": "5462", "url": "https://rye.example/a"},
        individual={"first_name": "Ada", "last_name": "Rye"},
    )  # fmt: skip
    assert (account.business_profile.mcc, account.individual.first_name) == ("5462", "Ada")
    bank = shop.v1.accounts.external_accounts.create(
        SELLER,
        {"external_account": {"object": "bank_account", "country": "US", "currency": "usd",
                              "account_number": "000123456789", "account_holder_name": "Bob Other"}},
    )  # fmt: skip
    assert bank.account_holder_name == "Bob Other"


# Much at once


def _kinds(shop: Shop) -> Counter[str]:
    return Counter(shop.types())


def test_bulk_makes_the_same_as_one_by_one(shop: Shop, control: SandboxControl) -> None:
    customer, price = shop.customer(), shop.price(interval=None)
    before = _kinds(shop)
    draft = shop.v1.invoices.create({"customer": customer.id, "currency": "usd", "metadata": {"a": "b"}})
    item: dict[str, Any] = {"amount": 1234, "description": "Bread", "metadata": {"seller_account": SELLER}}
    shop.v1.invoice_items.create({**item, "customer": customer.id, "invoice": draft.id, "currency": "usd"})
    shop.v1.invoice_items.create({"customer": customer.id, "invoice": draft.id, "pricing": {"price": price.id}})
    one = shop.v1.invoices.pay(draft.id, {"expand": ["payments"]})
    between = _kinds(shop)
    (answer,) = control.bulk.paid_invoices(
        [{"customer": customer.id, "currency": "usd", "items": [item, {"pricing": {"price": price.id}}],
          "invoice": {"metadata": {"a": "b"}}}]
    )  # fmt: skip
    assert _kinds(shop) - between == between - before
    other = shop.v1.invoices.retrieve(answer["id"], {"expand": ["payments"]})
    own = {"id", "number", "created", "hosted_invoice_url", "invoice_pdf", "effective_at", "period_start", "period_end",
           "webhooks_delivered_at", "status_transitions", "lines", "payments"}  # fmt: skip
    first, second = one.to_dict(), other.to_dict()
    assert {k: v for k, v in first.items() if k not in own} == {k: v for k, v in second.items() if k not in own}
    assert [line.amount for line in other.lines.data] == [line.amount for line in one.lines.data] == [1234, 5000]
    assert other.lines.data[0].metadata.to_dict() == {"seller_account": SELLER}
    assert (answer["total"], answer["status"], answer["number"]) == (6234, "paid", other.number)
    assert shop.v1.charges.retrieve(answer["charge"]).amount == 6234


def test_bulk_happens_at_the_time_it_is_told_and_answers_in_the_order_given(
    shop: Shop, control: SandboxControl
) -> None:
    customer, now = shop.customer(), shop.server.clock.now()
    days = [3, 30, 10]
    entries = [{"customer": customer.id, "items": [{"amount": 100 + d}], "created": now - d * DAY} for d in days]
    answers = control.bulk.paid_invoices(entries, at_once=2)
    assert [answer["total"] for answer in answers] == [103, 130, 110]
    for answer, entry in zip(answers, entries, strict=True):
        charge = shop.v1.charges.retrieve(answer["charge"], {"expand": ["balance_transaction"]})
        assert charge.created == charge.balance_transaction.created == entry["created"]
    assert shop.server.clock.now() - now < 60
    assert len({event["created"] for event in shop.server.events("invoice.paid")}) == 3
    available = shop.v1.balance.retrieve().available
    assert available[0].amount == sum(amount - (amount * 29 + 500) // 1000 - 30 for amount in (103, 130, 110))
    assert 1 <= len(shop.server.events("balance.available")) <= 2


def test_bulk_pays_elsewhere_and_names_what_is_wrong(shop: Shop, control: SandboxControl) -> None:
    customer = shop.customer()
    (answer,) = control.bulk.paid_invoices(
        [{"customer": customer.id, "items": [{"amount": 100}], "paid_out_of_band": True}]
    )
    assert (answer["status"], answer["charge"]) == ("paid", None)
    with pytest.raises(RuntimeError, match="No such customer"):
        control.bulk.paid_invoices([{"customer": "cus_nobody", "items": [{"amount": 100}]}])


def test_transfers_are_found_by_their_group(shop: Shop) -> None:
    shop.seller()
    charge = shop.charge(10000)
    for number in range(3):
        shop.v1.transfers.create(
            {"amount": 10 + number, "currency": "usd", "destination": SELLER, "source_transaction": charge.id,
             "transfer_group": f"g_{number % 2}"}
        )  # fmt: skip
    assert [made.amount for made in shop.v1.transfers.list({"transfer_group": "g_0"}).data] == [12, 10]
    assert shop.v1.transfers.list({"transfer_group": "g_9"}).data == []
