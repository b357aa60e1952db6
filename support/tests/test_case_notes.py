"""Promises, pauses, calls and hand-overs on the customer's timeline: what, when and who, never the words."""

from __future__ import annotations

from typing import Any

import pytest
from django.core.management import call_command
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from dunning.models import CaseNote, DunningCase
from dunning.reasons import Category
from support.models import TimelineEntry

pytestmark = pytest.mark.django_db
CUSTOMER = "cus_notes0001"


@pytest.fixture
def case() -> DunningCase:
    return DunningCase.objects.create(
        invoice="in_notes0001",
        customer=CUSTOMER,
        currency="eur",
        amount_remaining=7900,
        category=Category.LATER.value,
        last_failed_at=timezone.now(),
    )


def write(case: DunningCase, kind: str, text: str = "", **facts: Any) -> CaseNote:
    return CaseNote.objects.create(case=case, kind=kind, text=text, facts=facts, author_name="ana")


def lines() -> list[tuple[str, str]]:
    rows = TimelineEntry.objects.filter(customer=CUSTOMER, what__startswith="note.").order_by("at", "id")
    return [(row.what, row.facts.get("who", "")) for row in rows]


def test_what_people_noted_is_told_without_its_words(client: Client, support_agent: Any, case: DunningCase) -> None:
    write(case, "promise", "Ms Debtor will pay after payday", day="2026-11-30")
    write(case, "call", "Spoke with Ms Debtor")
    write(case, "handover", "Call Ms Debtor back", to="ben", until="2026-11-28T09:00:00+00:00")
    write(case, "broken", day="2026-11-30")
    write(case, "take")  # who has the case is no news of the customer's
    assert lines() == [
        ("note.promise", "ana"),
        ("note.call", "ana"),
        ("note.handed_over", "ana"),
        ("note.promise_broken", "ana"),
    ]
    client.force_login(support_agent)
    shown = client.get(reverse("admin:support_timeline", args=[CUSTOMER])).content.decode()
    for wanted in ("Promised to pay", "by 30 Nov 2026", "Called", "Handed over", "to ben", "Promise not kept"):
        assert wanted in shown, wanted
    assert "Debtor" not in shown
    assert reverse("admin:dunning_dunningcase_change", args=[case.pk]) in shown


@pytest.mark.parametrize("whole", [True, False])
def test_a_rebuild_gives_the_same_lines(case: DunningCase, whole: bool, capsys: Any) -> None:
    write(case, "pause", "moving house")
    write(case, "resume")
    before = lines()
    assert len(before) == 2
    TimelineEntry.objects.all().delete()
    call_command("rebuild_timeline", *([] if whole else ["--customer", CUSTOMER]))
    assert lines() == before
