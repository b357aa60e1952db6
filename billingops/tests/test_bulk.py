"""History rows copied in the database are those that simple-history would have written."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone

from approvals.models import Suggestion
from billingops import bulk
from billingops.actors import Actor, change_reason
from billingops.inbox.models import InboundEvent
from settlements.reconciliation.models import ReconciliationItem

pytestmark = pytest.mark.django_db

ODD = "50 % of %s, %(x)s — 'off' \\ é"


def items() -> list[Any]:
    whole = timezone.now().replace(microsecond=0)
    evidence = {"a": [1, None, 1.5, ODD], "é": True}
    return ReconciliationItem.objects.bulk_create(
        [
            ReconciliationItem(currency="usd", text=ODD, evidence=evidence, stripe=-(2**60), suggestion=uuid.uuid4()),
            ReconciliationItem(currency="jpy", closed_at=whole),
        ]
    )


def suggestions() -> list[Any]:
    rows = [Suggestion(kind="k", dedupe_key=f"d{n}", params={"x": None, "y": ODD}, facts={}) for n in range(3)]
    return Suggestion.objects.bulk_create(rows)


def events() -> list[Any]:
    """Their payload is left out of the history."""
    now = timezone.now()
    rows = [InboundEvent(event_id=f"evt_{n}", type="x", created_at=now, payload={"n": n}) for n in range(3)]
    return InboundEvent.objects.bulk_create(rows)


@pytest.mark.parametrize("somebody", [True, False])
@pytest.mark.parametrize("made", [items, suggestions, events])
@pytest.mark.parametrize("kind", ["+", "~"])
def test_a_copied_history_says_what_simple_history_would_have_said(made, kind, somebody, finance):
    actor = Actor.person(finance) if somebody else Actor.system("test")
    rows = made()
    model: Any = type(rows[0])
    names = [one.attname for one in model.history.model._meta.concrete_fields]
    names = [name for name in names if name not in ("history_id", "history_date")]
    for row in rows:
        row._history_user, row._change_reason = actor.user, change_reason(actor, f"{ODD} {row.pk}")
    model.history.bulk_history_create(rows, update=kind == "~")
    wanted = list(model.history.order_by("pk").values(*names))
    model.history.all().delete()
    before = timezone.now()
    bulk.add_history(model, rows, kind=kind, actor=actor, reasons=[f"{ODD} {row.pk}" for row in rows])
    assert sorted(map(str, model.history.values(*names))) == sorted(map(str, wanted))
    assert len(wanted) == len(rows)
    assert all(before <= at <= timezone.now() for at in model.history.values_list("history_date", flat=True))


def test_history_is_of_what_is_stored_and_not_of_what_somebody_holds(finance):
    one, gone = items()
    ReconciliationItem.objects.filter(pk=gone.pk).delete()
    one.text, one.reason = "written", "not written"
    bulk.update_with_history(
        ReconciliationItem, [one, gone], ["text"], actor=Actor.person(finance), reasons=["first", "second"]
    )
    kept = ReconciliationItem.history.exclude(history_type="-").get()
    assert (kept.text, kept.reason, kept.history_change_reason) == ("written", "", "first")


def test_more_rows_than_a_statement_takes_each_have_their_history(finance, monkeypatch):
    monkeypatch.setitem(connection.features.__dict__, "max_query_params", 20)
    rows = ReconciliationItem.objects.bulk_create([ReconciliationItem(currency="usd") for _ in range(25)], 5)
    bulk.add_history(ReconciliationItem, rows, kind="+", actor=Actor.person(finance), reasons=["made"] * 25)
    assert sorted(ReconciliationItem.history.values_list("id", flat=True)) == sorted(row.pk for row in rows)
