"""Every kind of page at the width of a phone and in both themes: it fits, it can be hit with a thumb, axe is quiet."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from approvals import services
from approvals.models import Policy, Suggestion
from approvals.services import desk
from billingops.actors import Actor

QUEUE = "/admin/approvals/suggestion/"


@pytest.fixture
def paths(propose, letter, finance, lead):
    """A page of each kind, with something on it."""
    decided, waiting, taken = propose(1), propose(2), propose(3)
    Policy.objects.create(kind="browser_payout", undo_seconds=600)
    services.take(suggestion_id=taken.pk, actor=Actor.person(finance))
    services.comment(suggestion_id=taken.pk, actor=Actor.person(finance), text="Looks right.")
    approved = services.approve(suggestion_id=propose(4).pk, actor=Actor.person(finance), version=1)
    desk.save_view(actor=Actor.person(lead), name="Dollars", query="currency=usd", shared=True)
    Suggestion.objects.filter(pk=waiting.pk).update(created_at=timezone.now() - timedelta(hours=30))
    Suggestion.objects.filter(pk=taken.pk).update(created_at=timezone.now() - timedelta(hours=90))
    services.reject(suggestion_id=decided.pk, actor=Actor.person(finance), version=1, reason_code="wrong_amount")
    return {
        "home": "/admin/",
        "queue": QUEUE,
        "nothing": f"{QUEUE}?tab=unknown",
        "waiting": f"{QUEUE}{waiting.pk}/change/",
        "taken": f"{QUEUE}{taken.pk}/change/",
        "on its way": f"{QUEUE}{approved.pk}/change/",
        "edit": f"{QUEUE}{letter.pk}/edit/",
        "desk": f"{QUEUE}desk/",
        "decided": f"{QUEUE}{decided.pk}/change/",
        "history": f"{QUEUE}{decided.pk}/history/",
        "story": f"{QUEUE}{decided.pk}/story/",
        "audit": "/admin/approvals/auditentry/",
        "executions": "/admin/approvals/execution/",
        "invoices": "/admin/djstripe/invoice/",
        "entry": "/admin/approvals/auditentry/1/change/",
    }


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_axe_finds_nothing_serious(open_page, serious, paths, lead, dark):
    page = open_page(None, "/admin/login/", dark=dark)
    found = {"login": serious(page)}
    page = open_page(lead, "/admin/", dark=dark)
    origin = page.url.split("/admin/")[0]
    for name, path in paths.items():
        page.goto(origin + path)
        found[name] = serious(page)
    page.goto(origin + QUEUE)
    page.keyboard.press("o")
    page.locator(".bo-panel").wait_for()
    found["panel"] = serious(page)
    page.keyboard.press("x")
    page.get_by_role("button", name="Reject selected").click()
    found["confirm"] = serious(page)
    assert {name: problems for name, problems in found.items() if problems} == {}


def test_pages_fit_a_phone(open_page, paths, lead):
    page = open_page(lead, "/admin/", width=360)
    origin = page.url.split("/admin/")[0]
    wide = {}
    for name, path in paths.items():
        page.goto(origin + path)
        if (width := page.evaluate("document.documentElement.scrollWidth")) > 360:
            wide[name] = width
    assert wide == {}


@pytest.mark.parametrize("width", [360, 1440])
def test_targets_of_the_queue_are_big_enough_for_a_thumb(open_page, paths, lead, width):
    page = open_page(lead, QUEUE, width=width)
    small = page.evaluate(
        """() => [...document.querySelectorAll('.bo-tab, .bo-queue .bo-button, .bo-open, .bo-hit')]
            .filter((one) => one.offsetParent)
            .map((one) => [one.textContent.trim(), one.getBoundingClientRect()])
            .filter(([, box]) => box.height < 44 || box.width < 44)
            .map(([text, box]) => `${text} ${box.width}x${box.height}`)"""
    )
    assert small == []


def test_the_decision_of_a_suggestion_stays_in_view_on_a_wide_screen(open_page, paths, lead):
    page = open_page(lead, paths["waiting"])
    assert page.evaluate("getComputedStyle(document.querySelector('.bo-right')).position") == "sticky"


def test_a_superuser_finds_the_stock_pages_of_users_intact(open_page, serious, transactional_db):
    root = User.objects.create_superuser("root", password="a-long-test-password")
    page = open_page(root, f"/admin/auth/user/{root.pk}/change/")
    assert page.locator("input[name=username]").input_value() == "root"
    assert page.locator("input[name=_save]").is_visible()
