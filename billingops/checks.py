"""System checks: settings that would be unsafe are refused, with the variable to set."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.checks import CheckMessage, Error, Tags, Warning, register

LOOPBACK = {"127.0.0.1", "localhost", "::1"}
LIVE_PREFIXES = ("sk_live_", "rk_live_")


def _is_loopback(url: str) -> bool:
    return (urlsplit(url).hostname or "") in LOOPBACK


@register(Tags.security)
def sandbox_never_meets_a_live_key(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    keys = {"STRIPE_SECRET_KEY": settings.STRIPE_SECRET_KEY, "STRIPE_WRITE_KEY": settings.STRIPE_WRITE_KEY}
    found: list[CheckMessage] = []
    for name, key in keys.items():
        if key.startswith(LIVE_PREFIXES) and _is_loopback(settings.STRIPE_API_BASE):
            found.append(
                Error(
                    f"{name} is a live key, but STRIPE_API_BASE points to this machine (the sandbox).",
                    hint="Unset STRIPE_API_BASE to speak to Stripe, or use a test key with the sandbox.",
                    id="billingops.E001",
                )
            )
        if not key.startswith(("sk_test_", "rk_test_", *LIVE_PREFIXES)):
            found.append(
                Error(
                    f"{name} is no secret or restricted Stripe key.",
                    hint="It starts with rk_test_, sk_test_, rk_live_ or sk_live_.",
                    id="billingops.E002",
                )
            )
    if settings.STRIPE_SECRET_KEY.startswith(LIVE_PREFIXES) != settings.STRIPE_WRITE_KEY.startswith(LIVE_PREFIXES):
        found.append(
            Error(
                "STRIPE_SECRET_KEY and STRIPE_WRITE_KEY are of different modes (live and test).",
                hint="Use two keys of the same mode.",
                id="billingops.E003",
            )
        )
    return found


@register(Tags.security)
def a_real_account_has_safe_settings(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Live: refused. Test mode with a real account: a warning, for a trial on loopback is fine."""
    if settings.STRIPE_IS_SANDBOX:
        return []
    level = Error if settings.STRIPE_LIVE_MODE else Warning
    wrong = [
        (settings.DEBUG, "DJANGO_DEBUG is on.", "Unset DJANGO_DEBUG.", "010"),
        (
            settings.SECRET_KEY == settings.INSECURE_SECRET_KEY,
            "DJANGO_SECRET_KEY is not set.",
            "Set it to 50 or more random characters.",
            "011",
        ),
        (
            not settings.STRIPE_WEBHOOK_SECRETS or settings.SANDBOX_WEBHOOK_SECRET in settings.STRIPE_WEBHOOK_SECRETS,
            "STRIPE_WEBHOOK_SECRETS is not set, or holds the sandbox's.",
            "Set it to the signing secrets (whsec_…) of your webhook endpoints, comma-separated.",
            "012",
        ),
        ("*" in settings.ALLOWED_HOSTS, "DJANGO_ALLOWED_HOSTS allows every host.", "Name your hosts.", "013"),
        (
            settings.STRIPE_LIVE_MODE and settings.DATABASES["default"]["ENGINE"].endswith("sqlite3"),
            "The database is SQLite.",
            "Set DATABASE_URL to a PostgreSQL database.",
            "014",
        ),
        (
            settings.STRIPE_LIVE_MODE and not settings.SESSION_COOKIE_SECURE,
            "DJANGO_SECURE is switched off, so cookies may travel without TLS.",
            "Unset DJANGO_SECURE.",
            "015",
        ),
        (
            settings.EMAIL_BACKEND.endswith("console.EmailBackend"),
            "EMAIL_URL is not set: messages to customers, with their links, would be printed into the worker's log.",
            "Set EMAIL_URL, for example smtp+tls://user:password@host:587",
            "016",
        ),
    ]
    return [
        level(text, hint=hint, id=f"billingops.{'E' if level is Error else 'W'}{code}")
        for bad, text, hint, code in wrong
        if bad
    ]
