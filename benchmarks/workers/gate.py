"""Approves made-up suggestions, many at once and one by one; moves and saves single ones.

    python -m benchmarks.workers.gate measure ROWS STEPS | profile STEPS

Each side gets rows of its own, made alike; the sides take turns in blocks, so that a busy moment hits them all.
"""

from __future__ import annotations

import cProfile
import json
import statistics
import sys
import time
import uuid
from collections.abc import Callable
from contextlib import contextmanager
from typing import Any

import django

BLOCKS = 10


def _rows(number: int) -> list[Any]:
    from approvals.models import Suggestion
    from approvals.services import propose
    from billingops.actors import Actor

    run = uuid.uuid4().hex
    facts = {"invoice": {"id": "in_1", "total": 10_000}, "lines": [{"id": f"il_{i}", "amount": 1000} for i in range(8)]}
    proposed = propose(
        kind="transfer_reversal",
        subject="in_bench",
        account="acct_bench",
        customer="cus_bench",
        amount=13303,
        currency="usd",
        params=_params("transfer_reversal"),
        facts=facts,
        rationale="70 % of the lines of this invoice belong to the seller. " * 3,
        suggested_by="rules v3",
        dedupe_key=f"{run}:0",
        actor=Actor.system("bench"),
    ).suggestion
    assert proposed is not None
    names = [field.attname for field in Suggestion._meta.concrete_fields if field.attname not in ("id", "dedupe_key")]
    fixed = {name: getattr(proposed, name) for name in names}
    made = [Suggestion(dedupe_key=f"{run}:{index}", **fixed) for index in range(1, number)]
    return [proposed, *Suggestion.objects.bulk_create(made)]


def _params(kind: str) -> dict[str, Any]:
    from approvals import registry

    values: dict[type, Any] = {str: "acct_bench", int: 13303, bool: False, list: [], dict: {}}
    return {
        name: values[types if isinstance(types, type) else types[0]]
        for name, types in registry.get(kind).params_schema.items()
    }


def _lead() -> Any:
    from django.contrib.auth.models import Group, User

    user, _ = User.objects.get_or_create(username="bench-lead", defaults={"is_staff": True})
    user.groups.add(Group.objects.get(name="Finance lead"))
    return User.objects.get(pk=user.pk)


# -- the sides of `transition`: each takes a row's id ------------------------------------------------------------------
def _plain(pk: uuid.UUID) -> None:
    """What anybody would write who has django-simple-history and nothing else."""
    from django.db import transaction

    from approvals.models import Suggestion
    from approvals.states import State

    with transaction.atomic():
        row = Suggestion.objects.get(pk=pk)
        row.state, row.version = State.REJECTED, row.version + 1
        row._change_reason = "rejected"  # type: ignore[attr-defined]
        row.save()


def _step(pk: uuid.UUID) -> None:
    from django.db import transaction

    from approvals.models import Suggestion
    from approvals.services import steps
    from approvals.states import State
    from billingops.actors import Actor

    with transaction.atomic():
        row = Suggestion.objects.select_for_update().get(pk=pk)
        steps.move(row, State.REJECTED, actor=Actor.system("bench"), reason="rejected")


@contextmanager
def _deaf() -> Any:
    """No receivers of the gate's signals."""
    from approvals.signals import suggestion_changed, suggestions_changed

    kept = [(one, one.receivers) for one in (suggestion_changed, suggestions_changed)]
    for signal, _ in kept:
        signal.receivers = []
        signal.sender_receivers_cache.clear()
    try:
        yield
    finally:
        for signal, receivers in kept:
            signal.receivers = receivers
            signal.sender_receivers_cache.clear()


def _timed(work: Callable[[uuid.UUID], None], rows: list[Any]) -> list[float]:
    times = []
    for row in rows:
        started = time.perf_counter()
        work(row.pk)
        times.append(time.perf_counter() - started)
    return times


def _statements(work: Callable[[], object]) -> list[str]:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    with CaptureQueriesContext(connection) as seen:
        work()
    return [one["sql"] for one in seen.captured_queries]


def measure(rows: int, steps: int) -> dict[str, Any]:
    from approvals.services import approve, deciding
    from billingops.actors import Actor

    actor = Actor.person(_lead())
    sides: dict[str, list[float]] = {"plain": [], "bare": [], "full": []}
    _timed(_plain, _rows(5))
    _timed(_step, _rows(5))
    block = max(1, steps // BLOCKS)
    for _ in range(BLOCKS):
        sides["plain"] += _timed(_plain, _rows(block))
        made = _rows(block)
        with _deaf():
            sides["bare"] += _timed(_step, made)
        sides["full"] += _timed(_step, _rows(block))
    found: dict[str, Any] = {name: {"ms": statistics.median(times) * 1000} for name, times in sides.items()}
    for name, side in (("plain", _plain), ("full", _step)):
        [row] = _rows(1)
        found[name]["statements"] = len(_statements(lambda side=side, row=row: side(row.pk)))  # type: ignore[misc]
    [row] = _rows(1)
    with _deaf():
        found["bare"]["statements"] = len(_statements(lambda: _step(row.pk)))
    return found | _bulk(rows, actor, approve, deciding)


def _bulk(rows: int, actor: Any, approve: Any, deciding: Any) -> dict[str, Any]:
    made = _rows(rows)
    asks = [deciding.Ask(row.pk, row.version) for row in made]
    started = time.perf_counter()
    answers = deciding.approve_many(asks=asks, actor=actor)
    seconds = time.perf_counter() - started
    if refused := [answer.refusal for answer in answers if answer.refusal]:
        raise SystemExit(f"{len(refused)} were refused: {refused[0]}")
    again = [deciding.Ask(row.pk, row.version) for row in _rows(rows)]
    seen = _statements(lambda: deciding.approve_many(asks=again, actor=actor))
    history = sum(sql.startswith('INSERT INTO "approvals_historicalsuggestion"') for sql in seen)
    audit = sum(sql.startswith("INSERT INTO approvals_auditentry") for sql in seen)
    times = []
    for row in _rows(60):
        started = time.perf_counter()
        approve(suggestion_id=row.pk, actor=actor, version=row.version)
        times.append(time.perf_counter() - started)
    return {
        "bulk": {
            "ms": seconds * 1000,
            "statements": len(seen),
            "history": history,
            "audit": audit,
            "others": len(seen) - history - audit,
        },
        "single_ms": statistics.median(times) * 1000,
    }


def profile(steps: int) -> dict[str, str]:
    from benchmarks.workers import profiling

    found = {}
    for name, side in (("plain save", _plain), ("transition", _step)):
        rows = _rows(steps)
        sql = "\n".join(one[:200] for one in _statements(lambda side=side, rows=rows: side(rows[0].pk)))  # type: ignore[misc]
        profiler = cProfile.Profile()
        with profiler:
            _timed(side, rows[1:])
        found[name] = f"{sql}\n{profiling.top(profiler)}"
    return found


def main(verb: str, *numbers: str) -> None:
    django.setup()
    print(json.dumps(measure(*map(int, numbers)) if verb == "measure" else profile(*map(int, numbers))))


if __name__ == "__main__":
    main(*sys.argv[1:])
