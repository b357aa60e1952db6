"""What no event tells of: Stripe's own list of each balance is read, and what it holds alone is found."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.urls import reverse
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from billingops.models import AccountAccess
from billingops.stripe import keeping_up, sync
from billingops.stripe.models import MirroredBalanceTransaction, SyncCheckpoint
from sandbox import Fault
from sandbox import ledger as stripes_own
from settlements.ledger.accounts import Account
from settlements.reconciliation import corrections, months, report_pages, reports, tasks
from settlements.reconciliation.management.commands import reconcile
from settlements.reconciliation.models import PayoutCheck, ReconciliationItem, Run
from settlements.reconciliation.states import Cause, State
from settlements.reconciliation.tests.books import movement, post

pytestmark = pytest.mark.django_db
FEE, HOLD = -49_900, -7_000


@pytest.fixture
def seller(stripe_api: Any) -> str:
    made = stripe_api.v1.accounts.create({"type": "express", "capabilities": {"transfers": {"requested": True}}})
    sync.refresh("account", made.id)
    return str(made.id)


def moved_by_stripe(sandbox: Any, category: str = "fee", amount: int = FEE, account: str | None = None) -> str:
    """What Stripe takes by itself: no event, no object, in no automatic payout."""
    kind = {"fee": "stripe_fee", "other_adjustment": "adjustment"}[category]
    with sandbox.world.lock:
        scope = sandbox.world.store.scope(account)
        made = stripes_own.record(
            sandbox.world, scope, type=kind, reporting_category=category, amount=amount, currency="usd", source=""
        )
    return str(made["id"])


def days_ago(sandbox: Any, days: int) -> None:
    sandbox.clock.set(int((timezone.now() - timedelta(days=days)).timestamp()))


def listings(sandbox: Any) -> list[Any]:
    return [one for one in sandbox.requests if one.path == "/v1/balance_transactions"]


def test_a_fee_that_stripe_takes_by_itself_is_found_by_the_days_look(sandbox, lead, run_jobs):
    days_ago(sandbox, 2)
    fee, hold = moved_by_stripe(sandbox), moved_by_stripe(sandbox, "other_adjustment", HOLD)
    tasks.daily()
    run_jobs()
    found = {one.evidence["transactions"][0]["id"]: one for one in ReconciliationItem.objects.all()}
    assert (found[fee].state, found[fee].cause) == (State.MISSING_IN_LEDGER, Cause.STRIPE_FEE)
    assert "a fee of its own" in found[fee].text
    assert "USD -499.00" in found[fee].text
    assert corrections.default_counter(found[fee]) == Account.STRIPE_FEES
    assert found[hold].cause == Cause.ADJUSTMENT
    assert "an adjustment" in found[hold].text
    report = reports.one(months.name(timezone.now() - timedelta(days=2)), "", user=lead)
    assert report is not None
    assert report.open_items == 2, "the month does not tie by silence"


def test_a_payouts_event_lets_its_book_be_listed_and_a_crowd_of_events_lists_it_once(sandbox, seller):
    days_ago(sandbox, 2)
    ours, theirs = moved_by_stripe(sandbox, account=seller), moved_by_stripe(sandbox)
    tasks.look(seller, "payout.paid", "evt_1")
    tasks.look(seller, "payout.paid", "evt_2")
    stored = set(MirroredBalanceTransaction.objects.values_list("object_id", flat=True))
    assert ours in stored
    assert theirs not in stored, "one book alone"
    assert len(listings(sandbox)) == 1
    assert Run.objects.filter(account=seller).count() == 2


def test_what_was_listed_is_not_listed_again_but_for_the_last_days(sandbox):
    post(movement(at=timezone.now() - timedelta(days=30)).entry)
    days_ago(sandbox, 20)
    old = moved_by_stripe(sandbox)
    days_ago(sandbox, 10)
    last = moved_by_stripe(sandbox)
    tasks.daily()
    days_ago(sandbox, 1)
    new = moved_by_stripe(sandbox)
    MirroredBalanceTransaction.objects.filter(object_id__in=[old, last]).delete()
    tasks.daily()
    assert set(MirroredBalanceTransaction.objects.values_list("object_id", flat=True)) == {last, new}


def test_what_is_older_than_the_books_never_comes_in(sandbox):
    days_ago(sandbox, 2)
    moved_by_stripe(sandbox)
    days_ago(sandbox, 0)
    post(movement(at=timezone.now() - timedelta(hours=1)).entry)
    fee = moved_by_stripe(sandbox)
    for _ in range(2):
        tasks.daily()
        assert MirroredBalanceTransaction.objects.get().object_id == fee


def test_a_book_in_which_nothing_moves_is_not_listed_further_and_further_back(sandbox):
    marks = []
    for _ in range(3):
        tasks.daily()
        marks.append(SyncCheckpoint.objects.get().finished_at)
    assert marks[0] == marks[1] == marks[2]


def test_what_moved_before_the_books_first_entry_and_after_the_last_listing_is_not_passed_over(sandbox):
    days_ago(sandbox, 2)
    before = moved_by_stripe(sandbox)
    tasks.daily()
    days_ago(sandbox, 1)
    between = moved_by_stripe(sandbox)
    post(movement(at=timezone.now()).entry)
    tasks.daily()
    assert set(MirroredBalanceTransaction.objects.values_list("object_id", flat=True)) == {before, between}


def test_a_book_is_listed_from_where_the_ledger_knows_of_it(sandbox):
    days_ago(sandbox, 20)
    moved_by_stripe(sandbox)
    days_ago(sandbox, 10)
    after = moved_by_stripe(sandbox)
    post(movement(at=timezone.now() - timedelta(days=15)).entry)
    tasks.daily()
    assert MirroredBalanceTransaction.objects.get().object_id == after


def test_a_long_list_is_read_a_task_at_a_time(sandbox, seller, monkeypatch, run_jobs):
    days_ago(sandbox, 2)
    made = {moved_by_stripe(sandbox, amount=-number) for number in range(1, 6)}
    made |= {moved_by_stripe(sandbox, amount=-number, account=seller) for number in range(1, 4)}
    whole = keeping_up.sync.reads.pages
    monkeypatch.setattr(keeping_up.sync.reads, "pages", lambda *a, **kw: whole(*a, **{**kw, "limit": 2}))
    monkeypatch.setattr(tasks, "LISTING_SECONDS", -1)
    assert tasks.daily() is False, "a page of the platform's was read"
    assert not Run.objects.exists(), "nothing is compared with half a list"
    run_jobs()
    assert set(MirroredBalanceTransaction.objects.values_list("object_id", flat=True)) == made
    assert Run.objects.get().every_book
    assert keeping_up.listed_at("") is not None
    assert keeping_up.listed_at(seller) is not None


def test_a_payout_of_many_movements_is_read_a_task_at_a_time(sandbox, monkeypatch, run_jobs):
    days_ago(sandbox, 9)
    for number in range(1, 6):
        moved_by_stripe(sandbox, amount=1_000 * number)
    days_ago(sandbox, 5)
    payout = sandbox.auto_payout()
    whole = keeping_up.sync.reads.pages
    monkeypatch.setattr(keeping_up.sync.reads, "pages", lambda *a, **kw: whole(*a, **{**kw, "limit": 2}))
    monkeypatch.setattr(tasks, "LISTING_SECONDS", -1)
    assert tasks.look_at_payout(payout["id"], "", "evt_1") is False
    assert not PayoutCheck.objects.exists(), "a part of it says nothing"
    run_jobs()
    check = PayoutCheck.objects.get()
    assert (check.ties, check.amount, check.transactions) == (True, 15_000, 5)
    assert Run.objects.get().event_id == "evt_1"


def test_a_book_that_cannot_be_read_stops_no_other_and_is_shown(sandbox, seller, lead, client, run_jobs):
    days_ago(sandbox, 2)
    moved_by_stripe(sandbox)
    theirs = moved_by_stripe(sandbox, account=seller)
    before = keeping_up.listed_at("")
    sandbox.faults.add(Fault("error_before", path="/v1/balance_transactions", times=keeping_up.TRIES))
    tasks.daily()
    run_jobs()
    assert MirroredBalanceTransaction.objects.get().object_id == theirs, "the platform's failed, the seller's is there"
    assert Run.objects.get().every_book
    assert (before, keeping_up.listed_at("")) == (None, None)
    assert list(keeping_up.failing()) == [""]
    client.force_login(lead)
    assert "alances that could not be read" in client.get(reverse("admin:index")).content.decode()
    month = reverse("admin:reconciliation_month", args=[months.name(timezone.now())])
    text = client.get(month).content.decode()
    assert "platform (last read never): " in text
    assert keeping_up.failing()[""].why in text
    assert "error" in keeping_up.failing()[""].why, "as Stripe said it"
    AccountAccess.objects.create(user=lead, account=seller)
    assert "last read never" not in client.get(month).content.decode(), "not theirs to see"
    tasks.daily()
    assert keeping_up.failing() == {}
    assert MirroredBalanceTransaction.objects.count() == 2, "what was missed is read later"


def test_a_long_list_goes_on_where_stripe_stopped_answering(sandbox, monkeypatch, run_jobs):
    days_ago(sandbox, 2)
    made = {moved_by_stripe(sandbox, amount=-number) for number in range(1, 6)}
    whole = keeping_up.sync.reads.pages

    def pages(*args: Any, **given: Any) -> Any:
        for number, page in enumerate(whole(*args, **{**given, "limit": 2})):
            yield page
            if number == 0 and not given.get("after"):
                for kind in ("error_before", "rate_limit")[: keeping_up.TRIES]:
                    sandbox.faults.add(Fault(kind, path="/v1/balance_transactions"))

    monkeypatch.setattr(keeping_up.sync.reads, "pages", pages)
    assert tasks.daily() is False
    assert keeping_up.failing() == {}, "it came on: the next task goes on"
    assert keeping_up.listed_at("") is None
    run_jobs()
    assert set(MirroredBalanceTransaction.objects.values_list("object_id", flat=True)) == made
    assert [one.params.get("starting_after", "") for one in listings(sandbox)].count("") == 1, "not from the top again"
    assert keeping_up.listed_at("") is not None


def test_a_movement_dated_in_the_future_hides_nothing_that_comes_after(sandbox):
    sandbox.clock.set(int((timezone.now() + timedelta(days=30)).timestamp()))
    moved_by_stripe(sandbox)
    tasks.daily()
    days_ago(sandbox, 0)
    fee = moved_by_stripe(sandbox)
    tasks.daily()
    assert MirroredBalanceTransaction.objects.filter(object_id=fee).exists()


def test_no_transaction_is_held_while_stripe_is_asked(sandbox, seller, monkeypatch):
    depth = len(connection.savepoint_ids)
    asked = []
    whole = keeping_up.sync.reads.pages

    def pages(*args: Any, **given: Any) -> Any:
        asked.append(len(connection.savepoint_ids))
        return whole(*args, **given)

    monkeypatch.setattr(keeping_up.sync.reads, "pages", pages)
    tasks.daily()
    tasks.look(seller, "payout.paid", "evt_1")
    assert set(asked) == {depth}


def test_a_disconnected_account_is_not_asked_for(sandbox, seller):
    sync.mark_deauthorised(seller)
    tasks.daily()
    assert [mark.account for mark in SyncCheckpoint.objects.all()] == [""]


def test_a_report_says_how_far_stripes_list_was_read(sandbox, lead, client):
    now = timezone.now()
    past = months.name(now - timedelta(days=45))
    assert "was not read to its end yet" in report_pages.listed_words("", past)
    tasks.daily()
    assert report_pages.listed_words("", past).endswith("UTC.")
    SyncCheckpoint.objects.update(updated_at=now - timedelta(days=75))
    assert "may be missing" in report_pages.listed_words("", past)
    client.force_login(lead)
    shown = client.get(reverse("admin:reconciliation_report", args=[past, "platform"])).content.decode()
    assert "may be missing" in shown


def test_the_command_reads_stripes_lists_first_and_says_how_far(sandbox, seller, capsys):
    days_ago(sandbox, 2)
    moved_by_stripe(sandbox)
    moved_by_stripe(sandbox, account=seller)
    call_command("reconcile", "--no-list")
    assert "was not read to its end yet" in capsys.readouterr().out
    assert listings(sandbox) == []
    with pytest.raises(SystemExit):
        call_command("reconcile", "--json")
    told = json.loads(capsys.readouterr().out)
    assert told["counts"] == {State.MISSING_IN_LEDGER: 2}
    assert told["listed_until"] == min(keeping_up.listed().values()).isoformat()
    assert told["not_listed"] == []


def test_the_command_reads_a_long_list_to_its_end_and_of_one_book_alone(sandbox, seller, monkeypatch):
    days_ago(sandbox, 2)
    made = {moved_by_stripe(sandbox, amount=-number, account=seller) for number in range(1, 6)}
    moved_by_stripe(sandbox)
    whole = keeping_up.sync.reads.pages
    monkeypatch.setattr(keeping_up.sync.reads, "pages", lambda *a, **kw: whole(*a, **{**kw, "limit": 2}))
    monkeypatch.setattr(reconcile, "SECONDS", -1)
    with pytest.raises(SystemExit):
        call_command("reconcile", "--account", seller)
    assert set(MirroredBalanceTransaction.objects.values_list("object_id", flat=True)) == made


def test_the_command_names_what_stripe_did_not_answer_and_ends_with_one(sandbox, capsys):
    sandbox.faults.add(Fault("error_before", path="/v1/balance_transactions", times=keeping_up.TRIES))
    with pytest.raises(SystemExit) as ended:
        call_command("reconcile", "--account", "platform")
    assert ended.value.code == 1
    assert "could not be read now: platform" in capsys.readouterr().out


def test_the_command_asks_stripe_for_no_account_that_is_not_connected(sandbox, seller, capsys):
    sync.mark_deauthorised(seller)
    call_command("reconcile", "--account", seller)
    assert "is not connected" in capsys.readouterr().err
    assert listings(sandbox) == []


def test_the_months_report_of_the_api_says_how_far_stripes_list_was_read(sandbox, lead, client):
    client.force_login(lead)
    url = reverse("reconciliation-report-detail", args=[months.name(timezone.now())])
    moved_by_stripe(sandbox)
    sync.balance_transactions()
    assert client.get(url).json()["reports"][0]["listed_until"] is None
    tasks.daily()
    at = keeping_up.listed_at("")
    assert parse_datetime(client.get(url).json()["reports"][0]["listed_until"]) == at
