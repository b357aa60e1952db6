"""What is earned is held, pooled, kept in reserve, carried forward and paid, on the day that was agreed, and once."""

from __future__ import annotations

import pytest
from django.core.management import call_command

from approvals import services as gate
from approvals.models import Suggestion
from billingops.actors import Actor
from settlements import books, payouts
from settlements.ledger import journal
from settlements.ledger.accounts import Account
from settlements.models import Earning, PayoutItem, PayoutRecord
from settlements.states import PayoutState
from settlements.tests.conftest import CONFIG

pytestmark = pytest.mark.django_db
ACTOR = Actor.system("test")


# -- when --------------------------------------------------------------------------------------------------------------


def test_what_is_earned_is_held_for_the_days_agreed_and_then_suggested_by_itself(life):
    life.terms("hold_days: 3")
    invoice = life.sold(10_000)
    row = life.earning(invoice)
    assert (row.open, str(row.due_on)) == (7_000, "2026-11-26")
    life.days(2)
    assert life.waiting() == []
    life.days(1)
    (suggestion,) = life.waiting()
    assert (suggestion.subject, suggestion.amount) == (invoice.id, 7_000)
    assert life.say_yes() == 1
    assert life.amounts() == [7_000]
    life.looks_the_same_after_a_replay()
    life.prove()


@pytest.mark.parametrize(
    ("schedule", "period", "wait"), [("daily", "2026-11-23", 1), ("weekly", "2026-W48", 7), ("monthly", "2026-11", 8)]
)
def test_a_period_is_paid_as_one_transfer_with_an_item_for_each_invoice(life, schedule, period, wait):
    life.terms(f"schedule: {schedule}")
    life.funds()
    invoices = [life.sold(amount) for amount in (10_000, 4_000, 333)]
    life.hour()
    assert life.waiting() == []
    if wait > 1:
        life.days(wait - 1)
        assert life.waiting() == []
    life.days(1 if wait > 1 else wait)
    (suggestion,) = life.waiting()
    assert (suggestion.amount, suggestion.params["source_transaction"]) == (7_000 + 2_800 + 233, "")
    record = PayoutRecord.objects.get()
    assert (record.period, record.invoice) == (period, "")
    items = record.items.order_by("pk")
    assert [(item.earning.invoice, item.amount) for item in items] == [
        (invoice.id, amount) for invoice, amount in zip(invoices, (7_000, 2_800, 233), strict=True)
    ]
    life.hour()  # asked again within the period: nothing more
    assert len(life.waiting()) == 1
    life.say_yes()
    assert life.amounts() == [10_033]
    record.refresh_from_db()
    assert record.state == PayoutState.TRANSFERRED
    assert {item.state for item in record.items.all()} == {PayoutItem.State.SETTLED}
    assert set(Earning.objects.values_list("open", flat=True)) == {0}
    life.looks_the_same_after_a_replay()
    life.prove()


def test_what_comes_after_the_period_waits_for_the_next_one(life):
    life.terms("schedule: daily")
    life.funds()
    life.sold(10_000)
    life.days(1)
    life.sold(1_000)
    life.say_yes()
    life.hour()
    assert life.waiting() == []
    life.days(1)
    assert [one.amount for one in life.waiting()] == [700]


def test_a_rejected_period_goes_out_with_the_next(life, finance):
    from approvals import services as gate

    life.terms("schedule: daily")
    life.funds()
    life.sold(10_000)
    life.days(1)
    (suggestion,) = life.waiting()
    gate.reject(suggestion_id=suggestion.pk, actor=Actor.person(finance), version=1, reason_code="wrong_amount")
    life.hour()
    assert life.waiting() == []
    life.sold(1_000)
    life.days(1)
    assert [one.amount for one in life.waiting()] == [7_700]
    life.say_yes()
    life.prove()


# -- how much ----------------------------------------------------------------------------------------------------------


def test_a_reserve_is_kept_and_paid_out_when_its_days_are_over(life):
    life.terms('reserve_percent: "10", reserve_days: 30')
    life.funds()
    invoice = life.sold(10_000)
    row = life.earning(invoice)
    assert (row.reserve, row.reserve_left, row.open, str(row.reserve_until)) == (700, 700, 6_300, "2026-12-23")
    life.say_yes()
    life.days(29)
    assert life.waiting() == []
    life.days(1)
    row.refresh_from_db()
    assert (row.reserve_left, row.open, row.paid) == (0, 700, 6_300)
    (suggestion,) = life.waiting()
    assert (suggestion.amount, suggestion.params["source_transaction"]) == (700, "")
    life.say_yes()
    assert life.amounts() == [6_300, 700]
    life.looks_the_same_after_a_replay()
    life.prove()


def test_a_released_reserve_that_a_person_rejected_is_not_asked_for_again_every_day(life, finance):
    life.terms('reserve_percent: "10", reserve_days: 3')
    life.funds()
    life.sold(10_000)
    life.say_yes()
    life.days(3)
    (suggestion,) = life.waiting()
    reject(suggestion, finance)
    life.days(1)
    life.days(1)
    assert life.waiting() == []
    life.sold(5_000)  # something else is due: 3.50 of this one's reserve come on top
    life.say_yes()
    life.days(3)
    (again,) = life.waiting()
    assert again.amount == 700 + 350


def reject(suggestion, user):
    gate.reject(
        suggestion_id=suggestion.pk,
        actor=Actor.person(user),
        version=suggestion.version,
        reason_code="bad_timing",
        comment="agreed with the seller",
    )


def test_tax_withheld_and_stripes_fee_are_taken_off_and_told(life):
    life.terms('tax_withholding_percent: "10", stripe_fees: seller')
    invoice = life.sold(10_000)
    row = life.earning(invoice)
    assert (row.share, row.stripe_fee, row.withheld, row.open) == (7_000, 320, 700, 5_980)
    (suggestion,) = life.waiting()
    assert suggestion.amount == 5_980
    assert {key: suggestion.facts[key] for key in ("share", "stripe_fee", "withheld")} == {
        "share": 7_000,
        "stripe_fee": 320,
        "withheld": 700,
    }
    memo = PayoutRecord.objects.get().memo
    for words in ("USD 59.80", "USD 3.20", "USD 7.00"):
        assert words in memo
        assert words in suggestion.rationale or words == "USD 70.00"
    life.say_yes()
    assert journal.balance(Account.TAX_WITHHELD, seller="acct_bakery", currency="usd") == -700
    life.prove()


def test_stripes_fee_on_several_sellers_is_borne_in_proportion(life):
    life.terms("stripe_fees: seller")
    invoice = life.market.paid(("acct_bakery", 6_000), ("acct_studio", 4_000))
    life.hear()
    assert life.earning(invoice).stripe_fee == 192  # 60 % of 320
    assert life.earning(invoice, "acct_studio").stripe_fee == 0  # the platform bears it
    life.prove()


def test_less_than_the_minimum_is_carried_from_period_to_period(life):
    life.terms("schedule: daily, minimum_payout: {usd: 1000}")
    life.funds()
    life.sold(1_000)
    life.days(1)
    assert life.waiting() == []
    life.sold(500)
    life.days(1)
    assert [one.amount for one in life.waiting()] == [1_050]
    life.say_yes()
    life.prove()


# -- what is owed ------------------------------------------------------------------------------------------------------


def test_a_debt_is_carried_and_netted_against_later_earnings(life):
    life.terms("recovery: offset")
    first = life.sold(10_000)
    life.say_yes()
    life.refund(first, 5_000)
    row = life.earning(first)
    assert (row.taken, row.claimed, row.open, row.paid) == (3_500, 0, -3_500, 7_000)
    assert life.waiting("transfer_reversal") == []
    small = life.sold(1_000)
    assert life.waiting() == []  # 700 do not cover it
    assert "owes" in life.finding("below_minimum").text
    life.sold(10_000)
    (suggestion,) = life.waiting()
    assert suggestion.amount == 7_000 + 700 - 3_500
    assert suggestion.facts["earlier_debts"] == 700 - 3_500
    life.say_yes()
    assert life.amounts() == [7_000, 4_200]
    assert [life.earning(one).open for one in (first, small)] == [0, 0]
    life.hour()
    life.looks_the_same_after_a_replay()
    life.prove()


def test_what_a_person_refused_for_an_invoice_goes_out_with_no_period_either(life, finance):
    life.funds()
    life.sold(10_000)
    (refused,) = life.waiting()
    gate.reject(suggestion_id=refused.pk, actor=Actor.person(finance), version=1, reason_code="already_handled")
    life.terms("schedule: daily")
    life.sold(2_000)
    life.days(1)
    assert [one.amount for one in life.waiting()] == [1_400]
    life.say_yes()
    life.days(1)
    assert life.amounts() == [1_400]
    life.prove()


@pytest.mark.parametrize("then", ["", "recovery: offset"])
def test_the_alert_of_a_debt_closes_when_nothing_is_owed_any_more_or_no_limit_is_set(life, then):
    life.terms("recovery: offset, negative_limit: {usd: 3000}")
    first = life.sold(10_000)
    life.say_yes()
    life.refund(first, 5_000)
    life.hour()
    assert life.finding("negative_balance") is not None
    if then:
        life.market.import_config(CONFIG.replace("account: acct_bakery,", f"account: acct_bakery, {then},"))
    else:
        life.sold(10_000)  # its own payout nets the debt at once, and leaves nothing due
        life.say_yes()
    life.hour()
    assert life.finding("negative_balance") is None


def test_a_debt_above_the_limit_is_told_until_it_is_paid_back(life):
    life.terms("recovery: offset, schedule: daily, negative_limit: {usd: 3000}")
    life.funds()
    first = life.sold(10_000)
    life.days(1)
    life.say_yes()
    life.refund(first, 5_000)
    life.hour()
    alert = life.finding("negative_balance")
    assert alert is not None
    assert (alert.account, alert.amount) == ("acct_bakery", -3_500)
    assert "USD 35.00" in alert.text
    assert "USD 30.00" in alert.text
    life.sold(1_000)
    life.days(1)
    assert life.finding("negative_balance") is None  # 28.00 are owed
    assert life.waiting() == []
    life.sold(10_000)
    life.days(1)
    assert [one.amount for one in life.waiting()] == [7_000 + 700 - 3_500]
    life.say_yes()
    life.prove()


def test_a_pooled_payout_nets_its_debts_and_only_the_rest_can_be_reversed(life):
    """Two invoices of a day are refunded after another payout has netted one of them: claims never exceed transfers."""
    life.terms('schedule: daily, reserve_percent: "10", reserve_days: 2')
    life.funds()
    one, two = life.sold(10_000), life.sold(5_000)
    life.days(1)
    life.say_yes()
    life.days(2)  # the reserves of both
    life.say_yes()
    assert life.amounts() == [9_450, 1_050]
    life.refund(one)
    assert life.earning(one).claimed == 7_000
    life.refund(two)
    assert [life.earning(each).claimed for each in (one, two)] == [7_000, 3_500]  # all of it, in whatever order
    assert sum(each.amount for each in life.waiting("transfer_reversal")) == 10_500
    life.say_yes("transfer_reversal")
    assert [(life.earning(each).claimed, life.earning(each).open, life.earning(each).paid) for each in (one, two)] == [
        (0, 0, 0),
        (0, 0, 0),
    ]
    life.prove()


# -- never twice -------------------------------------------------------------------------------------------------------


def test_a_change_of_rules_terms_and_schedule_pays_nothing_again(life):
    invoice = life.sold(10_000)
    life.say_yes()
    before = life.state()
    changed = CONFIG.replace("account: acct_bakery,", "account: acct_bakery, schedule: daily,").replace(
        'share: {type: percent, seller: "70"}', 'share: {type: percent, seller: "90"}'
    )
    life.market.import_config(changed)
    life.market.run_jobs()
    call_command("suggest", verbosity=0)
    life.days(2)
    assert life.state() == before
    assert life.earning(invoice).share == 7_000
    life.prove()


def test_a_change_of_schedule_while_a_payout_waits_does_not_suggest_it_twice(life):
    life.sold(10_000)
    assert len(life.waiting()) == 1
    life.terms("schedule: daily")
    life.funds()
    life.days(1)
    assert len(life.waiting()) == 1
    life.say_yes()
    life.hour()
    assert life.amounts() == [7_000]
    life.prove()


def test_a_day_hold_and_a_replay_in_disorder_end_in_one_payout_each(life):
    life.terms("hold_days: 1")
    invoices = [life.market.paid(("acct_bakery", amount)) for amount in (1_000, 2_000)]
    life.market.deliver(order=lambda events: [*events[::-1], *events])
    life.market.run_jobs()
    life.days(1)
    assert sorted(one.amount for one in life.waiting()) == [700, 1_400]
    life.say_yes()
    assert Suggestion.objects.filter(kind=payouts.KIND).count() == 2
    assert {life.earning(one).open for one in invoices} == {0}
    life.prove()


def test_a_line_given_away_earns_nothing_and_breaks_nothing(life):
    invoice = life.market.paid(("acct_bakery", 0), ("acct_studio", 1_000))
    life.hear()
    assert life.earning(invoice).base == 0
    assert [one.account for one in life.waiting()] == ["acct_studio"]
    life.prove()


def test_the_journal_of_an_invoice_leaves_nothing_to_receive(life):
    """Charge, sale, refund and what was taken for it cancel out, where sellers have every line, too."""
    invoice = life.sold(10_000)
    life.say_yes()
    life.refund(invoice, 3_333)
    assert journal.balance(Account.RECEIVABLE, currency="usd") == 0
    life.refund(invoice)
    assert journal.balance(Account.RECEIVABLE, currency="usd") == 0
    assert books.sale(life.earning(invoice)).key == f"sale:{invoice.id}:acct_bakery"
    assert journal.balance(Account.PLATFORM_REVENUE, currency="usd") == 0
    life.prove()
