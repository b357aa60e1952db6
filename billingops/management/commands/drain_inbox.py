"""`manage.py drain_inbox`: process everything that waits, now, in the foreground, and exit.

Prints one JSON line of counts. Exit code 0 when all of it went through, 1 when an event failed (it waits for its next
try) or was parked. Events in back-off are left to their time unless `--retry-now` is given.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandParser
from django.utils import timezone

from billingops.inbox.drain import drain
from billingops.inbox.models import InboundEvent


class Command(BaseCommand):
    help = "Process everything that waits in the inbox, in the foreground; prints a JSON line of counts."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--retry-now", action="store_true", help="also what waits for its next try after a failure")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["retry_now"]:
            InboundEvent.objects.waiting().update(next_attempt_at=timezone.now())
        counts = drain()
        counts.pop("left")
        counts["waiting"] = InboundEvent.objects.waiting().count()
        self.stdout.write(json.dumps(counts, sort_keys=True))
        if counts["retried"] or counts["parked"]:
            sys.exit(1)
