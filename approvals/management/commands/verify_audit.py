"""`manage.py verify_audit`: walk the audit chain; exit non-zero and name the first broken link."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection

from approvals import audit, triggers
from approvals.audit import checkpoints
from approvals.models import AuditEntry

PROGRESS_SECONDS = 5


class Command(BaseCommand):
    help = (
        "Checks the audit chain; exits non-zero and names the first broken link. Holds it against the checkpoints in "
        "AUDIT_CHECKPOINT_DIR too: without one, a chain whose end was cut off looks whole."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        where = parser.add_mutually_exclusive_group()
        where.add_argument("--since", type=int, metavar="SEQ", help="begin at this entry; the one before is believed")
        where.add_argument(
            "--from-checkpoint", metavar="FILE", help="begin behind this signed checkpoint, and check that it holds"
        )
        parser.add_argument(
            "--checkpoint", metavar="FILE", action="append", default=[], help="say whether the chain holds this link"
        )
        parser.add_argument(
            "--public-key", metavar="KEY", default="", help="of the checkpoints: base64 or a file; default: our own"
        )
        parser.add_argument("--quiet", action="store_true", help="no progress")

    def handle(self, *args: Any, **options: Any) -> None:
        held = self._checkpoints(options)
        start = self._start(options)
        begun = time.monotonic()
        verdict = audit.verify(start=start, progress=None if options["quiet"] else self._progress(begun))
        if verdict.broken_at is not None:
            raise CommandError(f"The audit chain is broken at entry {verdict.broken_at}: {verdict.why}.")
        seconds = time.monotonic() - begun
        if missing := triggers.missing(connection):
            raise CommandError(
                f"The chain is whole, but its triggers are missing or off ({', '.join(missing)}): the log can be "
                "changed. manage.py migrate puts them back; find out who took them away."
            )
        said = {
            "entries": verdict.entries,
            "chain": "whole",
            "from": start.seq + 1,
            "last": verdict.last.seq,
            "hash": verdict.last.hash,
            "checkpoints": held,
            "seconds": round(seconds, 2),
            "per_second": round(verdict.entries / seconds) if seconds else 0,
        }
        self.stdout.write(json.dumps(said))

    def _start(self, options: dict[str, Any]) -> audit.Link:
        if options["from_checkpoint"]:
            found = self._read(options["from_checkpoint"], options["public_key"])
            return audit.Link(found.seq, found.hash)
        since = options["since"] or 1
        if since <= 1:
            return audit.START
        hash_ = AuditEntry.objects.filter(seq=since - 1).values_list("hash", flat=True).first()
        if hash_ is None:
            raise CommandError(f"There is no entry {since - 1}, so none can follow it.")
        return audit.Link(since - 1, hash_)

    def _checkpoints(self, options: dict[str, Any]) -> int:
        """How many checkpoints the chain was held against; raises for the first that it does not hold."""
        named = [*options["checkpoint"], *([options["from_checkpoint"]] if options["from_checkpoint"] else [])]
        kept = settings.AUDIT_CHECKPOINT_DIR and checkpoints.files(Path(settings.AUDIT_CHECKPOINT_DIR))
        for path in [*named, *(kept or [])]:
            found = self._read(path, options["public_key"])
            if why := checkpoints.differs(found):
                raise CommandError(f"The audit chain is not the one that {path} was made of: {why}.")
        return len(named) + len(kept or [])

    def _read(self, path: str | Path, public_key: str) -> checkpoints.Checkpoint:
        try:
            return checkpoints.read(Path(path), public_key=public_key)
        except checkpoints.CheckpointError as problem:
            raise CommandError(f"{path}: {problem}")

    def _progress(self, begun: float) -> Any:
        last = begun

        def say(entries: int) -> None:
            nonlocal last
            now = time.monotonic()
            if now - last >= PROGRESS_SECONDS:
                last = now
                self.stderr.write(f"{entries:,} entries, {entries / (now - begun):,.0f} a second")

        return say
