"""A real chromium on the live server, logged in without the login form; a kind of its own to decide on."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from approvals import registry, services
from approvals.models import Suggestion
from approvals.registry import Editable, Kind, Outcome, Preview
from billingops.actors import Actor
from billingops.models import Heartbeat

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), ""
)
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
FLAGS += ["--disable-background-networking", "--disable-component-update"]
AXE = Path(__file__).parent / "vendor" / "axe.min.js"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.browser)


@pytest.fixture(scope="session")
def chromium() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    if not CHROMIUM:
        pytest.fail("No chromium found; tests/ensure_chromium.py says what to do.")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def kind() -> Iterator[None]:
    registry.register(
        Kind(
            name="browser_payout",
            label="Payout",
            params_schema={"destination": str},
            moves_money=True,
            rebuild_facts=lambda suggestion: suggestion.facts,
            preview=lambda suggestion: Preview(
                f"Transfers {suggestion.money} to the seller.",
                (("POST", "/v1/transfers"), ("amount", str(suggestion.amount))),
            ),
            execute=lambda suggestion, execution: Outcome("tr_1"),
            look_up=lambda suggestion, execution: None,
        )
    )
    yield
    registry._kinds.pop("browser_payout")


@pytest.fixture
def propose(kind: None, transactional_db: None) -> Callable[..., Suggestion]:
    def make(number: int = 1, **overrides: Any) -> Suggestion:
        values: dict[str, Any] = {
            "kind": "browser_payout",
            "subject": f"in_1QBrowserTest{number:04}",
            "account": "acct_1QBrowserSeller01",
            "amount": 13303,
            "currency": "usd",
            "params": {"destination": "acct_1QBrowserSeller01"},
            "facts": {"invoice": f"in_{number}"},
            "rationale": "The invoice is paid; by rule bakery-70-30 v3 the seller's share is 70 %.",
            "suggested_by": "rules test v1",
            "flags": [{"code": "unusual", "text": "4.2× the seller's usual payout"}],
            "dedupe_key": f"browser:{number}",
            "actor": Actor.system("test"),
        }
        suggestion = services.propose(**(values | overrides)).suggestion
        assert suggestion is not None
        return suggestion

    return make


@pytest.fixture
def letter(propose: Callable[..., Suggestion]) -> Iterator[Suggestion]:
    """One whose words can be edited."""
    registry.register(
        replace(
            registry.get("browser_payout"),
            name="browser_letter",
            label="Letter",
            params_schema={"words": str},
            moves_money=False,
            preview=lambda suggestion: Preview(f"Sends “{suggestion.params['words']}”."),
            editable=(Editable("words", "Words", widget="textarea", help="Words only."),),
            edit=lambda suggestion, changes: {"words": changes["words"]},
        )
    )
    yield propose(9, kind="browser_letter", params={"words": "Dear all"}, amount=None, currency="")
    registry._kinds.pop("browser_letter")


@pytest.fixture
def open_page(chromium: Any, live_server: Any, transactional_db: None, settings: Any) -> Iterator[Callable[..., Any]]:
    """`open_page(user, "/admin/", width=360, dark=True, scripts=False)` → a page; its script errors fail the test."""
    Heartbeat.objects.update_or_create(name="worker", defaults={"at": timezone.now()})
    contexts: list[Any] = []
    errors: list[str] = []

    def show(user: User | None, path: str, *, width: int = 1440, dark: bool = False, scripts: bool = True) -> Any:
        context = chromium.new_context(
            viewport={"width": width, "height": 900},
            color_scheme="dark" if dark else "light",
            java_script_enabled=scripts,
            reduced_motion="reduce",
        )
        context.grant_permissions(["clipboard-read", "clipboard-write"])
        contexts.append(context)
        if user is not None:
            client = Client()
            client.force_login(user)
            cookie = client.cookies[settings.SESSION_COOKIE_NAME]
            context.add_cookies([{"name": cookie.key, "value": cookie.value, "url": live_server.url}])
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(live_server.url + path)
        return page

    yield show
    for context in contexts:
        context.close()
    assert errors == []


@pytest.fixture
def serious() -> Callable[[Any], list[str]]:
    """What axe finds serious or critical on a page, as `rule: selector`."""

    def run(page: Any) -> list[str]:
        page.add_script_tag(path=str(AXE))
        found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")
        return [
            f"{violation['id']}: {node['target'][0]} {node['failureSummary'][:160]}"
            for violation in found["violations"]
            if violation["impact"] in ("serious", "critical")
            for node in violation["nodes"]
        ]

    return run
