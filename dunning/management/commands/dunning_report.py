"""`manage.py dunning_report`: what came of the failed payments, by month and currency, from our own rows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from billingops.exceptions import InvalidInput
from dunning.report import output, reading
from dunning.report.choice import PLATFORM, choose


class Command(BaseCommand):
    help = (
        "Failed payments by month of the first failure and currency: at risk, recovered, by whom, how long, how many "
        "attempts and messages, and what should never have happened. Reads only; asks Stripe nothing."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--since", default="", metavar="MONTH", help="2026-01, included (default: a year)")
        parser.add_argument("--until", default="", metavar="MONTH", help="2026-11, included (default: this month)")
        parser.add_argument("--account", default="", help=f"only this connected account; {PLATFORM}: our own")
        parser.add_argument("--campaign", default="", help="only cases of this campaign; standard: of none")
        parser.add_argument("--arm", default="", help="only this arm of the campaign's A/B test")
        parser.add_argument("--json", action="store_true", help="print everything as JSON")
        parser.add_argument("--csv", metavar="FILE", help="write a row per month, currency and reason")
        parser.add_argument("--svg", metavar="FILE", help="write a chart of the recovered shares")

    def handle(self, *args: Any, **options: Any) -> None:
        now = timezone.now()
        given = {name: options[name] for name in ("since", "until", "account", "campaign", "arm")}
        try:
            choice = choose(None, today=now.date(), **given)
        except InvalidInput as problem:
            raise CommandError(str(problem)) from problem
        report = reading.read(choice, now=now, all_messages=True)
        _write(options["csv"], lambda: output.as_csv(report))
        _write(options["svg"], lambda: output.as_svg(output.charts(report, choice)))
        self.stdout.write(json.dumps(report.as_json(), indent=2) if options["json"] else output.text(report, choice))


def _write(path: str | None, make: Any) -> None:
    if path:
        try:
            Path(path).write_text(make(), encoding="utf-8")
        except OSError as problem:
            raise CommandError(f"{path} cannot be written: {problem.strerror}.") from problem
