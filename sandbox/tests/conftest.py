"""A clean sandbox per test (one server for the session), and the official SDK pointed at it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import stripe

from sandbox import SandboxServer

from .build import KEY, Shop


@pytest.fixture(scope="session")
def _server() -> Iterator[SandboxServer]:
    with SandboxServer(retry_delays=(0.02, 0.02)) as server:
        yield server


@pytest.fixture
def server(_server: SandboxServer) -> Iterator[SandboxServer]:
    """A sandbox without objects, faults or receivers."""
    _server.webhooks.endpoints.clear()
    _server.reset()
    yield _server
    _server.webhooks.endpoints.clear()


@pytest.fixture
def api(server: SandboxServer) -> stripe.StripeClient:
    """The official client, as users write it, without retries of its own."""
    return stripe.StripeClient(KEY, base_addresses={"api": server.url}, max_network_retries=0)


@pytest.fixture
def shop(server: SandboxServer, api: stripe.StripeClient) -> Shop:
    """Shortcuts to the objects that most tests need."""
    return Shop(server, api)
