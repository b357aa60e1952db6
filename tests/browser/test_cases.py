"""Dunning cases in a real browser: readable at 360 px, in both themes, nothing serious for axe, usable by keyboard."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone

from billingops.actors import Actor
from dunning import work
from dunning.models import DunningCase
from dunning.tests.conftest import Debtor, debtor, make_debtor  # noqa: F401  (fixtures)


@pytest.fixture
def case(
    transactional_db: None,
    debtor: Debtor,  # noqa: F811
    deliver: Callable[..., Any],
    support_agent: Any,
    finance: Any,
) -> DunningCase:
    """A case with a plan, a second invoice, a second card, notes, and a hand-over that is late."""
    debtor.fail("insufficient_funds")
    debtor.sandbox.bill_subscription(debtor.subscription)
    deliver()
    case = DunningCase.objects.order_by("pk").first()
    assert case is not None
    actor = Actor.person(support_agent)
    work.hand_over(case_id=case.pk, actor=actor, version=case.version, to=finance, text="They asked for a call back.")
    work.write(case_id=case.pk, actor=actor, kind="call", text="Spoke with the bookkeeper; the card is to be replaced.")
    now = timezone.now()
    plan = [
        {
            "kind": "retry_payment", "at": (now + timedelta(days=2)).isoformat(), "risk": "high",
            "rationale": "Insufficient funds: a retry on a payday finds money more often.",
        },
        {
            "kind": "notify_customer", "at": (now + timedelta(days=7)).isoformat(), "risk": "medium", "tone": "firm",
            "template": "reminder", "deadline": (now + timedelta(days=14)).isoformat(),
            "rationale": "Day 7 of the sequence: a reminder.",
        },
        {"kind": "escalate", "risk": "low", "rationale": "Day 21 of the sequence: a person looks at it."},
    ]  # fmt: skip
    DunningCase.objects.filter(pk=case.pk).update(
        plan=plan, planned_at=now, sequence="standard", sequence_version=1, sla_level=1, promises_broken=1
    )
    case.refresh_from_db()
    return case


def shoot(page: Any, name: str) -> None:
    if shots := os.environ.get("BILLINGOPS_SCREENSHOTS"):
        page.screenshot(path=f"{shots}/{name}.png", full_page=True)


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_pages_of_cases_are_readable_and_accessible(
    case: DunningCase,
    open_page: Callable[..., Any],
    serious: Callable[..., list[str]],
    finance: Any,
    width: int,
    dark: bool,
) -> None:
    for name, args in (
        ("dunning_dunningcase_changelist", []),
        ("dunning_dunningcase_change", [case.pk]),
        ("dunning_dunningcase_promise", [case.pk]),
        ("dunning_dunningcase_hand_over", [case.pk]),
        ("dunning_dunningcase_resume", [case.pk]),
    ):
        page = open_page(finance, reverse(f"admin:{name}", args=args), width=width, dark=dark)
        shoot(page, f"{name}-{width}-{'dark' if dark else 'light'}")
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name
        assert serious(page) == [], name


def test_a_promise_is_noted_with_the_keyboard_alone(
    case: DunningCase, open_page: Callable[..., Any], finance: Any
) -> None:
    page = open_page(finance, reverse("admin:dunning_dunningcase_change", args=[case.pk]), width=1280, scripts=False)
    page.get_by_role("link", name="Promise to pay…").focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/promise/")
    day = timezone.localdate() + timedelta(days=4)
    page.get_by_label("They pay by").fill(day.isoformat())
    page.get_by_label("Note").fill("after payday")
    page.get_by_role("button", name="Note the promise").focus()
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/{case.pk}/change/")
    assert "The promise is noted." in page.content()
    assert f"Promised to pay by {day:%a} {day.day} {day:%b %Y}" in page.content()
    case.refresh_from_db()
    assert case.promised_for == day
