"""`manage.py suggest`: propose for what the mirror already holds, after a backfill. Proposes nothing twice."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils.dateparse import parse_date

from approvals import registry


class Command(BaseCommand):
    help = "Proposes for what the mirror already holds; idempotent."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--since", help="only objects created on this day (YYYY-MM-DD, UTC) or later")
        parser.add_argument("--kind", help="only this kind")

    def handle(self, *args: Any, **options: Any) -> None:
        since = self._since(options["since"])
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

    @staticmethod
    def _since(text: str | None) -> datetime | None:
        if not text:
            return None
        try:
            day = parse_date(text)
        except ValueError:
            day = None
        if day is None:
            raise CommandError(f"--since {text!r} is no day; write it as YYYY-MM-DD, for example 2026-08-01.")
        return datetime(day.year, day.month, day.day, tzinfo=UTC)
