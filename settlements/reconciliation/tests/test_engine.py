"""The three passes over made-up books: every fault is found, in its state, with its cause, and nothing besides."""

from __future__ import annotations

import random
from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from billingops.stripe.models import MirroredBalanceTransaction
from settlements.reconciliation import by_id, config, sql
from settlements.reconciliation.engine import reconcile
from settlements.reconciliation.models import ReconciliationItem, ReconciliationLink, Run, Watermark
from settlements.reconciliation.states import How, State
from settlements.reconciliation.tests.books import FAULTS, NOW, Books, Found, movement, post, store_transactions

pytestmark = pytest.mark.django_db


def found() -> set[Found]:
    """Everything that reconciliation has a row for."""
    links: dict[int, tuple[list[str], list[str]]] = {}
    rows = ReconciliationLink.objects.values_list("item_id", "transaction__object_id", "entry__key")
    for item, transaction, entry in rows:
        mine = links.setdefault(item, ([], []))
        mine[0].append(transaction) if transaction else mine[1].append(entry)
    return {
        Found(
            item.state,
            "" if item.state == State.MATCHED else item.cause,  # a difference that has gone keeps what it was
            tuple(sorted(links[item.pk][0])),
            tuple(sorted(links[item.pk][1])),
            item.how,
        )
        for item in ReconciliationItem.objects.all()
        if item.pk in links
    }


def wanted(books: Books) -> set[Found]:
    return {
        Found(one.state, one.cause, tuple(sorted(one.transactions)), tuple(sorted(one.entries)), one.how)
        for one in books.found
    }


def look(**given: Any) -> Run:
    return reconcile(trigger="test", **given)


@pytest.mark.parametrize("name", sorted(FAULTS))
def test_a_fault_is_found_with_its_state_and_cause(name):
    books = Books()
    books.agree(10)
    FAULTS[name](books)
    books.agree(4, account="acct_bakery")
    books.store()
    look(full=True)
    assert sorted(map(str, found() ^ wanted(books))) == []


@pytest.mark.parametrize("full", [True, False])
def test_all_faults_at_once_are_found_and_none_besides(full):
    books = Books()
    books.agree(300)
    for _ in range(3):
        for break_something in FAULTS.values():
            break_something(books)
    books.store(random.Random(7))
    run = look(full=full)
    assert sorted(map(str, found() ^ wanted(books))) == []
    assert run.transactions == len(books.transactions)
    assert run.entries == len(books.entries)


def test_a_pair_that_agrees_leaves_no_row():
    books = Books()
    books.agree(50)
    books.store()
    run = look()
    assert (run.agreed, run.counts, ReconciliationItem.objects.count()) == (50, {}, 0)


def test_how_many_agree_is_of_what_was_looked_at_and_is_in_no_item(monkeypatch):
    monkeypatch.setattr(config, "OVERLAP", timedelta(0))
    books = Books()
    books.agree(10)
    FAULTS["two_entries_for_one_transaction"](books)
    FAULTS["transaction_of_today"](books)
    books.store()
    beside = movement()
    store_transactions(
        beside.txn, {**beside.txn, "object_id": f"{beside.ident}_fee", "amount": -9, "net": -9, "fee": 0}
    )
    post(beside.entry)
    assert [(run.transactions, run.agreed) for run in (look(full=True), look(full=True))] == [(14, 11)] * 2
    ReconciliationItem.objects.update(due_at=NOW)
    new = Books()
    new.agree(3)
    FAULTS["top_up"](new)
    new.store()
    run = look()
    assert (run.mode, run.transactions, run.agreed) == (Run.Mode.DELTA, 4, 3), "what was only due again is not new"


def test_running_again_changes_nothing():
    books = Books()
    for break_something in FAULTS.values():
        break_something(books)
    books.store()
    look(full=True)
    before = list(ReconciliationItem.objects.values())
    histories = ReconciliationItem.history.count()
    for full in (True, False, True):
        run = look(full=full)
        assert (run.opened, run.closed) == (0, 0)
    assert list(ReconciliationItem.objects.values()) == before
    assert ReconciliationItem.history.count() == histories


def test_a_difference_that_has_gone_closes_itself():
    one = movement()
    store_transactions(one.txn)
    look()
    item = ReconciliationItem.objects.get()
    assert item.state == State.MISSING_IN_LEDGER
    post(one.entry)
    run = look()
    item.refresh_from_db()
    assert (item.state, item.closed_by, run.closed) == (State.MATCHED, "system:reconciliation", 1)
    assert not ReconciliationLink.objects.exists(), "a pair that agrees needs no row"
    assert item.history.first().history_change_reason.startswith("the difference has gone")


def test_what_was_only_expected_goes_without_a_trace():
    one = movement(at=NOW)
    post(one.entry)
    look()
    assert ReconciliationItem.objects.get().state == State.EXPECTED
    store_transactions(one.txn)
    look()
    assert not ReconciliationItem.objects.exists()
    assert not ReconciliationItem.history.exists()


def test_what_is_expected_becomes_a_difference_when_its_grace_is_over(settings):
    one = movement(at=NOW)
    post(one.entry)
    look()
    ReconciliationItem.objects.update(due_at=NOW)
    settings.RECONCILIATION_ENTRY_GRACE_DAYS = 0
    run = look()
    item = ReconciliationItem.objects.get()
    assert (item.state, item.due_at, run.opened) == (State.MISSING_IN_STRIPE, None, 1)
    assert item.history.count() == 1


def test_a_transaction_that_changes_after_it_was_matched_is_looked_at_again():
    books = Books()
    FAULTS["two_entries_for_one_transaction"](books)
    books.store()
    look()
    assert ReconciliationItem.objects.get().state == State.MATCHED
    MirroredBalanceTransaction.objects.update(net=-5, amount=-5, synced_at=timezone.now())
    for full in (False, True):
        look(full=full)
        assert ReconciliationItem.objects.get().state == State.OVER


@pytest.mark.parametrize("full", [False, True])
def test_a_transaction_that_changes_and_changes_back_agrees_again(full, monkeypatch):
    monkeypatch.setattr(config, "OVERLAP", timedelta(0))
    one = movement()
    store_transactions(one.txn | {"source_id": ""})
    post(one.entry)
    look()
    MirroredBalanceTransaction.objects.update(net=-5, synced_at=timezone.now())
    look()
    assert ReconciliationItem.objects.get().state == State.OVER
    MirroredBalanceTransaction.objects.update(net=one.txn["net"], synced_at=timezone.now())
    run = look(full=full)
    assert (ReconciliationItem.objects.get().state, run.closed) == (State.MATCHED, 1)


def test_the_entry_that_names_a_transaction_wins_over_one_of_the_same_amount():
    books = Books()
    FAULTS["matched_by_amount"](books)
    books.store()
    look()
    assert ReconciliationItem.objects.get().how == How.AMOUNT
    named = {**books.entries[0], "key": "named", "balance_transaction": books.transactions[0]["object_id"]}
    post({**named, "source": books.transactions[0]["source_id"]})
    look()
    left = ReconciliationItem.objects.filter(state=State.MISSING_IN_STRIPE)
    assert [link.entry.key for link in ReconciliationLink.objects.filter(item__in=left)] == [books.entries[0]["key"]]


@pytest.mark.parametrize("seed", range(12))
def test_looking_at_what_is_new_ends_where_looking_at_everything_ends(seed):
    """Whatever comes in, in whatever order, with runs in between."""
    rng = random.Random(seed)
    books = Books()
    books.agree(25)
    names = sorted(FAULTS)
    for name in rng.sample(names, 14):
        FAULTS[name](books)
    arrivals = [("t", one) for one in books.transactions] + [("e", one) for one in books.entries]
    rng.shuffle(arrivals)
    look()
    while arrivals:
        size = rng.randint(1, 12)
        part, arrivals = arrivals[:size], arrivals[size:]
        for side, one in part:
            store_transactions(one) if side == "t" else post(one)
        if rng.random() < 0.7:
            look(full=rng.random() < 0.3)
    look()
    assert sorted(map(str, found() ^ wanted(books))) == []
    look(full=True)
    assert sorted(map(str, found() ^ wanted(books))) == []


def test_a_mark_of_an_older_version_says_nothing_of_what_was_met_before(monkeypatch):
    """It was moved by a look that did not write down when it ended; two that agree may have been met since."""
    monkeypatch.setattr(config, "OVERLAP", timedelta(0))
    look()
    one = movement(at=timezone.now())
    post(one.entry)
    look()
    item = ReconciliationItem.objects.get()
    Watermark.objects.update(through=one.txn["created"] - timedelta(seconds=1), seen_at=None)
    store_transactions(one.txn)
    look()
    assert not ReconciliationItem.objects.filter(pk=item.pk).exists(), "it was expected, and has come"


def test_the_number_of_statements_does_not_grow_with_the_books():
    def count(pairs: int, times: int) -> int:
        books = Books()
        books.agree(pairs)
        for _ in range(times):
            for break_something in FAULTS.values():
                break_something(books)
        books.store()
        with CaptureQueriesContext(
            connection,
        ) as queries:
            look(full=True)
        return len(queries)

    few = count(10, 1)
    assert count(100, 5) <= few + 8


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite looks each row up")
def test_everything_in_ranges_of_ids_leaves_over_what_it_does_in_one():
    books = Books()
    books.agree(40)
    for break_something in FAULTS.values():
        break_something(books)
    books.store(random.Random(3))
    ids = sorted(one["object_id"] for one in books.transactions)

    def left_over(at: list[str]) -> Any:
        sql.prepare()
        looked = by_id.everything(sql.Scope(), at)
        with connection.cursor() as cursor:
            cursor.execute("SELECT id::text FROM recon_t UNION ALL SELECT id::text FROM recon_e ORDER BY 1")
            return looked, cursor.fetchall()

    whole = left_over([])
    assert whole[1]
    for at in ([ids[5]], ids[3::7], ["", *ids, "zzz"]):
        assert left_over(at) == whole


def test_a_look_at_every_book_counts_for_each():
    ours, theirs = movement(account="acct_ours"), movement(account="acct_theirs")
    store_transactions(ours.txn)
    assert look(account="acct_ours").mode == Run.Mode.FULL, "nothing was looked at before"
    assert look().mode == Run.Mode.FULL, "one book is not all of them"
    store_transactions(theirs.txn)
    assert [look(account=one).mode for one in ("acct_ours", "acct_theirs", "")] == [Run.Mode.DELTA] * 3
    assert ReconciliationItem.objects.count() == 2
    assert Watermark.objects.count() == 4, "each its own, and the one of all"


def test_an_entry_that_doubles_an_older_pair_is_found_by_a_look_at_what_is_new(monkeypatch):
    monkeypatch.setattr(config, "OVERLAP", timedelta(0))
    one = movement()
    store_transactions(one.txn)
    post(one.entry)
    look()
    post({**one.entry, "key": "again"})
    run = look()
    assert (run.mode, run.transactions, run.entries) == (Run.Mode.DELTA, 0, 1)
    item = ReconciliationItem.objects.get()
    assert (item.state, item.cause, item.transactions, item.entries) == (State.OVER, "duplicate", 1, 2)


def test_one_book_alone_leaves_the_others_as_they_are():
    ours, theirs = movement(account="acct_ours"), movement(account="acct_theirs")
    store_transactions(ours.txn, theirs.txn)
    look(account="acct_ours")
    assert [item.account for item in ReconciliationItem.objects.all()] == ["acct_ours"]
    look()
    assert ReconciliationItem.objects.count() == 2
