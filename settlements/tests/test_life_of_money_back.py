"""What refunds, credit notes and disputes do to a seller's money, before it was paid out and after."""

from __future__ import annotations

import pytest

from approvals import services as gate
from approvals.models import Suggestion
from approvals.states import State
from billingops.actors import Actor
from settlements.ledger import journal
from settlements.ledger.accounts import Account
from settlements.ledger.models import JournalEntry
from settlements.models import Earning, PayoutRecord
from settlements.reconciliation import reports
from settlements.states import PayoutState

pytestmark = pytest.mark.django_db


# -- refunds -----------------------------------------------------------------------------------------------------------


def test_a_refund_before_the_payout_makes_it_smaller_or_withdraws_it(life):
    invoice = life.sold(10_000)
    (first,) = life.waiting()
    life.refund(invoice, 2_500)
    (second,) = life.waiting()
    first.refresh_from_db()
    assert first.state == State.SUPERSEDED
    assert (second.amount, second.facts["taken"]) == (5_250, 1_750)
    life.refund(invoice)
    assert life.waiting() == []
    row = life.earning(invoice)
    assert (row.taken, row.open, row.paid) == (7_000, 0, 0)
    assert life.amounts() == []
    life.looks_the_same_after_a_replay()
    life.prove()


def test_a_refund_after_the_payout_is_claimed_and_taken_back_of_the_transfer(life):
    invoice = life.sold(10_000)
    life.say_yes()
    life.refund(invoice, 5_000)
    row = life.earning(invoice)
    assert (row.taken, row.claimed, row.open) == (3_500, 3_500, 0)
    assert journal.balance(Account.REVERSAL, seller="acct_bakery", currency="usd") == 3_500
    (reversal,) = life.waiting("transfer_reversal")
    assert reversal.amount == 3_500
    life.say_yes("transfer_reversal")
    row.refresh_from_db()
    assert (row.claimed, row.paid, row.open) == (0, 3_500, 0)
    assert journal.balance(Account.REVERSAL, seller="acct_bakery", currency="usd") == 0
    life.looks_the_same_after_a_replay()
    life.prove()


def test_a_refund_of_a_part_of_a_period_is_taken_back_of_its_one_transfer(life):
    life.terms("schedule: daily")
    life.funds()
    one, two = life.sold(10_000), life.sold(4_000)
    life.days(1)
    life.say_yes()
    life.refund(two)
    (reversal,) = life.waiting("transfer_reversal")
    assert (reversal.amount, reversal.params["charge"]) == (2_800, life.market.charge_of(two))
    life.say_yes("transfer_reversal")
    assert (life.earning(one).paid, life.earning(two).paid) == (7_000, 0)
    record = PayoutRecord.objects.get()
    assert (record.state, record.amount_reversed) == (PayoutState.TRANSFERRED, 2_800)
    life.prove()


def test_a_refund_takes_back_its_part_of_the_reserve_and_of_the_tax(life):
    life.terms('reserve_percent: "10", reserve_days: 30, tax_withholding_percent: "10"')
    invoice = life.sold(10_000)
    life.say_yes()
    row = life.earning(invoice)
    assert (row.withheld, row.reserve, row.paid) == (700, 630, 5_670)
    life.refund(invoice, 5_000)
    row.refresh_from_db()
    assert (row.taken, row.reserve_left, row.claimed) == (3_500, 315, 2_835)
    assert journal.balance(Account.TAX_WITHHELD, seller="acct_bakery", currency="usd") == -350
    life.say_yes("transfer_reversal")
    life.prove()


def test_a_refund_that_failed_is_owed_to_the_seller_again(life):
    invoice = life.sold(10_000)
    life.say_yes()
    refund = life.refund(invoice, 5_000)
    assert life.earning(invoice).claimed == 3_500
    life.market.sandbox.fail_refund(refund.id)
    life.hear()
    row = life.earning(invoice)
    assert (row.taken, row.claimed, row.open, row.paid) == (0, 0, 0, 7_000)
    assert journal.balance(Account.RECEIVABLE, currency="usd") == 0
    life.prove()


def test_a_reversal_that_a_person_rejects_is_netted_against_later_earnings(life, finance):
    invoice = life.sold(10_000)
    life.say_yes()
    life.refund(invoice, 5_000)
    (reversal,) = life.waiting("transfer_reversal")
    gate.reject(suggestion_id=reversal.pk, actor=Actor.person(finance), version=1, reason_code="bad_timing")
    life.market.run_jobs()
    row = life.earning(invoice)
    assert (row.claimed, row.open, row.offset) == (0, -3_500, True)
    life.sold(10_000)
    assert [one.amount for one in life.waiting()] == [3_500]
    life.say_yes()
    assert life.earning(invoice).open == 0
    assert life.waiting("transfer_reversal") == []
    life.looks_the_same_after_a_replay()
    life.prove()


def test_a_transfer_reversed_in_the_dashboard_comes_back_into_the_balance_and_is_paid_again(life):
    life.funds()
    invoice = life.sold(10_000)
    life.say_yes()
    (transfer,) = life.market.transfers()
    life.market.api.v1.transfers.reversals.create(transfer.id, {"amount": 2_000})
    life.hear()
    row = life.earning(invoice)
    assert (row.paid, row.open) == (5_000, 2_000)
    life.hour()
    (again,) = life.waiting()
    assert again.amount == 2_000
    life.say_yes()
    assert life.earning(invoice).open == 0
    assert life.amounts() == [7_000, 2_000]
    life.prove()


# -- credit notes ------------------------------------------------------------------------------------------------------


def test_a_credit_note_without_a_refund_takes_its_part_as_well(life):
    invoice = life.sold(10_000)
    life.say_yes()
    life.market.api.v1.credit_notes.create({"invoice": invoice.id, "amount": 1_000, "credit_amount": 1_000})
    life.hear()
    row = life.earning(invoice)
    assert (row.taken, row.claimed) == (700, 700)
    assert [one.amount for one in life.waiting("transfer_reversal")] == [700]
    # The customer has a credit: that much was received for which nothing is sold any more.
    assert journal.balance(Account.RECEIVABLE, currency="usd") == -1_000
    life.say_yes("transfer_reversal")
    life.prove()


def credited_first(life, amount):
    """An invoice over 10,000 that a credit note makes smaller before it is paid; nothing is heard yet."""
    market = life.market
    customer = market.customer()
    draft = market.api.v1.invoices.create({"customer": customer.id, "currency": "usd"})
    price = market.price("acct_bakery", 10_000, "usd").id
    market.api.v1.invoice_items.create({"customer": customer.id, "invoice": draft.id, "pricing": {"price": price}})
    market.api.v1.invoices.finalize_invoice(draft.id)
    market.api.v1.credit_notes.create({"invoice": draft.id, "amount": amount})
    market.api.v1.invoices.pay(draft.id)
    return draft


@pytest.mark.parametrize(("credit", "left"), [(2_000, 5_600), (4_000, 4_200), (9_900, 70)])
def test_a_credit_note_before_the_payment_takes_its_part_of_what_came_in(life, credit, left):
    """Also one that leaves less than the whole shares come to."""
    draft = credited_first(life, credit)
    life.hear()
    row = life.earning(draft)
    assert (row.share, row.taken, row.open) == (7_000, 7_000 - left, left)
    assert [one.amount for one in life.waiting()] == [left]
    assert journal.balance(Account.RECEIVABLE, currency="usd") == 0
    assert journal.balance(Account.PLATFORM_REVENUE, currency="usd") == -(10_000 - credit - left)
    life.say_yes()
    assert life.amounts() == [left]
    life.prove()


def test_a_credit_note_before_the_payment_that_is_heard_of_after_it_lets_the_sellers_earn(life):
    draft, late = credited_first(life, 4_000), []
    life.market.deliver(order=lambda events: [one for one in events if not of_a_credit(one, late)])
    life.market.run_jobs()
    if not Earning.objects.exists():
        assert life.finding("over_charge") is not None
    life.market.deliver(order=lambda events: late)
    life.market.run_jobs()
    assert (life.earning(draft).open, life.finding("over_charge")) == (4_200, None)
    assert [one.amount for one in life.waiting()] == [4_200]
    assert journal.balance(Account.RECEIVABLE, currency="usd") == 0
    life.looks_the_same_after_a_replay()
    life.prove()


def of_a_credit(event, late):
    if event["type"].startswith("credit_note"):
        late.append(event)
    return event in late


# -- disputes ----------------------------------------------------------------------------------------------------------


def test_a_share_is_held_while_a_dispute_is_open_and_paid_when_it_is_won(life):
    invoice = life.sold(10_000)
    dispute = life.market.sandbox.create_dispute(life.market.charge_of(invoice))
    life.hear()
    row = life.earning(invoice)
    assert (row.held, row.open) == (7_000, 0)
    assert journal.balance(Account.DISPUTE, seller="acct_bakery", currency="usd") == -7_000
    assert life.waiting() == []
    assert "held until the dispute is decided" in life.finding("charge_disputed").text
    life.hour()
    assert life.waiting() == []
    life.market.sandbox.close_dispute(dispute["id"], won=True)
    life.hear()
    row.refresh_from_db()
    assert (row.held, row.open) == (0, 7_000)
    assert [one.amount for one in life.waiting()] == [7_000]
    life.say_yes()
    assert life.finding("charge_disputed") is None
    assert life.amounts() == [7_000]
    life.looks_the_same_after_a_replay()
    life.prove()


def test_a_dispute_on_a_part_holds_that_part_of_a_period(life):
    life.terms("schedule: daily")
    life.funds()
    life.sold(10_000)
    disputed = life.sold(10_000)
    life.market.sandbox.create_dispute(life.market.charge_of(disputed), amount=4_000)
    life.hear()
    assert (life.earning(disputed).held, life.earning(disputed).open) == (2_800, 4_200)
    life.days(1)
    assert [one.amount for one in life.waiting()] == [11_200]
    life.say_yes()
    life.prove()


def test_a_lost_dispute_is_claimed_taken_back_and_closed(life):
    invoice = life.sold(10_000)
    life.say_yes()
    dispute = life.market.sandbox.create_dispute(life.market.charge_of(invoice))
    life.hear()
    row = life.earning(invoice)
    assert (row.held, row.claimed, row.paid) == (0, 0, 7_000)  # nothing is left to hold
    life.market.sandbox.close_dispute(dispute["id"], won=False)
    life.hear()
    row.refresh_from_db()
    assert (row.taken, row.claimed) == (7_000, 7_000)
    (reversal,) = life.waiting("transfer_reversal")
    assert (reversal.amount, reversal.reason_code) == (7_000, "dispute_lost")
    life.say_yes("transfer_reversal")
    row.refresh_from_db()
    assert (row.claimed, row.paid, row.open) == (0, 0, 0)
    assert PayoutRecord.objects.get().state == PayoutState.REVERSED
    assert journal.balance(Account.RECEIVABLE, currency="usd") == 0
    life.looks_the_same_after_a_replay()
    life.prove()


@pytest.mark.parametrize("heard", ["one by one", "at once"])
def test_the_months_report_tells_what_was_lost_in_a_dispute_from_what_was_refunded(life, lead, heard):
    life.terms('reserve_percent: "10", reserve_days: 30, tax_withholding_percent: "10"')
    charge = life.market.charge_of(life.sold(10_000))
    life.market.sandbox.refund(charge, 2_000)
    if heard == "one by one":
        life.hear()
    dispute = life.market.sandbox.create_dispute(charge, amount=5_000)
    if heard == "one by one":
        life.hear()
    life.market.sandbox.close_dispute(dispute["id"], won=False)
    life.hear()
    report = reports.one("2026-11", "acct_bakery", user=lead)
    lines = report.parts[0].lines
    # 20 % and 50 % of a share of 7,000, less the same parts of the tax (700) and the reserve (630).
    assert (lines["refunds"], lines["disputes"]) == (-1_400 + 140 + 126, -3_500 + 350 + 315)
    assert report.ties
    (lost,) = JournalEntry.objects.filter(kind="taken", source=dispute["id"])
    assert lost.seller == "acct_bakery"
    life.looks_the_same_after_a_replay()
    life.prove()


def test_what_was_approved_before_a_dispute_is_not_carried_out(life):
    invoice = life.sold(10_000)
    (suggestion,) = life.waiting()
    life.approve(suggestion)
    life.market.sandbox.create_dispute(life.market.charge_of(invoice))
    life.market.run_jobs()  # nobody has heard of it: the check before the transfer reads Stripe
    suggestion.refresh_from_db()
    assert suggestion.state == State.STALE
    assert life.amounts() == []
    life.hear()
    assert life.earning(invoice).held == 7_000
    life.prove()


def test_a_period_approved_before_a_refund_is_worked_out_anew(life):
    life.terms("schedule: daily")
    life.funds()
    life.sold(10_000)
    refunded = life.sold(10_000)
    life.days(1)
    (suggestion,) = life.waiting()
    assert suggestion.amount == 14_000
    life.approve(suggestion)
    life.market.api.v1.refunds.create({"charge": life.market.charge_of(refunded)})
    life.market.run_jobs()
    suggestion.refresh_from_db()
    assert suggestion.state == State.STALE
    assert life.amounts() == []
    life.hear()
    life.hour()
    assert [one.amount for one in life.waiting()] == [7_000]
    life.say_yes()
    life.prove()


# -- destination charges -----------------------------------------------------------------------------------------------


def destination_charge(life, amount=10_000, fee=3_000):
    invoice = life.market.paid(
        ("acct_bakery", amount), transfer_data={"destination": "acct_bakery"}, application_fee_amount=fee
    )
    life.hear()
    return invoice


def test_what_stripe_moved_with_the_payment_is_paid_and_nothing_is_suggested(life):
    invoice = destination_charge(life)
    row = life.earning(invoice)
    assert (row.moved_by_stripe, row.share, row.paid, row.open) == (True, 7_000, 7_000, 0)
    assert Suggestion.objects.count() == 0
    record = PayoutRecord.objects.get()
    assert (record.state, record.amount, record.suggestion) == (PayoutState.TRANSFERRED, 10_000, None)
    assert JournalEntry.objects.filter(kind="application_fee").count() == 1
    assert life.finding("fee_mismatch") is None
    life.looks_the_same_after_a_replay()
    life.prove()


def test_nothing_is_kept_in_reserve_of_what_stripe_moves_itself(life):
    life.terms('reserve_percent: "10", reserve_days: 30')
    row = life.earning(destination_charge(life))
    assert (row.reserve, row.reserve_left, row.paid, row.open) == (0, 0, 7_000, 0)
    life.prove()


@pytest.mark.parametrize("first", ["transfer", "invoice"])
def test_the_order_of_a_destination_charges_events_does_not_matter(life, first):
    invoice = life.market.paid(
        ("acct_bakery", 10_000), transfer_data={"destination": "acct_bakery"}, application_fee_amount=3_000
    )
    events = life.market.sandbox.events()
    transfers = [event for event in events if event["type"].startswith("transfer.")]
    assert transfers
    life.market.deliver(
        order=lambda fresh: transfers if first == "transfer" else [e for e in fresh if e not in transfers]
    )
    life.market.deliver(order=lambda fresh: events)
    life.market.run_jobs()
    row = life.earning(invoice)
    assert (row.paid, row.open) == (7_000, 0)
    life.prove()


def test_another_application_fee_than_the_rules_is_told(life):
    invoice = destination_charge(life, fee=1_000)
    row = life.earning(invoice)
    assert (row.paid, row.open) == (9_000, -2_000)
    finding = life.finding("fee_mismatch")
    assert (finding.subject, finding.amount) == (invoice.id, 2_000)
    assert "USD 90.00" in finding.text
    life.prove()


def test_a_refunded_destination_charge_gives_back_transfer_and_fee(life):
    invoice = destination_charge(life)
    life.refund(invoice, 5_000, reverse_transfer=True, refund_application_fee=True)
    row = life.earning(invoice)
    assert row.taken == 3_500
    assert (row.paid, row.open, row.claimed) == (3_500, 0, 0)
    assert life.waiting("transfer_reversal") == []
    life.looks_the_same_after_a_replay()
    life.prove()


def test_a_destination_charge_refunded_by_the_platform_alone_is_claimed(life):
    invoice = destination_charge(life)
    life.refund(invoice, 5_000)
    assert life.earning(invoice).claimed == 3_500
    assert [one.amount for one in life.waiting("transfer_reversal")] == [3_500]
    life.say_yes("transfer_reversal")
    assert life.earning(invoice).claimed == 0
    life.prove()
