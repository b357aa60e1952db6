import io
import json

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, transaction

from approvals import audit, triggers
from approvals.audit import chain as chain_module
from approvals.models import AuditEntry
from billingops.actors import Actor
from billingops.ids import canonical, seal

ACTOR = Actor.system("test")
TABLE = AuditEntry._meta.db_table


def sql(statement, *params):
    with connection.cursor() as cursor:
        cursor.execute(statement, params)


@pytest.fixture
def chain(db):
    """Five entries; what stands before them was written by the migrations."""
    return [
        audit.record(
            action="test.step",
            subject=f"thing:{n}",
            actor=ACTOR,
            data={"n": n},
            account="acct_1",
            event_id=f"evt_{n}",
        )
        for n in range(5)
    ]


@pytest.fixture
def without_triggers(chain):
    triggers.remove(connection)
    yield chain
    triggers.install(connection)


# -- writing -----------------------------------------------------------------------------------------------------------


def test_a_whole_chain_verifies(chain):
    verdict = audit.verify()
    assert (verdict.broken_at, verdict.entries) == (None, chain[-1].seq)
    assert verdict.last == (chain[-1].seq, chain[-1].hash)


def test_what_was_appended_is_what_is_stored(chain):
    stored = AuditEntry.objects.get(seq=chain[2].seq)
    for name in ("at", "actor", "action", "subject", "account", "event_id", "data", "previous_hash", "hash", "format"):
        assert getattr(stored, name) == getattr(chain[2], name), name
    assert stored.data == {"n": 2}
    assert stored.family == "test"


def test_an_append_takes_two_statements_and_a_thousand_notes_no_more(db, django_assert_num_queries):
    with transaction.atomic(), django_assert_num_queries(2):
        audit.append(action="test.step", subject="thing:1", actor=ACTOR, data={})
    notes = [audit.Note("test.many", f"thing:{n}", ACTOR, {"n": n}) for n in range(1000)]
    with transaction.atomic(), django_assert_num_queries(2):
        assert audit.append_many(notes) == 1000
    assert audit.verify().broken_at is None
    assert AuditEntry.objects.filter(action="test.many").count() == 1000


def test_an_append_outside_of_a_transaction_is_refused(transactional_db):
    with pytest.raises(RuntimeError, match="transaction"):
        audit.append(action="test.step", subject="x", actor=ACTOR, data={})


def test_an_entry_is_undone_with_what_it_records(db):
    before = audit.verify().entries

    @transaction.atomic
    def step():
        audit.append(action="test.step", subject="x", actor=ACTOR, data={})
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        step()
    assert audit.verify() == audit.Verdict(entries=before)


@pytest.mark.parametrize(
    "text", ["line\nbreak", "nul\x00", "tab\t", "half a pair \ud800", "日本語 – 漢字", "x" * 400], ids=repr
)
def test_an_odd_or_long_name_neither_breaks_the_step_nor_the_chain(db, text):
    entry = audit.record(action="test.odd", subject=text, actor=Actor.system(text), data={"text": text})
    assert audit.verify().broken_at is None
    stored = AuditEntry.objects.get(pk=entry.pk)
    assert "\n" not in stored.subject
    assert stored.data == {"text": text}


def test_no_person_stands_in_an_entry(db):
    data = {"email": "ana@example.com", "note": "write to ana@example.com", "deep": [{"name": "Ana"}], "amount": 5}
    entry = audit.record(action="test.person", subject="x", actor=ACTOR, data=data)
    assert AuditEntry.objects.get(pk=entry.pk).data == {
        "email": "•••",
        "note": "write to •••",
        "deep": [{"name": "•••"}],
        "amount": 5,
    }


# -- refusing ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "statement",
    [f"UPDATE {TABLE} SET actor = 'x'", f"UPDATE {TABLE} SET seq = seq + 1000", f"DELETE FROM {TABLE}"],
)
def test_the_database_refuses_to_change_the_log(chain, statement):
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        sql(statement)
    assert audit.verify().entries == chain[-1].seq


def test_an_entry_cannot_be_replaced_by_an_insert(chain):
    columns = ", ".join(chain_module.COLUMNS)
    changed = columns.replace("actor", "'x'", 1)
    seq = chain[2].seq
    if connection.vendor == "sqlite":
        statement = f"INSERT OR REPLACE INTO {TABLE} ({columns}) SELECT {changed} FROM {TABLE} WHERE seq = {seq}"
    else:
        statement = (
            f"INSERT INTO {TABLE} ({columns}) SELECT {changed} FROM {TABLE} WHERE seq = {seq} "
            "ON CONFLICT (seq) DO UPDATE SET actor = excluded.actor"
        )
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        sql(statement)
    assert AuditEntry.objects.get(seq=seq).actor == "system:test"


@pytest.mark.parametrize("verb", ["delete", "update"])
def test_the_orm_is_refused_as_well(chain, verb):
    rows = AuditEntry.objects.filter(seq=chain[0].seq)
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        rows.delete() if verb == "delete" else rows.update(actor="x")


@pytest.mark.postgres
@pytest.mark.parametrize("statement", [f"TRUNCATE {TABLE}", f"TRUNCATE {TABLE} CASCADE"])
def test_postgresql_refuses_truncate_as_well(chain, statement):
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        sql(statement)
    assert audit.verify().entries == chain[-1].seq


@pytest.mark.postgres
def test_a_session_that_calls_itself_a_replica_is_refused_too(chain):
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        sql(f"SET LOCAL session_replication_role = replica; DELETE FROM {TABLE}")


@pytest.mark.django_db(transaction=True)
def test_the_flush_command_cannot_empty_the_log():
    last = audit.record(action="test.step", subject="x", actor=ACTOR, data={})
    with pytest.raises(CommandError):
        call_command("flush", interactive=False, verbosity=0)
    assert audit.verify() == audit.Verdict(entries=last.seq)


def test_triggers_that_are_missing_are_named_and_put_back_by_migrate(without_triggers):
    assert triggers.missing(connection) == list(triggers.NAMES[connection.vendor])
    with pytest.raises(CommandError, match="trigger"):
        call_command("verify_audit", stdout=io.StringIO())
    call_command("migrate", "approvals", verbosity=0)
    assert triggers.missing(connection) == []


# -- verifying ---------------------------------------------------------------------------------------------------------

COLUMN_CHANGES = {
    "actor": "'somebody'",
    "at": "'2020-01-01 00:00:00.000000+00'",
    "action": "'test.other'",
    "subject": "'thing:99'",
    "account": "'acct_2'",
    "event_id": "''",
    "data": "'{\"n\":99}'",
    "previous_hash": f"'{'a' * 64}'",
    "hash": f"'{'a' * 64}'",
    "format": "1",
}


@pytest.mark.parametrize("column", sorted(COLUMN_CHANGES))
def test_a_changed_column_is_found_and_named(without_triggers, column):
    seq = without_triggers[2].seq
    sql(f"UPDATE {TABLE} SET {column} = {COLUMN_CHANGES[column]} WHERE seq = {seq}")
    assert audit.verify().broken_at == seq
    assert audit.check_entries([seq])[seq]


def test_text_cannot_move_from_one_column_to_the_next(without_triggers):
    """`actor` and `action` stand side by side in what is hashed."""
    seq = without_triggers[2].seq
    sql(
        f"UPDATE {TABLE} SET actor = 'system:test' || chr(10) || 'test', action = 'step' WHERE seq = {seq}".replace(
            "chr(10)", "char(10)" if connection.vendor == "sqlite" else "chr(10)"
        )
    )
    assert audit.verify().broken_at == seq


def test_a_removed_entry_is_found_and_named(without_triggers):
    seq = without_triggers[3].seq
    sql(f"DELETE FROM {TABLE} WHERE seq = {seq}")
    verdict = audit.verify()
    assert (verdict.broken_at, verdict.entries) == (seq, seq - 1)
    assert "is missing" in verdict.why
    with pytest.raises(CommandError, match=f"broken at entry {seq}"):
        call_command("verify_audit", stdout=io.StringIO())


def test_a_removed_first_entry_is_found(without_triggers):
    sql(f"DELETE FROM {TABLE} WHERE seq = 1")
    assert audit.verify().broken_at == 1


def test_entries_in_another_order_are_found(without_triggers):
    first, second = without_triggers[1].seq, without_triggers[2].seq
    for old, new in ((first, -1), (second, first), (-1, second)):
        sql(f"UPDATE {TABLE} SET seq = {new} WHERE seq = {old}")
    assert audit.verify().broken_at == first


def test_an_entry_put_in_between_is_found_even_when_the_rest_is_numbered_anew(without_triggers):
    at = without_triggers[2].seq
    for seq in range(without_triggers[-1].seq, at - 1, -1):
        sql(f"UPDATE {TABLE} SET seq = {seq + 1} WHERE seq = {seq}")
    before = AuditEntry.objects.get(seq=at - 1)
    row = chain_module._row(audit.Note("test.forged", "thing:x", ACTOR), at, before.at, before.hash)
    with connection.cursor() as cursor:
        chain_module._insert(cursor, [row])
    assert audit.verify().broken_at == at + 1  # the forged entry is well made; what followed no longer does


def test_an_entry_at_the_end_that_was_not_sealed_is_found(without_triggers):
    last = without_triggers[-1]
    row = list(chain_module._row(audit.Note("test.forged", "thing:x", ACTOR), last.seq + 1, last.at, last.hash))
    row[9] = "b" * 64
    with connection.cursor() as cursor:
        chain_module._insert(cursor, [tuple(row)])
    assert audit.verify().broken_at == last.seq + 1


def test_the_walk_can_begin_behind_a_link_that_is_known(chain):
    known = audit.Link(chain[1].seq, chain[1].hash)
    assert audit.verify(start=known) == audit.Verdict(entries=3)
    assert audit.verify(start=audit.Link(chain[1].seq, "0" * 64)).broken_at == chain[2].seq


def test_single_entries_are_checked_with_the_link_to_the_one_before(without_triggers):
    seqs = [entry.seq for entry in without_triggers]
    assert audit.check_entries(seqs) == dict.fromkeys(seqs, "")
    sql(f"UPDATE {TABLE} SET actor = 'x' WHERE seq = {seqs[1]}")
    sql(f"DELETE FROM {TABLE} WHERE seq = {seqs[3]}")
    found = audit.check_entries([*seqs, 10_000])
    assert "changed" in found[seqs[1]]
    assert "missing" in found[seqs[3]]
    assert "missing" in found[seqs[4]]
    assert "missing" in found[10_000]
    assert found[seqs[0]] == found[seqs[2]] == ""


# -- entries of the first format ---------------------------------------------------------------------------------------


def write_format_1(seq, previous, data):
    """As it was written until November 2026."""
    at = "2026-11-21T09:00:00.000123+00:00"
    hash_ = seal([seq, at, "ana", "policy.changed", "policy:*/", data, previous])
    stored = json.dumps(data)  # jsonb and JSON text of that time: blanks, any order of keys
    columns = "seq, at, actor, action, subject, account, event_id, data, previous_hash, hash, format"
    sql(
        f"INSERT INTO {TABLE} ({columns}) VALUES (%s, %s, %s, %s, %s, '', '', %s, %s, %s, 1)",
        seq,
        "2026-11-21 09:00:00.000123" + ("+00" if connection.vendor == "postgresql" else ""),
        "ana",
        "policy.changed",
        "policy:*/",
        stored,
        previous,
        hash_,
    )
    return hash_


@pytest.fixture
def old_chain(db):
    triggers.remove(connection)
    sql(f"DELETE FROM {TABLE}")
    previous = audit.GENESIS
    for seq in (1, 2, 3):
        previous = write_format_1(seq, previous, {"z": 1, "a": ["é", None, 1.5]})
    yield
    triggers.install(connection)


def test_old_entries_still_verify_and_new_ones_continue_them(old_chain):
    entry = audit.record(action="test.step", subject="x", actor=ACTOR, data={})
    assert entry.seq == 4
    assert audit.verify() == audit.Verdict(entries=4)
    assert AuditEntry.objects.get(seq=1).data == {"z": 1, "a": ["é", None, 1.5]}


@pytest.mark.parametrize("change", ["actor = 'x'", "account = 'acct_1'", "data = '{}'", "data = 'no json'"])
def test_a_changed_old_entry_is_found(old_chain, change):
    sql(f"UPDATE {TABLE} SET {change} WHERE seq = 2")
    assert audit.verify().broken_at == 2


def test_an_old_entry_cannot_follow_a_new_one(old_chain):
    entry = audit.record(action="test.step", subject="x", actor=ACTOR, data={})
    write_format_1(5, entry.hash, {})
    verdict = audit.verify()
    assert (verdict.broken_at, "older format" in verdict.why) == (5, True)


# -- the command -------------------------------------------------------------------------------------------------------


def test_the_command_prints_what_it_read(chain):
    out = io.StringIO()
    call_command("verify_audit", stdout=out)
    said = json.loads(out.getvalue().splitlines()[-1])
    assert (said["entries"], said["chain"], said["last"]) == (chain[-1].seq, "whole", chain[-1].seq)


def test_the_command_can_begin_at_an_entry(chain):
    out = io.StringIO()
    call_command("verify_audit", since=chain[3].seq, stdout=out)
    assert json.loads(out.getvalue().splitlines()[-1])["entries"] == 2
    with pytest.raises(CommandError, match="no entry"):
        call_command("verify_audit", since=chain[-1].seq + 2, stdout=out)


def test_canonical_text_is_what_the_data_column_holds(chain):
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT data FROM {TABLE} WHERE seq = {chain[0].seq}")
        assert cursor.fetchone()[0] == canonical({"n": 0})
