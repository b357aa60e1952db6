"""`manage.py suggest`: propose for what the mirror already holds, after a backfill. Proposes nothing twice.

With `--dry-run FILE.yaml`: what the rules of that file would have done to a period, compared with what was computed
then. That writes nothing.
"""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone
from django.utils.dateparse import parse_date

from approvals import registry
from billingops.config import MAX_BYTES, ConfigError
from billingops.exceptions import InvalidInput


class Command(BaseCommand):
    help = "Proposes for what the mirror already holds; idempotent. --dry-run: tries other rules on a past period."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--since",
            help="only objects created on this day (YYYY-MM-DD, UTC) or later; of a dry run: the period's first day",
        )
        parser.add_argument("--kind", help="only this kind")
        parser.add_argument(
            "--dry-run",
            metavar="FILE.yaml",
            help="compare the rules of this config file with what was computed in a period (default: the last whole "
            "calendar month); writes nothing",
        )
        parser.add_argument("--until", help="of a dry run: the day after the period's last one (YYYY-MM-DD, UTC)")
        parser.add_argument("--json", action="store_true", help="of a dry run: JSON in place of a table")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["dry_run"]:
            self._dry_run(options)
            return
        for name in ("until", "json"):
            if options[name]:
                raise CommandError(f"--{name} belongs to --dry-run FILE.yaml.")
        first = self._day("since", options["since"])
        since = datetime(first.year, first.month, first.day, tzinfo=UTC) if first else None
        able = {kind.name: kind for kind in registry.kinds() if kind.backfill is not None}
        if options["kind"] and options["kind"] not in able:
            raise CommandError(f"--kind {options['kind']}: only {', '.join(able)} can be proposed after a backfill.")
        counts: dict[str, dict[str, int]] = {}
        for name, kind in able.items():
            if options["kind"] not in (None, name):
                continue
            seen = proposed = 0
            assert kind.backfill is not None
            for _, is_new in kind.backfill(since):
                seen, proposed = seen + 1, proposed + int(is_new)
                if seen % 100 == 0:
                    self.stderr.write(f"{name}: {seen} looked at, {proposed} proposed")
            counts[name] = {"looked_at": seen, "proposed": proposed}
        self.stdout.write(json.dumps(counts))

    def _dry_run(self, options: dict[str, Any]) -> None:
        able = {kind.name: kind for kind in registry.kinds() if kind.dry_run is not None}
        if options["kind"] and options["kind"] not in able:
            raise CommandError(f"--kind {options['kind']}: only {', '.join(able)} can be tried with other rules.")
        path = Path(options["dry_run"])
        try:
            text = path.read_bytes()[: MAX_BYTES + 1].decode()
        except (OSError, UnicodeDecodeError) as error:
            raise CommandError(f"{path} cannot be read: {error}")
        since, until = self._period(options["since"], options["until"])
        answers = {}
        for name, kind in able.items():
            if options["kind"] not in (None, name):
                continue
            assert kind.dry_run is not None
            try:
                answers[name] = kind.dry_run(text, path.name, since, until, self.stderr.write)
            except ConfigError as error:
                raise CommandError(f"{error}\n{len(error.problems)} mistake(s); nothing was compared.")
            except InvalidInput as error:
                raise CommandError(str(error))
        if options["json"]:
            self.stdout.write(json.dumps({name: answer.as_json() for name, answer in answers.items()}))
            return
        for answer in answers.values():
            for line in answer.as_text():
                self.stdout.write(line)

    def _period(self, since: str | None, until: str | None) -> tuple[date, date]:
        """The last whole calendar month; one bound alone means a calendar month from or up to it."""
        first, end = self._day("since", since), self._day("until", until)
        if first is None:
            end = end or timezone.now().astimezone(UTC).date().replace(day=1)
            first = (end - timedelta(days=1)).replace(day=1)
        return first, end or (first.replace(day=1) + timedelta(days=32)).replace(day=1)

    @staticmethod
    def _day(name: str, text: str | None) -> date | None:
        if not text:
            return None
        try:
            day = parse_date(text)
        except ValueError:
            day = None
        if day is None:
            raise CommandError(f"--{name} {text!r} is no day; write it as YYYY-MM-DD, for example 2026-08-01.")
        return day
