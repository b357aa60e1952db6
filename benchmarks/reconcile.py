"""How fast a million balance transactions are reconciled with a million journal entries: everything, against DuckDB's
hash join over the same rows exported; and a day's delta against everything.

PostgreSQL; RECONCILE_PAIRS sets another size. The peer only finds what differs by id; our run also matches the rest,
names causes and stores what it found. The first run writes the differences, the rounds are of a book that has them, in
workers that have done the same once before.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import ExitStack
from pathlib import Path

from benchmarks import processes, report
from benchmarks.databases import Base, Server

NAME = "reconcile"
PAIRS = 1_000_000
WORKER = ("-m", "benchmarks.workers.reconcile")


def run(server: Server, base: Base, *, rounds: int, quick: bool) -> report.Section:
    pairs = int(os.environ.get("RECONCILE_PAIRS") or (20_000 if quick else PAIRS))
    section = report.Section(NAME, setting={"pairs": pairs})
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="billingops-reconcile-")))
        database = stack.enter_context(server.copy(base.name, "bench_reconcile"))
        env = processes.environment(database=database, api_base="http://127.0.0.1:9")
        env["BILLINGOPS_VAR"] = str(folder)
        processes.python(*WORKER, "migrate", env=env)
        section.setting["filled in s"] = round(processes.python(*WORKER, "fill", str(pairs), env=env)["seconds"], 1)
        section.setting["exported in s"] = round(
            processes.python(*WORKER, "export", str(folder), env=env)["seconds"], 1
        )
        first = processes.python(*WORKER, "first", env=env)
        section.setting["first run, which stores the differences, s"] = round(first["seconds"], 2)
        section.setting["differences"] = first["counts"]
        full, delta, peers, looked = [], [], [], 0
        for number in range(rounds):
            # In turns, so that what else the machine does falls on both.
            peers.append(processes.python(*WORKER, "peer", str(folder), env=env))
            full.append(processes.python(*WORKER, "full", env=env)["seconds"])
            found = processes.python(*WORKER, "delta", str(pairs), str(number), env=env)
            looked = found["rows"]
            if found["mode"] != "delta" or found["transactions"] < looked - 5:
                raise RuntimeError(f"the delta looked at {found['transactions']} of {looked} new transactions")
            delta.append(found["seconds"])
    section.setting["pairs of a day"] = looked
    names = {
        "csv": "DuckDB reads the CSV and joins",
        "parquet": "DuckDB reads the Parquet and joins",
        "join": "DuckDB joins in memory",
    }
    for kind, name in names.items():
        section.figures.append(
            report.compare(
                "everything reconciled",
                peer_name=name,
                unit="s",
                ours=full,
                peer=[one[kind] for one in peers],
                target=report.at_most(1.5) if kind == "csv" else None,
            )
        )
    section.figures.append(
        report.compare(
            "everything, against a day's delta",
            peer_name="a day's delta",
            unit="s",
            ours=full,
            peer=delta,
            target=report.at_least(50),
        )
    )
    return section
