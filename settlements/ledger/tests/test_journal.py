"""Posting: what is written, what is left out, what is refused, and at what cost."""

from __future__ import annotations

import threading
import uuid
from dataclasses import replace

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from billingops.exceptions import InvalidInput
from settlements.ledger import journal
from settlements.ledger.accounts import Account
from settlements.ledger.journal import Line, Unbalanced
from settlements.ledger.models import JournalEntry, Posting
from settlements.ledger.tests.build import ACTOR, NOON, charge, post, sale


def test_an_entry_is_stored_as_drafted_with_its_cash_and_its_actor(db):
    suggestion = uuid.uuid4()
    draft = charge(balance_transaction="txn_1", text="A payment", suggestion=suggestion, invoice="in_1")
    (entry,) = post(draft)
    stored = JournalEntry.objects.get(key="charge:ch_1")
    assert stored == entry
    assert (stored.kind, stored.book, stored.seller, stored.currency, stored.occurred_at) == (
        "charge", "", "", "usd", NOON,
    )  # fmt: skip
    assert (stored.cash, stored.fee, stored.source, stored.balance_transaction) == (9_680, 320, "ch_1", "txn_1")
    assert (stored.actor, stored.text, stored.suggestion, stored.invoice) == (
        "system:test", "A payment", suggestion, "in_1",
    )  # fmt: skip
    assert list(stored.postings.values_list("account", "amount", "invoice", "currency")) == [
        ("cash", 9_680, "", "usd"),
        ("stripe_fees", 320, "", "usd"),
        ("receivable", -10_000, "in_1", "usd"),
    ]


def test_the_same_key_is_posted_once_whether_twice_in_one_call_or_in_two(db):
    assert len(post(charge(1), charge(2), charge(1, amount=5))) == 2
    (third,) = post(charge(2), charge(3), charge(1))
    assert third.key == "charge:ch_3"
    assert post(charge(1)) == []
    assert JournalEntry.objects.count() == 3
    assert Posting.objects.count() == 9
    assert JournalEntry.objects.get(key="charge:ch_1").cash == 9_680


def test_what_was_posted_comes_back_in_the_order_given(db):
    keys = [entry.key for entry in post(charge(3), charge(1), charge(2))]
    assert keys == ["charge:ch_3", "charge:ch_1", "charge:ch_2"]


def test_lines_of_zero_are_left_out(db):
    (entry,) = post(charge(fee=0))
    assert list(entry.postings.values_list("account", flat=True)) == ["cash", "receivable"]


def test_a_correction_names_what_it_corrects(db):
    (entry,) = post(charge())
    lines = (Line(Account.SUSPENSE, 5), Line(Account.CASH, -5))
    by_object, by_id = post(
        charge(2, key="c:1", kind="correction", lines=lines, corrects=entry),
        charge(2, key="c:2", kind="correction", lines=lines, corrects=entry.pk),
    )
    assert by_object.corrects_id == by_id.corrects_id == entry.pk
    assert set(entry.corrections.all()) == {by_object, by_id}


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"lines": (Line(Account.CASH, 5), Line(Account.RECEIVABLE, -4))}, "differ by 1 minor units of usd"),
        ({"lines": (Line(Account.CASH, 0), Line(Account.RECEIVABLE, 0))}, "it has 0 postings"),
        ({"lines": (Line(Account.CASH, 5), Line(Account.RECEIVABLE, 0))}, "it has 1 postings"),
        ({"lines": ()}, "it has 0 postings"),
        ({"lines": (Line(Account.CASH, 5.0), Line(Account.RECEIVABLE, -5))}, "5.0 on cash is no whole number"),
        ({"lines": (Line(Account.CASH, True), Line(Account.RECEIVABLE, -1))}, "True on cash is no whole number"),
        ({"lines": (Line(Account.CASH, 2**63), Line(Account.RECEIVABLE, -(2**63)))}, "is no whole number"),
        ({"lines": (Line("petty", 5), Line(Account.RECEIVABLE, -5))}, "'petty' is no account"),
        ({"kind": "gift"}, "'gift' is no kind of entry"),
        ({"currency": "USD"}, "'USD' is no lower-case ISO currency"),
        ({"currency": "us"}, "'us' is no lower-case ISO currency"),
        ({"fee": 1.5}, "its fee 1.5 is no whole number"),
        ({"occurred_at": NOON.replace(tzinfo=None)}, "its time names no zone"),
        ({"key": ""}, "it has no key"),
    ],
)
def test_a_draft_that_is_no_entry_is_refused_by_name_and_nothing_of_the_call_is_posted(db, change, why):
    with pytest.raises(Unbalanced, match="was not posted") as caught:
        post(charge(1), replace(charge(2), **change))
    assert why in str(caught.value)
    assert isinstance(caught.value, InvalidInput)
    assert (repr(change["key"]) if "key" in change else "charge:ch_2") in str(caught.value)
    assert not JournalEntry.objects.exists()
    assert not Posting.objects.exists()


@pytest.mark.parametrize("number", [1, 400])
def test_posting_takes_three_statements_however_many_drafts(db, number):
    drafts = [sale(n) for n in range(number)]
    with (
        transaction.atomic(),
        CaptureQueriesContext(
            connection,
        ) as seen,
    ):
        journal.post(drafts, actor=ACTOR)
    statements = [query["sql"] for query in seen if "SAVEPOINT" not in query["sql"]]
    assert len(statements) == 3
    assert Posting.objects.count() == 3 * number
    with transaction.atomic(), CaptureQueriesContext(connection) as seen:
        journal.post(drafts, actor=ACTOR)
    assert len([query for query in seen if "SAVEPOINT" not in query["sql"]]) == 1


def test_nothing_to_post_asks_nothing(db, django_assert_num_queries):
    with django_assert_num_queries(0):
        assert journal.post([], actor=ACTOR) == []


def test_what_is_posted_goes_with_the_callers_transaction(db):
    with transaction.atomic():
        post(charge())
        transaction.set_rollback(True)
    assert not JournalEntry.objects.exists()


@pytest.mark.postgres
def test_two_who_post_the_same_keys_at_the_same_time_post_them_once(transactional_db):
    """Each looks, finds nothing, and meets the other's rows on insert; both have one key of their own besides."""
    barrier = threading.Barrier(2, timeout=20)
    results: list[set[str]] = []
    errors: list[BaseException] = []

    def run(own: int, order: int) -> None:
        try:
            drafts = [*[charge(n) for n in range(1, 21)][::order], charge(own)]
            barrier.wait()
            results.append({entry.key for entry in journal.post(drafts, actor=ACTOR)})
        except BaseException as error:
            errors.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=args) for args in ((100, 1), (200, -1))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert not errors
    assert results[0] & results[1] == set()
    assert results[0] | results[1] == {f"charge:ch_{n}" for n in [*range(1, 21), 100, 200]}
    assert Posting.objects.count() == 22 * 3


def test_a_key_that_appears_between_the_look_and_the_insert_is_left_out(db, monkeypatch):
    post(charge(1))
    real, looks = journal._keys_there, []

    def too_early(keys: list[str]) -> set[str]:
        looks.append(keys)
        return real(keys) if len(looks) > 1 else set()

    monkeypatch.setattr(journal, "_keys_there", too_early)
    (entry,) = post(charge(1), charge(2))
    assert entry.key == "charge:ch_2"
    assert (JournalEntry.objects.count(), Posting.objects.count()) == (2, 6)


# -- balances ----------------------------------------------------------------------------------------------------------


def test_balances_are_debits_less_credits_per_account_seller_and_currency(db, django_assert_num_queries):
    post(sale(1), sale(2, share=6_000), sale(1, "acct_2", share=9_000), sale(3, currency="eur", share=100), charge(1))
    with django_assert_num_queries(2):
        assert journal.balance(Account.SELLER_PAYABLE, seller="acct_1", currency="usd") == -13_000
    assert journal.balance("seller_payable", seller="acct_1", currency="eur") == -100
    assert journal.balance("cash", currency="usd") == 9_680
    assert journal.balance("cash", currency="jpy") == 0
    assert journal.balance("seller_payable", currency="usd") == 0
    with django_assert_num_queries(2):
        assert journal.balances(Account.SELLER_PAYABLE) == {
            ("acct_1", "eur"): -100,
            ("acct_1", "usd"): -13_000,
            ("acct_2", "usd"): -9_000,
        }
    assert journal.balances("seller_payable", "acct_2") == {("acct_2", "usd"): -9_000}
    assert journal.balances("receivable") == {
        ("", "usd"): -10_000, ("acct_1", "eur"): 10_000, ("acct_1", "usd"): 20_000, ("acct_2", "usd"): 10_000,
    }  # fmt: skip
    assert journal.balances("cash", "acct_1") == {}
