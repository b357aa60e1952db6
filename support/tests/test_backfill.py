"""A rebuild from what is here gives the timeline that the events gave; again and again."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from django.core.management import call_command

from support.models import CustomerContact, TimelineEntry
from support.tests.conftest import Story, told

pytestmark = pytest.mark.django_db


def rebuild(capsys: Any, *arguments: str) -> dict[str, int]:
    call_command("rebuild_timeline", *arguments)
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("whole", [True, False])
def test_a_rebuild_gives_the_same_lines(story: Story, deliver: Callable[..., Any], capsys: Any, whole: bool) -> None:
    deliver()
    by_events = told(story.customer)
    TimelineEntry.objects.all().delete()
    CustomerContact.objects.all().delete()
    arguments = [] if whole else ["--customer", story.customer]
    counts = rebuild(capsys, *arguments)
    assert counts["invoice"] == 2
    assert counts["charge"] == 3
    assert told(story.customer) == by_events
    assert CustomerContact.objects.filter(pk=story.customer).exists()
    assert rebuild(capsys, *arguments) == counts
    assert told(story.customer) == by_events


def test_a_rebuild_of_one_customer_leaves_the_others_alone(
    story: Story, deliver: Callable[..., Any], make_lines: Any, capsys: Any
) -> None:
    deliver()
    make_lines("cus_other", 10)
    before = told("cus_other")
    rebuild(capsys, "--customer", story.customer)
    assert told("cus_other") == before
    assert set(rebuild(capsys, "--customer", "cus_nobody").values()) == {0}
