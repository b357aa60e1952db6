"""Fills a mirror with unpaid invoices and their cases, all due, plans them in one pass, and says what it took.

    python -m benchmarks.workers.dunning CASES ALONE

The same cases are then planned one by one (ALONE of them), as after an event, but from the mirror: the peer.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import django


@contextmanager
def counted() -> Iterator[Counter[str]]:
    """Statements by verb; transactions' own are left out."""
    from django.db import connection

    seen: Counter[str] = Counter()

    def note(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        verb = sql.split(maxsplit=1)[0].upper()
        if verb not in ("SAVEPOINT", "RELEASE"):
            seen[verb] += 1
        return execute(sql, params, many, context)

    with connection.execute_wrapper(note):
        yield seen


def main(cases: int, alone: int) -> None:
    django.setup()
    from django.core.management import call_command
    from django.utils import timezone

    from approvals.models import Suggestion
    from billingops.actors import Actor
    from dunning import facts, planning, services
    from dunning.models import DunningCase
    from dunning.tests.cases import open_cases

    call_command("migrate", verbosity=0)
    started = time.perf_counter()
    open_cases(cases)
    filled = time.perf_counter() - started
    actor = Actor.system("dunning")
    with counted() as seen:
        started = time.perf_counter()
        planned = 0
        while done := planning.review_many(actor=actor):
            planned += done
        seconds = time.perf_counter() - started
    if planned != cases:
        raise SystemExit(f"{planned} of {cases} cases were planned.")
    suggested = Suggestion.objects.count()
    with counted() as single:
        started = time.perf_counter()
        for case in DunningCase.objects.order_by("pk")[:alone]:
            DunningCase.objects.filter(pk=case.pk).update(next_step_at=timezone.now() - timedelta(minutes=1))
            services.next_step(case_id=case.pk, actor=actor, reason="bench")
            case.refresh_from_db()
            snapshot = facts.read(case.invoice, case.account, live=False)
            assert snapshot is not None
            planning.plan(case=case, snapshot=snapshot, event_id="", actor=actor, because="bench")
        alone_seconds = time.perf_counter() - started
    print(
        json.dumps(
            {
                "cases": cases,
                "fill seconds": filled,
                "seconds": seconds,
                "statements": sum(seen.values()),
                "by verb": dict(seen),
                "suggestions": suggested,
                "alone": alone,
                "alone seconds": alone_seconds,
                "alone statements": sum(single.values()),
            }
        )
    )


if __name__ == "__main__":
    main(*map(int, sys.argv[1:3]))
