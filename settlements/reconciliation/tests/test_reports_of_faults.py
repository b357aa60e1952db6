"""What is wrong in the books is named in the month's report as an open difference, each side in its own currency."""

from __future__ import annotations

import pytest

from settlements.reconciliation import months, reports
from settlements.reconciliation.engine import reconcile
from settlements.reconciliation.models import ReconciliationItem
from settlements.reconciliation.states import State
from settlements.reconciliation.tests.books import FAULTS, Books

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("name", sorted(FAULTS))
def test_open_differences_account_for_all_that_ledger_and_stripe_differ_by(name, lead):
    books = Books()
    books.agree(6)
    FAULTS[name](books)
    books.store()
    reconcile(trigger="test")
    found = {months.name(at) for at in ReconciliationItem.objects.values_list("occurred_at", flat=True)}
    for month in found:
        report = reports.one(month, "", user=lead)
        assert report is not None
        for part in report.parts:
            assert part.unexplained == 0, (part.title, part.verdict)


def test_where_two_currencies_meet_each_side_is_open_in_its_own(lead):
    books = Books()
    FAULTS["booked_in_another_currency"](books)
    books.store()
    reconcile(trigger="test")
    item = ReconciliationItem.objects.get(state=State.CURRENCY_MISMATCH)
    assert (item.currency, item.ledger_currency) == ("usd", "eur")
    report = reports.one(months.name(item.occurred_at), "", user=lead)
    assert report is not None
    assert sorted((part.currency, part.unmatched > 0, part.open_items) for part in report.parts) == [
        ("eur", item.ledger > 0, 1), ("usd", False, 1),
    ]  # fmt: skip
