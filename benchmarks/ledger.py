"""What a seller's balance costs at ten million postings, against its cost at ten thousand; and how fast the journal is
written, with the database's checks and without them.

On PostgreSQL. LEDGER_POSTINGS sets another large size (two postings an entry; the full size takes some gigabytes of
disk, which the setting shows). Both sizes have the same sellers and the same thousand entries behind the last snapshot.
The sum over all of a seller's postings is shown beside it: what a balance would cost without snapshots.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import ExitStack
from typing import Any

from benchmarks import processes, report
from benchmarks.databases import Base, Server

NAME = "ledger"
SMALL, LARGE = 10_000, 10_000_000
WORKER = ("-m", "benchmarks.workers.ledger")


def run(server: Server, base: Base, *, rounds: int, quick: bool) -> report.Section:
    large = int(os.environ.get("LEDGER_POSTINGS") or (200_000 if quick else LARGE))
    section = report.Section(NAME, setting={"postings": {"small": SMALL, "large": large}})
    with ExitStack() as stack:
        var = stack.enter_context(tempfile.TemporaryDirectory(prefix="billingops-ledger-"))
        envs = {}
        for name, postings in (("small", SMALL), ("large", large)):
            database = stack.enter_context(server.copy(base.name, f"bench_ledger_{name}"))
            envs[name] = processes.environment(database=database, api_base="http://127.0.0.1:9")
            envs[name]["BILLINGOPS_VAR"] = var
            filled = processes.python(*WORKER, "fill", str(postings), env=envs[name])
            section.setting[f"{name}, as filled"] = filled
        seen: list[dict[str, Any]] = []
        for _ in range(rounds):  # in turns, so that a slow minute of the machine hits both
            seen.append({name: processes.python(*WORKER, "balance", env=env) for name, env in envs.items()})
        posts = [
            {verb: processes.python(*WORKER, verb, env=envs["small"]) for verb in ("post", "post_unchecked")}
            for _ in range(rounds)
        ]
        section.setting["verify_ledger at the large size"] = processes.python(*WORKER, "verify", env=envs["large"])
    _figures(section, seen, posts, large)
    return section


def _figures(section: report.Section, seen: list[dict[str, Any]], posts: list[dict[str, Any]], large: int) -> None:
    at_small = f"at {SMALL:,} postings"
    for key, name, target in (
        ("balance", "a seller's balance", report.at_most(1.3)),
        ("balances", "the balances of all sellers", None),
        ("sum", "without snapshots: the sum of a seller's postings", None),
    ):
        section.figures.append(
            report.compare(
                f"{name} at {large:,} postings",
                peer_name=at_small,
                unit="ms",
                ours=[one["large"][key] for one in seen],
                peer=[one["small"][key] for one in seen],
                target=target,
            )
        )
    section.figures.append(
        report.compare(
            "entries of four postings posted, a thousand at a time",
            peer_name="without the triggers",
            unit="entries/s",
            ours=[one["post"]["per_second"] for one in posts],
            peer=[one["post_unchecked"]["per_second"] for one in posts],
        )
    )
    section.figures.append(
        report.compare(
            "one entry of four postings posted, alone in its transaction",
            peer_name="without the triggers",
            unit="ms",
            ours=[one["post"]["single_ms"] for one in posts],
            peer=[one["post_unchecked"]["single_ms"] for one in posts],
        )
    )
