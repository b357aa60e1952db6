"""`manage.py audit_checkpoint --out FILE`: walk the audit log, sign its last link, write both as a file."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from approvals.audit import checkpoints
from billingops.actors import Actor


class Command(BaseCommand):
    help = (
        "Walks the audit log and writes a signed checkpoint of its end. Signs nothing when a link is broken. "
        "approvals/verify_checkpoint.py checks the file anywhere, with the public key alone."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--out", required=True, metavar="FILE", help="a new file, or a folder")
        parser.add_argument(
            "--after", metavar="FILE", help="an earlier checkpoint: hold the log against it, and walk on from there"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            after = checkpoints.read(Path(options["after"])) if options["after"] else None
            made = checkpoints.make(actor=Actor.system("checkpoint"), after=after)
            path = checkpoints.write(made, Path(options["out"]))
        except (checkpoints.CheckpointError, OSError) as problem:
            raise CommandError(str(problem))
        self.stdout.write(json.dumps({"file": str(path), **asdict(made)}))
