"""`manage.py djstripe_sync_models [Model…]`: fill the mirror from Stripe. Takes the place of dj-stripe's command.

Progress goes to stderr. An interrupted run goes on where it stopped when the same command is given again; `--restart`
begins anew. Objects that could not be stored are named, and the exit code is 1.
"""

from __future__ import annotations

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from billingops.exceptions import InvalidInput
from billingops.stripe import backfill


class Command(BaseCommand):
    help = "Fill the mirror from Stripe, page by page; safe to interrupt and to run again."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("models", nargs="*", metavar="Model", help=f"of {', '.join(backfill.MODELS)}; default: all")
        parser.add_argument("--restart", action="store_true", help="begin anew instead of where the last run stopped")

    def handle(self, *args: Any, **options: Any) -> None:
        def progress(line: str) -> None:
            self.stderr.write(line, ending="\n")
            self.stderr.flush()

        try:
            report = backfill.run(options["models"], restart=options["restart"], progress=progress)
        except InvalidInput as error:
            raise CommandError(str(error))
        except KeyboardInterrupt:
            raise CommandError("Interrupted. Give the same command again to go on from here.", returncode=130)
        self.stdout.write(f"{report.stored:,} objects stored, {report.failed:,} failed.")
        if report.failed:
            for line in report.failures:
                self.stderr.write(line)
            if report.failed > len(report.failures):
                self.stderr.write(f"… and {report.failed - len(report.failures):,} more.")
            sys.exit(1)
