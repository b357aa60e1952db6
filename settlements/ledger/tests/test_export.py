"""The journal as files: whole entries, right decimals, nothing that a spreadsheet runs, and read back by Beancount."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from approvals.models import AuditEntry
from billingops.exceptions import InvalidInput
from settlements.ledger import export
from settlements.ledger.accounts import Account
from settlements.ledger.formats import BEANCOUNT_ACCOUNTS, CSV_HEADER, FORMATS, decimal_of, journal_number
from settlements.ledger.journal import Draft, Line
from settlements.ledger.models import JournalEntry
from settlements.ledger.tests.build import NOON, charge, post, sale

pytestmark = pytest.mark.django_db


@pytest.fixture
def books() -> list[JournalEntry]:
    arrival = (Line(Account.CASH, 7_000, "acct_1"), Line(Account.SETTLED, -7_000, "acct_1"))
    return post(
        sale(1, text='=HYPERLINK("x"), a "sale"\nof two lines \\'),
        sale(2, "acct_2", currency="eur"),
        charge(1),
        charge(2, amount=5_000, fee=180, currency="jpy"),
        charge(3, amount=1_234, fee=0, currency="kwd"),
        charge(4, key="arrival:tr_1", book="acct_1", seller="acct_1", source="tr_1", lines=arrival),
        charge(5, occurred_at=NOON - timedelta(days=30)),
    )


def run(path: Path, **options: str) -> list[dict]:
    out = io.StringIO()
    given = {"from": "2026-11-01", "to": "2026-11-30"} | options
    flags = [f"--{name}={value}" for name, value in given.items()]
    call_command("export_journal", *flags, str(path), stdout=out)
    return [json.loads(line) for line in out.getvalue().splitlines()]


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_the_csv_has_every_posting_of_the_period_with_its_currencys_decimals(books, tmp_path):
    (said,) = run(tmp_path / "all.csv")
    assert (said["entries"], said["currency"]) == (6, "all")
    found = rows(tmp_path / "all.csv")
    assert tuple(found[0]) == CSV_HEADER
    assert len(found) == 16
    by_account = {(row["key"], row["account"]): row for row in found}
    assert by_account["charge:ch_1", "cash"]["debit"] == "96.80"
    assert by_account["charge:ch_1", "cash"]["credit"] == ""
    assert by_account["charge:ch_2", "receivable"]["credit"] == "5000"
    assert by_account["charge:ch_3", "cash"]["debit"] == "1.234"
    assert by_account["charge:ch_3", "receivable"]["amount_minor"] == "-1234"
    assert by_account["sale:in_2:acct_2", "seller_payable"]["seller"] == "acct_2"
    assert by_account["sale:in_1:acct_1", "receivable"]["text"].startswith("'=HYPERLINK")
    for key in {row["key"] for row in found}:
        assert sum(int(row["amount_minor"]) for row in found if row["key"] == key) == 0
    assert "charge:ch_5" not in {row["key"] for row in found}


def test_a_sellers_export_holds_their_entries_whole(books, tmp_path):
    run(tmp_path / "one.csv", seller="acct_1")
    assert {row["key"] for row in rows(tmp_path / "one.csv")} == {"sale:in_1:acct_1", "arrival:tr_1"}


def test_quickbooks_gets_a_file_a_currency_of_the_platforms_book_that_adds_up(books, tmp_path):
    said = run(tmp_path / "qb.csv", format="quickbooks")
    assert [Path(one["file"]).name for one in said] == ["qb.eur.csv", "qb.jpy.csv", "qb.kwd.csv", "qb.usd.csv"]
    assert [one["entries"] for one in said] == [1, 1, 1, 2]
    found = rows(tmp_path / "qb.usd.csv")
    assert list(found[0]) == ["Journal No.", "Journal Date", "Account Name", "Description", "Debits", "Credits"]
    assert {row["Journal Date"] for row in found} == {"11/22/2026"}
    assert {row["Account Name"] for row in found} <= set(Account.labels)
    numbers = {row["Journal No."] for row in found}
    assert numbers == {journal_number(books[0]), journal_number(books[2])}
    assert all(len(number) == 20 for number in numbers)
    for number in numbers:
        mine = [row for row in found if row["Journal No."] == number]
        sums = [sum(Decimal(row[side] or 0) for row in mine) for side in ("Debits", "Credits")]
        assert sums[0] == sums[1] > 0
        assert all(bool(row["Debits"]) != bool(row["Credits"]) for row in mine)
    assert found[0]["Description"].startswith("'=HYPERLINK")
    assert [row["Debits"] for row in rows(tmp_path / "qb.jpy.csv")] == ["4820", "180", ""]
    (one,) = run(tmp_path / "eur.csv", format="quickbooks", currency="EUR")
    assert Path(one["file"]).name == "eur.csv"


def test_beancount_reads_its_file_without_an_error_and_finds_the_same_sums(books, tmp_path):
    loader = pytest.importorskip("beancount.loader")
    (said,) = run(tmp_path / "books.beancount", format="beancount")
    assert said["entries"] == 6
    entries, errors, _ = loader.load_file(str(tmp_path / "books.beancount"))
    assert errors == []
    transactions = [one for one in entries if type(one).__name__ == "Transaction"]
    assert {one.meta["key"] for one in transactions} == {one.key for one in books if one.key != "charge:ch_5"}
    read: dict[tuple[str, str], Decimal] = {}
    for one in transactions:
        for posting in one.postings:
            slot = (posting.account, posting.units.currency)
            read[slot] = read.get(slot, Decimal(0)) + posting.units.number
    ours: dict[tuple[str, str], Decimal] = {}
    for entry in books[:-1]:
        for posting in entry.postings.all():
            name = BEANCOUNT_ACCOUNTS[Account(posting.account)] + (":Acct-1" if entry.book else "")
            slot = (name, posting.currency.upper())
            ours[slot] = ours.get(slot, Decimal(0)) + decimal_of(posting.amount, posting.currency)
    assert read == ours
    (first,) = [one for one in transactions if one.meta["key"] == "sale:in_1:acct_1"]
    assert first.narration == '=HYPERLINK("x"), a "sale" of two lines \\'


def test_every_account_of_the_chart_has_a_name_in_beancount():
    assert set(BEANCOUNT_ACCOUNTS) == set(Account)
    assert len(set(BEANCOUNT_ACCOUNTS.values())) == len(Account)


def test_memory_is_bounded_by_chunks_not_by_the_journal(monkeypatch):
    """Two statements a chunk: nothing reads the whole."""
    post(*(charge(n) for n in range(1, 41)))
    monkeypatch.setattr(export, "CHUNK", 10)
    chosen = export.Selection(date(2026, 11, 22), date(2026, 11, 22))
    with CaptureQueriesContext(connection) as seen:
        lines = FORMATS["csv"].write(export.stream(chosen.entries(FORMATS["csv"])))
        for _ in range(3):
            next(lines)
        assert len(seen) == 2
        assert len(list(lines)) == 118
    assert len(seen) <= 6


def test_an_export_is_noted_when_it_begins_and_when_it_ends(books, tmp_path):
    run(tmp_path / "all.csv", seller="acct_1")
    started, finished = AuditEntry.objects.filter(subject="export:all.csv").order_by("seq")
    assert (started.action, started.actor) == ("export.started", "system:export_journal")
    assert (started.data["seller"], started.data["start"]) == ("acct_1", "2026-11-01")
    assert finished.data == {"export": started.data["export"], "rows": 2, "complete": True}


def test_a_file_that_cannot_be_written_leaves_nothing_behind_and_says_so(books, tmp_path):
    with pytest.raises(CommandError, match="was not written"):
        run(tmp_path / "no" / "such" / "folder.csv")
    assert AuditEntry.objects.filter(action="export.finished").latest("seq").data["complete"] is False
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"from": "2026-11-31", "to": "2026-12-01"}, "from"),
        ({"from": "2026-11-01", "to": ""}, "to"),
        ({"from": "2026-11-02", "to": "2026-11-01"}, "to"),
        ({"from": "2026-11-01", "to": "2026-11-01", "currency": "dollars"}, "currency"),
        ({"from": "2026-11-01", "to": "2026-11-01", "format": "iif"}, "format"),
    ],
)
def test_a_selection_that_makes_no_sense_is_refused_by_its_field(given, field):
    with pytest.raises(InvalidInput) as caught:
        export.read_selection(given)
    assert caught.value.field == field


def test_beancount_files_of_two_months_load_alone_and_together(books, tmp_path):
    loader = pytest.importorskip("beancount.loader")
    run(tmp_path / "october.beancount", format="beancount", **{"from": "2026-10-01", "to": "2026-10-31"})
    run(tmp_path / "november.beancount", format="beancount")
    included = 'include "october.beancount"\ninclude "november.beancount"\n'
    (tmp_path / "all.beancount").write_text(f'plugin "beancount.plugins.auto_accounts"\n{included}')
    found = {}
    for name in ("october", "november", "all"):
        entries, errors, _ = loader.load_file(str(tmp_path / f"{name}.beancount"))
        assert errors == [], name
        found[name] = sum(type(one).__name__ == "Transaction" for one in entries)
    assert found["october"] == 1
    assert found["all"] == found["october"] + found["november"] == len(books)


# -- by the time of posting --------------------------------------------------------------------------------------------

FIRST, SECOND = datetime(2026, 11, 1, 9, tzinfo=UTC), datetime(2026, 12, 1, 9, tzinfo=UTC)


def posted(at: datetime, *drafts: Draft, monkeypatch: pytest.MonkeyPatch) -> list[JournalEntry]:
    """As if the clock had said `at`: entries cannot be changed afterwards."""
    with monkeypatch.context() as patch:
        patch.setattr("settlements.ledger.journal.timezone.now", lambda: at)
        found = post(*drafts)
    assert {one.posted_at for one in found} == {at}
    return found


@pytest.fixture
def late(monkeypatch) -> JournalEntry:
    """October is exported on 1 November; then an event of 31 October comes in."""
    of_october, of_november = datetime(2026, 10, 10, tzinfo=UTC), datetime(2026, 11, 20, tzinfo=UTC)
    posted(FIRST - timedelta(days=20), charge(11, occurred_at=of_october), monkeypatch=monkeypatch)
    (found,) = posted(
        FIRST + timedelta(days=2), charge(12, occurred_at=of_october + timedelta(days=21)), monkeypatch=monkeypatch
    )
    posted(of_november, charge(13, occurred_at=of_november), monkeypatch=monkeypatch)
    posted(SECOND, charge(14, occurred_at=SECOND), monkeypatch=monkeypatch)
    return found


def keys_of(path: Path) -> set[str]:
    return {row["key"] for row in rows(path)}


def test_what_is_posted_after_a_months_file_is_in_the_next_one_by_the_time_of_posting(late, tmp_path):
    chain = [(str(date(2020, 1, 1)), FIRST), (FIRST.isoformat(), SECOND), (SECOND.isoformat(), None)]
    found = []
    for number, (since, until) in enumerate(chain):
        given = {"from": "", "to": "", "posted-since": since, "posted-until": until.isoformat() if until else ""}
        (said,) = run(tmp_path / f"{number}.csv", **given)
        assert until is None or datetime.fromisoformat(said["posted_until"]) == until
        found.append(keys_of(tmp_path / f"{number}.csv"))
    assert found[1] == {late.key, "charge:ch_13"}
    assert [len(one) for one in found[:2]] == [1, 2]
    assert sum(map(len, found)) == len(set.union(*found)), "none is in two files"


def test_a_file_by_the_time_of_posting_ends_where_no_open_transaction_can_add_to_it(tmp_path):
    post(charge(1))
    (said,) = run(tmp_path / "new.csv", **{"from": "", "to": "", "posted-since": "2026-01-01"})
    assert said["entries"] == 0, "posted just now: it goes into the next file"
    until = datetime.fromisoformat(said["posted_until"])
    assert timezone.now() - until >= export.COMMITTED


def test_a_months_file_says_how_much_of_earlier_months_came_after_them(late, tmp_path):
    (said,) = run(tmp_path / "november.csv")
    assert said["posted_late"] == 1
    (said,) = run(tmp_path / "october.csv", **{"from": "2026-10-01", "to": "2026-10-31"})
    assert said["posted_late"] == 0


def test_the_page_offers_what_was_posted_since_the_last_file(late, lead, client):
    client.force_login(lead)
    page = reverse("admin:ledger_export")
    assert "Posted since" in client.get(page).content.decode()
    answer = client.get(page, {"posted_since": "2026-11-01T09:00Z", "format": "csv"})
    assert "journal-posted-2026-11-01T090000Z-" in answer["Content-Disposition"]
    text = b"".join(answer.streaming_content).decode()
    assert late.key in text
    assert "charge:ch_11" not in text
    refused = client.get(page, {"posted_since": "yesterday"})
    assert refused.status_code == 400
    assert "is no time" in refused.content.decode()


@pytest.mark.parametrize(
    "given",
    [
        {"from": "2026-11-01", "to": "2026-11-30", "posted_since": "2026-11-01"},
        {"posted_since": "2026-11-02", "posted_until": "2026-11-01"},
        {"from": "2026-11-01", "to": "2026-11-30", "posted_until": "2026-11-01"},
        {"posted_since": "the last file"},
        {"posted_since": "0001-01-01"},
        {},
    ],
)
def test_a_period_and_a_time_of_posting_are_not_mixed(given):
    """With a period, too, entries would fall between two files."""
    with pytest.raises(InvalidInput):
        export.read_selection(given)
