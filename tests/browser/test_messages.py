"""Brands and messages in a real browser: the mail in its frame, light and dark, wide and at 360 px."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from billingops.actors import Actor
from billingops.brands import services as brands
from billingops.brands.tests.test_brands import png
from dunning.messages import overrides

pytestmark = pytest.mark.django_db(transaction=True)
SHOTS = os.environ.get("BILLINGOPS_SHOTS", "")


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (1280, True), (360, False), (360, True)])
def test_pages_of_brands_and_texts_can_be_used_by_everybody(
    open_page: Callable[..., Any], serious: Callable[[Any], list[str]], lead: Any, width: int, dark: bool
) -> None:
    actor = Actor.person(lead)
    values = {"slug": "bakery", "name": "Bäckerei Süß", "colour": "#7a3b00", "postal_address": "Hauptstraße 1\nBerlin"}
    brand = brands.change(account="", values=values, logo=png(), version=None, actor=actor)
    body = "Guten Tag,\n\n{amount} für {invoice} ist offen.\n\n{link}\n\nIhre {brand}"
    row = overrides.use(
        brand=brand, name="reminder", language="de", subject="Rechnung {invoice}", body=body, seen=0, actor=actor
    )
    pages = {
        "brands": "/admin/brands/brand/",
        "brand": f"/admin/brands/brand/{brand.pk}/change/",
        "brand-form": f"/admin/brands/brand/{brand.pk}/edit/",
        "template": f"/admin/dunning/messagetemplate/{row.pk}/change/",
        "template-form": f"/admin/dunning/messagetemplate/write/?brand={brand.pk}&name=last_notice&language=ja",
    }
    for name, path in pages.items():
        page = open_page(lead, path, width=width, dark=dark)
        assert serious(page) == [], name
        assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth + 1"), name
        if SHOTS:
            page.screenshot(path=str(Path(SHOTS) / f"{name}-{width}-{'dark' if dark else 'light'}.png"), full_page=True)
    page = open_page(lead, pages["template-form"], width=width, dark=dark)
    page.get_by_role("button", name="See the message").click()
    frame = page.frame_locator("iframe")
    frame.get_by_text("INV-1042").first.wait_for()
    assert frame.get_by_text("請求ポータルを開く").is_visible()
    if SHOTS:
        page.screenshot(path=str(Path(SHOTS) / f"preview-{width}-{'dark' if dark else 'light'}.png"), full_page=True)
    page.get_by_role("button", name="Back to the text").click()
    assert "最後のお知らせ" in page.get_by_label("Subject").input_value()
