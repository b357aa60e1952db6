"""What a step of the gate costs: a thousand approvals at once, and one audited transition beside a plain save.

`transition` compares, on the same rows in the same database and run: the row read and saved with django-simple-history
in a transaction, against the gate's step (lock, check, save, history, audit entry, signals), once with no receivers and
once with those of all rooms.
"""

from __future__ import annotations

from typing import Any

from benchmarks import processes, report
from benchmarks.databases import Base, Server

NAME = "gate"
BULK_STATEMENTS = 40
RATIO = 1.5


def run(server: Server, base: Base, *, rounds: int, quick: bool) -> report.Section:
    rows, steps = (200, 50) if quick else (1_000, 300)
    section = report.Section(NAME, setting={"rows approved at once": rows, "transitions a round": steps})
    with server.copy(base.name, "bench_gate") as database:
        env = processes.environment(database=database, api_base="http://127.0.0.1:9")
        found: list[dict[str, Any]] = [
            processes.python("-m", "benchmarks.workers.gate", "measure", str(rows), str(steps), env=env)
            for _ in range(rounds)
        ]
        bulk = found[-1]["bulk"]
        section.figures.append(
            report.count(
                f"{rows:,} approved at once, without history and audit rows",
                value=max(one["bulk"]["others"] for one in found),
                limit=BULK_STATEMENTS,
                unit="statements",
                limit_name="the limit",
            )
        )
        section.notes.append(
            f"{rows:,} approved at once: {bulk['statements']} statements in all, of which {bulk['history']} wrote "
            f"{rows:,} history rows and {bulk['audit']} wrote {rows:,} audit entries"
        )
        single = [one["single_ms"] for one in found]
        section.figures.append(
            report.compare(
                f"{rows:,} approved at once, each",
                peer_name="approved one by one",
                unit="ms",
                ours=[one["bulk"]["ms"] / rows for one in found],
                peer=single,
            )
        )
        for name, title in (
            ("bare", "an audited transition, no receivers"),
            ("full", "an audited transition, all receivers"),
        ):
            section.figures.append(
                report.compare(
                    title,
                    peer_name="read and saved with simple-history",
                    unit="ms",
                    ours=[one[name]["ms"] for one in found],
                    peer=[one["plain"]["ms"] for one in found],
                    target=report.at_most(RATIO),
                )
            )
        one = found[-1]
        section.notes.append(
            f"statements of a transition: {one['bare']['statements']} (no receivers), {one['full']['statements']} "
            f"(all), against {one['plain']['statements']} of the plain save"
        )
        if section.falls_short:
            section.profiles = processes.python("-m", "benchmarks.workers.gate", "profile", str(steps), env=env)
    return section
