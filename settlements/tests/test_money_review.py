"""How money could be lost, paid twice or be stuck for ever: what a sceptical reader tried."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone

from approvals import services as gate
from approvals.models import Suggestion
from billingops.actors import Actor
from settlements import tasks
from settlements.models import Finding, Seller, TierVolume
from settlements.tests.conftest import CONFIG
from settlements.tests.test_verifying import forget

pytestmark = pytest.mark.django_db
SYSTEM = Actor.system("test")


def expire(suggestion: Suggestion) -> None:
    Suggestion.objects.filter(pk=suggestion.pk).update(expires_at=timezone.now() - timedelta(minutes=1))
    gate.expire_due(actor=SYSTEM)


def test_a_refund_while_a_periods_transfer_is_on_its_way_is_asked_back(life):
    life.terms("schedule: daily")
    life.funds()
    invoice = life.sold(10_000)
    life.days(1)
    (suggestion,) = life.waiting()
    life.approve(suggestion)
    life.market.run_jobs()  # carried out; Stripe's event is still on its way
    charge = life.market.charge_of(invoice)
    life.market.api.v1.refunds.create({"charge": charge, "amount": 5_000})
    life.market.deliver(order=lambda events: sorted(events, key=lambda event: event["type"] == "transfer.created"))
    life.market.run_jobs()
    assert life.earning(invoice).claimed == 3_500
    assert [one.amount for one in life.waiting("transfer_reversal")] == [3_500]


def test_money_that_was_sent_by_hand_is_not_sent_again_with_a_period(life):
    life.terms("schedule: daily")
    life.funds()
    invoice, other = life.sold(10_000), life.sold(2_000)
    life.market.api.v1.transfers.create(
        {
            "amount": 7_000,
            "currency": "usd",
            "destination": "acct_bakery",
            "source_transaction": life.market.charge_of(invoice),
        }
    )
    life.hear()
    assert life.finding(Finding.Code.ALREADY_TRANSFERRED) is not None
    life.days(1)
    assert [one.amount for one in life.waiting()] == [1_400], "only what was not sent by hand"
    life.say_yes()
    assert sorted(life.amounts()) == [1_400, 7_000]
    assert life.earning(other).open == 0


def test_money_that_is_sent_by_hand_while_a_periods_payout_waits_is_not_sent_again(life):
    life.terms("schedule: daily")
    life.funds()
    invoice = life.sold(10_000)
    life.sold(2_000)
    life.days(1)
    assert [one.amount for one in life.waiting()] == [8_400]
    life.market.api.v1.transfers.create(
        {
            "amount": 7_000,
            "currency": "usd",
            "destination": "acct_bakery",
            "source_transaction": life.market.charge_of(invoice),
        }
    )
    life.hear()
    life.say_yes()
    life.say_yes()
    assert sorted(life.amounts()) == [1_400, 7_000]


TIERED = CONFIG.replace(
    'share: {type: percent, seller: "70"}',
    'share: {type: tiered, period: month, tiers: [{up_to: 10000, seller: "70"}, {seller: "80"}], currency: usd}',
)


def test_an_invoice_in_another_currency_does_not_make_a_tiers_volume_begin_anew(life):
    life.market.import_config(TIERED)
    life.sold(10_000)
    life.sold(5_000, currency="eur")
    third = life.sold(10_000)
    assert life.earning(third).share == 8_000
    assert TierVolume.objects.get(currency="usd").volume == 20_000


def test_a_periods_payout_to_a_seller_who_was_switched_off_meanwhile_is_not_carried_out(life):
    life.terms("schedule: daily")
    life.funds()
    life.sold(10_000)
    life.days(1)
    Seller.objects.filter(account="acct_bakery").update(active=False)
    life.say_yes()
    assert life.amounts() == []
    life.hour()
    assert "switched off" in life.finding(Finding.Code.ACCOUNT_RESTRICTED).text
    Seller.objects.filter(account="acct_bakery").update(active=True)
    life.hour()
    life.say_yes()
    assert life.amounts() == [7_000]
    assert life.finding(Finding.Code.ACCOUNT_RESTRICTED) is None


@pytest.mark.parametrize("end", ["expired", "cancelled"])
def test_a_reversal_that_comes_to_nothing_is_netted_against_later_earnings(life, finance, end):
    invoice = life.sold(10_000)
    life.say_yes()
    life.refund(invoice, 5_000)
    (reversal,) = life.waiting("transfer_reversal")
    if end == "expired":
        expire(reversal)
    else:
        left = life.approve(reversal)
        gate.cancel(suggestion_id=left.pk, actor=Actor.person(finance), version=left.version)
    life.market.run_jobs()
    life.hour()
    life.sold(10_000)
    assert [one.amount for one in life.waiting()] == [3_500]


def test_a_payout_that_nobody_decided_on_in_time_is_suggested_again(life):
    life.funds()
    life.sold(10_000)
    (suggestion,) = life.waiting()
    expire(suggestion)
    life.days(1)
    assert [one.amount for one in life.waiting()] == [7_000]


def test_payouts_that_cannot_go_out_do_not_keep_later_ones_from_being_suggested(life, monkeypatch, finance):
    monkeypatch.setattr(tasks, "BATCH", 1)
    life.terms("hold_days: 1")
    life.sold(10_000)
    life.days(1)
    (suggestion,) = life.waiting()
    left = life.approve(suggestion)
    gate.cancel(suggestion_id=left.pk, actor=Actor.person(finance), version=left.version)
    later = life.sold(2_000)
    life.days(1)
    assert [one.subject for one in life.waiting()] == [later.id]


def test_findings_of_a_pause_are_closed_once_it_is_over(life):
    life.terms("schedule: daily")
    life.funds()
    life.sold(10_000)
    life.market.api.v1.accounts.update("acct_bakery", {"capabilities": {"transfers": {"requested": False}}})
    life.hear()
    life.days(1)
    life.days(1)
    assert Finding.objects.open().filter(code=Finding.Code.ACCOUNT_RESTRICTED).count() == 1
    life.market.api.v1.accounts.update("acct_bakery", {"capabilities": {"transfers": {"requested": True}}})
    life.hear()
    assert [one.amount for one in life.waiting()] == [7_000]
    assert not Finding.objects.open().filter(code=Finding.Code.ACCOUNT_RESTRICTED).exists()


def test_a_refund_of_what_was_paid_before_there_were_earnings_is_asked_back(life):
    invoice = life.sold(10_000)
    life.say_yes()
    forget()
    life.refund(invoice, 5_000)
    assert [one.amount for one in life.waiting("transfer_reversal")] == [3_500]


def test_while_policy_is_off_no_model_is_asked_for_a_memo(life, monkeypatch):
    from settlements import memos

    life.market.import_config(CONFIG + "policies:\n  - {kind: seller_payout, mode: 'off'}\n")
    asked = []
    real = memos.write
    monkeypatch.setattr(memos, "write", lambda *args, **kwargs: asked.append(1) or real(*args, **kwargs))
    life.sold(10_000)
    life.hour()
    life.hour()
    assert asked == []


def test_what_a_seller_bears_of_stripes_fee_waits_until_the_fee_is_known(life):
    life.terms("stripe_fees: seller")
    invoice = life.sold(10_000)
    assert life.earning(invoice).stripe_fee > 0
