"""The two clients of Stripe's API: one that reads, one that writes, each with its own restricted key, short time-outs.

Only `gateway.py` uses the writing one. The SDK never retries by itself: whoever calls knows whether a repeat is safe.
"""

from __future__ import annotations

from functools import lru_cache

import stripe
from django.conf import settings


def configure_sdk() -> None:
    """Make the SDK's globals (dj-stripe uses them) say what the settings say. Called once, from AppConfig.ready()."""
    stripe.api_key = settings.STRIPE_SECRET_KEY
    stripe.api_base = settings.STRIPE_API_BASE
    stripe.api_version = settings.STRIPE_API_VERSION
    stripe.max_network_retries = 0
    stripe.enable_telemetry = False
    stripe.default_http_client = stripe.RequestsClient(timeout=settings.STRIPE_TIMEOUT_SECONDS)


def reset() -> None:
    """Forget the clients and read the settings anew (tests point them at a sandbox of their own)."""
    reader.cache_clear()
    writer.cache_clear()
    configure_sdk()


def _client(key: str) -> stripe.StripeClient:
    return stripe.StripeClient(
        key,
        stripe_version=settings.STRIPE_API_VERSION,
        base_addresses={"api": settings.STRIPE_API_BASE},
        max_network_retries=0,
        http_client=stripe.RequestsClient(timeout=settings.STRIPE_TIMEOUT_SECONDS),
    )


@lru_cache(maxsize=1)
def reader() -> stripe.StripeClient:
    """For GET requests."""
    return _client(settings.STRIPE_SECRET_KEY)


@lru_cache(maxsize=1)
def writer() -> stripe.StripeClient:
    """For `gateway.py` alone."""
    return _client(settings.STRIPE_WRITE_KEY)
