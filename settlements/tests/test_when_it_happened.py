"""Entries stand on the day on which Stripe says that it happened, however late it is heard: a month's report is right
after a backfill, too. And what Stripe moves by itself is booked whatever is heard first."""

from __future__ import annotations

import time
from datetime import UTC, date, datetime
from io import StringIO
from typing import Any

import pytest
from django.core.management import call_command

from billingops.stripe.models import MirroredBalanceTransaction
from settlements import tasks
from settlements.ledger.models import JournalEntry
from settlements.models import Earning, PayoutRecord
from settlements.reconciliation import reports
from settlements.tests.conftest import CONFIG

pytestmark = pytest.mark.django_db

AGO = 40 * 86_400


def day(unix: float) -> date:
    return datetime.fromtimestamp(unix, UTC).date()


def dated(kind: str) -> set[date]:
    return set(JournalEntry.objects.filter(kind=kind).values_list("occurred_at__date", flat=True))


@pytest.fixture
def then(sandbox: Any) -> int:
    """The sandbox's clock is forty days behind ours."""
    moment = int(time.time()) - AGO
    sandbox.clock.set(moment)
    return moment


def test_a_refund_that_is_heard_late_stands_on_its_own_day(market, then):
    invoice, _ = market.settled(("acct_bakery", 10_000))
    market.sandbox.clock.set(then + 3 * 86_400)
    market.sandbox.refund(market.charge_of(invoice), 4_000)
    market.deliver()
    assert dated("taken") == {day(then + 3 * 86_400)}
    assert dated("refund") == dated("taken")


def where_stripe_has_it() -> bool:
    """Whether each entry stands at the very moment of its balance transaction, so that both are in one month."""
    moved = dict(MirroredBalanceTransaction.objects.values_list("object_id", "created"))
    entries = JournalEntry.objects.exclude(balance_transaction="")
    return all(moved[entry.balance_transaction] == entry.occurred_at for entry in entries)


def test_a_refund_that_comes_back_weeks_later_stands_in_the_month_in_which_it_does(market, then, lead):
    invoice, _ = market.settled(("acct_bakery", 10_000))
    market.sandbox.clock.set(then + 3 * 86_400)
    refund = market.sandbox.refund(market.charge_of(invoice), 4_000)
    market.sandbox.clock.set(then + 38 * 86_400)
    market.sandbox.fail_refund(refund["id"])
    market.deliver()
    assert dated("refund") == {day(then + 3 * 86_400), day(then + 38 * 86_400)}
    assert where_stripe_has_it()
    for month in {f"{one:%Y-%m}" for one in dated("refund") | dated("charge")}:
        assert reports.one(month, "", user=lead).ties


def test_a_debit_stands_on_the_day_on_which_the_bank_paid_it(market, then):
    customer = market.customer()
    bank = market.api.v1.payment_methods.attach("pm_usBankAccount_success", {"customer": customer.id})
    market.api.v1.customers.update(customer.id, {"invoice_settings": {"default_payment_method": bank.id}})
    draft = market.api.v1.invoices.create({"customer": customer.id, "currency": "usd"})
    price = market.price("acct_bakery", 10_000, "usd").id
    market.api.v1.invoice_items.create({"customer": customer.id, "invoice": draft.id, "pricing": {"price": price}})
    market.api.v1.invoices.finalize_invoice(draft.id)
    market.api.v1.invoices.pay(draft.id)
    market.deliver()
    market.sandbox.clock.set(then + 6 * 86_400)
    market.deliver()
    (paid,) = dated("charge")
    assert paid > day(then)
    assert dated("sale") == {paid}
    assert where_stripe_has_it()


def test_a_dispute_is_held_and_released_on_the_days_of_its_events(market, then):
    invoice, _ = market.settled(("acct_bakery", 10_000))
    market.sandbox.clock.set(then + 2 * 86_400)
    dispute = market.sandbox.create_dispute(market.charge_of(invoice))
    market.deliver()
    assert dated("held") == {day(then + 2 * 86_400)}
    market.sandbox.clock.set(then + 9 * 86_400)
    market.sandbox.close_dispute(dispute["id"], won=True)
    market.deliver()
    assert dated("held") == {day(then + 2 * 86_400), day(then + 9 * 86_400)}


def test_after_a_backfill_what_was_refunded_stands_on_the_day_of_the_refund(market, then):
    invoice = market.paid(("acct_bakery", 10_000))
    market.sandbox.clock.set(then + 5 * 86_400)
    market.sandbox.refund(market.charge_of(invoice), 2_500)
    call_command("djstripe_sync_models", stdout=StringIO(), stderr=StringIO())
    call_command("suggest", stdout=StringIO(), stderr=StringIO())
    assert Earning.objects.get().taken == 1_750
    assert dated("sale") == {day(then)}
    assert dated("taken") == {day(then + 5 * 86_400)}


def test_what_is_disputed_is_not_suggested_again_by_who_looks_at_the_mirror_alone(market):
    invoice, _ = market.settled(("acct_bakery", 10_000))
    market.sandbox.create_dispute(market.charge_of(invoice))
    market.deliver()
    tasks.pay_seller("acct_bakery", "usd")
    call_command("suggest", stdout=StringIO(), stderr=StringIO())
    assert list(PayoutRecord.objects.values_list("state", flat=True)) == ["cancelled"]


def test_a_reserve_is_released_on_its_day_whenever_somebody_looks(market, then):
    terms = "{account: acct_bakery, name: Bakery Supplies, reserve_percent: '10', reserve_days: 7}"
    market.import_config(CONFIG.replace("{account: acct_bakery, name: Bakery Supplies}", terms))
    market.paid(("acct_bakery", 10_000))
    market.deliver()
    row = Earning.objects.get()
    assert (row.reserve, row.reserve_left) == (700, 0)
    assert dated("reserve_released") == {day(then + 7 * 86_400)}


def test_a_destination_charge_is_booked_though_its_transfer_is_heard_of_before_its_invoice(market):
    data = {"destination": "acct_bakery"}
    invoice = market.paid(("acct_bakery", 10_000), transfer_data=data, application_fee_amount=3_000)
    market.deliver()  # in Stripe's order: the transfer's event comes before the invoice's
    record = PayoutRecord.objects.get(invoice=invoice.id)
    row = Earning.objects.get()
    assert (record.state, record.amount) == ("transferred", 10_000)
    assert (row.paid, row.open) == (7_000, 0)
    arrival = JournalEntry.objects.get(book="acct_bakery", kind="transfer")
    assert (arrival.cash, arrival.fee) == (7_000, 3_000), "as on the seller's balance: less the application fee"


def test_a_destination_charge_is_booked_after_a_backfill(market):
    market.paid(("acct_bakery", 10_000), transfer_data={"destination": "acct_bakery", "amount": 7_000})
    call_command("djstripe_sync_models", stdout=StringIO(), stderr=StringIO())
    call_command("suggest", stdout=StringIO(), stderr=StringIO())
    call_command("suggest", stdout=StringIO(), stderr=StringIO())
    row = Earning.objects.get()
    assert (row.paid, row.open, PayoutRecord.objects.count()) == (7_000, 0, 1)


def test_a_refund_that_came_back_is_booked_both_ways(market):
    invoice, _ = market.settled(("acct_bakery", 10_000))
    refund = market.sandbox.refund(market.charge_of(invoice), 4_000)
    market.deliver()
    market.sandbox.fail_refund(refund["id"])
    market.deliver()
    moved = JournalEntry.objects.filter(kind="refund").order_by("cash").values_list("cash", flat=True)
    assert list(moved) == [-4_000, 4_000]
    assert Earning.objects.get().taken == 0
