"""What stops a seller's money: accounts that cannot receive it, holds, failures; and what refuses to pay twice."""

from __future__ import annotations

import pytest
from django.db import IntegrityError, transaction
from django.db.models import F

from approvals import services as gate
from approvals.models import Policy, Suggestion
from approvals.states import State
from billingops.actors import Actor
from settlements.ledger import journal
from settlements.ledger.accounts import Account
from settlements.models import Earning, PayoutItem, PayoutRecord
from settlements.risk import holds
from settlements.states import PayoutState
from settlements.tests.conftest import CONFIG

pytestmark = pytest.mark.django_db
ACTOR = Actor.system("test")


# -- accounts ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("schedule", ["per_invoice", "daily"])
@pytest.mark.parametrize("stop", ["restricted", "rejected", "deauthorised"])
def test_an_account_that_cannot_receive_money_is_paused_with_its_reason_and_heals(life, schedule, stop):
    if schedule != "per_invoice":
        life.terms(f"schedule: {schedule}")
        life.funds()
    sandbox = life.market.sandbox
    match stop:
        case "restricted":
            sandbox.restrict_account("acct_bakery")
        case "rejected":
            sandbox.set_account_state("acct_bakery", disabled_reason="rejected.fraud")
        case "deauthorised":
            sandbox.deauthorize_account("acct_bakery")
    life.hear()
    invoice = life.sold(10_000)
    if schedule != "per_invoice":
        life.days(1)
    assert life.waiting() == []
    finding = life.finding("account_restricted")
    assert finding is not None
    assert finding.account == "acct_bakery"
    assert "Nothing was paid out" in finding.text
    assert life.earning(invoice).open == 7_000  # earned all the same
    if stop == "deauthorised":
        sandbox.reauthorize_account("acct_bakery")
    else:
        sandbox.set_account_state("acct_bakery", disabled_reason=None)
    life.hear()
    life.hour()
    assert [one.amount for one in life.waiting()] == [7_000]
    assert life.finding("account_restricted") is None
    life.say_yes()
    assert life.amounts() == [7_000]
    life.prove()


def test_a_payout_that_waits_is_withdrawn_when_the_account_is_stopped(life):
    life.sold(10_000)
    (suggestion,) = life.waiting()
    life.market.sandbox.restrict_account("acct_bakery")
    life.hear()
    suggestion.refresh_from_db()
    assert suggestion.state == State.SUPERSEDED
    assert life.finding("account_restricted") is not None
    assert life.waiting() == []
    assert not PayoutItem.objects.filter(state=PayoutItem.State.IN_FLIGHT).exists()
    life.prove()


@pytest.mark.parametrize("schedule", ["per_invoice", "daily"])
def test_a_risk_hold_pauses_payouts_until_it_is_released(life, lead, schedule):
    if schedule != "per_invoice":
        life.terms(f"schedule: {schedule}")
        life.funds()
    held = holds.place(account="acct_bakery", reason="verification suggested", placed_by="rules", actor=ACTOR)
    life.sold(10_000)
    if schedule != "per_invoice":
        life.days(1)
    assert life.waiting() == []
    assert "payouts are held" in life.finding("risk_hold").text
    holds.release(hold_id=held.pk, reason="looked at it with the seller", actor=Actor.person(lead))
    life.market.run_jobs()
    life.hour()
    assert [one.amount for one in life.waiting()] == [7_000]
    assert life.finding("risk_hold") is None
    life.say_yes()
    life.prove()


# -- failures ----------------------------------------------------------------------------------------------------------


def test_a_transfer_that_stripe_refused_is_tried_again_and_paid_once(life, finance):
    life.terms("schedule: daily")
    life.sold(10_000)
    life.days(1)
    (suggestion,) = life.waiting()
    life.approve(suggestion)
    life.market.run_jobs()  # the platform's available balance does not cover it
    suggestion.refresh_from_db()
    record = PayoutRecord.objects.get()
    assert (suggestion.state, record.state) == (State.FAILED, PayoutState.FAILED)
    assert record.items.get().state == PayoutItem.State.IN_FLIGHT  # nothing else may pay it meanwhile
    life.hour()
    assert life.waiting() == []
    life.funds()
    gate.retry(suggestion_id=suggestion.pk, actor=Actor.person(finance), version=suggestion.version)
    life.market.run_jobs()
    life.hear()
    record.refresh_from_db()
    assert record.state == PayoutState.TRANSFERRED
    assert life.amounts() == [7_000]
    life.prove()


def test_a_failed_payout_that_is_given_up_comes_back_into_the_balance(life, finance):
    life.terms("schedule: daily")
    life.sold(10_000)
    life.days(1)
    (suggestion,) = life.waiting()
    life.approve(suggestion)
    life.market.run_jobs()  # the platform's available balance does not cover it
    suggestion.refresh_from_db()
    gate.cancel(suggestion_id=suggestion.pk, actor=Actor.person(finance), version=suggestion.version, comment="later")
    assert PayoutItem.objects.get().state == PayoutItem.State.RELEASED
    assert Earning.objects.get().open == 7_000
    life.funds()
    life.days(1)
    assert [one.amount for one in life.waiting()] == [7_000]
    life.say_yes()
    assert life.amounts() == [7_000]
    life.prove()


def test_a_sellers_payout_that_the_bank_refused_is_told_and_booked_back(life):
    life.sold(10_000)
    life.say_yes()
    life.move_days(3)
    payout = life.market.sandbox.auto_payout("acct_bakery")
    life.market.sandbox.mark_payout(payout["id"], "paid", "acct_bakery")
    life.hear()
    assert journal.balance(Account.BANK, seller="acct_bakery", currency="usd") == 7_000
    life.market.sandbox.mark_payout(payout["id"], "failed", "acct_bakery")
    life.hear()
    finding = life.finding("payout_failed")
    assert (finding.subject, finding.account, finding.amount) == (payout["id"], "acct_bakery", 7_000)
    assert "Ask the seller to correct the bank account" in finding.text
    assert journal.balance(Account.BANK, seller="acct_bakery", currency="usd") == 0
    assert journal.balance(Account.CASH, seller="acct_bakery", currency="usd") == 7_000
    life.prove()


# -- the database refuses ----------------------------------------------------------------------------------------------


def test_an_earning_is_never_in_two_payouts_at_once(life):
    life.terms("schedule: daily")
    life.funds()
    life.sold(10_000)
    life.days(1)
    item = PayoutItem.objects.get()
    record = PayoutRecord.objects.get()
    other = PayoutRecord.objects.create(
        seller=record.seller, account=record.account, period="2026-11-30", currency="usd", amount=1, fee_total=0
    )
    with pytest.raises(IntegrityError, match=r"one_payout_at_a_time|earning_id"), transaction.atomic():
        PayoutItem.objects.create(record=other, earning=item.earning, amount=1)


def test_an_earning_is_never_paid_more_than_was_earned(life):
    invoice = life.sold(10_000)
    life.say_yes()
    row = life.earning(invoice)
    with pytest.raises(IntegrityError, match="never_paid_more_than_earned"), transaction.atomic():
        Earning.objects.filter(pk=row.pk).update(paid=F("paid") + 1)
    Earning.objects.filter(pk=row.pk).update(paid=F("paid") - 1)  # a part that came back is no harm


def test_an_invoice_and_a_period_have_one_live_payout_each(life):
    invoice = life.sold(10_000)
    record = PayoutRecord.objects.get()
    kept = {"seller": record.seller, "account": record.account, "currency": "usd", "amount": 1, "fee_total": 0}
    with pytest.raises(IntegrityError), transaction.atomic():
        PayoutRecord.objects.create(**kept, invoice=invoice.id)
    PayoutRecord.objects.create(**kept, period="2026-W48")
    with pytest.raises(IntegrityError), transaction.atomic():
        PayoutRecord.objects.create(**kept, period="2026-W48")
    with pytest.raises(IntegrityError), transaction.atomic():
        PayoutRecord.objects.create(**kept, period="2026-W49", invoice="in_both")


def test_an_invoice_is_earned_once_by_a_seller(life):
    invoice = life.sold(10_000)
    row = life.earning(invoice)
    row.pk = None
    with pytest.raises(IntegrityError), transaction.atomic():
        row.save(force_insert=True)
    assert Suggestion.objects.count() == 1


# -- in shadow mode ----------------------------------------------------------------------------------------------------


def test_what_a_period_held_in_shadow_mode_is_dealt_with(life):
    """Another system pays meanwhile: each day's suggestion is of that day, and nothing goes out again afterwards."""
    daily = CONFIG.replace("account: acct_bakery,", "account: acct_bakery, schedule: daily,")
    life.market.import_config(daily + "policies:\n  - {kind: seller_payout, mode: shadow}\n")
    life.market.run_jobs()
    life.funds()
    life.sold(10_000)
    life.days(1)
    (first,) = life.waiting()
    life.approve(first)
    life.market.run_jobs()
    first.refresh_from_db()
    assert first.state == State.OBSERVED
    life.sold(2_000)
    life.days(1)
    (second,) = life.waiting()
    assert second.amount == 1_400
    life.approve(second)
    life.market.import_config(daily + "policies:\n  - {kind: seller_payout, mode: review}\n")
    life.market.run_jobs()
    life.sold(1_000)
    life.days(1)
    assert [one.amount for one in life.waiting()] == [700]
    life.say_yes()
    assert life.amounts() == [700]
    life.prove()


def test_a_debt_of_what_was_paid_from_here_is_kept_back_whatever_shadow_mode_held(life):
    life.terms("schedule: daily, recovery: offset")
    life.funds()
    paid = life.sold(10_000)
    life.days(1)
    life.say_yes()
    life.refund(paid, 5_000)
    life.sold(10_000)
    Policy.objects.create(kind="seller_payout", mode="shadow")
    life.days(1)
    (held,) = life.waiting()
    assert held.amount == 3_500
    life.approve(held)
    life.market.run_jobs()
    Policy.objects.all().delete()
    life.sold(10_000)
    life.days(1)
    assert [one.amount for one in life.waiting()] == [3_500]
