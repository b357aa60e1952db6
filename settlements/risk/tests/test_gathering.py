"""Where the facts come from: earnings, the mirror, bank changes, and two names that are only compared."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.utils import timezone

from billingops.stripe.models import MirroredObject
from settlements.models import Earning, Seller, SellerBankChange
from settlements.risk import gathering

NOW = datetime(2026, 11, 22, 15, tzinfo=UTC)


@pytest.mark.parametrize(
    ("configured", "stripe", "alike"),
    [
        ("Bakery Supplies", ["Bakery Supplies"], 100),
        ("Bakery Supplies", ["BAKERY SUPPLIES LTD."], 100),
        ("Studio Lumière", ["Studio Lumiere GmbH"], 100),
        ("Rosen Jenny", ["Jenny Rosen"], 100),
        ("Bakery", ["Bakery Supplies"], 100),
        ("Bakery Supplies", ["Jenny Rosen", "Bakery Supplies"], 100),  # the likest counts
        ("Bakery Supplies", [], None),
        ("Bakery Supplies", ["", " "], None),
        ("", ["Bakery"], None),
        ("Limited", ["Limited"], 100),  # nothing but a legal form is a name all the same
        ("京都陶芸", ["京都陶芸"], 100),
    ],
)
def test_names_are_compared_by_their_words(configured, stripe, alike):
    assert gathering.alike(configured, stripe) == alike


@pytest.mark.parametrize(
    ("configured", "stripe", "below"),
    [("Bakery Supplies", "Quick Cash Zulu", 50), ("Bakery Supplies", "Bakry Suply", 99)],
)
def test_names_that_differ_are_less_alike(configured, stripe, below):
    assert gathering.alike(configured, [stripe]) < below


def earn(seller, number, *, days=1, base=10_000, currency="usd"):
    at = NOW - timedelta(days=days)
    return Earning.objects.create(
        seller=seller,
        account=seller.account,
        invoice=f"in_{number}",
        charge=f"ch_{number}",
        currency=currency,
        paid_at=at,
        due_on=at.date(),
        base=base,
        fee=0,
        share=base,
    )


def mirrored(kind, number, status="succeeded", copy=""):
    MirroredObject.objects.create(
        object_type=kind, object_id=f"{kind}_{number}{copy}", parent_id=f"ch_{number}", status=status, created=NOW
    )


@pytest.fixture
def seller(stripe_api, db):
    stripe_api.v1.accounts.create({"id": "acct_bakery", "type": "express", "business_profile": {"name": "Bakery Ltd"}})
    return Seller.objects.create(account="acct_bakery", name="Bakery Supplies")


def test_payments_refunds_and_disputes_are_counted_once_each(seller):
    other = Seller.objects.create(account="acct_other", name="Other")
    for number in range(10):
        earn(seller, number)
    earn(seller, 90, days=91)
    earn(other, 91)
    for number in (0, 1, 90, 91):
        mirrored("dispute", number, "needs_response")
    mirrored("dispute", 2, "warning_needs_response")  # a question, no dispute yet
    mirrored("dispute", 3, "won")
    mirrored("refund", 4)
    mirrored("refund", 4, copy="again")
    mirrored("refund", 5, "failed")
    found = gathering.gather("acct_bakery", now=NOW, live=True)
    assert (found.payments, found.disputed, found.refunded) == (10, 3, 1)


def test_sales_fall_into_weeks_that_end_today(seller):
    for number, (days, base) in enumerate([(0, 1), (6, 2), (7, 4), (13, 8), (62, 16), (63, 32)]):
        earn(seller, number, days=days, base=base)
    earn(seller, 99, days=2, base=5, currency="jpy")
    weeks = gathering.gather("acct_bakery", now=NOW, live=True).weeks
    assert weeks == {"usd": (3, 12, 0, 0, 0, 0, 0, 0, 16), "jpy": (5, 0, 0, 0, 0, 0, 0, 0, 0)}


def test_the_account_that_is_named_at_the_start_is_no_change(seller, stripe_api):
    def change(number, what, at):
        SellerBankChange.objects.create(account="acct_bakery", what=what, event_id=f"evt_{number}", at=at)

    change(1, "created", timezone.now())
    assert gathering.gather("acct_bakery", now=timezone.now(), live=True).bank_changed_on is None
    change(2, "updated", timezone.now())
    assert gathering.gather("acct_bakery", now=timezone.now(), live=True).bank_changed_on == timezone.now().date()


def test_what_stripe_asks_for_is_counted_and_overdue_items_once(seller, sandbox):
    sandbox.restrict_account("acct_bakery")
    found = gathering.gather("acct_bakery", now=NOW, live=True)
    assert (found.disabled_reason, found.past_due, found.currently_due) == ("requirements.past_due", 1, 0)
    assert (found.country, found.business_type, found.names) == ("US", "company", 100)


def test_the_facts_cost_the_same_for_any_number_of_payments(seller, stripe_api, django_assert_num_queries):
    from billingops.stripe import sync

    sync.refresh("account", "acct_bakery")
    for number in range(3):
        earn(seller, number)
        mirrored("refund", number)
    with django_assert_num_queries(6):
        gathering.gather("acct_bakery", now=NOW, live=False)
    for number in range(3, 40):
        earn(seller, number)
        mirrored("refund", number)
    with django_assert_num_queries(6):
        gathering.gather("acct_bakery", now=NOW, live=False)


def test_an_account_that_stripe_no_longer_shows_has_disconnected(db, stripe_api):
    assert gathering.gather("acct_gone", now=NOW, live=True).disconnected
    assert gathering.gather("acct_gone", now=NOW, live=False) is None
