"""`manage.py backtest`: replay the past through rules and models, and compare with what people decided then."""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime, time
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils.dateparse import parse_date, parse_datetime

from approvals import backtest, registry
from approvals.backtest import Window
from approvals.models import BacktestRun
from billingops.actors import Actor
from billingops.admin.export import cell
from billingops.exceptions import BillingOpsError

COLUMNS = (
    "at",
    "outcome",
    "subject",
    "account",
    "customer",
    "currency",
    "people_action",
    "people_amount",
    "verdict",
    "replay_action",
    "replay_amount",
    "reason",
    "author",
    "problem",
)


class Command(BaseCommand):
    help = "Replays a stretch of the past, point in time, and says where rules or models differ from what people did."

    def add_arguments(self, parser: CommandParser) -> None:
        able = [kind.name for kind in registry.kinds() if kind.replay]
        parser.add_argument("--kind", required=True, choices=able)
        parser.add_argument("--from", dest="since", required=True, metavar="DATE", help="2026-01-01, UTC; included")
        parser.add_argument("--to", dest="until", required=True, metavar="DATE", help="2026-02-01, UTC; not included")
        parser.add_argument("--account", default="", help="only this connected account")
        parser.add_argument(
            "--rules", default="then", help='"then" (as they stood at each moment), "now", or a config file'
        )
        parser.add_argument("--model", action="store_true", help="ask the configured model as well")
        parser.add_argument(
            "--fill-gaps",
            action="store_true",
            help="take products, prices, customers and accounts without a stored event from today's mirror, and say so",
        )
        parser.add_argument("--csv", metavar="FILE", help="write the cases that differ")
        parser.add_argument("--json", action="store_true", help="print the figures as JSON")
        parser.add_argument("--show", type=int, default=20, help="how many of the cases that differ are printed")

    def handle(self, *args: Any, **options: Any) -> None:
        window = Window(
            kind=options["kind"],
            since=_moment(options["since"], "--from"),
            until=_moment(options["until"], "--to"),
            account=options["account"],
            rules=_rules(options["rules"]),
            model=options["model"],
            fill_gaps=options["fill_gaps"],
        )
        try:
            run = backtest.start(window=window, by=Actor.system("backtest").name)
            run = backtest.work_off(run, progress=self._progress if not options["json"] else lambda count: None)
        except BillingOpsError as refusal:
            raise CommandError(str(refusal))
        if options["csv"]:
            self._write(run, Path(options["csv"]))
        if options["json"]:
            self.stdout.write(json.dumps({"run": str(run.pk), **run.figures}, indent=1))
            return
        self._print(run, options["show"])

    def _progress(self, count: int) -> None:
        self.stderr.write(f"\r{count:,} cases", ending="")

    def _print(self, run: BacktestRun, show: int) -> None:
        self.stderr.write("")
        rows = [("kind", run.kind), ("rules", run.rules_label), *backtest.table(run)]
        width = max(len(label) for label, _ in rows)
        for label, value in rows:
            self.stdout.write(f"{label:<{width}}  {value}")
        cases = list(run.cases.order_by("id")[:show])
        if cases:
            self.stdout.write(f"\nCases that differ, the first {len(cases)}:")
        for case in cases:
            then = " ".join(filter(None, (case.people_action or "nothing", case.people_money, case.verdict)))
            now = " ".join(filter(None, (case.replay_action or "nothing", case.replay_money)))
            why = case.problem or case.reason
            self.stdout.write(f"{case.at:%Y-%m-%d %H:%M} {case.subject} {case.account}: {then} → {now} ({why})")

    def _write(self, run: BacktestRun, path: Path) -> None:
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(COLUMNS)
            for case in run.cases.order_by("id").iterator(chunk_size=1000):
                writer.writerow([cell(getattr(case, name)) for name in COLUMNS])
        self.stderr.write(f"{path}: {run.cases.count():,} cases")


def _moment(text: str, name: str) -> datetime:
    """A date is its midnight, a time without a zone is UTC."""
    try:
        found = parse_datetime(text) if "T" in text or " " in text else None
        day = None if found else parse_date(text)
    except ValueError as error:
        raise CommandError(f"{name}: {error}.")
    if found is None and day is None:
        raise CommandError(f"{name}: {text!r} is no date; write it as 2026-01-31.")
    moment = found or datetime.combine(day, time(), UTC)  # type: ignore[arg-type]
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _rules(given: str) -> str:
    if given in ("then", "now"):
        return given
    try:
        return Path(given).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CommandError(f'--rules: {given} is neither "then" nor "now", and cannot be read ({error}).')
