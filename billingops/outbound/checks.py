"""System check: the networks that outgoing webhooks may reach beside the public Internet."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register

from billingops.outbound import addresses


@register(Tags.security)
def private_networks_are_named_with_care(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    try:
        networks = addresses.allowed_networks()
    except ValueError as problem:
        return [
            Error(
                f"OUTBOUND_ALLOW_PRIVATE is no list of networks: {problem}.",
                hint="For example 10.1.2.0/24,127.0.0.1/32; unset it to send to the public Internet alone.",
                id="outbound.E001",
            )
        ]
    wide = [str(network) for network in networks if network.prefixlen < (8 if network.version == 4 else 32)]
    if wide and settings.STRIPE_LIVE_MODE:
        return [
            Warning(
                f"OUTBOUND_ALLOW_PRIVATE opens {wide[0]} to outgoing webhooks, without TLS as well.",
                hint="Name the networks of your own receivers.",
                id="outbound.W001",
            )
        ]
    return []
