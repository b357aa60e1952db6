"""`manage.py take_in_mail`, as a mail server or a person calls it."""

from __future__ import annotations

import io
import json
import mailbox
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError

from dunning.contact import intake
from dunning.contact.models import Receipt, Reply
from dunning.contact.tests import mails
from dunning.models import Message

pytestmark = pytest.mark.django_db


def run(*args: str) -> dict[str, int]:
    out = io.StringIO()
    call_command("take_in_mail", *args, stdout=out)
    found: dict[str, int] = json.loads(out.getvalue())
    return found


@pytest.fixture
def stdin(monkeypatch: pytest.MonkeyPatch) -> Callable[[bytes], None]:
    def give(data: bytes) -> None:
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data)))

    return give


def test_one_mail_on_standard_input(message: Message, stdin: Callable[[bytes], None]) -> None:
    stdin(mails.wire(mails.POSTFIX))
    assert run() == {"hard": 1}
    stdin(mails.wire(mails.POSTFIX))
    assert run("-") == {"again": 1}


def test_what_a_mail_server_hands_over_too_much_of_is_read_to_its_end(
    message: Message, stdin: Callable[[bytes], None], settings: Any
) -> None:
    settings.CONTACT = {"mail_max_bytes": 3000}
    mail = mails.answer("short")
    mail.add_attachment(b"x" * 100_000, maintype="image", subtype="png", filename="a.png")
    stdin(mail.as_bytes())
    assert run() == {"reply": 1}
    assert Reply.objects.get().is_cut


def test_one_mail_in_a_file(message: Message, tmp_path: Path) -> None:
    path = tmp_path / "mail.eml"
    path.write_bytes(mails.answer().as_bytes())
    assert run(str(path)) == {"reply": 1}


def test_a_maildir_gives_its_new_mails_and_keeps_what_is_none_of_ours_unseen(message: Message, tmp_path: Path) -> None:
    box = mailbox.Maildir(tmp_path / "box")
    box.add(mails.wire(mails.POSTFIX))
    box.add(mails.answer(in_reply_to="<other@x.example>").as_bytes())
    assert run(str(tmp_path / "box")) == {"hard": 1, "unlinked": 1}
    assert run(str(tmp_path / "box")) == {}
    again = mailbox.Maildir(tmp_path / "box")
    assert sorted(mail.get_flags() for mail in again) == ["", "S"]


def test_an_mbox_is_read_and_left_as_it_is(message: Message, tmp_path: Path) -> None:
    path = tmp_path / "box.mbox"
    box = mailbox.mbox(path)
    for text in (mails.GMAIL, mails.VACATION):
        box.add(mailbox.mboxMessage(text))
    box.close()
    before = path.read_bytes()
    assert run(str(path)) == {"auto": 1, "hard": 1}
    assert run(str(path)) == {"again": 2}
    assert path.read_bytes() == before
    assert Receipt.objects.count() == 2


def test_a_path_that_is_neither_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(CommandError):
            run(str(path))


def test_without_the_database_the_mail_server_is_asked_to_try_again(
    stdin: Callable[[bytes], None], monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    def gone(*args: Any, **kwargs: Any) -> None:
        raise DatabaseError("no connection")

    monkeypatch.setattr(intake, "find", gone)
    stdin(mails.wire(mails.POSTFIX))
    with pytest.raises(SystemExit) as ended:
        run()
    assert ended.value.code == 75
