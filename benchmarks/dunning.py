"""Planning open cases: thousands in one pass from the mirror, against the same cases one by one. Statements count."""

from __future__ import annotations

from typing import Any

from benchmarks import processes, report
from benchmarks.databases import Base, Server

NAME = "dunning"


def run(server: Server, base: Base, *, rounds: int, quick: bool) -> report.Section:
    cases, alone = (2_000, 50) if quick else (10_000, 200)
    section = report.Section(NAME, setting={"cases": cases, "one by one": alone, "processes": 1})
    with server.copy(base.name, "bench_dunning") as database:
        env = processes.environment(database=database, api_base="http://127.0.0.1:9")
        found: dict[str, Any] = processes.python("-m", "benchmarks.workers.dunning", str(cases), str(alone), env=env)
    section.figures.append(
        report.count(
            "statements per 1,000 cases planned in one pass",
            value=round(found["statements"] * 1000 / cases, 1),
            limit=30,
            unit="statements",
            limit_name="the issue's limit",
        )
    )
    section.figures.append(
        report.compare(
            "a case planned in one pass",
            peer_name="one by one, from the mirror",
            unit="ms",
            ours=[found["seconds"] * 1000 / cases],
            peer=[found["alone seconds"] * 1000 / alone],
        )
    )
    section.notes.append(
        f"{cases} cases in {found['seconds']:.1f} s ({found['by verb']}), {found['suggestions']} suggestions; one by "
        f"one {found['alone statements'] / alone:.0f} statements a case"
    )
    return section
