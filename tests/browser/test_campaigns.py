"""Campaigns in a real browser: on a phone and at a desk, in both themes, and designed without scripts."""

from __future__ import annotations

import os
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.utils import timezone

from billingops.actors import Actor
from dunning.campaigns import experiments, services
from dunning.campaigns.experiments import Wanted
from dunning.campaigns.models import CampaignVersion, Experiment
from dunning.campaigns.tests.conftest import STANDARD_JSON, make_case, make_version
from dunning.models import DunningCase

SHOTS = os.environ.get("BILLINGOPS_SHOTS", "")  # a folder to look at
BASE = "/admin/campaigns/"
SEGMENT = {
    "amount": {"eur": {"from": 50000, "below": 900000}, "usd": {"from": 60000}},
    "countries": ["AT", "DE"],
    "tiers": ["enterprise"],
    "categories": ["later", "soon"],
}
FIRM = {
    **STANDARD_JSON,
    "timing": "fixed",
    "retry_days": [3, 7, 14],
    "stripe": "take_over",
    "entries": [
        {"day": 0, "kind": "notify_customer", "needs": "customer"},
        {"day": 1, "kind": "grace_period", "days": 7},
        {"day": 6, "kind": "notify_customer", "channel": "phone", "tone": "firm", "over": {"eur": 100000}},
        {"day": 10, "kind": "notify_customer", "template": "reminder", "tone": "firm"},
        {"day": 16, "kind": "notify_customer", "template": "last_notice", "tone": "final"},
        {"day": 24, "kind": "cancel_subscription"},
    ],
}


@pytest.fixture
def version(transactional_db) -> CampaignVersion:
    made = make_version("enterprise-eu", segment=SEGMENT, priority=10)
    other = make_version("everybody", state="retired")
    assert other.number == 1
    return made


def draft(version: CampaignVersion, sequence: dict) -> CampaignVersion:
    actor = Actor.system("test")
    return services.draft(
        campaign_id=version.campaign_id, segment=version.segment, sequence=sequence, actor=actor, comment="Firmer"
    )


@pytest.fixture
def decided(version) -> Experiment:
    """A test with its verdict."""
    other = draft(version, FIRM)
    test = experiments.start(
        campaign_id=version.campaign_id, arms=[Wanted("now", 1), Wanted("firmer", other.number)], seed=7,
        actor=Actor.system("test"), baseline_percent=Decimal(50), difference_points=Decimal(40),
    )  # fmt: skip
    opened = timezone.now() - timedelta(days=60)
    Experiment.objects.update(started_at=opened - timedelta(days=1))
    rows = []
    for number in range(80):
        arm, paid = ("now", number % 3 == 0) if number % 2 else ("firmer", number % 8 != 0)
        given: dict[str, Any] = {
            "sequence": "enterprise-eu",
            "version": 1 if arm == "now" else other.number,
            "arm": arm,
        }
        times: dict[str, Any] = {
            "opened_at": opened + timedelta(minutes=number),
            "closed_at": opened + timedelta(days=3),
        }
        rows.append(make_case(str(number), paid=paid, save=False, **given, **times))
    DunningCase.objects.bulk_create(rows)
    return test


@pytest.mark.parametrize(("width", "dark"), [(360, True), (1440, False)], ids=["dark phone", "light desk"])
def test_the_pages_fit_and_axe_finds_nothing_serious(open_page, serious, version, decided, lead, width, dark):
    wrong = draft(version, {**FIRM, "entries": [{"day": 3, "kind": "cancel_subscription"}]})
    paths = {
        "list": f"{BASE}campaign/",
        "new": f"{BASE}campaign/new/",
        "one": f"{BASE}campaign/{version.campaign_id}/change/",
        "settings": f"{BASE}campaign/{version.campaign_id}/settings/",
        "version": f"{BASE}campaignversion/{CampaignVersion.objects.get(state='trial').pk}/change/",
        "wrong": f"{BASE}campaignversion/{wrong.pk}/change/",
        "edit": f"{BASE}campaignversion/{wrong.pk}/edit/",
        "activate": f"{BASE}campaignversion/{wrong.pk}/activate/",
        "past": f"{BASE}campaignversion/{version.pk}/preview/",
        "test": f"{BASE}experiment/{decided.pk}/change/",
        "tests": f"{BASE}experiment/",
        "start": f"{BASE}experiment/start/{version.campaign_id}/",
    }
    page = open_page(lead, "/admin/", width=width, dark=dark)
    origin = page.url.split("/admin/")[0]
    found, wide = {}, {}
    for name, path in paths.items():
        answer = page.goto(origin + path)
        assert answer.status == 200, path
        found[name] = serious(page)
        wide[name] = max(0, page.evaluate("document.documentElement.scrollWidth") - width)
        if SHOTS:
            page.screenshot(path=f"{SHOTS}/{name}-{width}.png", full_page=True)
    assert {name: problems for name, problems in found.items() if problems} == {}
    assert {name: pixels for name, pixels in wide.items() if pixels} == {}


@pytest.mark.parametrize("scripts", [True, False], ids=["scripts", "no scripts"])
def test_a_version_is_designed_by_keyboard_and_activated(open_page, version, lead, scripts):
    page = open_page(lead, f"{BASE}campaign/{version.campaign_id}/change/", scripts=scripts)
    page.get_by_role("button", name="New version").focus()
    page.keyboard.press("Enter")
    page.get_by_label("Tiers").fill("enterprise, key account")
    page.get_by_role("button", name="Remove line 7").focus()
    page.keyboard.press("Enter")
    page.get_by_role("button", name="Remove line 7").wait_for(state="detached")
    assert page.get_by_label("Tiers").input_value() == "enterprise, key account"
    page.get_by_role("button", name="Add a line").focus()
    page.keyboard.press("Enter")
    last = page.locator("#line7")
    last.get_by_label("Day:", exact=True).fill("35")
    last.get_by_label("What:", exact=True).select_option("cancel_subscription")
    page.get_by_role("button", name="Look through, save nothing").focus()
    page.keyboard.press("Enter")
    page.get_by_text("Nothing is saved yet").wait_for()
    page.get_by_role("button", name="Save the draft").focus()
    page.keyboard.press("Enter")
    page.get_by_role("link", name="See what activating will do").wait_for()
    made = CampaignVersion.objects.get(campaign=version.campaign, number=2)
    assert made.segment["tiers"] == ["enterprise", "key account"]
    assert made.sequence["entries"][-1] == {"day": 35, "kind": "cancel_subscription"}
    page.get_by_role("link", name="See what activating will do").focus()
    page.keyboard.press("Enter")
    page.get_by_text("Day 35 · Cancel the subscription").wait_for()
    page.get_by_role("button", name="Activate version 2").focus()
    page.keyboard.press("Enter")
    page.get_by_text("New cases of its segment follow it; those that run keep theirs").wait_for()
    made.refresh_from_db()
    assert made.state == CampaignVersion.State.ACTIVE


def test_a_line_asks_only_for_what_its_kind_needs_and_for_all_where_something_is_wrong(open_page, lead, version):
    row = draft(version, FIRM)
    page = open_page(lead, f"{BASE}campaignversion/{row.pk}/edit/", scripts=False)
    line = page.locator("#line1")
    grace, tone, price = (line.get_by_label(name) for name in ("Grace days", "Tone", "New price"))
    assert (grace.is_visible(), tone.is_visible(), price.is_visible()) == (False, True, False)
    line.get_by_label("What").select_option("downgrade_subscription")
    assert (grace.is_visible(), tone.is_visible(), price.is_visible()) == (False, False, True)
    page.get_by_role("button", name="Look through, save nothing").click()
    page.get_by_text("Name the price").wait_for()
    assert (grace.is_visible(), tone.is_visible(), price.is_visible()) == (True, True, True)
