"""`manage.py forecast`: make today's forecasts anew; or, with --backtest, say how near past ones would have come."""

from __future__ import annotations

import json
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from billingops.money import format_money
from settlements.forecast import services
from settlements.forecast.api import verdict_as_json
from settlements.forecast.backtest import Tested, backtest
from settlements.forecast.models import Forecast

MOST = 400


class Command(BaseCommand):
    help = "Makes today's forecasts of cash in and out anew; --backtest compares what past ones would have said."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--days", type=int, default=services.HORIZON, help="how far ahead (default: 90)")
        parser.add_argument("--backtest", type=int, metavar="DAYS", help="one forecast for each of the last DAYS days")
        parser.add_argument("--seller", default="", help="of the back test: this connected account; none: the platform")
        parser.add_argument("--json", action="store_true", help="print the figures as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        days, back = options["days"], options["backtest"]
        if not 1 <= days <= MOST or (back is not None and not 2 <= back <= MOST):
            raise CommandError(f"--days is a number from 1 to {MOST}, --backtest one from 2.")
        today = timezone.now().date()
        if back is not None:
            self._tell(
                backtest(today=today, days=back, horizon=days, accounts=frozenset({options["seller"]})), options["json"]
            )
            return
        made = services.make(on=today, horizon=days)
        known = services.catch_up(on=today)
        pruned = services.prune(on=today)
        if options["json"]:
            self.stdout.write(json.dumps({"made": made, "days": known, "pruned": pruned, "made_on": str(today)}))
            return
        self.stdout.write(f"{made} forecasts for {days} days from {today} on; {known} rows of what happened.")
        for one in Forecast.objects.filter(made_on=today, account="").order_by("currency"):
            rows = list(one.days.all())
            came, went = sum(row.in_expected for row in rows), sum(row.out_expected for row in rows)
            self.stdout.write(f"  in {format_money(came, one.currency)}, out {format_money(went, one.currency)}")

    def _tell(self, found: list[Tested], as_lines: bool) -> None:
        if as_lines:
            rows = [
                {
                    "seller": one.account,
                    "currency": one.currency,
                    "in": verdict_as_json(one.inflow),
                    "out": verdict_as_json(one.outflow),
                }
                for one in found
            ]
            self.stdout.write(json.dumps(rows))
            return
        if not found:
            self.stdout.write("Nothing was expected or known on these days.")
        for one in found:
            for name, verdict in (("in", one.inflow), ("out", one.outflow)):
                self.stdout.write(
                    f"{one.account or 'platform'} {one.currency} {name:>3}: off by {verdict.ours.percent} of what moved"
                    f" ({format_money(verdict.ours.mae, one.currency)} a day); same weekday {verdict.week.percent},"
                    f" mean of 28 days {verdict.mean.percent}; band held {verdict.coverage_percent}. {verdict.words}"
                )
