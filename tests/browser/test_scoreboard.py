"""The scoreboard, automation and the blind sample: on a phone, in both themes, with and without scripts."""

from __future__ import annotations

import os
from datetime import timedelta
from decimal import Decimal
from urllib.parse import urlencode

import pytest
from django.utils import timezone

from approvals import seeds, services
from approvals.models import AutomationGrant, Comparison, Policy, Suggestion
from approvals.registry import Spoiled
from approvals.states import State
from billingops.actors import Actor

BOARD, AUTOMATION = "/admin/approvals/bandtally/", "/admin/approvals/automationgrant/"
BAND = {"kind": "browser_payout", "account": "acct_1QBrowserSeller01", "currency": "usd", "author": "rules test v1"}


def shot(page, name):
    if folder := os.environ.get("SCOREBOARD_SHOTS"):
        page.screenshot(path=f"{folder}/{name}.png", full_page=True)


@pytest.fixture
def decided(propose, finance):
    for number in range(8):
        suggestion = propose(number, flags=[], suggested_by="rules test v1" if number < 6 else "model m-1, prompt p-v1")
        given = {"suggestion_id": suggestion.pk, "actor": Actor.person(finance), "version": suggestion.version}
        if number == 7:
            services.reject(**given, reason_code="wrong_amount")
        else:
            services.approve(**given)
    seed = seeds.make(suggestion, Spoiled("wrong_amount", "The lines add up to USD 133.03.", {"amount": 99_900}))
    services.approve(suggestion_id=seed.pk, actor=Actor.person(finance), version=1)
    Comparison.objects.filter(pk=Comparison.objects.order_by("pk").first().pk).update(
        at=timezone.now() - timedelta(days=30)
    )
    Policy.objects.create(
        kind="browser_payout",
        mode="auto",
        auto_under={"usd": 50_000},
        automation_bar={"lower_bound": "0.5", "verdicts": 5, "days": 10},
        blind_percent=Decimal(1),
    )
    return seed


@pytest.mark.parametrize(("dark", "width"), [(True, 1280), (False, 360)])
def test_the_board_and_automation_are_accessible(open_page, serious, decided, lead, dark, width):
    query = urlencode({**BAND, "over": 10_000, "up_to": 100_000})
    AutomationGrant.objects.create(
        kind="browser_payout", account="acct_1", currency="usd", author="rules test v1", granted_by=lead, reason="x"
    )
    for name, path, words in [
        ("board", BOARD, "Does it beat the rules?"),
        ("automation", AUTOMATION, "Every band’s evidence"),
        ("band", f"{AUTOMATION}band/?{query}", "What it would have done"),
        ("missed", f"/admin/approvals/suggestion/{decided.pk}/change/", "A check of attention: missed"),
    ]:
        page = open_page(lead, path, dark=dark, width=width)
        assert words.lower() in page.locator("#content-main").inner_text().lower()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        shot(page, f"{name}-{width}")
        assert serious(page) == []


def test_without_scripts_a_lead_switches_a_band_on(open_page, decided, lead):
    Suggestion.objects.filter(pk=decided.pk).update(state=State.EXPIRED)  # nobody has missed a check here
    decided.seeded_check.delete()
    query = urlencode({**BAND, "over": 10_000, "up_to": 100_000})
    page = open_page(lead, f"{AUTOMATION}band/?{query}", scripts=False)
    page.get_by_label("Reason").fill("six of six, looked at each")
    page.get_by_role("button", name="Carry these out without a person").click()
    page.locator(".messagelist").wait_for()
    assert "Automatic from now on" in page.locator(".messagelist").inner_text()


@pytest.mark.parametrize(("dark", "width", "scripts"), [(True, 1280, True), (False, 360, False)])
def test_in_the_blind_sample_one_says_first_and_sees_then(
    open_page, serious, propose, finance, monkeypatch, dark, width, scripts
):
    monkeypatch.setattr("approvals.blind.drawn", lambda *args: True)
    suggestion = propose()
    page = open_page(
        finance, f"/admin/approvals/suggestion/{suggestion.pk}/change/", dark=dark, width=width, scripts=scripts
    )
    words = page.locator("#content-main").inner_text()
    assert "What would you do?" in words
    assert "70 %" not in words
    if scripts:
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert serious(page) == []
    shot(page, f"blind-{width}")
    page.get_by_label("Carry it out as computed").check()
    page.get_by_role("button", name="Record, then show me").click()
    page.locator(".messagelist").wait_for()
    assert "It stands" in page.locator(".messagelist").inner_text()
    assert "70 %" in page.locator("#content-main").inner_text()
    suggestion.refresh_from_db()
    assert suggestion.state == State.APPROVED
