"""A batch with several workers at it, beside people and other batches, on PostgreSQL."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest

from approvals import services
from approvals.models import Batch, BatchItem, Decision, Execution, Suggestion
from approvals.services import batches
from approvals.states import State
from approvals.tests.conftest import bank, propose  # noqa: F401  (fixtures)
from approvals.tests.test_bulk import asks, fill
from billingops.actors import Actor
from billingops.exceptions import BillingOpsError
from tests.test_races import at_once

pytestmark = [pytest.mark.postgres, pytest.mark.django_db(transaction=True)]


def started(rows: list[Suggestion], user: Any) -> Batch:
    batch = batches.freeze(verb="approve", asks=asks(rows), actor=Actor.person(user))
    return batches.start(batch_id=batch.pk, actor=Actor.person(user))


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "IN_FOREGROUND", 0)
    monkeypatch.setattr(batches, "CHUNK", 5)


def test_four_workers_at_one_batch_decide_on_each_row_once(propose, finance):  # noqa: F811
    batch = started(fill(propose, 40), finance)
    results = at_once(4, lambda n: batches.work(batch.pk))
    assert results == [True] * 4
    batch.refresh_from_db()
    assert (batch.state, batches.progress(batch)["counts"]["done"]) == (Batch.State.DONE, 40)
    assert (Decision.objects.count(), Execution.objects.count()) == (40, 40)


def test_two_batches_over_the_same_rows_in_opposite_orders_share_them_without_a_deadlock(propose, make_user):  # noqa: F811
    rows = fill(propose, 30)
    ana, ben = make_user("ana", "Finance"), make_user("ben", "Finance")
    both = [started(rows, ana), started(rows[::-1], ben)]
    assert at_once(2, lambda n: batches.work(both[n].pk)) == [True, True]
    done = BatchItem.objects.filter(outcome="done").values_list("suggestion", flat=True)
    assert len(done) == len(set(done)) == 30
    assert BatchItem.objects.filter(outcome="skipped").count() == 30
    assert (Decision.objects.count(), Execution.objects.count()) == (30, 30)


def test_a_person_who_rejects_meanwhile_and_the_batch_never_both_decide(propose, finance, lead):  # noqa: F811
    rows = fill(propose, 20)
    batch = started(rows, finance)

    def act(number: int) -> Any:
        if number == 0:
            return batches.work(batch.pk)
        for row in rows:
            with suppress(BillingOpsError):
                services.reject(suggestion_id=row.pk, actor=Actor.person(lead), version=1, reason_code="bad_timing")
        return True

    assert at_once(2, act) == [True, True]
    counts = batches.progress(batch)["counts"]
    assert counts["done"] + counts["skipped"] == 20
    assert Decision.objects.count() == 20
    assert Suggestion.objects.filter(state=State.APPROVED).count() == counts["done"] == Execution.objects.count()


def test_whoever_stops_a_batch_waits_for_the_chunk_under_way_and_the_rest_is_left(propose, finance):  # noqa: F811
    batch = started(fill(propose, 30), finance)

    def act(number: int) -> Any:
        if number == 0:
            return batches.work(batch.pk)
        try:
            return batches.stop(batch_id=batch.pk, actor=Actor.person(finance))
        except BillingOpsError as problem:  # the work was quicker
            return problem

    at_once(2, act)
    counts = batches.progress(batch)["counts"]
    assert (counts["done"] + counts["cancelled"], counts["ready"]) == (30, 0)
    assert Decision.objects.count() == counts["done"]
