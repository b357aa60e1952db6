"""The short form of `make fault`: each money kind carried out while workers are killed and Stripe misbehaves."""

from __future__ import annotations

from typing import Any

import pytest

from billingops.stripe import client
from tests.faults import books, desk, report

PLAN = desk.Plan(
    count=12, seed=20261122, workers=3, sellers=4, strength=1.5, stuck_seconds=10, lookup_seconds=3, lease_seconds=8,
    longest=500,
)  # fmt: skip

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.slow,
    pytest.mark.timeout(800),
    pytest.mark.django_db(transaction=True),
]


@pytest.fixture
def _own_sandbox(settings: Any) -> Any:
    """The run points the SDK at a sandbox in another process; afterwards it points where it did."""
    before = settings.STRIPE_API_BASE
    yield
    settings.STRIPE_API_BASE = before
    client.reset()


@pytest.mark.usefixtures("_own_sandbox")
def test_every_money_kind_takes_effect_exactly_once_whatever_dies(finance: Any) -> None:
    run = desk.run(PLAN, person=finance)
    found = books.close(run)
    assert found.problems == [], report.as_text(run, found)
    # and the run did what it says: workers died, answers were lost and found
    assert found.kills["total"] > found.kills["random"] > 0
    assert sum(figures.unknown for figures in found.kinds.values()) > 0
    assert found.webhooks["repeated"] > 0
