"""`manage.py verify_audit`: walk the audit chain; exit non-zero and name the first broken link."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from approvals import audit


class Command(BaseCommand):
    help = "Checks the audit chain; exits non-zero and names the first broken link."

    def handle(self, *args: Any, **options: Any) -> None:
        verdict = audit.verify()
        if verdict.broken_at is not None:
            raise CommandError(f"The audit chain is broken at entry {verdict.broken_at}: {verdict.why}.")
        self.stdout.write(json.dumps({"entries": verdict.entries, "chain": "whole"}))
