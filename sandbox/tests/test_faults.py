"""Each kind of fault, and what it leaves behind."""

from __future__ import annotations

import signal
import subprocess
import sys
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


@pytest.mark.parametrize(("kind", "made"), [("kill_before", 0), ("kill_after", 1)])
def test_a_caller_is_killed_before_or_after_the_effect(server: SandboxServer, kind: str, made: int) -> None:
    server.faults.add(Fault(kind, method="POST", path="/v1/customers"))  # type: ignore[arg-type]
    caller = (
        "import os, stripe\n"
        "stripe.set_app_info('pid', version=str(os.getpid()))\n"
        f"stripe.StripeClient({KEY!r}, base_addresses={{'api': {server.url!r}}}).v1.customers.create({{}})\n"
    )
    ended = subprocess.run([sys.executable, "-c", caller], capture_output=True, timeout=60)
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    assert server.state.platform.counts().get("customer", 0) == made
    assert server.faults.hits[kind, "/v1/customers"] == 1


def test_a_caller_without_a_name_loses_its_connection_and_lives(shop: Shop) -> None:
    shop.server.faults.add(Fault("kill_after", method="POST", path="/v1/customers"))
    with pytest.raises(stripe.APIConnectionError):
        shop.v1.customers.create({})
    assert len(shop.v1.customers.list().data) == 1
