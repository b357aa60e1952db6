"""E-mail addresses are kept nowhere: a keyed hash can prove a suspected one and tells nothing without the key."""

from __future__ import annotations

from django.utils.crypto import salted_hmac


def address_hash(address: str) -> str:
    """64 hex digits; the same as `dunning.messages.address_hash`, "" for no address."""
    cleaned = address.strip().lower()
    return salted_hmac("dunning.address", cleaned, algorithm="sha256").hexdigest() if cleaned else ""
