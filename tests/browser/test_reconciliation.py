"""Reconciliation in a real browser: on a phone, in both themes, without scripts. BILLINGOPS_SCREENSHOTS=folder keeps
pictures."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
from django.urls import reverse

from approvals.models import Suggestion
from settlements.ledger import journal
from settlements.ledger.accounts import Account, Kind
from settlements.models import Seller
from settlements.reconciliation import months
from settlements.reconciliation.engine import reconcile
from settlements.reconciliation.models import ReconciliationItem
from settlements.reconciliation.tests.books import ACTOR, FAULTS, LONG_AGO, Books, movement, post, store_transactions
from settlements.reconciliation.tests.test_reports import move, sale

MONTH = months.name(LONG_AGO)
LIST = "admin:reconciliation_reconciliationitem_changelist"


@pytest.fixture
def item(transactional_db: None) -> ReconciliationItem:
    """Books with one difference of each kind, a seller's month in them; the top-up that nobody booked."""
    Seller.objects.create(account="acct_bakery", name="Bakery Supplies")
    moves = (
        move("taken:1", Kind.TAKEN, "acct_bakery", -1_750, Account.RECEIVABLE, source="re_1"),
        move("claim:1", Kind.CLAIM, "acct_bakery", 1_750, Account.REVERSAL),
    )
    journal.post(
        [
            *(sale("acct_bakery", number, at=LONG_AGO) for number in (1, 2, 3)),
            *(type(one)(**{**vars(one), "occurred_at": LONG_AGO}) for one in moves),
        ],
        actor=ACTOR,
    )
    books = Books()
    books.agree(20)
    for break_something in FAULTS.values():
        break_something(books)
    books.store()
    arrival = movement(Kind.CHARGE, account="acct_bakery", gross=5_000, fee=0)
    post({**arrival.entry, "kind": Kind.TRANSFER, "counter": Account.SETTLED})
    store_transactions(arrival.txn)
    reconcile(trigger="test")
    return ReconciliationItem.objects.filter(cause="topup")[0]


@pytest.mark.parametrize(("width", "dark"), [(360, False), (360, True), (1280, False), (1280, True)])
def test_differences_and_reports_are_readable_and_accessible(
    item: ReconciliationItem,
    open_page: Callable[..., Any],
    serious: Callable[..., list[str]],
    lead: Any,
    width: int,
    dark: bool,
) -> None:
    for name, path, words in (
        ("list", reverse(LIST), "top-up"),
        ("item", reverse("admin:reconciliation_reconciliationitem_change", args=[item.pk]), "Suggested correction"),
        ("months", reverse("admin:reconciliation_month", args=[MONTH]), "Bakery Supplies"),
        ("seller", reverse("admin:reconciliation_report", args=[MONTH, "acct_bakery"]), "It ties."),
        ("platform", reverse("admin:reconciliation_report", args=[MONTH, "platform"]), "Unmatched"),
    ):
        page = open_page(lead, path, width=width, dark=dark)
        page.get_by_text(words).locator("visible=true").first.wait_for()
        if shots := os.environ.get("BILLINGOPS_SCREENSHOTS"):
            page.screenshot(path=f"{shots}/recon-{name}-{width}-{'dark' if dark else 'light'}.png", full_page=True)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name
        assert serious(page) == [], name


def test_a_correction_is_suggested_and_a_month_chosen_without_scripts(
    item: ReconciliationItem, open_page: Callable[..., Any], lead: Any
) -> None:
    page = open_page(lead, reverse("admin:reconciliation_reconciliationitem_change", args=[item.pk]), scripts=False)
    page.get_by_label("Why this is right").fill("The treasurer topped the balance up, see the bank statement.")
    page.get_by_role("button", name="Suggest this correction").click()
    suggestion = Suggestion.objects.get(kind="ledger_correction")
    item.refresh_from_db()
    assert (suggestion.state, item.suggestion, item.is_open) == ("pending", suggestion.pk, True)
    page = open_page(lead, reverse("admin:reconciliation_months"), scripts=False)
    page.get_by_label("Month").select_option(MONTH)
    page.get_by_role("button", name="Show").click()
    page.get_by_role("link", name="Bakery Supplies").first.click()
    assert page.get_by_text("Claimed back, still to be reversed").is_visible()
