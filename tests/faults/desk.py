"""The run: real processes around one database, and a scripted person who approves and asks for another attempt.

The person does what the admin's pages do, through the gate's services. Everything else happens by itself: the sandbox
tells of payments and refunds by signed webhooks, a real web server receives them, the workers drain and carry out.
"""

from __future__ import annotations

import contextlib
import io
import json
import logging
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.db import connection
from django.utils import timezone

from approvals import services
from approvals.models import Execution, Suggestion
from approvals.states import WAITING_FOR_A_PERSON, State
from billingops import jobs
from billingops.actors import Actor
from billingops.exceptions import BillingOpsError
from billingops.inbox.models import InboundEvent
from billingops.stripe import client
from settlements.models import PayoutRecord

ROOT = Path(__file__).resolve().parent.parent.parent
KINDS = ("seller_payout", "transfer_reversal", "retry_payment")
TWICE = 0.25  # so many executions are put into the queue once more
SECOND_REFUND = 0.1  # so many charges are refunded in two parts, each with a reversal of its own
AHEAD = 200  # so many customers have something open at once
logger = logging.getLogger("faults")


@dataclass(frozen=True)
class Plan:
    """How much, by which chance, and how hard. `strength` multiplies the chances of every fault and death."""

    count: int
    seed: int
    workers: int = 4
    sellers: int = 40
    strength: float = 1.0
    stuck_seconds: int = 30
    lease_seconds: int = 30
    lookup_seconds: int = 5
    longest: float = 3600.0  # seconds after which the run is given up
    talkative: bool = False  # say on standard error how far it is


class GivenUp(RuntimeError):
    """The run did not come to its end in time; `str()` says what is left."""


@dataclass
class Run:
    """What the books are made of."""

    plan: Plan
    truth: dict[str, Any]
    figures: dict[str, Any]
    deaths: list[list[str]]
    foreman: dict[str, int]
    retries: Counter[str]
    seconds: float
    idle: bool
    notes: list[str] = field(default_factory=list)


class Stripe:
    """The sandbox's process, spoken to in lines of JSON."""

    def __init__(self, webhook_url: str, seed: int, log: Any) -> None:
        command = [sys.executable, "-m", "tests.faults.stripe_process", webhook_url, settings.SANDBOX_WEBHOOK_SECRET]
        self.process = subprocess.Popen(
            [*command, str(seed)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True
        )
        self.url = str(self._read()["url"])

    def call(self, name: str, **given: Any) -> Any:
        return self.send({"call": name, "given": given})

    def send(self, asked: dict[str, Any]) -> Any:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(asked) + "\n")
        self.process.stdin.flush()
        answer = self._read()
        if "error" in answer:
            raise RuntimeError(f"the sandbox could not {asked['call']}: {answer['error']}")
        return answer["answer"]

    def _read(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError("the sandbox's process has ended")
        return dict(json.loads(line))


def environment(plan: Plan, stripe_url: str = "") -> dict[str, str]:
    """Of the children: this database, this sandbox, short waits."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR", "VIRTUAL_ENV") if name in os.environ}
    found = connection.get_connection_params()
    database = f"postgresql://{found['user']}@/{settings.DATABASES['default']['NAME']}?host={found['host']}"
    return {
        **kept,
        "PYTHONPATH": str(ROOT),
        "DJANGO_SETTINGS_MODULE": "billingops.settings",
        "DATABASE_URL": database,
        **({"STRIPE_API_BASE": stripe_url} if stripe_url else {}),
        "STRIPE_TIMEOUT_SECONDS": "4",
        "EXECUTION_STUCK_SECONDS": str(plan.stuck_seconds),
        "EXECUTION_LOOKUP_SECONDS": str(plan.lookup_seconds),
        "INBOX_LEASE_SECONDS": str(plan.lease_seconds),
        "INBOX_BATCH_SIZE": "30",
        "INBOX_MAX_ATTEMPTS": "100",  # whoever is killed a hundred times as often as usual is not to blame
        "DUNNING_QUIET_HOURS": "off",
        "LOG_LEVEL": "WARNING",
    }


class Desk:
    """One run, from an empty shop to the last confirmation."""

    def __init__(self, plan: Plan, stripe: Stripe, folder: Path, person: Any) -> None:
        self.plan, self.stripe, self.folder = plan, stripe, folder
        self.person = Actor.person(person)
        self.chance = random.Random(plan.seed + 1)
        self.retries: Counter[str] = Counter()
        self.made = 0
        self.refunds: Counter[str] = Counter()  # charge → refunds asked for
        self.wanted: dict[str, int] = {}  # charge → refunds it shall have
        self.notes: list[str] = []

    def open_shop(self) -> None:
        accounts = self.stripe.call("open", sellers=self.plan.sellers)
        lines = ["sellers:"]
        lines += [f"  - {{account: {account}, name: Seller {account[-3:]}}}" for account in accounts]
        lines.append("rules:")
        for number, account in enumerate(accounts):
            share = f'{{type: percent, seller: "{60 + number % 30}"}}'
            lines.append(f"  - {{name: rule-{account}, seller: {account}, match: none, share: {share},")
            lines.append("     valid_from: 2020-01-01}")
        file = self.folder / "config.yaml"
        file.write_text("\n".join(lines) + "\n")
        call_command("import_config", str(file), stdout=io.StringIO())

    def work(self) -> float:
        """Until everything is confirmed; returns the seconds it took."""
        begin = said = replayed = time.monotonic()
        self.storm(self.plan.strength)
        while not self.is_done():
            self.feed()
            if self.plan.talkative and time.monotonic() - said > 15:
                said = time.monotonic()
                print(f"{said - begin:4.0f} s: {self.what_is_left()}", file=sys.stderr, flush=True)
            busy = self.approve() + self.ask_again() + self.refund()
            if time.monotonic() - replayed > 5:
                replayed = time.monotonic()
                retry_events_now()
            if not busy:
                time.sleep(0.3)
            if time.monotonic() - begin > self.plan.longest:
                raise GivenUp(self.what_is_left())
        seconds = time.monotonic() - begin
        self.storm(0)
        return seconds

    def storm(self, strength: float) -> None:
        """Let it all go wrong, or (0) let the rest be delivered and drained in peace."""
        (self.folder / "storm").write_text(str(strength))
        self.stripe.call("storm", strength=strength)

    # -- what the shop's customers do ----------------------------------------------------------------------------------

    def feed(self) -> None:
        """New customers, as long as those before them are not too far behind."""
        left = self.plan.count - self.made
        if left <= 0:
            return
        confirmed = Suggestion.objects.filter(kind="seller_payout", state=State.CONFIRMED).count()
        count = min(left, 50, AHEAD - (self.made - confirmed))
        if count >= min(50, left):
            self.stripe.call("wave", count=count)
            self.made += count

    def refund(self) -> int:
        """Whoever's seller was paid gets some of the money back, a few of them the rest later."""
        paid = PayoutRecord.objects.filter(state="transferred").values_list("charge", "transfer", "amount_reversed")
        first, rest = [], []
        for charge, transfer, reversed_amount in paid:
            if charge not in self.wanted:
                self.wanted[charge] = 2 if self.chance.random() < SECOND_REFUND else 1
                self.refunds[charge] += 1
                first.append(charge)
            elif self.refunds[charge] < self.wanted[charge] and reversed_amount:
                confirmed = Suggestion.objects.filter(kind="transfer_reversal", subject=transfer, state=State.CONFIRMED)
                if confirmed.exists():
                    self.refunds[charge] += 1
                    rest.append(charge)
        if first:
            self.stripe.call("refund", charges=first, part=0.8)
        if rest:
            self.stripe.call("refund", charges=rest, part=1.0)
        return len(first) + len(rest)

    # -- what the person does ------------------------------------------------------------------------------------------

    def approve(self) -> int:
        waiting = Suggestion.objects.filter(kind__in=KINDS, state__in=WAITING_FOR_A_PERSON).order_by("id")
        done = 0
        for suggestion_id, version in list(waiting.values_list("pk", "version")[:100]):
            try:
                services.approve(suggestion_id=suggestion_id, actor=self.person, version=version)
            except BillingOpsError:  # it has moved meanwhile: the next round sees how
                continue
            done += 1
            if self.chance.random() < TWICE:
                for pk in Execution.objects.filter(suggestion=suggestion_id).values_list("pk", flat=True):
                    jobs.enqueue("approvals.tasks.execute", pk)
        return done

    def ask_again(self) -> int:
        """What failed for certain, or was looked up in vain, is tried once more; an endless unknown is looked at."""
        done = 0
        found = Suggestion.objects.filter(kind__in=KINDS, state=State.FAILED).order_by("id")
        for suggestion_id, kind, version in list(found.values_list("pk", "kind", "version")[:50]):
            with contextlib.suppress(BillingOpsError):
                services.retry(suggestion_id=suggestion_id, actor=self.person, version=version)
                self.retries[kind] += 1
                done += 1
        tired = Execution.objects.filter(state=Execution.State.UNKNOWN, tries__gte=20).select_related("suggestion")
        for execution in tired[:20]:
            with contextlib.suppress(BillingOpsError):
                services.look_again(
                    suggestion_id=execution.suggestion_id, actor=self.person, version=execution.suggestion.version
                )
        return done

    # -- the end -------------------------------------------------------------------------------------------------------

    def is_done(self) -> bool:
        if self.made < self.plan.count or sum(self.refunds.values()) < sum(self.wanted.values()):
            return False
        count = self.plan.count
        confirmed = self.confirmed()
        if confirmed["seller_payout"] < count or confirmed["retry_payment"] < count:
            return False
        if len(self.wanted) < count or confirmed["transfer_reversal"] < sum(self.wanted.values()):
            return False
        return not Suggestion.objects.filter(kind__in=KINDS).in_the_gate().exists()

    def confirmed(self) -> Counter[str]:
        rows = Suggestion.objects.filter(kind__in=KINDS, state=State.CONFIRMED).values_list("kind", flat=True)
        return Counter(rows)

    def settle(self, seconds: float = 240) -> bool:
        """Wait until the last event is delivered and worked off. False when that does not come about."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            idle = self.stripe.send({"call": "wait_idle", "seconds": 20})
            retry_events_now()
            open_events = InboundEvent.objects.filter(state__in=("waiting", "processing")).exists()
            if idle and not open_events and not _tasks_left():
                return True
            time.sleep(0.3)
        return False

    def what_is_left(self) -> str:
        states = Counter(Suggestion.objects.filter(kind__in=KINDS).values_list("kind", "state"))
        executions = Counter(Execution.objects.values_list("state", flat=True))
        events = Counter(InboundEvent.objects.values_list("state", flat=True))
        by_kind = {
            kind: ", ".join(f"{count} {state}" for (found, state), count in sorted(states.items()) if found == kind)
            for kind in KINDS
        }
        text = "; ".join(f"{kind}: {counts or 'none'}" for kind, counts in by_kind.items())
        return f"{self.made} customers; {text}; attempts {dict(executions)}; events {dict(events)}"


def retry_events_now() -> None:
    """As `manage.py drain_inbox --retry-now` does: Stripe's faults here are over after a second, not after an hour."""
    now = timezone.now()
    InboundEvent.objects.waiting().filter(error__gt="", next_attempt_at__gt=now).update(next_attempt_at=now)


def _tasks_left() -> bool:
    from django_q.models import OrmQ

    return OrmQ.objects.exists()


def run(plan: Plan, *, person: Any) -> Run:
    """Start everything, play the plan, stop everything. The database is the default one, migrated and empty."""
    folder = Path(tempfile.mkdtemp(prefix="billingops-faults-"))
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        log = stack.enter_context((folder / "log").open("w"))
        stack.callback(_show_errors, folder / "log")
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        stripe = Stripe(f"http://127.0.0.1:{port}/stripe/webhook/", plan.seed, log)
        stack.enter_context(_ended(stripe.process, signal.SIGTERM))
        settings.STRIPE_API_BASE = stripe.url
        client.reset()
        children = environment(plan, stripe.url)
        gunicorn = [sys.executable, "-m", "gunicorn", "billingops.wsgi", "--bind", f"127.0.0.1:{port}"]
        gunicorn += ["--workers", "1", "--threads", "4", "--keep-alive", "75", "--log-level", "warning"]
        web = subprocess.Popen(gunicorn, cwd=ROOT, env=children, stdout=log, stderr=log)
        stack.enter_context(_ended(web, signal.SIGTERM))
        command = [sys.executable, "-m", "tests.faults.workers", str(plan.workers), str(plan.seed), str(folder)]
        desk = Desk(plan, stripe, folder, person)
        desk.open_shop()
        foreman = subprocess.Popen(command, cwd=ROOT, env=children, stdout=subprocess.PIPE, stderr=log, text=True)
        stack.enter_context(_ended(foreman, signal.SIGTERM))
        assert foreman.stdout is not None
        assert foreman.stdout.readline().strip() == "ready"
        stripe.send({"call": "foreman", "pid": foreman.pid})
        seconds = desk.work()
        idle = desk.settle()
        deaths = folder / "deaths"
        counts = folder / "foreman.json"
        return Run(
            plan=plan,
            truth=stripe.call("truth"),
            figures=stripe.call("figures"),
            deaths=[line.split("\t") for line in deaths.read_text().splitlines()] if deaths.exists() else [],
            foreman=json.loads(counts.read_text()) if counts.exists() else {},
            retries=desk.retries,
            seconds=seconds,
            idle=idle,
            notes=desk.notes,
        )


@contextlib.contextmanager
def _ended(process: subprocess.Popen[Any], sign: signal.Signals) -> Iterator[None]:
    """Stop this one process when the block is left, by force if it does not listen."""
    try:
        yield
    finally:
        process.send_signal(sign)
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()


def _show_errors(log: Path) -> None:
    """The end of what the children complained of, when the run is broken off."""
    if sys.exc_info()[0] is not None or os.environ.get("FAULTS_SHOW_LOG"):
        sys.stderr.write("\n".join(log.read_text(errors="replace").splitlines()[-80:]) + "\n")
