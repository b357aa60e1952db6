"""How fast the audit log is walked, against reading as many rows of django-simple-history and doing nothing with them.

Both on PostgreSQL and on SQLite; AUDIT_ENTRIES sets another size. The hashing alone is shown beside it: what the walk
would cost if the database cost nothing.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks import processes, report
from benchmarks.databases import Base, Server

NAME = "audit"
ENTRIES = 200_000
A_SECOND = 100_000
WORKER = ("-m", "benchmarks.workers.audit")


def run(server: Server, base: Base, *, rounds: int, quick: bool) -> report.Section:
    entries = int(os.environ.get("AUDIT_ENTRIES") or (20_000 if quick else ENTRIES))
    section = report.Section(NAME, setting={"entries": entries})
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="billingops-audit-")))
        postgres = stack.enter_context(server.copy(base.name, "bench_audit"))
        databases = {"PostgreSQL": postgres, "SQLite": f"sqlite:///{folder / 'bench.sqlite3'}"}
        for name, database in databases.items():
            env = processes.environment(database=database, api_base="http://127.0.0.1:9")
            env["BILLINGOPS_VAR"] = str(folder)
            processes.python(*WORKER, "migrate", env=env)
            filled = processes.python(*WORKER, "fill", str(entries), env=env)
            section.setting[f"appended a second, {name}"] = round(filled["per_second"])
            _figures(section, name, [_round(env, entries) for _ in range(rounds)])
    return section


def _round(env: dict[str, str], entries: int) -> dict[str, dict[str, Any]]:
    found = {verb: processes.python(*WORKER, verb, env=env) for verb in ("verify", "history", "hash")}
    if found["verify"]["entries"] < entries:
        raise RuntimeError(f"only {found['verify']['entries']} of {entries} entries were walked")
    return found


def _figures(section: report.Section, name: str, seen: list[dict[str, dict[str, Any]]]) -> None:
    ours = [one["verify"]["per_second"] for one in seen]
    section.figures += [
        report.compare(
            f"the chain walked and verified, {name}",
            peer_name="what was asked for",
            unit="entries/s",
            ours=ours,
            peer=[A_SECOND] * len(seen),
            target=report.at_least(1),
        ),
        report.compare(
            f"the chain walked and verified, {name}",
            peer_name="rows of django-simple-history read",
            unit="rows/s",
            ours=ours,
            peer=[one["history"]["per_second"] for one in seen],
            target=report.at_least(1),
        ),
        report.compare(
            f"the chain walked and verified, {name}",
            peer_name="the hashing alone",
            unit="entries/s",
            ours=ours,
            peer=[one["hash"]["per_second"] for one in seen],
        ),
    ]
