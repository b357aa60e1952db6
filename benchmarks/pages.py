"""Whether the two pages people live in stay as quick as the tables grow: the queue and a customer's timeline.

The same pages are asked for in two databases: 1,000 waiting suggestions and a timeline of 1,000 entries, 100,000 and
10,000; the queue as it opens, one's own, what nobody has taken, one account's. The requests go through the whole stack
(session, user, view, template) but no socket. Time and number of statements.
"""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

from benchmarks import processes, report
from benchmarks.databases import Base, Server

NAME = "pages"
STATEMENTS = dict.fromkeys(
    ("queue", "mine", "unassigned", "account"), 12
)  # where none is set, what the small database needs is the limit for the large one
RATIO = 1.3
PAGES = {
    "queue": "the queue page",
    "mine": "the queue, mine",
    "unassigned": "the queue, unassigned",
    "account": "the queue, one account",
    "timeline": "the timeline page",
}


def run(server: Server, base: Base, *, rounds: int, quick: bool) -> report.Section:
    sizes = {"small": (1_000, 1_000), "large": (5_000, 2_000) if quick else (100_000, 10_000)}
    section = report.Section(
        NAME,
        setting={
            "waiting suggestions": {name: size[0] for name, size in sizes.items()},
            "entries of the customer": {name: size[1] for name, size in sizes.items()},
            "requests per round": "median of 15, after 3 to warm up",
        },
    )
    with ExitStack() as stack:
        envs: dict[str, dict[str, str]] = {}
        for name, (suggestions, entries) in sizes.items():
            database = stack.enter_context(server.copy(base.name, f"bench_pages_{name}"))
            envs[name] = processes.environment(database=database, api_base="http://127.0.0.1:9")
            arguments = ("-m", "benchmarks.workers.pages", "fill", str(suggestions), str(entries))
            processes.python(*arguments, env=envs[name])
        results: dict[str, list[dict[str, Any]]] = {name: [] for name in envs}
        for _ in range(rounds):
            for name, env in envs.items():
                results[name].append(processes.python("-m", "benchmarks.workers.pages", "measure", env=env))
        for page, title in PAGES.items():
            large, small = results["large"], results["small"]
            limit = STATEMENTS.get(page, max(one[page]["statements"] for one in small))
            section.figures.append(
                report.compare(
                    f"{title}, large",
                    peer_name="the same page, small",
                    unit="ms",
                    ours=[one[page]["ms"] for one in large],
                    peer=[one[page]["ms"] for one in small],
                    target=report.at_most(RATIO),
                )
            )
            for name, seen in (("large", large), ("small", small)):
                section.figures.append(
                    report.count(
                        f"{title}, {name}",
                        value=max(one[page]["statements"] for one in seen),
                        limit=limit,
                        unit="statements",
                        limit_name="the limit" if page in STATEMENTS else "as many as at 1,000",
                    )
                )
            rows = {one[page]["rows"] for one in (*large, *small)}
            section.notes.append(f"{title} showed {'/'.join(map(str, sorted(rows)))} rows in every request")
            if len(rows) != 1:
                raise RuntimeError(f"{title} showed different numbers of rows: {rows}")
        if section.falls_short:
            for name, env in envs.items():
                found = processes.python("-m", "benchmarks.workers.pages", "profile", env=env)
                section.profiles |= {f"{title}, {name}": found[page] for page, title in PAGES.items()}
    return section
