"""The forecast in a real browser: on a phone, in both themes, without scripts. FORECAST_SHOTS=folder keeps pictures."""

from __future__ import annotations

import os
from datetime import timedelta

import pytest
from django.utils import timezone

from settlements.forecast import services
from settlements.forecast.tests.build import billed, book, earning, sale, seller, subscription, transfer

PAGE = "/admin/forecast/forecast/?currency=usd"


def shot(page, name):
    if folder := os.environ.get("FORECAST_SHOTS"):
        page.screenshot(path=f"{folder}/{name}.png", full_page=True)


@pytest.fixture
def market(transactional_db):
    today = timezone.now().date()
    bakery, studio = seller(schedule="weekly"), seller("acct_studio", hold_days=3)
    drafts = []
    for number in range(48, 0, -1):
        day = today - timedelta(days=number)
        for one in (bakery, studio):
            sold = earning(
                one,
                day,
                due_on=day + timedelta(days=one.hold_days),
                base=90_000 + number * 1_100 * (number % 5),
                fee=20_000,
                reserve=5_000,
                reserve_until=day + timedelta(days=60),
            )
            drafts += sale(sold)
            if number > 4:
                drafts += transfer(sold, day + timedelta(days=one.hold_days + 1), sold.share - sold.reserve)
                sold.paid, sold.open = sold.share - sold.reserve, 0
                sold.save()
        billed("sub_m", day, paid_after=None if number % 11 == 0 else number % 2)
    book(drafts)
    for number in range(60):
        subscription(
            today + timedelta(days=number % 30),
            amount=9_900 + 1_000 * (number % 7),
            quantity=1 + number % 3,
            seller=("acct_bakery", "acct_studio", "")[number % 3],
        )
    for number in range(24, -1, -1):
        services.make(on=today - timedelta(days=number))
    services.catch_up(on=today)


@pytest.mark.django_db(transaction=True)
def test_the_forecast_is_readable_in_both_themes_and_on_a_phone(open_page, serious, finance, market):
    for name, options in (("light", {}), ("dark", {"dark": True}), ("phone", {"width": 360})):
        page = open_page(finance, PAGE + "&days=60", **options)
        page.get_by_text("What it is made of").wait_for()
        assert serious(page) == []
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
        shot(page, f"forecast-{name}")
    seller_page = open_page(finance, "/admin/forecast/forecast/?account=acct_bakery&days=30")
    seller_page.locator("td details summary").last.click()
    shot(seller_page, "forecast-seller")


@pytest.mark.django_db(transaction=True)
def test_parts_unfold_and_a_seller_is_chosen_without_scripts(open_page, finance, market):
    page = open_page(finance, PAGE, scripts=False)
    page.get_by_text("Sellers' shares of expected renewals").first.click()
    assert page.get_by_text("as large as it was lately").is_visible()
    page.get_by_label("Seller").select_option("acct_studio")
    page.get_by_role("button", name="Show").click()
    assert page.get_by_role("heading", name="Forecast: Studio").is_visible()
