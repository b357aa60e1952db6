"""`manage.py verify_ledger`: run every registered check; exit non-zero and name the first difference of each."""

from __future__ import annotations

import json
import time
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from settlements.ledger import verify

PROGRESS_SECONDS = 5


class Command(BaseCommand):
    help = (
        "Checks that every entry balances, that snapshots equal sums, that the triggers are in place, and that what "
        "other parts keep beside the ledger agrees with it. Names the first difference of each check and exits 1."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="one JSON line of counts in place of the words")
        parser.add_argument("--fast", action="store_true", help="leave out what reads whole tables")

    def handle(self, *args: Any, **options: Any) -> None:
        begun = time.monotonic()
        said: dict[str, dict[str, Any]] = {}
        differences = []
        for check in verify.checks(fast=options["fast"]):
            started = time.monotonic()
            outcome = check.run(self._progress(check.name))
            said[check.name] = {"checked": outcome.checked, "seconds": round(time.monotonic() - started, 2)}
            if outcome.difference:
                differences.append(f"{check.name}: {outcome.difference}")
                said[check.name]["difference"] = vars(outcome.difference)
            if not options["json"]:
                verdict = f"DIFFERS at {outcome.difference}" if outcome.difference else "ok"
                self.stdout.write(f"{check.name}: {outcome.checked:,} checked, {verdict}")
        if options["json"]:
            seconds = round(time.monotonic() - begun, 2)
            self.stdout.write(json.dumps({"ok": not differences, "checks": said, "seconds": seconds}))
        if differences:
            raise CommandError("The ledger is not right. " + " · ".join(differences))

    def _progress(self, name: str) -> verify.Progress:
        begun = last = time.monotonic()

        def say(rows: int) -> None:
            nonlocal last
            now = time.monotonic()
            if now - last >= PROGRESS_SECONDS:
                last = now
                self.stderr.write(f"{name}: {rows:,} rows, {rows / (now - begun):,.0f} a second")

        return say
