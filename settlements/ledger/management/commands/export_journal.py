"""`manage.py export_journal --from 2026-11-01 --to 2026-11-30 [--seller acct_…] [--format quickbooks] FILE`, or
`--posted-since 2026-11-01T08:00Z` in place of the days: what was posted since then, whenever it occurred."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from billingops.actors import Actor
from billingops.exceptions import InvalidInput
from billingops.journal import Note, note
from settlements.ledger import export
from settlements.ledger.export import Selection
from settlements.ledger.formats import FORMATS, Format
from settlements.ledger.models import JournalEntry

ACTOR = Actor.system("export_journal")


class Command(BaseCommand):
    help = (
        "Writes the journal of a period to a file: our own CSV, or a form that accounting packages import. A form "
        "without a column for the currency gets a file each: journal.csv becomes journal.eur.csv, journal.usd.csv."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--from", dest="from", default="", metavar="DAY", help="the first day, 2026-11-01")
        parser.add_argument("--to", default="", metavar="DAY", help="the last day, included; days are UTC")
        parser.add_argument(
            "--posted-since", default="", metavar="TIME",
            help="instead of days: what was posted since then, whenever it occurred; the line that is printed says "
            "until when, which is the next file's --posted-since",
        )  # fmt: skip
        parser.add_argument("--posted-until", default="", metavar="TIME", help="to write an earlier file once more")
        parser.add_argument("--seller", default="", metavar="ACCT", help="only this seller's entries")
        parser.add_argument("--currency", default="", metavar="USD", help="only this currency")
        parser.add_argument("--format", default="csv", choices=list(FORMATS), help="default: csv")
        parser.add_argument("file", metavar="FILE")

    def handle(self, *args: Any, **options: Any) -> None:
        names = ("from", "to", "posted_since", "posted_until", "seller", "currency", "format")
        try:
            chosen, form = export.read_selection({name: options[name] for name in names})
        except InvalidInput as problem:
            raise CommandError(str(problem))
        path = Path(options["file"])
        if form.per_currency and not chosen.currency:
            parts = [replace(chosen, currency=currency) for currency in chosen.currencies(form)]
            files = [(part, path.with_suffix(f".{part.currency}{path.suffix}")) for part in parts]
        else:
            files = [(chosen, path)]
        for part, target in files:
            entries = self._write(part, form, target)
            said = {"file": str(target), "format": form.name, "currency": part.currency or "all", "entries": entries}
            self.stdout.write(json.dumps(said | self._more(part, form)))
        if not files:
            self.stdout.write(json.dumps({"format": form.name, "entries": 0} | self._more(chosen, form)))

    def _more(self, chosen: Selection, form: Format) -> dict[str, Any]:
        """Where the next file begins; or, of a period, how much of earlier ones came after them."""
        if chosen.posted_until:
            return {"posted_until": chosen.posted_until.isoformat()}
        return {"posted_late": chosen.late(form)}

    def _write(self, chosen: Selection, form: Format, target: Path) -> int:
        """To a file beside it first: what is there under its name is whole."""
        number = uuid.uuid4().hex[:12]
        about = {key: str(value) for key, value in vars(chosen).items()} | {"export": number, "format": form.name}
        note(Note("export.started", f"export:{target.name}", ACTOR, about))
        beside, counted = target.with_name(f"{target.name}.{number}.part"), _Counted()
        complete = False
        try:
            with beside.open("x", encoding="utf-8", newline="") as out:
                out.writelines(form.write(counted.of(export.stream(chosen.entries(form)))))
            os.replace(beside, target)
            complete = True
        except OSError as problem:
            raise CommandError(f"{target} was not written: {problem.strerror}.")
        finally:
            beside.unlink(missing_ok=True)
            done = {"export": number, "rows": counted.count, "complete": complete}
            note(Note("export.finished", f"export:{target.name}", ACTOR, done))
        return counted.count


class _Counted:
    count = 0

    def of(self, entries: Iterable[JournalEntry]) -> Iterator[JournalEntry]:
        for entry in entries:
            self.count += 1
            yield entry
