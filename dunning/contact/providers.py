"""The mail providers that may report here: those CONTACT["providers"] names, each with anymail's own view, which checks
the provider's signature, or the secret in ANYMAIL["WEBHOOK_SECRET"] where the provider signs nothing."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

from anymail import urls as anymail_urls
from anymail.webhooks.base import AnymailBasicAuthMixin
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from dunning.contact import config

PURPOSES = ("tracking", "inbound")
# One URL for both purposes, to keep to how these sign.
_COMBINED = {"mandrill": "mandrill_webhook"}


def view_of(provider: str, purpose: str) -> Callable[..., Any] | None:
    """The view, or None where that provider is not set up, or would be let in unchecked."""
    if provider not in config.current().providers or purpose not in PURPOSES:
        return None
    view = _views().get(_COMBINED.get(provider, f"{provider}_{purpose}_webhook"))
    return view if view is not None and is_checked(view) else None


def is_checked(view: Any) -> bool:
    """Whether something shows that a report comes from the provider: the shared secret, or a signature whose key is
    set. Anymail only warns where nothing does."""
    secret = getattr(settings, "ANYMAIL", {}).get("WEBHOOK_SECRET") or getattr(settings, "ANYMAIL_WEBHOOK_SECRET", "")
    try:
        made = _made(view)
    except ImproperlyConfigured:  # its key is missing
        return False
    return bool(secret) or not made.warn_if_no_basic_auth


def known() -> set[str]:
    """The names that CONTACT["providers"] may hold."""
    suffixes = tuple(f"_{purpose}_webhook" for purpose in PURPOSES)
    return {name.removesuffix(suffix) for name in _views() for suffix in suffixes if name.endswith(suffix)} | {
        "mandrill"
    }


def _views() -> dict[str, Callable[..., Any]]:
    return {pattern.name: pattern.callback for pattern in anymail_urls.urlpatterns if pattern.name}


def _made(view: Any) -> AnymailBasicAuthMixin:
    """Whether a view checks a signature is known once it has read its settings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made: AnymailBasicAuthMixin = view.view_class(**view.view_initkwargs)
    return made
