"""The risk pages in a real browser: readable at 360 px, in both themes, and nothing serious for axe."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from django.urls import reverse

from settlements.models import Seller
from settlements.risk import assessing, holds
from settlements.risk.models import RiskAssessment
from settlements.risk.score import RiskFacts, Terms, score

DAY = datetime(2026, 11, 22, 9, tzinfo=UTC)


@pytest.fixture
def account() -> RiskAssessment:
    """An account whose score rose, with its payouts held."""
    Seller.objects.create(account="acct_1MandelBakery0001", name="Bakery Supplies")
    today = DAY.date()
    facts = [
        {"created_on": today - timedelta(days=20)},
        {"created_on": today - timedelta(days=20), "bank_changed_on": today, "payments": 120, "disputed": 4},
        {
            "created_on": today - timedelta(days=20), "bank_changed_on": today, "payments": 120, "disputed": 6,
            "disabled_reason": "under_review", "past_due": 2, "names": 34, "country": "US", "mcc": "5411",
        },
    ]  # fmt: skip
    rows: list[RiskAssessment] = []
    for number, given in enumerate(facts):
        found = score(RiskFacts(account="acct_1MandelBakery0001", today=today, **given), Terms())  # type: ignore[arg-type]
        rows.append(
            RiskAssessment.objects.create(
                account="acct_1MandelBakery0001",
                score=found.total,
                parts=[part.as_json() for part in found.parts],
                version=found.version,
                facts_hash=str(number),
                latest=number == len(facts) - 1,
                made_at=DAY - timedelta(days=2 * (len(facts) - number)),
            )
        )
    holds.place(
        account="acct_1MandelBakery0001",
        reason=f"The score is {rows[-1].score}, above the hold bar of 60.",
        placed_by="policy: risk terms 3",
        actor=assessing.ACTOR,
        score=rows[-1].score,
    )
    return rows[-1]


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_risk_pages_are_readable_and_accessible(
    account: RiskAssessment,
    open_page: Callable[..., Any],
    serious: Callable[..., list[str]],
    lead: Any,
    width: int,
    dark: bool,
) -> None:
    for name, args in (
        ("risk_riskassessment_changelist", []),
        ("risk_riskassessment_change", [account.pk]),
        ("risk_riskhold_changelist", []),
    ):
        page = open_page(lead, reverse(f"admin:{name}", args=args), width=width, dark=dark)
        if shots := os.environ.get("BILLINGOPS_SCREENSHOTS"):
            page.screenshot(path=f"{shots}/{name}-{width}-{'dark' if dark else 'light'}.png", full_page=True)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name
        assert serious(page) == [], name
