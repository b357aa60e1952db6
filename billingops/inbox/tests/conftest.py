"""Events made by hand, posted as Stripe posts them; routes of the test's own."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.conf import settings as django_settings
from django.http import HttpResponse
from django.test import Client

from billingops.inbox import intake, routes
from billingops.inbox.models import InboundEvent

_numbers = itertools.count(1)


def make_event(type: str = "customer.updated", **changes: Any) -> dict[str, Any]:
    """A Stripe event; `subject` is its data.object, `previous` its previous_attributes."""
    number = next(_numbers)
    subject = changes.pop("subject", {"id": f"cus_{number}", "object": "customer"})
    data = {"object": subject}
    if "previous" in changes:
        data["previous_attributes"] = changes.pop("previous")
    event = {
        "id": f"evt_{number}",
        "object": "event",
        "api_version": "2026-08-26.dahlia",
        "created": 1_790_000_000 + number,
        "livemode": False,
        "pending_webhooks": 1,
        "request": {"id": None, "idempotency_key": None},
        "type": type,
        "data": data,
    }
    return {**event, **changes}


@pytest.fixture
def post(client: Client) -> Callable[..., HttpResponse]:
    """`post(event_or_body, secret=…, at=…, header=…)` → the answer of the receive view."""
    from sandbox import sign_payload

    def send(
        event: Any,
        *,
        secret: str = django_settings.SANDBOX_WEBHOOK_SECRET,
        at: int | None = None,
        header: str | None = None,
    ) -> HttpResponse:
        body = event if isinstance(event, bytes) else json.dumps(event).encode()
        signature = sign_payload(body, secret, timestamp=at or int(time.time())) if header is None else header
        headers = {"stripe-signature": signature} if signature else {}
        return client.post("/stripe/webhook/", data=body, content_type="application/json", headers=headers)

    return send


@pytest.fixture
def waiting(db: None) -> Callable[..., InboundEvent]:
    """`waiting("customer.updated", subject=…)` → an event in the inbox."""

    def put(type: str = "customer.updated", **changes: Any) -> InboundEvent:
        event = make_event(type, **changes)
        text = json.dumps(event)
        assert intake.insert(intake.parse(text), text)
        return InboundEvent.objects.get(event_id=event["id"])

    return put


@pytest.fixture
def own_routes(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Only the handlers a test registers itself."""
    monkeypatch.setattr(routes, "_exact", {})
    monkeypatch.setattr(routes, "_families", {})
    routes.handlers_for.cache_clear()
    yield
    routes.handlers_for.cache_clear()


@pytest.fixture
def heard(own_routes: None) -> list[routes.EventNote]:
    """What a handler of `test.*` and `customer.*` was told, in order."""
    notes: list[routes.EventNote] = []
    routes.on("test.*", "customer.*", "product.deleted")(notes.append)
    return notes
