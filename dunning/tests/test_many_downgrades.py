"""Many downgrades in one pass: the prices are read once for all of them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from approvals.models import Suggestion
from billingops.actors import Actor
from billingops.stripe import sync
from dunning import planning
from dunning.campaigns import content
from dunning.campaigns.tests.conftest import make_version
from dunning.models import DunningCase
from dunning.plan.sequences import STANDARD, Entry, Sequence
from dunning.plan.steps import DOWNGRADE
from dunning.tests.cases import open_cases

pytestmark = pytest.mark.django_db
WORKER = Actor.system("dunning")
SMALL, LARGE = "price_small", "price_large"


def price(name: str, amount: int) -> dict[str, Any]:
    return {
        "id": name, "object": "price", "created": 1_700_000_000, "active": True, "currency": "usd", "livemode": False,
        "product": "prod_plan", "type": "recurring", "unit_amount": amount, "metadata": {},
        "recurring": {"interval": "month", "interval_count": 1, "usage_type": "licensed"},
    }  # fmt: skip


def on_the_large_plan(start: int, count: int) -> None:
    """Open cases that follow a campaign whose first step is a smaller plan."""
    at = int((timezone.now() - timedelta(days=400)).timestamp())
    open_cases(count, start=start)
    problems = sync.store_many(
        [
            {
                "id": f"sub_many{one:07d}", "object": "subscription", "created": at, "status": "past_due",
                "customer": f"cus_many{one:07d}", "livemode": False, "metadata": {}, "currency": "usd",
                "collection_method": "charge_automatically", "cancel_at_period_end": False,
                "items": {"object": "list", "data": [
                    {"id": f"si_{one}", "object": "subscription_item", "created": at, "quantity": 1, "metadata": {},
                     "price": price(LARGE, 5000), "subscription": f"sub_many{one:07d}"}
                ]},
                "latest_invoice": f"in_many{one:07d}",
            }
            for one in range(start, start + count)
        ]
    )  # fmt: skip
    assert not problems, problems
    DunningCase.objects.update(sequence="smaller", sequence_version=1)


def statements(count: int) -> int:
    with CaptureQueriesContext(connection) as seen:
        assert planning.review_many(actor=WORKER) == count
    return len([one for one in seen if not one["sql"].startswith(("SAVEPOINT", "RELEASE"))])


def test_a_downgrade_costs_no_statement_of_its_own() -> None:
    product = {"id": "prod_plan", "object": "product", "created": 1_700_000_000, "name": "Plan", "active": True,
               "livemode": False, "metadata": {}, "type": "service"}  # fmt: skip
    problems = sync.store_many([product, price(SMALL, 2000), price(LARGE, 5000)])
    assert not problems, problems
    entries = (Entry(0, DOWNGRADE, price=SMALL), *STANDARD.entries)
    make_version("smaller", number=1, **content.sequence_json(Sequence("smaller", entries=entries)))
    on_the_large_plan(0, 10)
    few = statements(10)
    found = Suggestion.objects.filter(kind=DOWNGRADE)
    assert found.count() == 10
    assert found[0].facts["price_now"] | found[0].facts["price_then"] == {
        "id": SMALL, "active": True, "currency": "usd", "unit_amount": 2000, "interval": "month", "interval_count": 1,
        "product": "prod_plan",
    }  # fmt: skip
    assert found[0].facts["price_now"]["unit_amount"] == 5000
    DunningCase.objects.update(next_step_at=None)
    on_the_large_plan(1000, 40)
    assert statements(40) <= few
    assert few <= 30
