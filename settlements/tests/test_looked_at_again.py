"""What is told of what is not earned or not paid, and what heals without an event."""

from __future__ import annotations

import pytest

from billingops.stripe import store
from settlements import tasks
from settlements.happened import of_charge
from settlements.ledger import journal
from settlements.ledger.accounts import Account
from settlements.models import Earning, Finding, PayoutRecord
from settlements.tests.conftest import CONFIG

pytestmark = pytest.mark.django_db


def draft_of(life, *lines, balance=0):
    """A finalised invoice of lines (seller, amount); `balance`: of the customer's, below zero is a credit."""
    api = life.market.api.v1
    customer = life.market.customer()
    if balance:
        api.customers.update(customer.id, {"balance": balance})
    draft = api.invoices.create({"customer": customer.id, "currency": "usd"})
    for seller, amount in lines:
        pricing = {"price": life.market.price(seller, amount, "usd").id}
        api.invoice_items.create({"customer": customer.id, "invoice": draft.id, "pricing": pricing})
    return api.invoices.finalize_invoice(draft.id)


def without(kind):
    return lambda events: [one for one in events if not one["type"].startswith(kind)]


def owed_by_customers():
    return journal.balance(Account.RECEIVABLE, currency="usd")


# -- told --------------------------------------------------------------------------------------------------------------


def test_shares_that_exceed_the_payment_only_by_the_tier_reached_are_told(life):
    tiers = 'tiers: [{up_to: 10000, seller: "70"}, {seller: "90"}]'
    tiered = f"share: {{type: tiered, period: month, {tiers}, currency: usd}}"
    life.market.import_config(CONFIG.replace('share: {type: percent, seller: "70"}', tiered))
    life.sold(10_000)
    draft = draft_of(life, ("acct_bakery", 10_000))
    life.market.api.v1.credit_notes.create({"invoice": draft.id, "amount": 2_000})
    life.market.api.v1.invoices.pay(draft.id)
    late = []
    life.market.deliver(order=lambda events: [one for one in events if not of_a_credit(one, late)])
    assert not Earning.objects.filter(invoice=draft.id).exists()
    assert "come to USD 90.00" in life.finding("over_charge").text
    life.market.deliver(order=lambda events: late)
    life.market.run_jobs()
    assert life.earning(draft).share == 9_000
    assert life.finding("over_charge") is None


def of_a_credit(event, late):
    if event["type"].startswith("credit_note"):
        late.append(event)
    return event in late


def test_an_invoice_for_nothing_makes_no_finding(life):
    draft_of(life, ("acct_bakery", 0))
    life.hear()
    assert not Finding.objects.exists()


def test_an_invoice_that_credit_paid_is_told_to_a_person(life):
    draft_of(life, ("acct_bakery", 10_000), balance=-20_000)
    life.hear()
    assert "Pay the seller by hand" in life.finding("no_charge").text


# -- refunds of what is earned in part ---------------------------------------------------------------------------------

NEWS = '  - {name: news, seller: acct_new, share: {type: percent, seller: "50"}, valid_from: 2020-01-01}\n'


@pytest.mark.parametrize("later", [True, False])
def test_a_refund_leaves_the_part_of_who_has_not_earned_yet_alone(life, later):
    invoice = life.market.paid(("acct_bakery", 5_000), ("acct_new", 5_000))
    life.hear()
    assert owed_by_customers() == -5_000  # of acct_new's line nothing is booked
    if later:
        life.refund(invoice, 5_000)
        assert journal.balance(Account.PLATFORM_REVENUE, currency="usd") == -750
        assert owed_by_customers() == -2_500
    life.market.import_config(CONFIG + NEWS)
    life.market.run_jobs()
    if not later:
        life.refund(invoice, 5_000)
    assert (life.earning(invoice).taken, life.earning(invoice, "acct_new").taken) == (1_750, 1_250)
    assert journal.balance(Account.PLATFORM_REVENUE, currency="usd") == -2_000
    assert owed_by_customers() == 0
    life.prove()


def test_a_full_refund_takes_nothing_of_the_platform_that_it_never_had(life):
    invoice = life.market.paid(("acct_bakery", 5_000), ("acct_new", 5_000))
    life.hear()
    life.refund(invoice)
    assert journal.balance(Account.PLATFORM_REVENUE, currency="usd") == 0
    assert owed_by_customers() == 0


# -- healed ------------------------------------------------------------------------------------------------------------


def test_the_sweep_comes_to_every_finding_although_some_never_heal(life, monkeypatch):
    draft_of(life, ("acct_bakery", 10_000), balance=-20_000)
    draft_of(life, ("acct_bakery", 10_000), balance=-20_000)
    life.hear()
    invoice = life.market.paid(("acct_bakery", 10_000))
    api = life.market.api.v1
    by_hand = api.transfers.create(
        {
            "amount": 100,
            "currency": "usd",
            "destination": "acct_bakery",
            "source_transaction": life.market.charge_of(invoice),
        }
    )
    life.hear()
    api.transfers.reversals.create(by_hand.id, {})
    life.market.deliver(order=lambda events: [])  # lost
    monkeypatch.setattr(tasks, "BATCH", 1)
    assert [tasks.sweep()["proposed"] for _ in range(3)] == [0, 0, 1]
    assert [one.amount for one in life.waiting()] == [7_000]


@pytest.mark.parametrize("schedule", ["per_invoice", "daily"])
def test_a_dispute_that_was_won_and_whose_events_were_lost_lets_the_share_go(life, schedule):
    life.terms(f"schedule: {schedule}")
    life.funds()
    invoice = life.market.paid(("acct_bakery", 10_000))
    dispute = life.market.sandbox.create_dispute(life.market.charge_of(invoice))
    life.market.deliver(order=without("charge.dispute"))
    life.market.run_jobs()
    assert (life.earning(invoice).held, life.finding("charge_disputed").subject) == (7_000, invoice.id)
    life.market.sandbox.close_dispute(dispute["id"], won=True)
    life.market.deliver(order=without("charge.dispute"))
    assert tasks.look_at_disputes() == 1
    assert (life.earning(invoice).open, life.finding("charge_disputed")) == (7_000, None)
    assert tasks.look_at_disputes() == 0
    life.days(1)
    assert [one.amount for one in life.waiting()] == [7_000]
    life.say_yes()
    assert owed_by_customers() == 0
    life.prove()


def test_a_dispute_that_was_lost_while_only_its_beginning_was_heard_is_taken(life):
    invoice = life.sold(10_000)
    dispute = life.market.sandbox.create_dispute(life.market.charge_of(invoice), amount=4_000)
    life.hear()
    life.market.sandbox.close_dispute(dispute["id"], won=False)
    life.market.deliver(order=without("charge.dispute"))
    assert life.earning(invoice).held == 2_800
    assert tasks.look_at_disputes() == 1
    assert (life.earning(invoice).held, life.earning(invoice).taken) == (0, 2_800)


# -- in part disputed --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("schedule", ["per_invoice", "daily"])
def test_what_a_dispute_leaves_is_paid_and_the_rest_once_it_is_won(life, schedule):
    life.terms(f"schedule: {schedule}")
    life.funds()
    invoice = life.sold(10_000)
    dispute = life.market.sandbox.create_dispute(life.market.charge_of(invoice), amount=1_000)
    life.hear()
    life.days(1)
    (suggestion,) = life.waiting()
    assert suggestion.amount == 6_300
    life.say_yes()
    assert (life.earning(invoice).paid, life.earning(invoice).held) == (6_300, 700)
    life.market.sandbox.close_dispute(dispute["id"], won=True)
    life.hear()
    life.days(1)
    life.say_yes()
    assert life.amounts() == [6_300, 700]
    life.prove()


def test_a_payout_that_waits_is_worked_out_anew_for_a_dispute_over_a_part(life):
    invoice = life.sold(10_000)
    assert [one.amount for one in life.waiting()] == [7_000]
    life.market.sandbox.create_dispute(life.market.charge_of(invoice), amount=1_000)
    life.hear()
    (suggestion,) = life.waiting()
    assert suggestion.amount == 6_300
    assert "USD 7.00 held for a dispute" in suggestion.rationale
    assert not Finding.objects.open().exists()
    life.say_yes()
    assert life.amounts() == [6_300]


# -- reserves ----------------------------------------------------------------------------------------------------------


def two_reserves(life):
    """Two sales of which a tenth was kept back, on the day after its release; no task has run."""
    life.terms('reserve_percent: "10", reserve_days: 5')
    older, newer = life.sold(10_000), life.sold(20_000)
    life.move_days(6)
    return older, newer


def test_a_reserve_of_a_payment_that_cannot_be_read_does_not_hold_the_others_up(life):
    older, newer = two_reserves(life)
    charge = life.market.charge_of(older)
    unreadable = {"id": charge, "amount": "unreadable"}
    store.model_of("charge").objects.filter(id=charge).update(stripe_data=unreadable)
    life.hour()
    assert (life.earning(older).reserve_left, life.earning(newer).reserve_left) == (700, 0)


def test_reserves_of_payments_that_the_mirror_lacks_do_not_hold_later_ones_up(life, monkeypatch):
    older, newer = two_reserves(life)
    monkeypatch.setattr(tasks, "RESERVES_AT_ONCE", 1)
    store.model_of("charge").objects.filter(id=life.market.charge_of(older)).delete()
    life.hour()
    assert (life.earning(older).reserve_left, life.earning(newer).reserve_left) == (700, 0)


def test_what_names_no_charge_is_not_found_by_none(life):
    """A period's payout names none, nor does an invoice below zero: they have nothing in common."""
    life.terms("schedule: daily")
    life.sold(10_000)
    life.days(1)
    assert PayoutRecord.objects.filter(charge="").exists()
    assert not PayoutRecord.objects.filter(of_charge("")).exists()
