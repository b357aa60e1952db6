"""What was paid out and is not due any more: it comes back by a reversal, or out of later earnings, and whoever decides
sees it."""

from __future__ import annotations

import pytest

from approvals import services as gate
from approvals.models import Suggestion
from approvals.states import State
from billingops.actors import Actor
from billingops.stripe import sync
from settlements import tasks, trace
from settlements.ledger import journal
from settlements.ledger.accounts import Account
from settlements.models import Earning
from settlements.reconciliation import reports
from settlements.tests.conftest import CONFIG
from settlements.trace import statement

pytestmark = pytest.mark.django_db

WHOLE_VOLUME = CONFIG.replace(
    'share: {type: percent, seller: "70"}',
    "share: {type: tiered, period: month, mode: whole, currency: usd,"
    ' tiers: [{up_to: 10000, seller: "70"}, {seller: "80"}]}',
)


# -- adjustments of whole-volume tiers ---------------------------------------------------------------------------------


def sold_past_the_tier(life):
    """Two sales of 10,000; the second reaches 80 %, and brings 1,000 more for the first."""
    life.market.import_config(WHOLE_VOLUME)
    life.market.run_jobs()
    one, two = life.sold(10_000), life.sold(10_000)
    assert (life.earning(one).share, life.earning(two).share, life.earning(two).adjustment) == (7_000, 8_000, 1_000)
    return one, two


def test_a_refund_takes_the_adjustment_that_came_with_the_invoice(life):
    life.funds()
    one, two = sold_past_the_tier(life)
    life.say_yes()
    life.hour()
    life.say_yes()
    assert sum(life.amounts()) == 16_000
    life.refund(two, 5_000)
    assert life.earning(two).taken == 4_500
    life.refund(two)
    assert (life.earning(two).taken, life.earning(two).claimed + life.earning(two).open) == (9_000, 9_000)
    life.refund(one)
    life.say_yes("transfer_reversal")
    life.hour()
    life.say_yes("transfer_reversal")
    assert sum(one.amount - one.amount_reversed for one in life.market.transfers()) == 0
    assert set(Earning.objects.values_list("paid", "open", "claimed")) == {(0, 0, 0)}
    life.prove()


def test_a_dispute_holds_the_adjustment_that_came_with_the_invoice(life):
    _, two = sold_past_the_tier(life)
    life.market.sandbox.create_dispute(life.market.charge_of(two))
    life.hear()
    assert (life.earning(two).held, life.earning(two).open) == (9_000, 0)


# -- a reversal that Stripe refuses ------------------------------------------------------------------------------------


def refused_reversal(life, *, sold=10_000):
    """A sale that was paid out, is on the seller's bank account and was refunded: its reversal fails."""
    invoice = life.sold(sold)
    life.say_yes()
    life.move_days(3)
    banked = life.market.sandbox.auto_payout("acct_bakery")
    life.hear()
    life.refund(invoice)
    life.say_yes("transfer_reversal")
    reversal = Suggestion.objects.get(kind="transfer_reversal")
    assert reversal.state == State.FAILED
    return invoice, reversal, banked


def try_again(reversal, finance):
    reversal.refresh_from_db()
    return gate.retry(suggestion_id=reversal.pk, actor=Actor.person(finance), version=reversal.version)


def test_what_stripe_cannot_take_back_is_kept_back_from_later_payouts_and_told(life):
    life.terms("negative_limit: {usd: 1000}")
    invoice, reversal, _ = refused_reversal(life)
    row = life.earning(invoice)
    assert (row.claimed, row.open, row.offset) == (0, -7_000, True)
    told = life.finding("take_back")
    assert (told.subject, told.amount) == (reversal.subject, 7_000)
    assert "Insufficient funds" in told.text
    assert "kept back from the seller's next payouts" in told.text
    life.hour()
    assert life.finding("negative_balance").amount == -7_000
    life.sold(10_000)
    life.hour()
    assert life.waiting() == []  # 7,000 are owed, and 7,000 were earned
    life.sold(2_000)
    (waiting,) = life.waiting()
    assert waiting.amount == 1_400
    assert waiting.facts["earlier_debts"] == 0  # the two before it cancel out
    life.say_yes()
    life.hour()
    assert sum(life.amounts()) == 7_000 + 1_400
    assert life.finding("take_back") is None
    assert life.finding("negative_balance") is None
    life.looks_the_same_after_a_replay()
    life.prove()


def test_a_refused_reversal_that_is_tried_again_in_time_takes_the_money_back(life, finance):
    invoice, reversal, banked = refused_reversal(life)
    life.market.sandbox.mark_payout(banked["id"], "failed", account="acct_bakery")  # the bank sends it back
    try_again(reversal, finance)
    life.market.run_jobs()
    life.hear()
    reversal.refresh_from_db()
    assert reversal.state == State.CONFIRMED
    row = life.earning(invoice)
    assert (row.paid, row.open, row.claimed) == (0, 0, 0)
    assert life.finding("take_back") is None
    life.sold(10_000)
    assert [one.amount for one in life.waiting()] == [7_000]
    life.prove()


def test_a_refused_reversal_is_not_carried_out_once_a_later_payout_has_kept_the_money_back(life, finance):
    _, reversal, _ = refused_reversal(life)
    life.sold(20_000)
    assert [one.amount for one in life.waiting()] == [7_000]
    life.say_yes()
    try_again(reversal, finance)
    life.market.run_jobs()
    reversal.refresh_from_db()
    assert reversal.state == State.STALE
    assert sum(one.amount - one.amount_reversed for one in life.market.transfers()) == 14_000
    life.hour()
    assert life.waiting("transfer_reversal") == []
    life.prove()


def test_of_one_transfer_the_same_amount_is_asked_back_for_each_of_its_earnings(life):
    """Two subscriptions of one price in a day's payout: that the first's reversal came to nothing says nothing of the
    second's."""
    life.terms("schedule: daily")
    life.funds()
    one, two = life.sold(10_000), life.sold(10_000)
    life.days(1)
    life.say_yes()
    life.move_days(3)
    life.market.sandbox.auto_payout("acct_bakery")
    life.hear()
    life.refund(one)
    life.say_yes("transfer_reversal")
    assert life.earning(one).open == -7_000
    life.refund(two)
    assert [asked.amount for asked in life.waiting("transfer_reversal")] == [7_000]
    assert life.earning(two).claimed == 7_000


def test_who_decides_on_a_payout_sees_what_is_still_to_be_taken_back(life):
    life.terms("negative_limit: {usd: 1000}")
    invoice = life.sold(10_000)
    life.say_yes()
    life.refund(invoice)
    life.sold(2_000)
    (waiting,) = life.waiting()
    assert [flag["text"] for flag in waiting.flags] == [
        "USD 70.00 is still to be taken back from this seller by reversals"
    ]
    life.say_yes()
    life.hour()
    assert "USD 70.00" in life.finding("negative_balance").text
    (reversal,) = life.waiting("transfer_reversal")
    assert "kept back from the seller's next payouts" in reversal.rationale


def test_what_a_person_refused_to_pay_covers_no_debt(life, finance):
    life.terms("recovery: offset, negative_limit: {usd: 1000}")
    paid = life.sold(10_000)
    life.say_yes()
    life.sold(10_000)
    (waiting,) = life.waiting()
    actor = Actor.person(finance)
    gate.reject(suggestion_id=waiting.pk, actor=actor, version=waiting.version, reason_code="wrong_amount")
    life.refund(paid)
    life.hour()
    assert life.finding("negative_balance").amount == -7_000


def test_what_is_due_later_covers_a_debt(life):
    life.terms("recovery: offset, negative_limit: {usd: 1000}")
    paid = life.sold(10_000)
    life.say_yes()
    life.terms("recovery: offset, negative_limit: {usd: 1000}, hold_days: 30")
    life.sold(10_000)
    life.refund(paid)
    life.hour()
    assert life.finding("negative_balance") is None


# -- destination charges -----------------------------------------------------------------------------------------------


def destination_charge(life):
    """10,000, of which Stripe itself moves 7,000 to the seller."""
    invoice = life.market.paid(
        ("acct_bakery", 10_000), transfer_data={"destination": "acct_bakery"}, application_fee_amount=3_000
    )
    life.hear()
    return invoice


def test_the_debt_of_a_destination_charge_is_kept_back_from_later_payouts(life, finance):
    life.terms("negative_limit: {usd: 1000}")
    invoice = destination_charge(life)
    life.refund(invoice, 5_000)
    (reversal,) = life.waiting("transfer_reversal")
    gate.reject(suggestion_id=reversal.pk, actor=Actor.person(finance), version=1, reason_code="bad_timing")
    life.market.run_jobs()
    life.hour()
    assert life.earning(invoice).open == -3_500
    assert life.finding("negative_balance").amount == -3_500
    assert "kept back" in life.finding("fee_mismatch").text
    life.sold(10_000)
    assert [one.amount for one in life.waiting()] == [3_500]
    life.say_yes()
    life.hour()
    assert life.earning(invoice).open == 0
    assert life.finding("fee_mismatch") is None
    life.looks_the_same_after_a_replay()
    life.prove()


def test_a_destination_charge_of_which_too_much_was_taken_back_is_told_and_nothing_is_paid(life):
    invoice = destination_charge(life)
    life.refund(invoice, reverse_transfer=True)  # the platform keeps its application fee
    life.hour()
    assert life.earning(invoice).open == 3_000
    told = life.finding("fee_mismatch")
    assert (told.subject, told.amount) == (invoice.id, -3_000)
    assert "kept its application fee" in told.text
    life.days(40)
    assert life.waiting() == []
    life.prove()


def test_what_stripe_moved_beyond_the_rules_is_told_and_not_kept_back(life):
    invoice = life.market.paid(
        ("acct_bakery", 10_000), transfer_data={"destination": "acct_bakery"}, application_fee_amount=1_000
    )
    life.hear()
    life.sold(10_000)
    life.hour()
    assert life.earning(invoice).open == -2_000
    assert "Nothing was corrected" in life.finding("fee_mismatch").text
    assert [one.amount for one in life.waiting()] == [7_000]


def test_no_tax_is_withheld_of_what_stripe_moves_itself(life):
    life.terms('tax_withholding_percent: "10"')
    invoice = destination_charge(life)
    row = life.earning(invoice)
    assert (row.withheld, row.paid, row.open) == (0, 7_000, 0)
    assert journal.balance(Account.TAX_WITHHELD, seller="acct_bakery", currency="usd") == 0
    assert life.finding("fee_mismatch") is None


# -- given back elsewhere ----------------------------------------------------------------------------------------------


def handled_elsewhere(life, finance, reversal):
    gate.reject(
        suggestion_id=reversal.pk,
        actor=Actor.person(finance),
        version=reversal.version,
        reason_code="already_handled",
        comment="By bank transfer on Monday",
    )
    life.market.run_jobs()


def test_what_a_seller_gave_back_elsewhere_is_neither_taken_back_nor_kept_back(life, finance, lead):
    invoice = life.sold(10_000)
    life.say_yes()
    life.refund(invoice, 5_000)
    (reversal,) = life.waiting("transfer_reversal")
    assert "already handled elsewhere, it is booked as given back" in reversal.rationale
    handled_elsewhere(life, finance, reversal)
    row = life.earning(invoice)
    assert (row.claimed, row.open, row.paid, row.offset) == (0, 0, 3_500, False)
    assert journal.balance(Account.SUSPENSE, currency="usd") == 3_500
    told = life.finding("take_back")
    assert "By bank transfer on Monday" in told.text
    tasks.net_instead(str(reversal.pk))  # at least once, and more
    life.hour()
    assert life.finding("take_back") == told
    life.sold(10_000)
    assert [one.amount for one in life.waiting()] == [7_000]
    assert life.waiting("transfer_reversal") == []
    life.looks_the_same_after_a_replay()
    life.prove()
    assert reports.one("2026-11", "acct_bakery", user=lead).ties
    assert statement.of("acct_bakery", "2026-11", "usd").ties


def test_what_is_refunded_after_that_is_claimed_by_itself(life, finance):
    invoice = life.sold(10_000)
    life.say_yes()
    life.refund(invoice, 5_000)
    (reversal,) = life.waiting("transfer_reversal")
    handled_elsewhere(life, finance, reversal)
    life.refund(invoice)
    assert [one.amount for one in life.waiting("transfer_reversal")] == [3_500]
    life.say_yes("transfer_reversal")
    row = life.earning(invoice)
    assert (row.claimed, row.open, row.paid) == (0, 0, 0)
    life.prove()


def test_what_is_given_back_elsewhere_goes_in_the_transfers_order_whichever_sale_was_heard_first(life, finance):
    """Kronur move in whole hundreds: less than that stays claimed with the transfer's last, as of a reversal."""
    life.terms('schedule: daily, tax_withholding_percent: "5"')
    life.market.sandbox.top_up(1_000_000, currency="isk")
    life.hear()
    older = life.market.paid(("acct_bakery", 10_100), currency="isk")
    late: list[dict[str, object]] = []
    life.market.deliver(order=lambda fresh: late.extend(fresh) or [])
    newer = life.sold(10_100, currency="isk")
    life.market.deliver(order=lambda fresh: late)
    life.market.run_jobs()
    assert life.earning(newer).pk < life.earning(older).pk
    life.days(1)
    life.say_yes()
    life.refund(older, 1_000)
    life.refund(newer, 1_000)
    assert (life.earning(older).claimed, life.earning(newer).claimed) == (570, 570)
    (reversal,) = life.waiting("transfer_reversal")
    handled_elsewhere(life, finance, reversal)
    assert (life.earning(older).claimed, life.earning(newer).claimed) == (0, 40)
    life.prove()


def test_the_trace_of_an_invoice_says_what_was_given_back_elsewhere(life, finance, lead):
    invoice = life.sold(10_000)
    life.say_yes()
    life.refund(invoice, 5_000)
    (reversal,) = life.waiting("transfer_reversal")
    handled_elsewhere(life, finance, reversal)
    for account in ("", "acct_bakery"):
        sync.balance_transactions(account)
    found = trace.of(invoice.id, user=lead)
    assert [problem.text for problem in found.problems] == []
    (node,) = (node for node in found.nodes if node.kind == "correction")
    assert (node.brings, "Given back elsewhere" in node.text) == (3_500, True)
