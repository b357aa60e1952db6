"""`manage.py import_config FILE.yaml [--dry-run] [--prune]`: sellers, rules, policies as code; see
billingops/config.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from billingops import config
from billingops.actors import Actor


class Command(BaseCommand):
    help = "Validate a config file, print what it changes, and apply all of it or nothing."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", metavar="FILE.yaml")
        parser.add_argument("--dry-run", action="store_true", help="print the difference and change nothing")
        parser.add_argument(
            "--prune",
            action="store_true",
            help="also end what the file no longer names: rules from today on, sellers switched off, policies removed",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        path = Path(options["file"])
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise CommandError(f"{path} cannot be read ({error}). Nothing was changed.")
        dry_run = options["dry_run"]
        try:
            changes = config.import_text(
                text, file=str(path), actor=Actor.system("import_config"), dry_run=dry_run, prune=options["prune"]
            )
        except config.ConfigError as refusal:
            count = len(refusal.problems)
            raise CommandError(f"{refusal}\n{count} mistake{'' if count == 1 else 's'}. Nothing was changed.")
        for change in changes:
            self.stdout.write(str(change))
        applied = [change for change in changes if change.applied]
        if not applied:
            self.stdout.write("Nothing to change: the database already says what the file says.")
        elif dry_run:
            self.stdout.write(f"{len(applied)} change(s) found. Dry run: nothing was changed.")
        else:
            self.stdout.write(self.style.SUCCESS(f"{len(applied)} change(s) applied."))
