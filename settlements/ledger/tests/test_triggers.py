"""What the database refuses by itself, whoever asks. Postings are written past journal.py here."""

from __future__ import annotations

import uuid

import pytest
from django.core.management import call_command
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.db.models import F

from settlements.ledger import triggers
from settlements.ledger.models import BalanceSnapshot, JournalEntry, Posting
from settlements.ledger.tests.build import NOON, charge, post, sale

pytestmark = pytest.mark.django_db


def sql(statement: str, *params: object) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, params)


def entry(key: str = "raw:1", cash: int = 5, currency: str = "usd") -> JournalEntry:
    return JournalEntry(key=key, kind="charge", currency=currency, occurred_at=NOON, cash=cash)


def write(made: JournalEntry, *lines: tuple[str, int] | tuple[str, int, str]) -> None:
    rows = []
    for account, amount, *currency in lines:
        rows.append(Posting(entry_id=made.pk, account=account, amount=amount, currency=(currency or ["usd"])[0]))
    write_rows([made], rows)


def write_rows(entries: list[JournalEntry], rows: list[Posting]) -> None:
    with transaction.atomic():
        Posting.objects.bulk_create(rows)
        JournalEntry.objects.bulk_create(entries)


def test_an_entry_that_adds_up_is_taken():
    write(entry(), ("cash", 5), ("receivable", -5))
    assert JournalEntry.objects.get().postings.count() == 2


@pytest.mark.parametrize(
    ("lines", "cash"),
    [
        ((("cash", 5), ("receivable", -4)), 5),
        ((("cash", 5),), 5),
        ((), 0),
        ((("cash", 5, "usd"), ("receivable", -5, "eur")), 5),
        ((("cash", 5, "eur"), ("receivable", -5, "eur")), 5),
        ((("cash", 5), ("receivable", -5)), 4),
        ((("bank", 5), ("receivable", -5)), 5),
        ((("cash", 5), ("receivable", -5)), 0),
    ],
    ids=["unbalanced", "one posting", "none", "two currencies", "another currency", "cash", "no cash", "cash unsaid"],
)
def test_an_entry_that_does_not_add_up_is_refused(lines, cash):
    with pytest.raises(IntegrityError, match="does not add up"):
        write(entry(cash=cash), *lines)
    assert not JournalEntry.objects.exists()


def test_of_many_entries_in_one_statement_a_single_wrong_one_is_found():
    made = [entry(f"raw:{n}") for n in range(50)]
    rows = []
    for one in made:
        rows += [
            Posting(entry_id=one.pk, account="cash", amount=5, currency="usd"),
            Posting(entry_id=one.pk, account="receivable", amount=-5, currency="usd"),
        ]
    rows[61].amount = -6
    names = "raw:30" if connection.vendor == "postgresql" else "does not add up"
    with pytest.raises(IntegrityError, match=names):
        write_rows(made, rows)


def test_an_entry_takes_no_posting_once_it_is_there():
    (made,) = post(charge())
    with pytest.raises(IntegrityError, match="closed"), transaction.atomic():
        Posting.objects.create(entry=made, account="cash", amount=5, currency="usd")
    with pytest.raises(IntegrityError, match="closed"), transaction.atomic():
        Posting.objects.bulk_create(
            [Posting(entry=made, account=a, amount=n, currency="usd") for a, n in (("cash", 5), ("receivable", -5))]
        )
    assert Posting.objects.count() == 3


def test_a_posting_of_nothing_is_refused():
    with pytest.raises(IntegrityError):
        write(entry(), ("cash", 5), ("receivable", -5), ("suspense", 0))


@pytest.mark.django_db(transaction=True)
def test_a_posting_without_an_entry_does_not_survive_the_commit():
    with pytest.raises(IntegrityError), transaction.atomic():
        Posting.objects.create(entry_id=uuid.uuid4(), account="cash", amount=5, currency="usd")
    assert not Posting.objects.exists()


@pytest.mark.parametrize("model", [JournalEntry, Posting])
def test_what_was_posted_can_be_neither_changed_nor_removed(model):
    post(charge(), sale())
    column = "fee" if model is JournalEntry else "amount"
    before = list(model.objects.order_by("pk").values())
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        model.objects.update(**{column: F(column) * 2})
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        sql(f"UPDATE {model._meta.db_table} SET currency = 'eur'")
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        sql(f"DELETE FROM {model._meta.db_table}")
    assert list(model.objects.order_by("pk").values()) == before


@pytest.mark.parametrize("table", triggers.TABLES)
def test_truncate_and_replace_are_refused(table):
    post(charge())
    if connection.vendor == "postgresql":
        sql("SET CONSTRAINTS ALL IMMEDIATE")
        with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
            sql("TRUNCATE ledger_posting, ledger_journalentry CASCADE")
        sql("SET session_replication_role = replica")
        with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
            sql(f"DELETE FROM {table}")
        sql("SET session_replication_role = origin")
        return
    with pytest.raises(IntegrityError), transaction.atomic():
        sql(f"INSERT OR REPLACE INTO {table} SELECT * FROM {table}")
    with pytest.raises(IntegrityError), transaction.atomic():
        sql(f"REPLACE INTO {table} SELECT * FROM {table}")


def test_an_entry_cannot_be_replaced_by_way_of_its_key():
    (made,) = post(charge())
    other, columns = uuid.uuid4(), [field.column for field in JournalEntry._meta.fields if field.name != "id"]
    rows = [
        Posting(entry_id=other, account=a, amount=n, currency="usd") for a, n in (("cash", 9_680), ("bank", -9_680))
    ]
    verb = "INSERT OR REPLACE" if connection.vendor == "sqlite" else "INSERT"
    names, new = ", ".join(columns), other.hex

    @transaction.atomic
    def replace() -> None:
        Posting.objects.bulk_create(rows)
        sql(f"{verb} INTO ledger_journalentry (id, {names}) SELECT '{new}', {names} FROM ledger_journalentry")

    with pytest.raises(IntegrityError):
        replace()
    assert JournalEntry.objects.get().pk == made.pk


def test_snapshots_may_change():
    BalanceSnapshot.objects.create(account="cash", currency="usd", through=1, amount=1)
    assert BalanceSnapshot.objects.update(amount=2) == 1
    assert BalanceSnapshot.objects.all().delete()[0] == 1


def test_triggers_that_are_missing_are_named_and_put_back_by_migrate():
    triggers.remove(connection)
    assert triggers.missing(connection) == list(triggers.NAMES[connection.vendor])
    call_command("migrate", "ledger", verbosity=0)
    assert triggers.missing(connection) == []
    with pytest.raises(IntegrityError, match="does not add up"):
        write(entry(), ("cash", 5), ("receivable", -4))


@pytest.mark.postgres
def test_a_trigger_that_is_switched_off_counts_as_missing():
    sql("ALTER TABLE ledger_posting DISABLE TRIGGER ledger_posting_in_time")
    assert triggers.missing(connection) == ["ledger_posting_in_time"]
