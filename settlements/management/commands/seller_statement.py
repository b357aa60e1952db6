"""`manage.py seller_statement --account acct_… --month 2026-11 [--out FILE.pdf|FILE.csv]`, or `--all --out FOLDER`."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from billingops.actors import Actor
from billingops.admin.export import cell
from billingops.exceptions import InvalidInput
from billingops.journal import Note, note
from settlements.models import Seller
from settlements.trace import statement as statements
from settlements.trace import statement_pdf
from settlements.trace.statement import Statement

ACTOR = Actor.system("seller_statement")


class Command(BaseCommand):
    help = (
        "Writes a seller's statement of a month, one per currency: PDF or CSV by the file's ending, else a line of "
        "sums. --all: of every seller, into a folder, safe to repeat. Exits with 1 when one does not tie."
    )

    def add_arguments(self, parser: Any) -> None:
        who = parser.add_mutually_exclusive_group(required=True)
        who.add_argument("--account", help="the seller, acct_…")
        who.add_argument("--all", action="store_true", help="every seller")
        parser.add_argument("--month", required=True, help="2026-11")
        parser.add_argument("--currency", default="", help="only this one")
        parser.add_argument("--out", default="", help="a .pdf or .csv file; with --all a folder, for PDF files")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            statements.moments(options["month"])
        except InvalidInput as wrong:
            raise CommandError(str(wrong))
        sellers = Seller.objects.order_by("account")
        if not options["all"]:
            sellers = sellers.filter(account=options["account"])
            if not sellers.exists():
                raise CommandError(f"There is no seller {options['account']!r}.")
        out = Path(options["out"]) if options["out"] else None
        broken, total = 0, sellers.count()
        for number, account in enumerate(sellers.values_list("account", flat=True).iterator(), start=1):
            for made in self._made(account, options["month"], options["currency"].lower()):
                self._write(made, self._file(out, made, many=options["all"]))
                broken += not made.ties
                progress = f"[{number}/{total}] " if options["all"] else ""
                ties = "ties" if made.ties else "DOES NOT TIE: " + "; ".join(c.what for c in made.checks if not c.holds)
                self.stdout.write(f"{progress}{made.account} {made.month}: {statements.summary(made)}, {ties}")
        if broken:
            raise CommandError(f"{broken} statement(s) do not tie with the books.")

    def _made(self, account: str, month: str, currency: str) -> Iterator[Statement]:
        for code in [currency] if currency else statements.currencies(account):
            yield statements.of(account, month, code)

    def _file(self, out: Path | None, made: Statement, *, many: bool) -> Path | None:
        if out is None:
            return None
        if many:
            out.mkdir(parents=True, exist_ok=True)
            return out / f"statement-{made.account}-{made.month}-{made.currency}.pdf"
        if out.suffix not in (".pdf", ".csv"):
            raise CommandError("--out must end with .pdf or .csv.")
        codes = statements.currencies(made.account)
        return out if len(codes) < 2 else out.with_stem(f"{out.stem}-{made.currency}")

    def _write(self, made: Statement, target: Path | None) -> None:
        if target is None:
            return
        half = target.with_name(f".{target.name}.part")  # whole or not at all
        if target.suffix == ".pdf":
            with half.open("wb") as pdf:
                statement_pdf.write(made, pdf)
        else:
            with half.open("w", newline="", encoding="utf-8") as text:
                writer = csv.writer(text)
                writer.writerow(statements.HEADER)
                writer.writerows([cell(value) for value in row] for row in statements.as_rows(made))
        half.replace(target)
        data = {"rows": made.count, "complete": True, "filter": {"month": made.month, "currency": made.currency}}
        note(Note("export.finished", f"export:{target.name}", ACTOR, data, made.account))
