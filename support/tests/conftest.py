"""A customer at the sandbox to whom everything happens that a timeline can tell, and made-up lines by the thousand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from support import services
from support.drafts import Draft
from support.models import TimelineEntry

START = datetime(2026, 8, 3, 9, 12, tzinfo=UTC)
EVIL = '<script>alert(1)</script>"><img src=x onerror=alert(2)>'


@dataclass
class Story:
    """What happened to whom; `deliver` has not run yet."""

    customer: str
    subscription: str
    invoices: list[str] = field(default_factory=list)
    refund: str = ""
    dispute: str = ""
    credit_note: str = ""


@pytest.fixture
def story(sandbox: Any, stripe_api: Any) -> Story:
    """Two plans; a paid month, a change of plan, a declined month paid later, a refund, a lost dispute."""
    api = stripe_api.v1
    sandbox.clock.set(int(START.timestamp()))
    basic, pro = (
        api.prices.create(
            {
                "product": api.products.create({"name": name}).id,
                "currency": "usd",
                "unit_amount": amount,
                "recurring": {"interval": "month"},
            }
        )
        for name, amount in (("Basic", 2900), ("Pro", 7900))
    )
    customer = api.customers.create({"name": f"Nora {EVIL}", "email": "nora@example.com"})
    method = api.payment_methods.attach("pm_card_visa", {"customer": customer.id})
    api.customers.update(customer.id, {"invoice_settings": {"default_payment_method": method.id}})
    subscription = api.subscriptions.create({"customer": customer.id, "items": [{"price": basic.id}]})
    told = Story(customer.id, subscription.id, [str(api.subscriptions.retrieve(subscription.id).latest_invoice)])
    sandbox.clock.advance(days=10)
    item = api.subscriptions.retrieve(subscription.id)["items"].data[0]
    api.subscriptions.update(subscription.id, {"items": [{"id": item.id, "price": pro.id}]})
    sandbox.clock.advance(days=22)
    sandbox.cards.set_outcome(method.id, "insufficient_funds")
    told.invoices.append(sandbox.bill_subscription(subscription.id)["id"])
    sandbox.clock.advance(days=3)
    sandbox.cards.set_outcome(method.id)
    api.invoices.pay(told.invoices[1])
    first, second = (api.charges.list({"customer": customer.id}).data[index] for index in (-1, 0))
    told.refund = api.refunds.create({"charge": first.id, "amount": 900, "reason": "requested_by_customer"}).id
    told.dispute = sandbox.create_dispute(second.id, reason="product_not_received")["id"]
    sandbox.clock.advance(days=5)
    sandbox.close_dispute(told.dispute, won=False)
    return told


@pytest.fixture
def make_lines(db: None) -> Callable[..., None]:
    """`make_lines("cus_1", 2000)`: that many lines of every kind, several to a second, and their suggestions."""

    def make(customer: str, count: int, *, account: str = "", start: datetime = START) -> None:
        services.store(line(customer, number, account=account, start=start) for number in range(count))

    return make


def line(customer: str, number: int, *, account: str = "", start: datetime = START) -> Draft:
    kinds = ("payment.made", "payment.failed", "refund.made", "invoice.issued", "subscription.started")
    what = kinds[number % len(kinds)]
    family = what.partition(".")[0]
    kind = {"payment.failed": "payment_failed"}.get(what, family)
    side = {"payment": "payment", "refund": "refund", "invoice": "issued", "subscription": "started"}[family]
    facts: dict[str, Any] = {
        "payment.failed": {"code": "card_declined", "decline_code": "insufficient_funds"},
        "subscription.started": {"items": [[f"price_{number % 7}", "prod_1", 1]]},
        "invoice.issued": {"number": f"BAR-{number}", "amount_remaining": 7900},
    }.get(what, {})
    return Draft(
        root=f"{customer}_obj_{number}",
        side=side,
        customer=customer,
        account=account,
        at=start + timedelta(seconds=number // 4),
        kind=kind,
        what=what,
        state={"invoice": "open", "subscription": "active", "refund": "succeeded"}.get(family, "succeeded"),
        amount=None if family == "subscription" else 7900 + number,
        currency="" if family == "subscription" else "usd",
        object_id=f"in_{customer}_{number}" if family == "invoice" else f"ch_{customer}_{number}",
        subject="" if family == "subscription" else f"in_{customer}_{number}",
        facts=facts,
    )


def told(customer: str) -> list[tuple[Any, ...]]:
    """A customer's timeline as comparable values, in the order the page shows."""
    lines = TimelineEntry.objects.of_customer(customer).order_by("-at", "-id")
    columns = ("id", "at", "kind", "what", "state", "amount", "currency", "object_id", "subject", "facts")
    return list(lines.values_list(*columns))
