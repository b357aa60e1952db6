"""`manage.py rebuild_timeline [--customer cus_…]`: the timeline again from what is already here."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from support.backfill import backfill_timeline


class Command(BaseCommand):
    help = "Make customers' timelines again from what is already here. Idempotent; may be interrupted and run again."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--customer", default="", help="one customer only, cus_…")

    def handle(self, *args: Any, **options: Any) -> None:
        counts: dict[str, int] = {}
        for progress in backfill_timeline(options["customer"]):
            counts[progress.step] = progress.done
            if not progress.finished and options["verbosity"]:
                self.stderr.write(f"{progress.step}: {progress.done:,}")
        self.stdout.write(json.dumps(counts))
