"""How many waiting events a second are worked off when Stripe takes 20 ms to answer: ours against dj-stripe's own way.

5,000 events over 1,000 objects. Ours works off all of them; dj-stripe's `Event.process`, which costs the same for every
event, works off a sample with as many events per object, and is given per second. Each round starts from a fresh copy
of one database in which the customers, but not the invoices, are mirrored.
"""

from __future__ import annotations

from typing import Any

from benchmarks import processes, report
from benchmarks.databases import Base, Server

NAME = "drain"
API_MS = 20
EVENTS_PER_OBJECT = 5
OURS, DJSTRIPE = "ours", "dj-stripe's Event.process"


def run(server: Server, base: Base, *, rounds: int, quick: bool) -> report.Section:
    objects = 100 if quick else 1000
    sample = 20 if quick else 60
    section = report.Section(
        NAME,
        setting={
            "events": objects * EVENTS_PER_OBJECT,
            "objects": objects,
            "dj-stripe's sample of events": sample * EVENTS_PER_OBJECT,
            "api delay ms": API_MS,
            "processes": 1,
        },
    )
    rates: dict[str, list[float]] = {OURS: [], DJSTRIPE: []}
    last: dict[str, dict[str, Any]] = {}
    with processes.stand_in_api(milliseconds=API_MS, customers=base.customers) as api:
        for _ in range(rounds):
            for name, size in ((OURS, objects), (DJSTRIPE, sample)):
                last[name] = result = _work(server, base, api, "ours" if name == OURS else "djstripe", size)
                rates[name].append(result["events"] / result["seconds"])
        section.figures.append(
            report.compare(
                "events worked off",
                peer_name=DJSTRIPE,
                unit="1/s",
                ours=rates[OURS],
                peer=rates[DJSTRIPE],
                target=report.at_least(10),
            )
        )
        ours, theirs = last[OURS], last[DJSTRIPE]
        section.figures.append(
            report.count(
                "API reads",
                value=ours["reads"],
                limit=ours["objects"],
                unit="reads",
                limit_name="objects and missing relations",
            )
        )
        for name, result in last.items():
            section.notes.append(
                f"{name}: {result['events']} events, {result['objects']} objects and missing relations, "
                f"{result['reads']} reads ({result['reads'] / result['events']:.2f} per event), "
                f"{result['seconds']:.2f} s in the last round; {result['outcome']}"
            )
        section.setting["reads by path"] = {OURS: ours["by path"], DJSTRIPE: theirs["by path"]}
        if section.falls_short:
            section.profiles[f"{NAME}, ours"] = _work(server, base, api, "ours", objects, "--profile")["profile"]
    return section


def _work(server: Server, base: Base, api: int, side: str, objects: int, *flags: str) -> dict[str, Any]:
    """One side's turn on a fresh copy of the base; with the reads that the stand-in counted meanwhile."""
    with server.copy(base.name, "bench_drain") as database:
        env = processes.environment(database=database, api_base=f"http://127.0.0.1:{api}")
        processes.api_counts(api)
        arguments = [side, str(objects), str(EVENTS_PER_OBJECT), str(base.customers), *flags]
        result: dict[str, Any] = processes.python("-m", "benchmarks.workers.drain", *arguments, env=env)
        result["by path"] = processes.api_counts(api)
        result["reads"] = sum(result["by path"].values())
        return result
