"""Worker processes on the real queue, several at once, killed with SIGKILL and replaced.

    python -m tests.faults.workers COUNT SEED FOLDER

The foreman imports everything once and forks its workers, so that a death costs no start-up. A worker takes tasks off
django-q2's own broker (at least once: a task that is not acknowledged is handed out again) and runs the sweeps now and
then, as the scheduler would. It dies in three ways:

- at the sandbox, when its request has arrived or its effect is done (sandbox.Fault "kill_before" and "kill_after");
- at a step of the gate (`Deaths`): inside the step's transaction, or right after its commit;
- at any moment, by the foreman's hand: after a time of computing that chance gives it.

While FOLDER/storm exists it holds a number, the strength of the last two. Deaths of the second kind are noted in
FOLDER/deaths, all others are the foreman's count, in FOLDER/foreman.json.
"""

from __future__ import annotations

import gc
import json
import logging
import os
import random
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "billingops.settings")

QUEUE_RETRY_SECONDS = 20  # a task whose worker died is handed out again
DRAIN_SECONDS = 3.0  # of one task, in place of a minute: no worker here lives for a minute
SWEEP_EVERY = 8.0  # seconds, about, per worker
RANDOM_LIFE = 2.5  # seconds of computing that a worker lives on average, divided by the storm's strength
# (state reached, when) → what it means, and how likely the worker dies there, times the storm's strength.
POINTS: dict[tuple[str, str], tuple[str, float]] = {
    ("executing", "inside"): ("before the commit of “executing”", 0.01),
    ("executing", "after"): ("between the commit of “executing” and the call", 0.02),
    ("executed", "inside"): ("between Stripe's answer and its record", 0.02),
    ("executed", "after"): ("after the record, before the task was acknowledged", 0.01),
    ("unknown", "inside"): ("while the result was called unknown", 0.01),
    ("unknown", "after"): ("before the look-up", 0.01),
    ("failed", "inside"): ("while “not carried out” was recorded", 0.01),
    ("confirmed", "inside"): ("while the event confirmed it", 0.01),
    ("confirmed", "after"): ("after the event confirmed it", 0.005),
}
logger = logging.getLogger("faults")


def strength(folder: Path) -> float:
    try:
        return float((folder / "storm").read_text() or 0)
    except (OSError, ValueError):
        return 0.0


def cpu_seconds(pid: int) -> float:
    """What a process has computed so far; 0 for one that is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0.0
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Deaths:
    """Kills its own process at the gate's steps, by chance; each death is noted first, in one write."""

    def __init__(self, folder: Path, chance: random.Random) -> None:
        self.folder, self.chance = folder, chance

    def on_change(self, *, suggestion: Any, previous: str | None, **_: Any) -> None:
        from django.db import transaction

        if previous is None or suggestion.amount is None:
            return
        now = strength(self.folder)
        for when in ("inside", "after"):
            meaning, likely = POINTS.get((suggestion.state, when), ("", 0.0))
            if self.chance.random() >= likely * now:
                continue
            note = f"{suggestion.kind}\t{meaning}\n"
            if when == "inside":
                self.die(note)
            transaction.on_commit(lambda note=note: self.die(note))

    def die(self, note: str) -> None:
        with (self.folder / "deaths").open("a") as file:
            file.write(note)
        os.kill(os.getpid(), signal.SIGKILL)


def work(seed: int, folder: Path) -> None:
    """Until the end of days: take a task, run it, acknowledge it; sweep now and then."""
    import stripe
    from django_q.brokers import get_broker
    from django_q.conf import Conf

    from approvals.signals import suggestion_changed
    from billingops.inbox import tasks as inbox_tasks

    Conf.RETRY = QUEUE_RETRY_SECONDS
    inbox_tasks.DRAIN_SECONDS = DRAIN_SECONDS
    chance = random.Random(seed)
    deaths = Deaths(folder, chance)
    suggestion_changed.connect(deaths.on_change)
    stripe.set_app_info("pid", version=str(os.getpid()))
    broker = get_broker()
    sweep_at = time.monotonic() + chance.uniform(0, SWEEP_EVERY)
    while True:
        if time.monotonic() >= sweep_at:
            _sweep()
            sweep_at = time.monotonic() + chance.uniform(0.5, 1.5) * SWEEP_EVERY
        for ack_id, payload in broker.dequeue() or ():
            _run(payload)
            broker.acknowledge(ack_id)


def _sweep() -> None:
    from approvals.tasks import sweep_executions
    from billingops.inbox.tasks import sweep

    for task in (sweep_executions, sweep):
        try:
            task()
        except Exception:
            logger.exception("a sweep broke")


def _run(payload: str) -> None:
    from django.utils.module_loading import import_string
    from django_q.signing import SignedPackage

    task = SignedPackage.loads(payload)
    try:
        import_string(task["func"])(*task.get("args", ()), **task.get("kwargs", {}))
    except Exception:
        logger.exception("%s broke", task["func"])


class Foreman:
    """Keeps `count` workers alive until it is told to stop (SIGTERM)."""

    def __init__(self, count: int, seed: int, folder: Path) -> None:
        self.count, self.folder = count, folder
        self.chance = random.Random(seed)
        self.alive: dict[int, float] = {}  # pid → how long it may compute
        self.counts: Counter[str] = Counter()
        self.stopping = False

    def run(self) -> None:
        signal.signal(signal.SIGTERM, lambda *_: setattr(self, "stopping", True))
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        self.fill()
        print("ready", flush=True)
        parent = os.getppid()
        while not self.stopping and os.getppid() == parent:
            time.sleep(0.05)
            if now := strength(self.folder):
                self.kill_the_old(now)
            self.bury()
            self.fill()
        for pid in self.alive:
            os.kill(pid, signal.SIGKILL)
        while self.alive:
            self.alive.pop(os.wait()[0], None)

    def kill_the_old(self, now: float) -> None:
        """Whoever has computed for as long as it was given. By computing, not by the clock: on a busy machine a worker
        would otherwise die before it has done anything."""
        for pid, life in list(self.alive.items()):
            if cpu_seconds(pid) * now > life:
                os.kill(pid, signal.SIGKILL)
                self.alive[pid] = float("inf")
                self.counts["random"] += 1

    def fill(self) -> None:
        while len(self.alive) < self.count:
            seed = self.chance.randrange(2**32)
            sys.stdout.flush()
            pid = os.fork()
            if pid == 0:
                signal.signal(signal.SIGTERM, signal.SIG_DFL)
                try:
                    work(seed, self.folder)
                except BaseException:
                    logger.exception("a worker ended by itself")
                finally:
                    os._exit(1)
            self.alive[pid] = self.chance.expovariate(1 / RANDOM_LIFE)

    def bury(self) -> None:
        """Take note of the dead. A worker that ends other than by SIGKILL is a defect, and counted apart."""
        buried = False
        while self.alive:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            self.alive.pop(pid, None)
            killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
            self.counts["killed" if killed else "ended"] += 1
            buried = True
        if buried:
            file = self.folder / "foreman.json"
            file.with_suffix(".new").write_text(json.dumps(self.counts))
            file.with_suffix(".new").replace(file)


def warm_up() -> None:
    """Have imported what the SDK imports at first use, before the workers are forked."""
    from billingops.stripe import client

    for name in ("transfers", "invoices", "charges", "customers"):
        getattr(client.writer().v1, name)
    client.writer().v1.transfers.reversals  # noqa: B018
    client.reset()
    gc.collect()
    gc.freeze()


def main() -> None:
    count, seed, folder = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    django.setup()
    from django.db import connections
    from django.utils.module_loading import import_string

    for module in ("approvals.tasks", "billingops.inbox.tasks", "settlements.tasks", "dunning.tasks", "django_q.tasks"):
        __import__(module)
    import_string("django.core.signing.dumps")
    warm_up()
    connections.close_all()  # no worker inherits a connection
    Foreman(count, seed, folder).run()


if __name__ == "__main__":
    main()
