"""Balances are the same with snapshots, without, and while they are taken."""

from __future__ import annotations

import threading
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.db.models import Max, Sum
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django.utils.module_loading import import_string
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.django import TestCase

from billingops import jobs
from settlements.ledger import journal, snapshots
from settlements.ledger.accounts import Account, Kind
from settlements.ledger.journal import Draft, Line
from settlements.ledger.models import BalanceSnapshot, JournalEntry, Posting
from settlements.ledger.tests.build import ACTOR, NOON, charge, post, sale


def in_hours(hours: float):
    return timezone.now() + timedelta(hours=hours)


def sums() -> dict[tuple[str, str, str], int]:
    rows = Posting.objects.order_by().values_list("account", "seller", "currency").annotate(sum=Sum("amount"))
    return {(account, seller, currency): total for account, seller, currency, total in rows}


def assert_balances_are_sums() -> None:
    expected = sums()
    for (account, seller, currency), total in expected.items():
        assert journal.balance(account, seller=seller, currency=currency) == total
    for account in Account.values:
        ours = {(seller, currency): n for (name, seller, currency), n in expected.items() if name == account}
        assert journal.balances(account) == ours
        for seller in ("", "acct_1", "acct_2"):
            assert journal.balances(account, seller) == {key: n for key, n in ours.items() if key[0] == seller}


def test_a_snapshot_takes_in_what_is_older_than_an_hour_and_balances_stay(db):
    post(sale(1), sale(2, "acct_2"), charge(1))
    before = sums()
    assert snapshots.take() == 0
    assert snapshots.take(now=in_hours(0.9)) == 0
    assert not BalanceSnapshot.objects.exists()
    assert snapshots.take(now=in_hours(1.1)) == len(before)
    taken = BalanceSnapshot.objects.values_list("account", "seller", "currency", "amount")
    assert {(account, seller, currency): amount for account, seller, currency, amount in taken} == before
    assert_balances_are_sums()
    assert snapshots.take(now=in_hours(3)) == 0  # nothing new


def test_a_later_snapshot_adds_what_came_since_and_leaves_other_accounts_alone(db):
    post(sale(1), sale(2, "acct_2"))
    snapshots.take(now=in_hours(2))
    kept = BalanceSnapshot.objects.get(account="seller_payable", seller="acct_2")
    post(sale(3))
    assert_balances_are_sums()
    assert snapshots.take(now=in_hours(2)) == 3
    assert_balances_are_sums()
    payable = BalanceSnapshot.objects.get(account="seller_payable", seller="acct_1")
    assert (payable.amount, payable.count, payable.through) == (
        -14_000, 2, Posting.objects.aggregate(last=Max("id"))["last"],
    )  # fmt: skip
    kept_now = BalanceSnapshot.objects.get(pk=kept.pk)
    assert (kept_now.amount, kept_now.through, kept_now.taken_at) == (kept.amount, kept.through, kept.taken_at)


def test_one_young_entry_keeps_all_that_was_numbered_behind_it_out(db):
    """Ids and times need not agree: an older time may stand behind a younger one."""
    post(sale(1))
    cut = Posting.objects.aggregate(last=Max("id"))["last"]
    post(sale(2))
    post(sale(3))
    # As if the second entry had been posted two hours later than the others: seen from 1.5 hours on it is too young.
    later = in_hours(2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(journal.timezone, "now", lambda: later)
        post(sale(4))
    post(sale(5))
    young = Posting.objects.filter(entry__key="sale:in_4:acct_1").order_by("id").first()
    assert young is not None
    snapshots.take(now=in_hours(2.5))
    assert BalanceSnapshot.objects.aggregate(t=Max("through"))["t"] == young.pk - 1 > cut
    assert_balances_are_sums()
    snapshots.take(now=in_hours(4))
    assert BalanceSnapshot.objects.aggregate(t=Max("through"))["t"] == Posting.objects.aggregate(t=Max("id"))["t"]
    assert_balances_are_sums()


def test_a_balance_takes_two_statements_and_bringing_forward_few(db, django_assert_num_queries):
    post(*(sale(n) for n in range(40)))
    with CaptureQueriesContext(connection) as seen:
        assert snapshots.take(now=in_hours(2)) == 3
    statements = [query["sql"] for query in seen if "SAVEPOINT" not in query["sql"]]
    assert len(statements) == (3 if connection.vendor == "sqlite" else 5)
    with django_assert_num_queries(2):
        journal.balance("seller_payable", seller="acct_1", currency="usd")
    with django_assert_num_queries(2):
        journal.balances("seller_payable")


def test_the_job_is_scheduled_hourly_and_runs(db):
    (sweep,) = [one for one in jobs.sweeps() if one.name.startswith("ledger")]
    assert sweep.minutes == 60
    assert import_string(sweep.task)() == 0


STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.sampled_from(["acct_1", "acct_2", ""]),
            st.sampled_from(["usd", "jpy"]),
            st.integers(1, 10**12),
            st.sampled_from(Account.values),
            st.sampled_from(Account.values),
        ),
        st.sampled_from(["snapshot", "all but an hour"]),
    ),
    max_size=25,
)


class AnyOrder(TestCase):
    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(steps=STEPS)
    def test_balances_are_sums_however_entries_and_snapshots_alternate(self, steps):
        for number, step in enumerate(steps):
            if step == "snapshot":
                snapshots.take(now=in_hours(2))
            elif step == "all but an hour":
                snapshots.take()
            else:
                seller, currency, amount, debit, credit = step
                lines = (Line(debit, amount, seller), Line(credit, -amount, seller))
                post(Draft(f"c:{number}", Kind.CORRECTION, currency, NOON, lines, seller=seller))
            assert_balances_are_sums()


@pytest.mark.postgres
def test_what_an_open_transaction_has_yet_to_commit_is_not_passed_over(transactional_db):
    """It wrote first and has a lower id; hours later it is still open when the snapshot is taken."""
    wrote, go_on = threading.Event(), threading.Event()

    def slow() -> None:
        try:
            with transaction.atomic():
                journal.post([sale(1)], actor=ACTOR)
                wrote.set()
                assert go_on.wait(20)
        finally:
            connection.close()

    thread = threading.Thread(target=slow)
    thread.start()
    assert wrote.wait(20)
    post(sale(2))
    assert snapshots.take(now=in_hours(5)) == 0
    go_on.set()
    thread.join(20)
    assert JournalEntry.objects.count() == 2
    assert_balances_are_sums()
    assert snapshots.take(now=in_hours(5)) == 3
    assert_balances_are_sums()


@pytest.mark.postgres
@pytest.mark.parametrize(("writer", "taken"), [("autovacuum worker", 3), ("client backend", 0)])
def test_a_vacuum_of_hours_keeps_no_snapshot_back_and_a_transaction_of_hours_does(db, writer, taken):
    post(sale(1))
    with connection.cursor() as cursor:  # a temporary table is found before the view of the same name
        cursor.execute("CREATE TEMPORARY TABLE pg_stat_activity ON COMMIT DROP AS TABLE pg_catalog.pg_stat_activity")
        cursor.execute(
            "INSERT INTO pg_stat_activity (datname, pid, backend_xid, xact_start, backend_type)"
            " VALUES (current_database(), 0, '7', now() - interval '3 hours', %s)",
            [writer],
        )
    assert snapshots.take(now=in_hours(5)) == taken


@pytest.mark.postgres
def test_two_snapshots_at_the_same_time_add_nothing_twice(transactional_db):
    post(*(sale(n) for n in range(20)))
    barrier, done = threading.Barrier(2, timeout=20), []

    def run() -> None:
        try:
            barrier.wait()
            done.append(snapshots.take(now=in_hours(2)))
        finally:
            connection.close()

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert sorted(done) == [0, 3]
    assert_balances_are_sums()
