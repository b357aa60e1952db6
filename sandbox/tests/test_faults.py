"""Each kind of fault, and what it leaves behind."""

from __future__ import annotations

import time

import pytest
import stripe

from sandbox import Fault, SandboxServer

from .build import KEY, Shop


def test_latency_delays_the_answer_and_nothing_else(shop: Shop) -> None:
    shop.server.faults.add(Fault("latency", latency_ms=150))
    begin = time.monotonic()
    shop.v1.customers.create({})
    assert time.monotonic() - begin >= 0.15
    begin = time.monotonic()
    shop.v1.customers.create({})
    assert time.monotonic() - begin < 0.15


def test_a_dropped_connection_before_the_effect_leaves_nothing(shop: Shop) -> None:
    shop.server.faults.add(Fault("drop_before", method="POST", path="/v1/customers"))
    with pytest.raises(stripe.APIConnectionError):
        shop.v1.customers.create({}, {"idempotency_key": "k"})
    assert shop.v1.customers.list().data == []
    assert shop.server.requests[-2].status == 0
    assert shop.v1.customers.create({}, {"idempotency_key": "k"}).id


def test_a_dropped_connection_after_the_effect_is_answered_by_the_key(shop: Shop) -> None:
    shop.server.faults.add(Fault("drop_after", method="POST", path="/v1/customers"))
    with pytest.raises(stripe.APIConnectionError):
        shop.v1.customers.create({}, {"idempotency_key": "k"})
    again = shop.v1.customers.create({}, {"idempotency_key": "k"})
    assert [c.id for c in shop.v1.customers.list().data] == [again.id]
    assert again.last_response.headers["Idempotent-Replayed"] == "true"


def test_the_sdk_retries_over_a_dropped_connection(server: SandboxServer) -> None:
    client = stripe.StripeClient(KEY, base_addresses={"api": server.url}, max_network_retries=2)
    server.faults.add(Fault("drop_after", path="/v1/customers"))
    made = client.v1.customers.create({})
    assert [c.id for c in client.v1.customers.list().data] == [made.id]


def test_times_and_paths_are_counted(shop: Shop) -> None:
    shop.server.faults.add(Fault("rate_limit", method="POST", path="/v1/invoices/*/pay", times=2))
    invoice = shop.open_invoice()
    for _ in range(2):
        with pytest.raises(stripe.RateLimitError):
            shop.v1.invoices.pay(invoice.id)
    assert shop.v1.invoices.pay(invoice.id).status == "paid"


def test_probability_decides_and_clear_disarms(shop: Shop) -> None:
    shop.server.faults.add(Fault("rate_limit", probability=0.0, times=None))
    assert shop.v1.customers.create({}).id.startswith("cus_")
    shop.server.faults.clear()
    shop.server.faults.add(Fault("rate_limit", times=None))
    shop.server.faults.clear()
    assert shop.v1.customers.create({}).id.startswith("cus_")


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown fault kind"):
        Fault("explode")  # type: ignore[arg-type]
