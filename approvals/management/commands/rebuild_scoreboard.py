"""`manage.py rebuild_scoreboard`: count people's verdicts afresh, by the bands of today's policies."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand

from approvals.scoreboard import tally


class Command(BaseCommand):
    help = "Counts people's verdicts afresh, by the bands of today's policies. Safe at any time; prints how many."

    def handle(self, *args: Any, **options: Any) -> None:
        self.stdout.write(json.dumps({"verdicts": tally.rebuild()}))
