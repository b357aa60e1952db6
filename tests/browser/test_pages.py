"""Every kind of page at the width of a phone and in both themes: it fits, it can be hit with a thumb, axe is quiet."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import User
from django.utils import timezone
from django_otp.oath import totp

from approvals import services
from approvals.models import BacktestCase, BacktestRun, Policy, Suggestion
from approvals.services import desk
from billingops import second_factor
from billingops.actors import Actor

QUEUE = "/admin/approvals/suggestion/"


@pytest.fixture
def paths(propose, letter, finance, lead, replayed):
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
        "back tests": "/admin/approvals/backtestrun/",
        "back test": f"/admin/approvals/backtestrun/{replayed.pk}/change/",
        "second factors of others": "/admin/second-factor/people/",
    }


@pytest.fixture
def replayed(transactional_db):
    """A back test that has run, with one case that differs and one of which too little is kept."""
    since, until = datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC)
    case = {"kind": "seller_payout", "since": since, "until": until, "started_by": "lead"}
    figures = {
        "cases": 2, "outcomes": {"other_amount": 1, "not_replayed": 1}, "verdicts": 1, "agreed": 0,
        "agreement": [0.0, 0.79], "of_today": 0, "problems": {"no event of these had come in by then": 1},
        "authors": {"rules settlement v1": 1}, "by_day": {"2026-10-07": {"differ": 1, "not replayed": 1}},
        "money": {"usd": {"people": 13303, "replay": 14000, "difference": 697, "moved": 697}},
    }  # fmt: skip
    run = BacktestRun.objects.create(**case, state="done", figures=figures)
    BacktestCase.objects.create(
        run=run, outcome="other_amount", subject="in_1QBrowserTest0001", account="acct_1QBrowserSeller01", at=since,
        people_action="seller_payout", people_amount=13303, verdict="approve", replay_action="seller_payout",
        replay_amount=14000, currency="usd", reason="bakery-75-25 v4",
    )  # fmt: skip
    BacktestCase.objects.create(
        run=run, outcome="not_replayed", subject="in_2", account="acct_1QBrowserSeller01", at=since,
        problem="no event of these had come in by then: customer",
    )  # fmt: skip
    return run


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


@pytest.mark.parametrize("name", ["queue", "audit"])
def test_a_phone_shows_rows_first_and_its_filters_open_by_keyboard(open_page, paths, lead, name):
    page = open_page(lead, paths[name], width=360)
    chip, summary = page.locator(".bo-fold .bo-chip").first, page.locator(".bo-fold > summary")
    assert not chip.is_visible()
    summary.focus()
    page.keyboard.press("Enter")
    chip.wait_for()
    chosen = page.locator(".bo-fold .bo-chips").first.locator(".bo-chip").nth(1)
    word = chosen.inner_text().strip()
    chosen.click()
    page.wait_for_load_state()
    assert word in summary.inner_text()
    page.set_viewport_size({"width": 1440, "height": 900})
    chip.wait_for()
    assert not summary.is_visible()
    unscripted = open_page(lead, paths[name], width=360, scripts=False)
    assert unscripted.locator(".bo-fold .bo-chip").first.is_visible()


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
    page.set_viewport_size({"width": 1440, "height": 420})
    page.mouse.wheel(0, 200)
    page.get_by_role("button", name="Approve USD 133.03").scroll_into_view_if_needed()
    box = page.get_by_role("button", name="Approve USD 133.03").bounding_box()
    assert box["y"] + box["height"] <= 420
    assert page.locator(".bo-right").bounding_box()["height"] <= 420


def test_a_back_test_is_started_from_its_page(open_page, lead, settings):
    page = open_page(lead, "/admin/approvals/backtestrun/", width=360)
    page.get_by_label("Kind").select_option("seller_payout")
    page.get_by_label("From").fill("2026-10-01")
    page.get_by_label("To", exact=True).fill("2026-11-01")
    page.get_by_role("button", name="Start").click()
    assert "Queued" in page.locator(".messagelist").inner_text()
    assert "2026-10-01 to 2026-11-01" in page.locator("h1").inner_text()
    assert BacktestRun.objects.get().kind == "seller_payout"


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_a_second_factor_is_set_up_and_shown_on_pages_that_axe_likes(open_page, serious, finance, dark):
    page = open_page(finance, "/admin/second-factor/", width=360, dark=dark)
    found = {"none yet": serious(page)}
    page.get_by_label("Your password").fill("a-long-test-password")
    page.get_by_role("button", name="Set one up").click()
    found["set up"] = serious(page)
    page.get_by_label("Code").fill("000 000")
    page.get_by_role("button", name="Confirm").click()
    assert "That code is not right" in page.locator(".bo-error").inner_text()
    found["wrong"] = serious(page)
    device = second_factor.waiting_device(finance)
    device.throttle_reset()
    page.get_by_label("Code").fill(f"{totp(device.bin_key):06}")
    page.get_by_role("button", name="Confirm").click()
    found["codes"] = serious(page)
    wide = page.evaluate("document.documentElement.scrollWidth")
    page = open_page(finance, "/admin/second-factor/verify/", width=360, dark=dark)
    found["asked for"] = serious(page)
    assert max(wide, page.evaluate("document.documentElement.scrollWidth")) <= 360
    assert {name: problems for name, problems in found.items() if problems} == {}


def test_a_superuser_finds_the_stock_pages_of_users_intact(open_page, serious, finance):
    root = User.objects.create_superuser("root", password="a-long-test-password")
    page = open_page(root, f"/admin/auth/user/{finance.pk}/change/")
    assert page.locator("input[name=username]").input_value() == "finance"
    assert page.locator("input[name=_save]").is_visible()
    assert page.get_by_label("Limited to connected accounts").is_visible()
    # The tooltip of its two-box choice is Django's own.
    assert [problem for problem in serious(page) if ".help-tooltip" not in problem] == []
