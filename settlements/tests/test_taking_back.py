"""What is to be taken back is told as it is, asked for to the end, and booked once however it comes."""

from __future__ import annotations

import pytest
from django_q.models import OrmQ

from approvals import services as gate
from approvals.models import Policy, Suggestion
from billingops.actors import Actor
from billingops.stripe import sync
from settlements import tasks
from settlements.ledger import journal
from settlements.ledger.accounts import Account
from settlements.models import Finding
from settlements.reconciliation import reports
from settlements.tests.life import Life
from settlements.trace import statement

pytestmark = pytest.mark.django_db


def rejected(suggestion: Suggestion, finance, *, reason: str) -> None:
    actor = Actor.person(finance)
    gate.reject(suggestion_id=suggestion.pk, actor=actor, version=suggestion.version, reason_code=reason)


def asked_back(life: Life, *, refunded: int) -> tuple[object, Suggestion]:
    """The invoice of a sale that was paid out, and of which so much was refunded; and the reversal that waits."""
    invoice = life.sold(10_000)
    life.say_yes()
    life.refund(invoice, refunded)
    (reversal,) = life.waiting("transfer_reversal")
    return invoice, reversal


def test_a_rejected_reversal_is_netted_even_where_the_task_that_nets_it_got_lost(life, finance):
    invoice, reversal = asked_back(life, refunded=10_000)
    rejected(reversal, finance, reason="bad_timing")
    OrmQ.objects.all().delete()  # the worker died with it
    tasks.look_at_claims()
    life.market.run_jobs()
    row = life.earning(invoice)
    assert (row.claimed, row.open) == (0, -7_000)


def test_nothing_is_booked_or_told_of_what_a_reversal_in_the_dashboard_brought_before(life, finance):
    invoice, reversal = asked_back(life, refunded=5_000)
    life.market.api.v1.transfers.reversals.create(reversal.subject, {"amount": 3_500})
    life.hear()
    rejected(reversal, finance, reason="already_handled")
    life.market.run_jobs()
    row = life.earning(invoice)
    assert (row.claimed, row.open, row.paid) == (0, 0, 3_500)
    assert life.finding("take_back") is None
    life.prove()


def test_a_credit_that_is_to_be_taken_back_is_called_a_credit(life):
    invoice = life.sold(10_000)
    life.say_yes()
    life.market.api.v1.credit_notes.create({"invoice": invoice.id, "amount": 2_000, "credit_amount": 2_000})
    life.hear()
    (reversal,) = life.waiting("transfer_reversal")
    assert "USD 100.00 paid" in reversal.rationale
    assert "USD 20.00 credited" in reversal.rationale
    assert reversal.reason_code == "credited"


def test_what_stripe_moved_beyond_the_rules_is_told_with_what_is_taken_back(life):
    of = {"transfer_data": {"destination": "acct_bakery"}, "application_fee_amount": 1_000}
    invoice = life.market.paid(("acct_bakery", 10_000), **of)
    life.hear()
    life.refund(invoice, 100)
    (reversal,) = life.waiting("transfer_reversal")
    assert reversal.amount == 2_070
    assert "USD 20.00 of it Stripe moved beyond the rules' share" in reversal.rationale


def test_where_reversals_are_switched_off_each_transfer_is_told_and_closed_by_itself(life):
    life.terms("schedule: daily")
    life.funds()
    sold = []
    for amount in (10_000, 20_000):
        sold.append(life.sold(amount))
        life.days(1)
        life.say_yes()
    Policy.objects.create(kind="transfer_reversal", mode="off")
    for invoice in sold:
        life.refund(invoice)
    told = Finding.objects.open().filter(code="take_back")
    assert sorted(told.values_list("amount", flat=True)) == [7_000, 14_000]
    for transfer in life.market.transfers():
        life.market.api.v1.transfers.reversals.create(transfer.id, {})
    life.hear()
    life.hour()
    assert not told.exists()


@pytest.mark.parametrize("asked_again", [False, True])
def test_what_was_said_to_have_come_elsewhere_and_came_by_a_reversal_is_booked_once(life, finance, lead, asked_again):
    """Whoever rejects it as handled in the dashboard may be faster than Stripe's event of that."""
    invoice, reversal = asked_back(life, refunded=5_000)
    rejected(reversal, finance, reason="already_handled")
    life.market.run_jobs()
    assert life.finding("take_back").amount == 3_500
    if asked_again:  # of what is refunded later by itself
        life.refund(invoice, 1_000)
        life.say_yes("transfer_reversal")
        assert life.finding("take_back").amount == 3_500
    life.market.api.v1.transfers.reversals.create(reversal.subject, {"amount": 2_000})
    life.hear()
    assert life.finding("take_back") is not None
    life.market.api.v1.transfers.reversals.create(reversal.subject, {"amount": 1_500})
    life.hear()
    life.hour()
    row = life.earning(invoice)
    assert (row.claimed, row.open, row.paid) == (0, 0, 2_800 if asked_again else 3_500)
    assert (life.waiting(), life.finding("take_back")) == ([], None)
    assert journal.balance(Account.SUSPENSE, currency="usd") == 0
    life.looks_the_same_after_a_replay()
    life.prove()
    for account in ("", "acct_bakery"):
        sync.balance_transactions(account)
    assert reports.one("2026-11", "acct_bakery", user=lead).ties
    assert statement.of("acct_bakery", "2026-11", "usd").ties
