"""`python -m benchmarks [--only receive|drain|pages|gate|audit|ledger|settle|reconcile|dunning] [--rounds N] [--quick]`

`make bench` brings the PostgreSQL. Ends non-zero only when something went wrong; a target that was missed is printed
with its profile.
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from benchmarks import audit, drain, dunning, gate, ledger, pages, processes, receive, reconcile, report, settle
from benchmarks.databases import Base, NoPostgres, Server

PARTS: dict[str, Callable[..., report.Section]] = {
    receive.NAME: receive.run,
    drain.NAME: drain.run,
    pages.NAME: pages.run,
    gate.NAME: gate.run,
    audit.NAME: audit.run,
    reconcile.NAME: reconcile.run,
    ledger.NAME: ledger.run,
    settle.NAME: settle.run,
    dunning.NAME: dunning.run,
}


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.splitlines()[0])
    parser.add_argument("--only", choices=PARTS, action="append", help="this part alone; may be repeated")
    parser.add_argument("--rounds", type=int, default=5, help="how often the sides take turns (default: 5)")
    parser.add_argument("--quick", action="store_true", help="small sizes: shows that it works, no more")
    options = parser.parse_args()
    if options.rounds < 1:
        parser.error("--rounds must be at least 1")
    try:
        server = Server()
    except NoPostgres as error:
        print(error, file=sys.stderr)
        return 2
    setting = {"quick": options.quick, "rounds": options.rounds, "machine": report.machine(server.version())}
    setting["postgres"] = server.settings()
    sections = []
    with _base(server, customers=100 if options.quick else 600) as base:
        for name, part in PARTS.items():
            if options.only and name not in options.only:
                continue
            started = time.monotonic()
            print(f"{name} …", file=sys.stderr, flush=True)
            try:
                section = part(server, base, rounds=options.rounds, quick=options.quick)
            except Exception:
                section = report.Section(name, error=traceback.format_exc())
            section.setting["took s"] = round(time.monotonic() - started, 1)
            sections.append(section)
    _print(sections, setting)
    return 1 if any(section.error for section in sections) else 0


@contextmanager
def _base(server: Server, *, customers: int) -> Iterator[Base]:
    print("migrating …", file=sys.stderr, flush=True)
    name = "bench_base"
    url = server.create(name)
    try:
        with processes.stand_in_api(milliseconds=0, customers=customers) as api:
            env = processes.environment(database=url, api_base=f"http://127.0.0.1:{api}")
            made = processes.python("-m", "benchmarks.workers.prepare", str(customers), env=env)
        yield Base(name, customers, made["endpoint"])
    finally:
        server.drop(name)


def _print(sections: list[report.Section], setting: dict[str, object]) -> None:
    text = report.as_json(sections, setting)
    print(text)
    for section in sections:
        for name, profile in section.profiles.items():
            print(f"\n--- where the time goes: {name} ---\n{profile}")
    print()
    for section in sections:
        for note in section.notes:
            print(f"{section.name}: {note}")
    print()
    print(report.table(sections))
    if setting["quick"]:
        print("\n--quick: sizes too small for figures to rely on.")
    for section in sections:
        if section.error:
            print(f"\n{section.name} FAILED\n{section.error}", file=sys.stderr)
    print(f"\nWritten to {report.write(text, processes.ROOT / 'bench-results')}")


if __name__ == "__main__":
    raise SystemExit(main())
