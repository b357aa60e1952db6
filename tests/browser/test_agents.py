"""The agents' pages in a real browser: readable at 360 px, in both themes, and nothing serious for axe."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
from django.urls import reverse

from billingops.llm.models import AgentRun


@pytest.fixture
def questions(settings: Any) -> None:
    settings.OPENAI_API_KEY, settings.OPENAI_MODEL = "sk-fake", "gpt-5.4-mini"
    about = {"agent": "dunning", "purpose": "choose_action", "prompt": "dunning-choose-v2", "prompt_version": 2}
    for number, (outcome, verdict) in enumerate(
        [("answered", "passed"), ("answered", "passed"), ("invalid", "moved"), ("timeout", ""), ("over_budget", "")]
    ):
        AgentRun.objects.create(
            **about,
            subject=f"in_{number}",
            model="gpt-5.4-mini",
            outcome=outcome,
            verdict=verdict,
            calls=1,
            latency_ms=400 + number,
            counted_tokens=410_000,
            cost_micro=1_200,
            decision="retry_payment" if outcome == "answered" else "",
            baseline="retry_payment",
        )


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_the_agents_pages_are_readable_and_accessible(
    questions: None, open_page: Callable[..., Any], serious: Callable[..., list[str]], lead: Any, width: int, dark: bool
) -> None:
    for name, args in (("llm_agents", []), ("llm_agent", ["dunning"]), ("index", [])):
        page = open_page(lead, reverse(f"admin:{name}", args=args), width=width, dark=dark)
        if shots := os.environ.get("BILLINGOPS_SCREENSHOTS"):
            page.screenshot(path=f"{shots}/{name}-{width}-{'dark' if dark else 'light'}.png", full_page=True)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name
        assert serious(page) == [], name
