import base64
import csv
import io
import json
import os
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import connection

from approvals import audit, triggers, verify_checkpoint
from approvals.audit import checkpoints, sweeps
from approvals.checks import checkpoints_can_be_signed_and_kept
from approvals.models import AuditEntry
from billingops.actors import Actor

ACTOR = Actor.system("test")
SCRIPT = Path(verify_checkpoint.__file__)


def command(name, *args, **options):
    out = io.StringIO()
    call_command(name, *args, stdout=out, **options)
    return out.getvalue()


def sql(statement):
    with connection.cursor() as cursor:
        cursor.execute(statement)


def public_key():
    return base64.b64encode(checkpoints.public_bytes(checkpoints.private_key())).decode()


@pytest.fixture
def key(settings, db):
    settings.AUDIT_SIGNING_KEY = checkpoints.new_seed()
    return public_key()


@pytest.fixture
def made(key, tmp_path):
    """A checkpoint of the log as it is, in a file; five more entries after it."""
    path = tmp_path / "one.json"
    command("audit_checkpoint", out=str(path))
    for n in range(5):
        audit.record(action="test.step", subject=f"thing:{n}", actor=ACTOR, data={"n": n})
    return path


@pytest.fixture
def without_triggers(made):
    triggers.remove(connection)
    yield made
    triggers.install(connection)


# -- making ------------------------------------------------------------------------------------------------------------


def test_a_checkpoint_names_the_last_link_and_the_log_notes_it(made, key):
    said = json.loads(made.read_text())
    entry = AuditEntry.objects.get(seq=said["seq"])
    assert (said["hash"], said["entries"]) == (entry.hash, entry.seq)
    noted = AuditEntry.objects.get(action="checkpoint.signed")
    assert noted.data == {"seq": said["seq"], "hash": said["hash"], "key": said["key_id"]}


def test_a_broken_log_is_not_signed(without_triggers, tmp_path):
    sql("UPDATE approvals_auditentry SET actor = 'x' WHERE seq = 2")
    with pytest.raises(CommandError, match="nothing was signed: the log is broken at entry 2"):
        command("audit_checkpoint", out=str(tmp_path / "two.json"))
    assert not (tmp_path / "two.json").exists()


def test_a_checkpoint_is_never_overwritten(made):
    before = made.read_text()
    with pytest.raises(CommandError, match="not overwritten"):
        command("audit_checkpoint", out=str(made))
    assert made.read_text() == before


def test_without_a_key_nothing_is_signed(settings, db, tmp_path):
    settings.AUDIT_SIGNING_KEY = ""
    with pytest.raises(CommandError, match="AUDIT_SIGNING_KEY is not set"):
        command("audit_checkpoint", out=str(tmp_path / "x.json"))


def test_a_key_is_made_for_its_owner_alone_and_works(settings, db, tmp_path):
    path = tmp_path / "key"
    said = command("audit_key", out=str(path))
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    settings.AUDIT_SIGNING_KEY = str(path)
    assert public_key() in said
    assert path.read_text().strip() not in said
    assert command("audit_key").splitlines() == said.splitlines()[1:]
    with pytest.raises(CommandError, match="No key was made"):
        command("audit_key", out=str(path))
    command("audit_checkpoint", out=str(tmp_path))
    assert len(checkpoints.files(tmp_path)) == 1


# -- holding the log against one ---------------------------------------------------------------------------------------


def test_the_log_still_holds_the_link(made):
    said = json.loads(command("verify_audit", checkpoint=[str(made)]))
    assert said["checkpoints"] == 1
    said = json.loads(command("verify_audit", from_checkpoint=str(made)))
    assert (said["entries"], said["from"]) == (6, json.loads(made.read_text())["seq"] + 1)


def test_a_cut_off_end_is_found_with_a_checkpoint_alone(key, tmp_path):
    for n in range(3):
        audit.record(action="test.step", subject=f"thing:{n}", actor=ACTOR, data={})
    command("audit_checkpoint", out=str(tmp_path / "one.json"))
    seq = json.loads((tmp_path / "one.json").read_text())["seq"]
    triggers.remove(connection)
    sql(f"DELETE FROM approvals_auditentry WHERE seq >= {seq}")
    triggers.install(connection)
    assert json.loads(command("verify_audit"))["chain"] == "whole"
    with pytest.raises(CommandError, match=f"entry {seq} is missing, so the log's end was cut off"):
        command("verify_audit", checkpoint=[str(tmp_path / "one.json")])


def test_a_log_that_was_made_anew_is_found(without_triggers):
    """Every entry is sealed correctly, but it is not the log of then."""
    seq = json.loads(without_triggers.read_text())["seq"]
    sql(f"DELETE FROM approvals_auditentry WHERE seq >= {seq}")
    for n in range(9):
        audit.record(action="test.forged", subject=f"thing:{n}", actor=ACTOR, data={})
    triggers.install(connection)
    assert json.loads(command("verify_audit"))["chain"] == "whole"
    with pytest.raises(CommandError, match=f"entry {seq} has another hash"):
        command("verify_audit", from_checkpoint=str(without_triggers))


def test_the_checkpoints_in_the_folder_are_held_against_it_without_being_named(made, settings):
    settings.AUDIT_CHECKPOINT_DIR = str(made.parent)
    made.rename(made.with_name("audit-000000000001-x.json"))
    assert json.loads(command("verify_audit"))["checkpoints"] == 1


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"seq": 1}, "signature does not fit"),
        ({"hash": "0" * 64}, "signature does not fit"),
        ({"at": "2020-01-01T00:00:00+00:00"}, "signature does not fit"),
        ({"signature": base64.b64encode(bytes(64)).decode()}, "signature does not fit"),
        ({"signature": "%%%"}, "signature does not fit"),
        ({"key_id": "0" * 16}, "was signed with key"),
        ({"format": "other"}, "no checkpoint"),
        ({"seq": "1"}, "wrong type"),
        ({"more": 1}, "no checkpoint"),
    ],
)
def test_a_changed_checkpoint_is_not_believed(made, change, why):
    made.write_text(json.dumps(json.loads(made.read_text()) | change))
    with pytest.raises(CommandError, match=why):
        command("verify_audit", checkpoint=[str(made)])


def test_a_checkpoint_of_another_key_is_not_believed_unless_it_is_named(made, key, settings):
    settings.AUDIT_SIGNING_KEY = checkpoints.new_seed()
    with pytest.raises(CommandError, match="was signed with key"):
        command("verify_audit", checkpoint=[str(made)])
    command("verify_audit", checkpoint=[str(made)], public_key=key)
    settings.AUDIT_PUBLIC_KEYS = [key]
    command("verify_audit", checkpoint=[str(made)])


def test_without_any_key_a_checkpoint_is_not_believed(made, settings):
    settings.AUDIT_SIGNING_KEY = ""
    with pytest.raises(CommandError, match="no key to check its signature with"):
        command("verify_audit", checkpoint=[str(made)])


# -- from outside ------------------------------------------------------------------------------------------------------


def outside(tmp_path, *arguments):
    """The script alone, copied to another place, without Django's settings or our packages."""
    copy = tmp_path / "elsewhere" / "verify_checkpoint.py"
    copy.parent.mkdir(exist_ok=True)
    copy.write_text(SCRIPT.read_text())
    environment = {"PATH": os.environ["PATH"]}
    command = [sys.executable, str(copy), *map(str, arguments)]
    return subprocess.run(command, cwd=copy.parent, env=environment, capture_output=True, text=True)


def test_it_is_verified_from_outside_with_the_public_key_alone(made, key, tmp_path):
    done = outside(tmp_path, made, "--public-key", key)
    assert done.returncode == 0, done.stderr
    assert json.loads(made.read_text())["hash"] in done.stdout
    made.write_text(made.read_text().replace('"entries": ', '"entries": 1'))
    done = outside(tmp_path, made, "--public-key", key)
    assert (done.returncode, "NOT VALID" in done.stderr) == (1, True)
    assert outside(tmp_path, tmp_path / "none.json", "--public-key", key).returncode == 2
    assert outside(tmp_path, made, "--public-key", "no key").returncode == 1


@pytest.fixture
def exported(client, auditor, made, tmp_path):
    """The log as the auditor takes it home."""
    audit.record(action="test.odd", subject="=1+1", actor=Actor.system('- a, "b" é'), data={"text": "日本 =1\n'x'"})
    client.force_login(auditor)
    answer = client.get("/admin/approvals/auditentry/export/")
    path = tmp_path / "entries.csv"
    path.write_bytes(b"".join(answer.streaming_content))
    return path


def test_an_exported_log_is_verified_from_outside_against_a_checkpoint(exported, made, key, tmp_path):
    done = outside(tmp_path, made, "--public-key", key, "--entries", exported)
    assert done.returncode == 0, done.stderr
    assert f"{AuditEntry.objects.exclude(action='export.finished').count()} entries" in done.stdout


@pytest.mark.parametrize(
    ("column", "value"), [("actor", "x"), ("data", "{}"), ("account", "acct_9"), ("at", "2020-01-01T00:00:00+00:00")]
)
def test_a_changed_entry_of_an_exported_log_is_found(exported, made, key, column, value):
    with exported.open(newline="") as file:
        rows = list(csv.DictReader(file))
    rows[3][column] = value
    with exported.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    content = verify_checkpoint.parse(made.read_text())
    with pytest.raises(verify_checkpoint.CheckpointError, match="was changed"):
        verify_checkpoint.check_entries(exported, [content])


def test_a_link_that_the_exported_log_does_not_hold_is_found(exported, made):
    content = verify_checkpoint.parse(made.read_text())
    with pytest.raises(verify_checkpoint.CheckpointError, match="another one"):
        verify_checkpoint.check_entries(exported, [content | {"hash": "0" * 64}])
    with pytest.raises(verify_checkpoint.CheckpointError, match="not among"):
        verify_checkpoint.check_entries(exported, [content | {"seq": 10_000}])


# -- every day ---------------------------------------------------------------------------------------------------------


def test_the_worker_makes_one_a_day_where_a_folder_is_set(key, settings, tmp_path):
    assert sweeps.checkpoint() == ""
    settings.AUDIT_CHECKPOINT_DIR = str(tmp_path)
    sweeps.checkpoint()
    audit.record(action="test.step", subject="x", actor=ACTOR, data={})
    sweeps.checkpoint()
    first, second = (checkpoints.read(path) for path in checkpoints.files(tmp_path))
    assert second.seq == second.entries == first.seq + 2
    json.loads(command("verify_audit"))


def test_the_worker_signs_no_log_that_is_not_the_one_of_yesterday(key, settings, tmp_path):
    settings.AUDIT_CHECKPOINT_DIR = str(tmp_path)
    sweeps.checkpoint()
    [path] = checkpoints.files(tmp_path)
    forged = checkpoints.sign(
        audit.Link(checkpoints.read(path).seq, "1" * 64), entries=1, key=checkpoints.private_key()
    )
    path.unlink()
    checkpoints.write(replace(forged), tmp_path)
    with pytest.raises(checkpoints.CheckpointError, match="nothing was signed"):
        sweeps.checkpoint()


@pytest.mark.parametrize(
    ("overrides", "found"),
    [
        ({"AUDIT_CHECKPOINT_DIR": "", "AUDIT_SIGNING_KEY": ""}, set()),
        ({"AUDIT_CHECKPOINT_DIR": "/nowhere", "AUDIT_SIGNING_KEY": ""}, {"approvals.E002", "approvals.E003"}),
        ({"AUDIT_CHECKPOINT_DIR": "", "AUDIT_SIGNING_KEY": "no key"}, {"approvals.E001"}),
    ],
)
def test_a_log_that_cannot_be_signed_is_said_at_start(settings, overrides, found):
    for name, value in overrides.items():
        setattr(settings, name, value)
    assert {problem.id for problem in checkpoints_can_be_signed_and_kept(None)} == found
