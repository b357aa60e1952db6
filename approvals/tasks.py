"""What the worker does for the gate. Each takes an id or nothing, checks again, and may run twice."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import timedelta

from django.conf import settings
from django.db.models import Q
from django.utils import timezone

from approvals import backtest, executions, services, summary
from approvals.models import BacktestRun, Execution
from approvals.policies import usage
from approvals.services import batches
from billingops import jobs
from billingops.actors import Actor

BATCH = 200
WAKE_AT_ONCE = 1000
SWEEP_SECONDS = 45  # for look-ups by one sweep; the rest comes with the next one
AT_ONCE = 20  # executions by one task; each may take a few seconds, the queue gives a task 120
logger = logging.getLogger(__name__)


def execute(execution_id: int) -> str:
    """Carry an approved suggestion out."""
    state = executions.execute(execution_id)
    if state == Execution.State.UNKNOWN:
        return executions.resolve(execution_id)
    return state


def execute_many(*execution_ids: int) -> int:
    """Carry out what was approved together. What is more than AT_ONCE is handed on in halves, so that every worker gets
    some and no task runs into the queue's time limit. Returns how many this task carried out."""
    mine = list(execution_ids)
    while len(mine) > AT_ONCE:
        half = len(mine) // 2
        mine, rest = mine[:half], mine[half:]
        jobs.enqueue("approvals.tasks.execute_many", *rest)
    return sum(_safely(execute, execution_id) for execution_id in mine)


def resolve(execution_id: int) -> str:
    """Look an unknown result up."""
    return executions.resolve(execution_id)


@jobs.every(1, name="approvals-executions")
def sweep_executions() -> dict[str, int]:
    """What is due and was not carried out, what hangs, what is unknown. Only narrows: each job checks again."""
    now = timezone.now()
    counts = {"due": 0, "stuck": 0, "unknown": 0}
    due = Q(state=Execution.State.QUEUED, not_before__lte=now)
    stuck = Q(state=Execution.State.EXECUTING, started_at__lt=now - timedelta(seconds=settings.EXECUTION_STUCK_SECONDS))
    unknown = Q(state=Execution.State.UNKNOWN, not_before__lte=now, tries__lt=executions.MAX_LOOK_UPS)
    for execution in Execution.objects.filter(stuck).order_by("started_at")[:BATCH]:
        counts["stuck"] += _safely(_lose, execution.pk)
    until = time.monotonic() + SWEEP_SECONDS
    for execution in Execution.objects.filter(unknown).order_by("not_before")[:BATCH]:
        if time.monotonic() > until:
            break
        counts["unknown"] += _safely(executions.resolve, execution.pk)
    # Many may fall due together (an undo window, a held batch): one task for all would be killed in a call's middle.
    counts["due"] = execute_many(
        *Execution.objects.filter(due).order_by("not_before").values_list("pk", flat=True)[:BATCH]
    )
    return counts


def _lose(execution_id: int) -> str:
    message = "the worker stopped while this attempt was on its way"
    return executions.record_unknown(execution_id, code="worker_lost", message=message)


def _safely(step: Callable[[int], str], execution_id: int) -> int:
    """1 when the step ran; a broken one is logged and leaves the others their turn."""
    try:
        step(execution_id)
    except Exception:
        logger.exception("execution %s could not be worked on", execution_id)
        return 0
    return 1


def wake_held(kind: str, account: str) -> int:
    """A policy or a switch has changed: look at once at what they held. `kind` "*" and `account` "" mean all."""
    held = Execution.objects.filter(state=Execution.State.QUEUED).exclude(held="")
    if kind != "*":
        held = held.filter(suggestion__kind=kind)
    if account:
        held = held.filter(suggestion__account=account)
    ids = list(held.order_by("not_before").values_list("pk", flat=True))
    # One by one: whoever carries one of them out holds its row, and is not to be waited for with others in hand.
    for pk in ids:
        Execution.objects.filter(pk=pk, state=Execution.State.QUEUED).update(not_before=timezone.now())
    for pk in ids[:WAKE_AT_ONCE]:  # the sweep takes the rest
        jobs.enqueue("approvals.tasks.execute", pk)
    return len(ids)


@jobs.every(1440, name="approvals-usage")
def forget_usage() -> int:
    """The counters behind the caps of a day, once nobody asks for that day any more."""
    return usage.forget(before=timezone.now() - usage.KEPT)


def work_batch(batch_id: str) -> bool:
    """Go on with a batch; what is left after a while is handed on, so that no task runs into the queue's time limit."""
    finished = batches.work(batch_id)
    if not finished:
        jobs.enqueue("approvals.tasks.work_batch", batch_id)
    return finished


@jobs.every(1, name="approvals-batches")
def sweep_batches() -> dict[str, int]:
    return batches.sweep()


@jobs.every(10, name="approvals-expiry")
def expire() -> int:
    return services.expire_due(actor=Actor.system("expiry"))


def run_backtest(run_id: str) -> str:
    """Replay what somebody asked for on the back tests' page."""
    run = backtest.work_off(BacktestRun.objects.get(pk=run_id))
    return run.state


@jobs.every(30, name="approvals-daily-summary")
def daily_summary() -> int:
    """Each person's summary of the day, once; see summary.py."""
    return summary.send_due()
