"""verify_ledger: what it says of a ledger that is right, and that each thing that can be wrong is found and named."""

from __future__ import annotations

import io
import json
from datetime import timedelta
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from settlements.ledger import checks, snapshots, triggers, verify
from settlements.ledger.models import BalanceSnapshot, JournalEntry, Posting
from settlements.ledger.tests.build import charge, post, sale

OURS = ["triggers", "accounts balance", "entries balance", "postings have entries", "snapshots equal sums"]


@pytest.fixture(autouse=True)
def _only_our_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Other parts' checks compare with rows that these tests do not make."""
    monkeypatch.setattr(verify, "_checks", {name: verify._checks[name] for name in OURS})


@pytest.fixture
def books(db: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checks, "ENTRIES_AT_ONCE", 3)
    monkeypatch.setattr(checks, "POSTINGS_AT_ONCE", 4)
    post(*(sale(n) for n in range(1, 6)), charge(1), charge(2))
    snapshots.take(now=timezone.now() + timedelta(hours=2))
    post(charge(3), sale(9))


@pytest.fixture
def open_books(books: None) -> Any:
    """The triggers are off: what follows is what they keep out."""
    if connection.vendor == "postgresql":  # no table with checks that wait for the commit can be altered
        with connection.cursor() as cursor:
            cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
    triggers.remove(connection)
    yield
    triggers.install(connection)


def run(**options: Any) -> dict[str, Any]:
    out = io.StringIO()
    call_command("verify_ledger", json=True, stdout=out, **options)
    return json.loads(out.getvalue())


def refused(**options: Any) -> str:
    with pytest.raises(CommandError) as caught:
        call_command("verify_ledger", stdout=io.StringIO(), **options)
    assert caught.value.returncode == 1
    return str(caught.value)


def test_a_ledger_that_is_right_passes_every_check_with_its_counts(books):
    said = run()
    assert said["ok"] is True
    assert list(said["checks"]) == OURS
    assert said["checks"]["entries balance"]["checked"] == 9
    assert said["checks"]["postings have entries"]["checked"] == 27
    assert said["checks"]["snapshots equal sums"]["checked"] == BalanceSnapshot.objects.count()
    out = io.StringIO()
    call_command("verify_ledger", stdout=out)
    assert "entries balance: 9 checked, ok" in out.getvalue()


def test_an_empty_ledger_passes(db):
    assert run()["ok"] is True


def test_fast_leaves_the_rescans_out(open_books):
    Posting.objects.filter(entry__key="sale:in_2:acct_1").update(currency="eur")
    triggers.install(connection)
    assert run(fast=True)["checks"].keys() == {"triggers", "accounts balance"}
    assert "in another currency" in refused()


def test_a_changed_amount_is_found_by_its_entrys_key(open_books):
    wrong = Posting.objects.get(entry__key="sale:in_4:acct_1", account="seller_payable")
    Posting.objects.filter(pk=wrong.pk).update(amount=wrong.amount - 7)
    triggers.install(connection)
    said = refused()
    assert "entry sale:in_4:acct_1: expected postings that sum to 0, found a sum of -7 (usd, minor units)" in said
    assert "snapshot of seller_payable of acct_1 in usd: expected -35007 from 5 postings, found -35000 from 5" in said


def test_the_first_of_several_is_named(open_books):
    first, second = JournalEntry.objects.order_by("id")[1:3]
    for entry in (second, first):
        Posting.objects.filter(pk=entry.postings.first().pk).delete()
    triggers.install(connection)
    said = refused()
    assert f"entry {first.key}: " in said
    assert second.key not in said


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        (
            "UPDATE ledger_journalentry SET cash = 9679 WHERE key = 'charge:ch_2'",
            "entry charge:ch_2: expected postings to cash of 9679, as it says itself, found 9680",
        ),
        (
            "UPDATE ledger_journalentry SET currency = 'eur' WHERE key = 'charge:ch_2'",
            "entry charge:ch_2: expected postings in eur, found 3 in another currency",
        ),
        (
            "DELETE FROM ledger_posting WHERE entry_id = (SELECT id FROM ledger_journalentry WHERE key='charge:ch_2')",
            "entry charge:ch_2: expected two postings or more, found 0",
        ),
        (
            "UPDATE ledger_balancesnapshot SET amount = amount + 1 WHERE account = 'cash'",
            "snapshot of cash of the platform in usd: expected 19360 from 2 postings, found 19361 from 2",
        ),
        (
            "DELETE FROM ledger_balancesnapshot WHERE account = 'cash'",
            "snapshot of cash of the platform in usd: expected 19360 from 2 postings, found 0 from 0",
        ),
        ("UPDATE ledger_balancesnapshot SET amount = 5 WHERE account = 'cash'", "all accounts in usd: expected a sum"),
    ],
)
def test_what_is_wrong_is_found_and_named(open_books, sql, words):
    with connection.cursor() as cursor:
        cursor.execute(sql)
    triggers.install(connection)
    assert words in refused()


def test_a_posting_without_its_entry_is_found(open_books):
    entry = JournalEntry.objects.get(key="charge:ch_3")
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SET session_replication_role = replica")
        cursor.execute("DELETE FROM ledger_journalentry WHERE key = 'charge:ch_3'")
        if connection.vendor == "postgresql":
            cursor.execute("SET session_replication_role = origin")
    first = Posting.objects.filter(entry_id=entry.pk).order_by("id").values_list("pk", flat=True)[0]
    assert f"posting {first}: expected an entry" in refused()
    Posting.objects.filter(entry_id=entry.pk).delete()


def test_missing_triggers_are_named(open_books):
    said = refused(fast=True)
    assert "ledger_posting_in_time" in said
    assert "the ledger can be changed" in said


def test_other_parts_add_checks_of_their_own(books):
    verify.register_check("payout records", lambda say: verify.Outcome(3))
    assert run()["checks"]["payout records"]["checked"] == 3
    assert "payout records" not in run(fast=True)["checks"]
    wrong = verify.Outcome(3, verify.Difference("payout 7", "usd 100", "usd 99"))
    verify.register_check("payout records", lambda say: wrong)
    assert "payout records: payout 7: expected usd 100, found usd 99" in refused()
