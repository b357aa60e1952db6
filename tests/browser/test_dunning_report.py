"""The dunning report in a real browser: both themes, on a phone. REPORT_SHOTS=folder keeps pictures."""

from __future__ import annotations

import os
from datetime import timedelta

import pytest
from django.utils import timezone

from dunning.tests import report_rows as rows

PAGE = "/admin/dunning/report/"
REASONS = ("later", "contested", "customer", "hard", "soon")


@pytest.fixture
def year(transactional_db):
    now = timezone.now()
    for number in range(120):
        opened = now - timedelta(days=3 * number + 1)
        is_paid = number % 5 < 3
        made = rows.case(
            f"r{number}",
            opened,
            4_900 + 700 * (number % 9),
            ("usd", "eur", "jpy")[number % 3],
            category=REASONS[number % 5],
            paid_after=timedelta(hours=20 + number % 17 * 9) if is_paid else None,
            account="acct_1QReportSeller01" if number % 4 else "",
        )
        if number % 4 == 0:
            rows.charge(made, opened + timedelta(hours=19))
        if number % 6 == 0:
            rows.message(made, opened + timedelta(hours=2))
    rows.charge(made, now - timedelta(days=1), kind="pause_collection")


@pytest.mark.django_db(transaction=True)
def test_the_report_is_readable_in_both_themes_and_on_a_phone(open_page, serious, finance, year):
    for name, options in (("light", {}), ("dark", {"dark": True}), ("phone", {"width": 360})):
        page = open_page(finance, PAGE, **options)
        page.get_by_text("What must never happen").wait_for()
        assert serious(page) == []
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        if folder := os.environ.get("REPORT_SHOTS"):
            page.screenshot(path=f"{folder}/report-{name}.png", full_page=True)
    page.get_by_label("Account").fill("platform")
    page.get_by_role("button", name="Show").click()
    page.wait_for_url("**account=platform**")
    assert page.get_by_label("Account").input_value() == "platform"
