"""verify_ledger's checks of settlements, and payouts from before there were earnings."""

from __future__ import annotations

import pytest
from django.db import connection

from billingops.actors import Actor
from settlements import services, verifying
from settlements.ledger.models import JournalEntry
from settlements.models import Earning, PayoutItem, PayoutRecord

pytestmark = pytest.mark.django_db


def say(count: int) -> None:
    pass


@pytest.fixture
def paid(market, approve):
    invoice = market.paid(("acct_bakery", 10_000), ("acct_studio", 2_000, 3), ("", 500))
    market.deliver()
    for record in PayoutRecord.objects.live():
        approve(record)
    market.run_jobs()
    market.deliver()
    return invoice


def test_subledger_records_and_ledger_agree_after_payouts_and_a_refund(market, paid):
    market.api.v1.refunds.create({"charge": market.charge_of(paid), "amount": 4_000})
    market.deliver()
    assert JournalEntry.objects.filter(kind="taken").exists()
    assert verifying.earnings_agree(say).difference is None
    outcome = verifying.payouts_agree(say)
    assert (outcome.difference, outcome.checked) == (None, 2)


@pytest.mark.parametrize("column", ["open", "held", "reserve_left", "claimed"])
def test_an_earning_that_says_something_else_is_named(market, paid, column):
    row = Earning.objects.get(account="acct_bakery")
    Earning.objects.filter(pk=row.pk).update(**{column: getattr(row, column) + 1})
    difference = verifying.earnings_agree(say).difference
    assert difference is not None
    assert difference.where == f"earning of acct_bakery on {paid.id}, {column}"


def test_a_payout_without_its_entry_and_one_of_another_amount_are_named(market, paid):
    record = PayoutRecord.objects.get(account="acct_bakery")
    with connection.cursor() as cursor:
        cursor.execute("UPDATE settlements_payoutrecord SET amount = amount + 1 WHERE id = %s", [record.pk])
    difference = verifying.payouts_agree(say).difference
    assert difference is not None
    assert f"payout record {record.pk}" in difference.where


def test_what_was_paid_before_there_were_earnings_is_taken_over_and_not_paid_again(market, paid):
    entries = JournalEntry.objects.count()
    forget()
    market.import_config(open_rules())
    services.settle_invoice(invoice_id=paid.id, actor=Actor.system("test"))
    market.run_jobs()
    market.deliver()
    assert PayoutRecord.objects.count() == 2
    assert {(row.account, row.share, row.paid, row.open) for row in Earning.objects.all()} == {
        ("acct_bakery", 7_000, 7_000, 0),
        ("acct_studio", 4_500, 4_500, 0),
    }
    assert PayoutItem.objects.filter(state="settled").count() == 2
    assert JournalEntry.objects.count() == entries
    assert verifying.earnings_agree(say).difference is None
    assert verifying.payouts_agree(say).difference is None


def open_rules() -> str:
    """The same sellers, with rules that would share differently today."""
    from settlements.tests.conftest import CONFIG

    return CONFIG.replace('"70"', '"90"')


def forget() -> None:
    """As a database looks that is brought up from the version before."""
    from settlements.ledger import triggers
    from settlements.ledger.models import Posting

    PayoutItem.objects.all().delete()
    Earning.objects.all().delete()
    connection.check_constraints()  # PostgreSQL alters no table that has checks to come
    triggers.remove(connection)
    Posting.objects.all().delete()
    JournalEntry.objects.all().delete()
    connection.check_constraints()
    triggers.install(connection)
