"""`manage.py take_in_mail [PATH]`: answers, delivery reports and complaints that a mail server hands over.

    billing+*: "|/srv/billingops/manage.py take_in_mail"      one mail on standard input (Postfix aliases, Exim pipe)
    manage.py take_in_mail FILE                                one mail in a file
    manage.py take_in_mail MAILDIR                             its new mails; what was taken in moves to cur, seen
    manage.py take_in_mail MBOX                                all mails of an mbox file, which is only read

Prints one JSON line of counts. Exit status 0 when all mails were looked at, whatever they were; 75 (EX_TEMPFAIL, which
a mail server takes for "try again later") when the database could not be reached. The same mail twice changes nothing.
"""

from __future__ import annotations

import json
import mailbox
import sys
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.db import DatabaseError

from billingops.actors import Actor
from dunning.contact import config, intake

EX_TEMPFAIL = 75
MAIL_SERVER = Actor.system("mail server")


class Command(BaseCommand):
    help = "Take in a mail from standard input, a file, a Maildir or an mbox."

    def add_arguments(self, parser: Any) -> None:
        parser.add_argument("path", nargs="?", default="-", help="- or nothing: standard input")
        parser.add_argument("--limit", type=int, default=5000, help="mails of a mailbox at most, the rest next time")

    def handle(self, *args: Any, path: str = "-", limit: int = 5000, **options: Any) -> None:
        counts: Counter[str] = Counter()
        try:
            for data, done in self._mails(path, limit):
                taken = intake.take_mail(data, actor=MAIL_SERVER)
                counts[taken.kind if taken.is_new or taken.message is None else "again"] += 1
                done(taken)
        except DatabaseError as problem:
            self.stderr.write(f"The database did not answer ({type(problem).__name__}); the mail is to be tried again.")
            raise SystemExit(EX_TEMPFAIL)
        self.stdout.write(json.dumps(dict(sorted(counts.items()))))

    def _mails(self, path: str, limit: int) -> Iterator[tuple[bytes, Any]]:
        """Each mail's first bytes and what to call when it was taken in; one mail in memory at a time."""
        most = config.current().mail_max_bytes + 1
        if path == "-":
            yield sys.stdin.buffer.read(most), _nothing
            while sys.stdin.buffer.read(1 << 20):  # to the end, or the mail server takes us for broken
                pass
            return
        given = Path(path)
        if given.is_dir():
            yield from self._maildir(given, limit, most)
        elif given.is_file():
            with given.open("rb") as file:
                is_mbox = file.read(5) == b"From "
                file.seek(0)
                if not is_mbox:
                    yield file.read(most), _nothing
                    return
            yield from self._mbox(given, limit, most)
        else:
            raise CommandError(f"{path} is neither a file nor a Maildir. Nothing was taken in.")

    def _maildir(self, path: Path, limit: int, most: int) -> Iterator[tuple[bytes, Any]]:
        if not all((path / name).is_dir() for name in ("new", "cur", "tmp")):
            raise CommandError(f"{path} is no Maildir: it has no new, cur and tmp. Nothing was taken in.")
        for file in sorted((path / "new").iterdir())[:limit]:
            if not file.is_file():
                continue
            with file.open("rb") as opened:
                data = opened.read(most)

            def moved(taken: intake.Taken, file: Path = file) -> None:
                """What is none of ours stays unseen, for whoever reads that mailbox."""
                flags = "S" if taken.message is not None else ""
                file.rename(path / "cur" / f"{file.name.partition(':')[0]}:2,{flags}")

            yield data, moved

    def _mbox(self, path: Path, limit: int, most: int) -> Iterator[tuple[bytes, Any]]:
        box = mailbox.mbox(path, create=False)
        try:
            for key in islice(box.iterkeys(), limit):
                with box.get_file(key) as file:
                    yield file.read(most), _nothing
        finally:
            box.close()


def _nothing(taken: intake.Taken) -> None:
    """Standard input and files are left as they are."""
