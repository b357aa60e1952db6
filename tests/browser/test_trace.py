"""The trace, an earning, a seller's money and the statement: in both themes, on a phone, without scripts."""

from __future__ import annotations

import os

import pytest
from django.urls import reverse

from settlements.ledger.accounts import Account
from settlements.models import Seller
from settlements.trace.tests.build import BAKERY, STUDIO, Part, World


def shot(page, name):
    if folder := os.environ.get("TRACE_SHOTS"):
        page.screenshot(path=f"{folder}/{name}.png", full_page=True)


@pytest.fixture
def busy(transactional_db, lead):
    world = World()
    sale = world.sale(
        Part(withheld=700, reserve=1_000, stripe_fee=100),
        Part(STUDIO, base=5_000, fee=500, rule="studio-flat"),
        tax=1_900,
        own=2_000,
    )
    record = world.payout(sale.earning(), approver=lead)
    world.payout(sale.earning(STUDIO), sent=False)
    world.deposit(BAKERY)
    sale.refund(
        3_780,
        {
            BAKERY: {Account.SELLER_PAYABLE: 1_000, Account.PLATFORM_REVENUE: 2_000},
            "": {Account.SALES_TAX: 380, Account.PLATFORM_REVENUE: 400},
        },
    )
    sale.claim(1_000)
    sale.reverse(record, 1_000)
    return sale


@pytest.mark.parametrize(("dark", "width"), [(True, 1440), (False, 1440), (False, 360)])
def test_the_pages_are_accessible_and_fit(open_page, serious, busy, lead, dark, width):
    seller = Seller.objects.get(account=BAKERY)
    for name, path, words in [
        ("trace", reverse("admin:settlements_trace", args=[busy.invoice]), "Adds up"),
        ("deposit", reverse("admin:settlements_trace", args=["po_0001"]), "From our transfers"),
        ("earning", f"/admin/settlements/earning/{busy.earning().pk}/change/", "How it was computed"),
        ("earnings", "/admin/settlements/earning/", "Open of the earnings listed"),
        ("seller", f"/admin/settlements/seller/{seller.pk}/change/", "The seller's money"),
        ("statement", reverse("admin:settlements_statement", args=[BAKERY, "2026-11"]), "Ties with the books"),
    ]:
        page = open_page(lead, path, dark=dark, width=width)
        assert words.lower() in page.locator("#content-main").inner_text().lower()
        shot(page, f"{name}-{width}{'-dark' if dark else ''}")
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name
        assert serious(page) == [], name
    page = open_page(lead, reverse("admin:settlements_trace", args=[busy.invoice]), dark=dark, width=width)
    assert page.locator(".tr-plot").is_visible() == (width > 767)
    assert page.get_by_role("table", name="Every step").is_visible()


def test_a_search_leads_to_the_trace_and_a_box_to_its_row_without_scripts(open_page, busy, lead):
    page = open_page(lead, reverse("admin:settlements_trace_search"), scripts=False)
    page.get_by_label("An id").fill(busy.charge)
    page.get_by_role("button", name="Trace", exact=True).click()
    page.locator(".tr-verdict").wait_for()
    page.locator(".tr-plot a", has_text="Stripe’s fee").first.click()
    assert "#node-" in page.url
