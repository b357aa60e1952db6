"""A month's report stays true when its differences are settled later, or when a pair stands over the month's end."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from settlements.ledger.accounts import Kind
from settlements.reconciliation import corrections, months, reports
from settlements.reconciliation.engine import reconcile
from settlements.reconciliation.models import ReconciliationItem
from settlements.reconciliation.reports import SETTLED_LABEL, Part
from settlements.reconciliation.states import State
from settlements.reconciliation.tests.books import NOW, Movement, movement, post, store_transactions
from settlements.reconciliation.tests.test_after_a_correction import put_right

pytestmark = pytest.mark.django_db
TURN = NOW.replace(day=1, hour=0, minute=0, second=0, microsecond=0)  # between this month and the last
LAST_MONTH = TURN - timedelta(days=10)


def look(**given: Any) -> None:
    reconcile(trigger="test", **given)


def cash(at: datetime, user: Any, *, account: str = "", currency: str = "usd") -> Part:
    report = reports.one(months.name(at), account, user=user)
    assert report is not None
    return next(part for part in report.parts if (part.what, part.currency) == ("cash", currency))


def store(*movements: Movement) -> None:
    store_transactions(*(one.txn for one in movements))
    post(*(one.entry for one in movements))


def in_both_months() -> list[Movement]:
    return [movement(at=LAST_MONTH - timedelta(days=1)), movement(Kind.PAYOUT, at=min(TURN + timedelta(days=1), NOW))]


@pytest.mark.parametrize("write_off", [False, True])
def test_a_difference_that_is_settled_a_month_later_leaves_both_months_tying(finance, lead, write_off):
    one = movement(at=LAST_MONTH)
    one.entry |= {"fee": one.txn["fee"] - 30, "cash": one.txn["net"] + 30}
    store(one, *in_both_months())
    look()
    assert cash(LAST_MONTH, lead).verdict == "ties, with USD 0.30 of it in open differences"
    assert cash(NOW, lead).verdict == "ties"
    put_right(ReconciliationItem.objects.get(), finance, lead, write_off=write_off)
    for _ in range(2):
        before, after = cash(LAST_MONTH, lead), cash(NOW, lead)
        assert (before.verdict, before.settled, before.unmatched) == ("ties", 30, 0)
        assert (after.verdict, after.settled, after.unmatched) == ("ties", -30, 0)
        look(full=True)


def test_a_pair_by_amount_over_the_months_end_ties_in_both(lead):
    one = movement(Kind.PAYOUT, at=TURN - timedelta(hours=1))
    one.entry |= {"source": "", "balance_transaction": "", "occurred_at": TURN + timedelta(hours=1)}
    store(one, *in_both_months())
    look()
    assert ReconciliationItem.objects.get().state == State.MATCHED
    before, after = cash(LAST_MONTH, lead), cash(NOW, lead)
    assert (before.verdict, after.verdict) == ("ties", "ties")
    assert (before.settled, after.settled) == (-one.txn["net"], one.txn["net"])


@pytest.mark.parametrize("entry_first", [False, True])
def test_a_pair_by_id_over_the_months_end_ties_in_both(lead, entry_first):
    one = movement(Kind.TRANSFER, at=TURN - timedelta(seconds=1))
    late = one.txn if entry_first else one.entry
    late |= {"created" if entry_first else "occurred_at": TURN}
    store(one)
    look()
    assert not ReconciliationItem.objects.exists()
    before, after = cash(LAST_MONTH, lead), cash(NOW, lead)
    assert (before.verdict, after.verdict) == ("ties", "ties")
    assert before.settled == -after.settled == (one.txn["net"] if entry_first else -one.txn["net"])


def test_what_is_left_within_the_tolerance_is_said_and_ties(lead, settings):
    settings.RECONCILIATION_TOLERANCE = {"usd": 5}
    one = movement(Kind.PAYOUT, at=LAST_MONTH)
    one.entry |= {"source": "", "balance_transaction": "", "cash": one.txn["net"] + 3}
    store(one, movement(at=LAST_MONTH))
    look()
    part = cash(LAST_MONTH, lead)
    assert (part.verdict, part.settled) == ("ties", 3)


def test_the_page_says_what_was_settled_elsewhere(lead, client, finance):
    one = movement(at=LAST_MONTH)
    one.entry["cash"] += 30
    store(one)
    look()
    put_right(ReconciliationItem.objects.get(), finance, lead)
    client.force_login(lead)
    url = f"/admin/reconciliation/months/{months.name(LAST_MONTH)}/platform/"
    page = client.get(url).content.decode()
    assert SETTLED_LABEL in page
    assert SETTLED_LABEL in b"".join(client.get(url, {"format": "csv"}).streaming_content).decode()


def test_a_balance_that_only_stripe_moved_is_not_left_out(lead):
    store_transactions(movement(Kind.PAYOUT, gross=-99_900, at=LAST_MONTH).txn)
    part = cash(LAST_MONTH, lead)
    assert part.verdict == "USD 999.00 more in the ledger than at Stripe, unexplained"
    look()
    assert cash(LAST_MONTH, lead).verdict == "ties, with USD 999.00 of it in open differences"


def test_a_balance_that_only_the_ledger_moved_does_not_tie_before_a_run_has_seen_it(lead):
    post(movement(Kind.TRANSFER, gross=-5_000, at=LAST_MONTH).entry)
    part = cash(LAST_MONTH, lead)
    assert (part.stripe, part.verdict) == (0, "USD 50.00 less in the ledger than at Stripe, unexplained")


def test_a_difference_between_two_currencies_is_one_difference(lead):
    one = movement(at=LAST_MONTH)
    one.entry["currency"] = "eur"
    store(one)
    look()
    report = reports.one(months.name(LAST_MONTH), "", user=lead)
    assert report is not None
    assert (report.open_items, [part.open_items for part in report.parts]) == (1, [1, 1])
    assert "1 difference is still to be explained" in report.built_in_summary()


def test_a_fee_that_differs_alone_is_open_though_the_money_ties(lead):
    one = movement(at=LAST_MONTH)
    one.entry |= {"fee": 0, "cash": one.txn["net"]}
    store(one)
    look()
    assert corrections.gaps(ReconciliationItem.objects.get())
    assert cash(LAST_MONTH, lead).verdict == "ties, with 1 open difference"
