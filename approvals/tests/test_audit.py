import io
import json

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, transaction

from approvals import audit, triggers
from approvals.models import AuditEntry
from billingops.actors import Actor

ACTOR = Actor.system("test")


@pytest.fixture
def chain(db):
    return [audit.record(action="test.step", subject=f"thing:{n}", actor=ACTOR, data={"n": n}) for n in range(5)]


def test_a_whole_chain_verifies(chain):
    assert audit.verify() == audit.Verdict(entries=5)


@pytest.mark.parametrize(
    "statement", ["UPDATE approvals_auditentry SET actor = 'x'", "DELETE FROM approvals_auditentry"]
)
def test_the_database_refuses_to_change_the_log(chain, statement):
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)
    assert AuditEntry.objects.count() == 5


def test_an_entry_cannot_be_replaced_by_an_insert(chain):
    if connection.vendor != "sqlite":
        statement = "INSERT INTO approvals_auditentry SELECT * FROM approvals_auditentry WHERE seq = 3"  # a second 3
    else:
        columns = "seq, at, actor, action, subject, data, previous_hash, hash"
        statement = (
            f"INSERT OR REPLACE INTO approvals_auditentry ({columns}) SELECT seq, at, 'x', action, subject, data, "
            "previous_hash, hash FROM approvals_auditentry WHERE seq = 3"
        )
    with pytest.raises(DatabaseError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(statement)
    assert AuditEntry.objects.get(seq=3).actor == "system:test"


@pytest.mark.postgres
def test_postgresql_refuses_truncate_as_well(chain):
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("TRUNCATE approvals_auditentry")
    assert AuditEntry.objects.count() == 5


@pytest.mark.parametrize(
    ("statement", "broken_at"),
    [
        ("UPDATE approvals_auditentry SET actor = 'somebody' WHERE seq = 3", 3),
        ("UPDATE approvals_auditentry SET data = '{\"n\": 99}' WHERE seq = 2", 2),
        ("DELETE FROM approvals_auditentry WHERE seq = 4", 4),
    ],
)
def test_tampering_past_the_triggers_is_found_and_named(chain, statement, broken_at):
    triggers.remove(connection)
    with connection.cursor() as cursor:
        cursor.execute(statement)
    verdict = audit.verify()
    assert verdict.broken_at == broken_at
    with pytest.raises(CommandError, match=str(broken_at)):
        call_command("verify_audit")
    triggers.install(connection)


def test_the_command_prints_what_it_read(chain):
    out = io.StringIO()
    call_command("verify_audit", stdout=out)
    assert json.loads(out.getvalue())["entries"] == 5
