"""Policies and the kill switch in a real browser: by keyboard alone, without scripts, on a phone, in both themes."""

from __future__ import annotations

import os

import pytest
from django.utils import timezone

from approvals import switches, tasks
from approvals.models import Execution, KillSwitch, Policy
from approvals.services import approve
from billingops.actors import Actor

PAGE = "/admin/approvals/policy/"
SHOTS = os.environ.get("BILLINGOPS_SHOTS", "")  # a folder to look at


@pytest.fixture
def policy(propose):
    return Policy.objects.create(
        kind="browser_payout",
        two_approvers_over={"usd": 1000000, "jpy": 5000000},
        caps={"action": {"sum": {"usd": 500000}}, "customer_day": {"count": 3}},
        cool_down_hours=72,
        hours={"days": ["mon", "tue", "wed", "thu", "fri"], "from": "09:00", "to": "17:00"},
        timezone="Europe/Vienna",
    )


@pytest.mark.parametrize(("width", "dark"), [(360, True), (1440, False)], ids=["dark phone", "light desk"])
def test_the_pages_fit_and_axe_finds_nothing_serious(open_page, serious, propose, policy, lead, finance, width, dark):
    suggestion = propose(1)
    held = approve(suggestion_id=propose(2).pk, actor=Actor.person(finance), version=1)
    switches.flip(kind="browser_payout", on=True, actor=Actor.person(lead), reason="odd amounts since this morning")
    Execution.objects.filter(suggestion=held).update(not_before=timezone.now())
    tasks.execute(held.executions.get().pk)
    paths = {
        "edit": f"{PAGE}{policy.pk}/edit/",
        "history": f"{PAGE}{policy.pk}/history/",
        "home": "/admin/",
        "list": PAGE,
        "new": f"{PAGE}new/",
        "one": f"{PAGE}{policy.pk}/change/",
        "suggestion": f"/admin/approvals/suggestion/{suggestion.pk}/change/",
        "switch": "/admin/approvals/killswitch/",
    }
    page = open_page(lead, "/admin/", width=width, dark=dark)
    origin = page.url.split("/admin/")[0]
    found, wide = {}, {}

    def look(name: str) -> None:
        found[name] = serious(page)
        wide[name] = max(0, page.evaluate("document.documentElement.scrollWidth") - width)
        if SHOTS:
            page.screenshot(path=f"{SHOTS}/{name}-{width}.png", full_page=True)

    for name, path in paths.items():
        page.goto(origin + path)
        look(name)
    page.goto(origin + paths["edit"])
    page.get_by_label("Two approvers over").fill("USD 100.00")
    page.get_by_label("At a time, at most").fill("USD 10.00")
    page.get_by_role("button", name="See what will happen").click()
    look("preview")
    page.get_by_role("button", name="Back to the form").click()
    page.get_by_label("At a time, at most").fill("10 dollars")
    page.get_by_role("button", name="See what will happen").click()
    look("refused")
    assert {name: problems for name, problems in found.items() if problems} == {}
    assert {name: pixels for name, pixels in wide.items() if pixels} == {}


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no scripts"])
def test_a_policy_is_changed_by_keyboard_alone(open_page, policy, lead, scripts):
    page = open_page(lead, f"{PAGE}{policy.pk}/edit/", scripts=scripts)
    page.get_by_label("Two approvers over").focus()
    page.keyboard.press("Control+a")
    page.keyboard.type("USD 250.00")
    page.get_by_role("button", name="See what will happen").focus()
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Save as version 2").focus()
    page.keyboard.press("Enter")
    page.get_by_text("Saved: policy browser_payout").wait_for()
    policy.refresh_from_db()
    assert (policy.two_approvers_over, policy.version) == ({"usd": 25000}, 2)


def test_everything_is_stopped_with_one_click_without_scripts(open_page, propose, lead):
    page = open_page(lead, "/admin/", scripts=False)
    page.get_by_role("button", name="Stop everything").click()
    page.get_by_text("The kill switch is on: everything.").wait_for()
    assert KillSwitch.objects.get().is_on
    page.get_by_label("Why it may go on").fill("looked into it")
    page.get_by_role("button", name="Let everything go on").click()
    page.get_by_text("Everything: goes on.").wait_for()
    assert not KillSwitch.objects.get().is_on
