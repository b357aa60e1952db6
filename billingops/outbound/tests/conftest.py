from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone

from billingops.actors import Actor
from billingops.outbound import emitting, services
from billingops.outbound.models import Delivery, Endpoint, OutgoingEvent
from billingops.outbound.tests.receiver import Receiver, Server


@pytest.fixture
def receiver(settings: Any) -> Iterator[Receiver]:
    settings.OUTBOUND_ALLOW_PRIVATE = ["127.0.0.1/32"]
    with Server() as found:
        yield found


@pytest.fixture
def add_endpoint(receiver: Receiver, lead: Any) -> Callable[..., tuple[Endpoint, str]]:
    def add(account: str = "", **values: Any) -> tuple[Endpoint, str]:
        given = {"name": "Platform", "url": receiver.url, **values}
        return services.add(account=account, values=given, actor=Actor.person(lead))

    return add


@pytest.fixture
def endpoint(add_endpoint: Callable[..., Any]) -> Endpoint:
    found: Endpoint = add_endpoint()[0]
    return found


@pytest.fixture
def tell(db: None) -> Callable[..., OutgoingEvent | None]:
    """`tell("key")` emits an event as a domain would, in a transaction."""

    def emit(key: str = "one", **given: Any) -> OutgoingEvent | None:
        with transaction.atomic():
            return emitting.emit(
                **{"type": "dunning.suspended", "key": key, "data": {"subscription": "sub_1"}, "sequence": 1, **given}
            )

    return emit


@pytest.fixture
def delivery(endpoint: Endpoint, tell: Callable[..., Any]) -> Delivery:
    tell()
    return Delivery.objects.get()


def make_due(**changes: Any) -> None:
    """Time passes until every delivery, and every probe, is due."""
    Delivery.objects.update(next_attempt_at=timezone.now(), **changes)
    Endpoint.objects.update(probe_at=None)
