"""The figures of a run as a table for people and as JSON for programs."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict
from typing import Any

from billingops.money import format_money
from tests.faults.books import Books
from tests.faults.desk import KINDS, Run

ROWS = (
    ("executions", "executions"),
    ("attempts", "attempts"),
    ("worker killed with it in hand", "deaths"),
    ("connection dropped before the effect", "dropped_before"),
    ("connection dropped after the effect", "dropped_after"),
    ("500 before the effect", "errors_before"),
    ("500 after the effect", "errors_after"),
    ("429", "throttled"),
    ("unknown results", "unknown"),
    ("… found executed by look-up", "found_executed"),
    ("… proved by the returning event", "found_by_event"),
    ("… found not carried out by look-up", "found_failed"),
    ("… answered late by a slow worker", "found_by_answer"),
    ("retries the person asked for", "retries_by_person"),
    ("sent back as stale", "stale"),
    ("duplicate effects", "duplicates"),
    ("lost", "lost"),
)


def as_json(run: Run, books: Books) -> dict[str, Any]:
    return {
        "plan": asdict(run.plan),
        "seconds": round(run.seconds, 1),
        "load": list(os.getloadavg()),
        "machine": f"{os.cpu_count()} cores, Python {platform.python_version()}",
        "kinds": {kind: asdict(figures) for kind, figures in books.kinds.items()},
        "kills": books.kills,
        "webhooks": books.webhooks,
        "events": books.events,
        "read_faults": books.read_faults,
        "requests": books.requests,
        "audit_entries": books.audit_entries,
        "problems": books.problems,
    }


def as_text(run: Run, books: Books) -> str:
    plan = run.plan
    lines = [
        f"Fault test: {plan.count} of each money kind, seed {plan.seed}, {plan.workers} workers, "
        f"{run.seconds:.0f} s (load {', '.join(f'{value:.1f}' for value in os.getloadavg())})",
        "",
        f"{'':44}" + "".join(f"{kind:>20}" for kind in KINDS),
    ]
    for title, name in ROWS:
        cells = []
        for kind in KINDS:
            value = getattr(books.kinds[kind], name)
            cells.append(f"{sum(value.values()) if isinstance(value, dict) else value:>20,}")
        lines.append(f"{title:44}" + "".join(cells))
    for title in ("approved", "effected"):
        for currency in sorted({name for kind in KINDS for name in getattr(books.kinds[kind], title)}):
            sums = [format_money(getattr(books.kinds[kind], title).get(currency, 0), currency) for kind in KINDS]
            lines.append(f"{title + ', ' + currency:44}" + "".join(f"{amount:>20}" for amount in sums))
    lines += ["", "Where workers died with an execution in hand:"]
    for meaning in sorted({meaning for kind in KINDS for meaning in books.kinds[kind].deaths}):
        counts = "".join(f"{books.kinds[kind].deaths.get(meaning, 0):>20,}" for kind in KINDS)
        lines.append(f"  {meaning:42}"[:58].ljust(44) + counts)
    kills, hooks, reads = books.kills, books.webhooks, books.read_faults
    lines += [
        "",
        f"{kills['total']:,} workers killed: {kills['random']:,} at random moments, {kills['at_a_step']:,} at a step "
        f"of the gate, {kills['at_the_sandbox']:,} by the sandbox at their request.",
        f"{hooks.get('new', 0):,} webhooks in no order, {hooks.get('repeated', 0):,} of them twice, "
        f"{hooks.get('retried', 0):,} delivered again after a failure; {books.events:,} events in the inbox.",
        f"{books.requests:,} requests at the sandbox; reads that went wrong: "
        + (", ".join(f"{name} {count:,}" for name, count in sorted(reads.items()) if name != "latency") or "none"),
        f"{books.audit_entries:,} audit entries, the chain verified.",
        "",
        *(f"WRONG: {problem}" for problem in books.problems),
        "Exactly once: yes." if books.is_clean else f"Exactly once: NO ({len(books.problems)} findings above).",
    ]
    return "\n".join(lines)


def as_line(run: Run, books: Books) -> str:
    return json.dumps(as_json(run, books), indent=2, sort_keys=True)
