"""`manage.py dunning_proof`: dunning by plan against fixed schedules, in a simulated world or over our own history."""

from __future__ import annotations

import json
from datetime import UTC, datetime, time
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils.dateparse import parse_date, parse_datetime

from dunning.proof import policies, replay, report, runs
from dunning.proof.assumptions import Assumptions


class Command(BaseCommand):
    help = (
        "Plays the same failed payments under our plan and under other schedules, and compares what comes of it; "
        "--replay asks the same of the failed payments that were kept. Reads only; asks Stripe nothing."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--failures", type=int, default=50_000, help="how many failed payments (default: 50,000)")
        parser.add_argument("--seed", type=int, default=runs.SEED, help="another seed, another world")
        parser.add_argument("--policy", action="append", choices=policies.NAMES, help="only these; may be repeated")
        parser.add_argument("--processes", type=int, default=1, help="share the work out (default: 1)")
        parser.add_argument("--json", action="store_true", help="print everything as JSON")
        parser.add_argument("--csv", metavar="FILE", help="write the amounts per policy, reason and currency")
        parser.add_argument("--svg", metavar="FILE", help="write a chart of the recovered shares")
        parser.add_argument("--assumptions", action="store_true", help="print the world's numbers and their sources")
        parser.add_argument("--ablation", action="store_true", help="charges alone and messages alone as well")
        parser.add_argument(
            "--sensitivity", action="store_true", help="every assumed number half as much and half as much again"
        )
        parser.add_argument("--replay", action="store_true", help="over the failed payments that were kept, instead")
        parser.add_argument("--since", metavar="DATE", help="with --replay: 2026-01-01, UTC; included")
        parser.add_argument("--account", help="with --replay: only this connected account")

    def handle(self, *args: Any, **options: Any) -> None:
        for name in ("failures", "processes"):
            if options[name] < 1:
                raise CommandError(f"--{name} must be at least 1.")
        if options["replay"]:
            self._replay(options)
        elif options["assumptions"]:
            self.stdout.write(report.assumptions(Assumptions()))
        else:
            self._simulate(options)

    def _simulate(self, options: dict[str, Any]) -> None:
        names = tuple(options["policy"] or policies.NAMES)
        setting = {"failures": options["failures"], "seed": options["seed"], "processes": options["processes"]}
        run = runs.run(names, progress=self._progress, **setting)
        lifts = report.lifts(run)
        found = report.as_json(run, lifts)
        texts = [
            f"{run.failures:,} failed payments, seed {run.seed}. Recovered: share of the amount at risk, disputed "
            "payments not counted. Days: until paid, median and 90 %.",
            report.summary(run),
            report.by_reason(run),
            report.by_currency(run),
            report.harms(run),
        ]
        if lifts:
            texts += [report.comparison(run, lifts), report.verdict(run, lifts)]
        if options["ablation"]:
            ablated = runs.ablation(names, **setting)
            texts.append(report.ablation(ablated, run.labels))
            found["ablation"] = [
                {"policy": row.policy, "both": row.both, "charges": row.charges, "messages": row.messages}
                for row in ablated
            ]
        if options["sensitivity"]:
            # A fifth of the failures each: there are some seventy worlds.
            setting["failures"] = max(options["failures"] // 5, 1)
            varied = runs.sensitivity(**setting)
            texts.append(f"In another world ({setting['failures']:,} failures each):")
            texts.append(report.sensitivity(varied, run.labels))
            found["sensitivity"] = [
                {"what": row.what, "value": row.value, "ours": row.ours, "best": row.best, **row.lift.as_json()}
                for row in varied
            ]
        _write(options["csv"], report.as_csv(run))
        _write(options["svg"], report.as_svg(run))
        self.stdout.write(
            json.dumps(found, indent=2) if options["json"] else "\n\n".join(text for text in texts if text)
        )

    def _progress(self, done: int) -> None:
        if self.stderr.isatty():
            self.stderr.write(f"\r{done:,}", ending="")
            self.stderr.flush()

    def _replay(self, options: dict[str, Any]) -> None:
        found = replay.replay(since=_moment(options["since"]), account=options["account"])
        self.stdout.write(json.dumps(found.as_json(), indent=2) if options["json"] else replay.text(found))


def _write(path: str | None, text: str) -> None:
    if path:
        try:
            Path(path).write_text(text, encoding="utf-8")
        except OSError as problem:
            raise CommandError(f"{path} cannot be written: {problem.strerror}.") from problem


def _moment(text: str | None) -> datetime | None:
    if not text:
        return None
    try:
        day = parse_date(text)
        moment = datetime.combine(day, time(), UTC) if day else parse_datetime(text)
    except ValueError as problem:
        raise CommandError(f"{text} is no date.") from problem
    if moment is None:
        raise CommandError(f"{text} is no date; write it as 2026-01-31.")
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
