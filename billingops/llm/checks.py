"""System checks of the model's settings: half a configuration is named at start, not found out by missing answers."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Warning, register

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


@register()
def check_model_settings(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    found: list[CheckMessage] = []
    wanted = bool(settings.OPENAI_API_KEY or settings.OPENAI_BASE_URL)
    if wanted and not settings.OPENAI_MODEL:
        found.append(
            Warning(
                "A model's server is configured but OPENAI_MODEL is not: the built-in rules answer everything.",
                hint="Set OPENAI_MODEL to a model the server offers.",
                id="llm.W001",
            )
        )
    if settings.OPENAI_MODEL and not wanted:
        found.append(
            Warning(
                "OPENAI_MODEL is set without OPENAI_API_KEY or OPENAI_BASE_URL: the built-in rules answer everything.",
                hint="Set the key, or the address of a server that needs none.",
                id="llm.W002",
            )
        )
    address = urlsplit(settings.OPENAI_BASE_URL)
    if address.scheme == "http" and address.hostname not in LOOPBACK:
        found.append(
            Warning(
                f"OPENAI_BASE_URL sends billing facts to {address.hostname} without encryption.",
                hint="Use https://, or a server on this machine.",
                id="llm.W003",
            )
        )
    return found
