"""How many signed events a second are accepted: ours, dj-stripe's own webhook view, and a view that only verifies.

The three run side by side under the same gunicorn command and take turns; the idle ones cost nothing. Every event is
distinct and is counted in the database afterwards. dj-stripe's view does its whole work in the request, with a read
from Stripe: the stand-in answers it without delay, which is faster than any network.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import psycopg

from benchmarks import load, processes, report, stripe_objects
from benchmarks.databases import Base, Server

NAME = "receive"
CONNECTIONS = 16
OURS, DJSTRIPE, FLOOR = "ours", "dj-stripe's view", "verify only"
SETTINGS = {
    OURS: processes.OURS,
    DJSTRIPE: "benchmarks.peers.djstripe_settings",
    FLOOR: "benchmarks.peers.verify_only_settings",
}
# What each must have stored of every accepted event.
STORED = {
    OURS: "SELECT count(*) FROM inbox_inboundevent",
    DJSTRIPE: "SELECT count(*) FROM djstripe_webhookeventtrigger WHERE valid AND processed AND event_id IS NOT NULL",
}


@dataclass
class Side:
    name: str
    web: processes.Web
    path: str
    database: str
    events: int
    customers: int
    sent: int = 0

    def requests(self, number: int) -> list[bytes]:
        """`number` events that nobody has sent yet, signed now."""
        made = []
        at = int(time.time())
        for _ in range(number):
            body = _body(self.sent, self.customers, at=at)
            header = stripe_objects.signature(body, processes.SECRET, at=at)
            made.append(load.request(self.path, body, {"Stripe-Signature": header}))
            self.sent += 1
        return made

    def measure(self, number: int) -> load.Run:
        """Raises RuntimeError unless every event was accepted."""
        run = load.fire(self.web.port, self.requests(number), connections=CONNECTIONS)
        if run.statuses != {200: number}:
            raise RuntimeError(f"{self.name} answered {run.statuses}; the first other answer: {run.first_failure}")
        return run

    def check_stored(self) -> str:
        """Every event that was accepted is in the database, once. Raises RuntimeError otherwise."""
        if self.name not in STORED:
            return f"{self.name}: {self.sent} accepted, none stored, as intended"
        with psycopg.connect(self.database) as connection:
            stored = connection.execute(STORED[self.name]).fetchone()[0]  # type: ignore[index]
        if stored != self.sent:
            raise RuntimeError(f"{self.name} accepted {self.sent} events but stored {stored}.")
        return f"{self.name}: {self.sent} accepted, {stored} stored"


def _body(number: int, customers: int, *, at: int) -> bytes:
    subject = stripe_objects.customer(number % customers)
    event = stripe_objects.event(f"evt_bench{number:09d}", stripe_objects.CUSTOMER_TYPE, subject, created=at)
    return stripe_objects.dumps(event)


def run(server: Server, base: Base, *, rounds: int, quick: bool) -> report.Section:
    events = {OURS: 600, DJSTRIPE: 100, FLOOR: 600} if quick else {OURS: 5000, DJSTRIPE: 500, FLOOR: 5000}
    section = report.Section(
        NAME,
        setting={
            "event type": stripe_objects.CUSTOMER_TYPE,
            "events per round": events,
            "body bytes": len(_body(0, base.customers, at=0)),
            "connections": CONNECTIONS,
            "persistent database connections": "as the settings say, the same for all three",
            "server": f"gunicorn, {processes.WEB_WORKERS} workers x {processes.WEB_THREADS} threads, keep-alive",
            "api delay ms": 0,
        },
    )
    with _sides(server, base, events) as sides:
        for side in sides.values():
            side.measure(CONNECTIONS * 4)  # every thread has its imports and its connection now
        rates: dict[str, list[float]] = {name: [] for name in sides}
        slowest: dict[str, list[float]] = {name: [] for name in sides}
        computed: dict[str, list[float]] = {name: [] for name in sides}
        for _ in range(rounds):
            for name, side in sides.items():
                before = side.web.cpu_seconds()
                result = side.measure(side.events)
                computed[name].append((side.web.cpu_seconds() - before) / side.events * 1e6)
                rates[name].append(result.per_second)
                slowest[name].append(result.p99_ms)
        section.notes += [side.check_stored() for side in sides.values()]
        for peer, target in ((DJSTRIPE, report.at_least(10)), (FLOOR, report.at_least(0.5))):
            section.figures.append(
                report.compare(
                    "events accepted", peer_name=peer, unit="1/s", ours=rates[OURS], peer=rates[peer], target=target
                )
            )
            section.figures.append(
                report.compare("99th percentile", peer_name=peer, unit="ms", ours=slowest[OURS], peer=slowest[peer])
            )
            # Without the database's part; the figure that a busy machine disturbs least.
            section.figures.append(
                report.compare(
                    "web server's CPU", peer_name=peer, unit="µs/event", ours=computed[OURS], peer=computed[peer]
                )
            )
    if section.falls_short:
        section.profiles |= _profiles(server, base, quick=quick)
    return section


@contextmanager
def _sides(server: Server, base: Base, events: dict[str, int]) -> Iterator[dict[str, Side]]:
    with ExitStack() as stack:
        api = stack.enter_context(processes.stand_in_api(milliseconds=0, customers=base.customers))
        sides = {}
        for index, (name, settings) in enumerate(SETTINGS.items()):
            database = stack.enter_context(server.copy(base.name, f"bench_receive_{index}"))
            env = processes.environment(database=database, api_base=f"http://127.0.0.1:{api}", settings=settings)
            web = stack.enter_context(processes.web_server(f"receive-{index}", env))
            path = base.endpoint if name == DJSTRIPE else "/stripe/webhook/"
            sides[name] = Side(name, web, path, database, events[name], base.customers)
        yield sides


def _profiles(server: Server, base: Base, *, quick: bool) -> dict[str, str]:
    """Where a request's time goes, without sockets: the WSGI application called in one process, under cProfile."""
    found = {}
    for name in (OURS, FLOOR):
        with server.copy(base.name, "bench_receive_profile") as database:
            env = processes.environment(database=database, api_base="http://127.0.0.1:9", settings=SETTINGS[name])
            arguments = ("-m", "benchmarks.workers.profile_receive", "300" if quick else "3000")
            found[f"{NAME}, {name}"] = processes.python(*arguments, env=env)["profile"]
    return found
