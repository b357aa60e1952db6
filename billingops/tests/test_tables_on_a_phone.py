"""A narrow screen shows a row as a card: each figure in it needs its column's name beside it, or nobody knows which
amount it is. Tables of two columns keep their shape (`bo-keep`)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from django.conf import settings

ROOT = Path(settings.BASE_DIR)
TABLE = re.compile(r'<table class="bo-table(?P<more>[^"]*)".*?</table>', re.DOTALL)
PAGES = sorted(path for folder in ("templates", "*/templates") for path in ROOT.glob(f"{folder}/**/*.html"))


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_figures_of_a_card_are_named(path: Path) -> None:
    for table in TABLE.finditer(path.read_text(encoding="utf-8")):
        if not {"bo-keep", "bo-rows"} & set(table["more"].split()):  # the queue lays out its own
            unnamed = [
                cell for cell in re.findall(r"<td[^>]*>", table[0]) if "bo-num" in cell and "data-label" not in cell
            ]
            assert unnamed == []
