"""Settling a debt in a real browser, from the seller's page to the gate. BILLINGOPS_SCREENSHOTS=folder keeps them."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
from django.urls import reverse
from django.utils import timezone

from approvals.models import Suggestion
from billingops.actors import Actor
from settlements import books, earnings
from settlements.debts import KIND
from settlements.ledger import journal
from settlements.models import Earning, Seller


@pytest.mark.parametrize(("width", "dark"), [(360, True), (1366, False)])
def test_a_debt_is_settled_from_the_sellers_page(
    open_page: Callable[..., Any],
    serious: Callable[..., list[str]],
    lead: Any,
    transactional_db: None,
    width: int,
    dark: bool,
) -> None:
    seller = Seller.objects.create(account="acct_bakery", name="Bakery Supplies", negative_limit={"usd": 1_000})
    row = Earning.objects.create(
        seller=seller, account=seller.account, invoice="in_1", invoice_number="BAKE-0001", charge="ch_1",
        currency="usd", paid_at=timezone.now(), due_on=earnings.today(), base=-10_000, fee=-3_000, share=-7_000,
        open=-7_000,
    )  # fmt: skip
    journal.post([books.sale(row)], actor=Actor.system("test"))
    page = open_page(lead, reverse("admin:settlements_seller_change", args=[seller.pk]), width=width, dark=dark)
    assert serious(page) == []
    keep(page, f"seller-{width}")
    assert page.get_by_label("Amount in USD").input_value() == "70.00"
    page.get_by_label("It was").select_option("written_off")
    page.get_by_label("When and how, or why not").fill("Closed for good; nothing is left to collect.")
    page.get_by_role("button", name="Suggest settling it").click()
    assert "Somebody else approves it" in page.inner_text(".messagelist")
    page.get_by_role("link", name="the suggestion").click()
    assert "Nothing is sent to Stripe" in page.inner_text("main")
    assert serious(page) == []
    keep(page, f"gate-{width}")
    assert Suggestion.objects.get(kind=KIND).amount == 7_000


def keep(page: Any, name: str) -> None:
    if folder := os.environ.get("BILLINGOPS_SCREENSHOTS"):
        page.screenshot(path=f"{folder}/debt-{name}.png", full_page=True)
