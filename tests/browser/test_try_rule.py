"""Trying a rule in a real browser: in both themes, on a phone, without scripts. RULES_SHOTS=folder keeps pictures."""

from __future__ import annotations

import os

import pytest

from billingops import config
from billingops.actors import Actor
from settlements.models import ShareRule
from settlements.tests.test_explain import CONFIG, TIERED

PAGE = "/admin/settlements/sharerule/try/"


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "options", [{"scripts": False}, {"dark": True}, {"width": 360}], ids=["without scripts", "dark", "phone"]
)
def test_a_pasted_rule_is_computed_and_the_sum_can_be_read(open_page, serious, finance, options):
    config.import_text(CONFIG, file="c.yaml", actor=Actor.system("test"))
    stored = ShareRule.objects.count()
    page = open_page(finance, PAGE, **options)
    page.get_by_label("A rule as in the config file").fill(TIERED)
    page.get_by_label("Seller", exact=True).fill("acct_bakery")
    page.get_by_label("Volume of the period so far").fill("9950")
    page.get_by_label("Amount of line 1").fill("100.00")
    page.get_by_label("Amount of line 2").fill("50.00")
    page.get_by_label("Product of line 2").fill("prod_bread")
    page.get_by_role("button", name="Compute").click()
    page.get_by_role("heading", name="Line by line").wait_for()
    assert page.get_by_text("bakery v2").count()
    assert page.get_by_text("bread v1").count()
    assert page.get_by_label("Volume of the period so far").input_value() == "9950"
    page.get_by_text("Why not").first.click()
    if options.get("scripts", True):
        assert serious(page) == []
    overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert overflow <= 0
    assert ShareRule.objects.count() == stored
    if folder := os.environ.get("RULES_SHOTS"):
        page.screenshot(path=f"{folder}/try-rule-{'-'.join(options)}.png", full_page=True)
