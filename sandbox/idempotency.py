"""Stripe's v1 idempotency: the first result of a key is kept, 500s included, and answered again.

Kept only once execution began: refused parameters, 409 and 429 leave the key free. Kept for 24 hours of the
sandbox's clock.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass

from .errors import StripeError

KEEP_SECONDS = 24 * 3600


@dataclass
class Stored:
    """One key: what it was first used for, and the answer once there is one."""

    path: str
    fingerprint: str
    created: int
    status: int | None = None
    body: bytes = b""
    request_id: str = ""


class IdempotencyKeys:
    """All keys, whatever their account: a key that returns with another account is a mismatch."""

    def __init__(self) -> None:
        self._keys: dict[str, Stored] = {}
        self._lock = threading.Lock()

    def claim(self, key: str, *, path: str, fingerprint: str, now: int) -> Stored | None:
        """Take the key (None: go on and execute) or give the stored answer; raises on conflict or mismatch."""
        with self._lock:
            stored = self._keys.get(key)
            if stored is not None and now - stored.created >= KEEP_SECONDS and stored.status is not None:
                stored = None
            if stored is None:
                self._keys[key] = Stored(path, fingerprint, now)
                return None
            if stored.path != path:
                raise _mismatch(
                    "Keys for idempotent requests can only be used for the same endpoint they were first used for "
                    f"('{stored.path}' vs '{path}'). Try using a key other than '{key}' if you meant to execute a "
                    "different request."
                )
            if stored.fingerprint != fingerprint:
                raise _mismatch(
                    "Keys for idempotent requests can only be used with the same parameters they were first used "
                    f"with. Try using a key other than '{key}' if you meant to execute a different request."
                )
            if stored.status is None:
                raise StripeError(
                    409,
                    "idempotency_error",
                    f"There is currently another in-progress request using this Idempotent Key: {key}. "
                    "Please try again later.",
                    code="idempotency_key_in_use",
                    executed=False,
                )
            return stored

    def store(self, key: str, *, status: int, body: bytes, request_id: str) -> None:
        """Keep the answer of an execution."""
        with self._lock:
            stored = self._keys.get(key)
            if stored is not None:
                stored.status, stored.body, stored.request_id = status, body, request_id

    def release(self, key: str) -> None:
        """Forget a key whose request did not begin to execute."""
        with self._lock:
            stored = self._keys.get(key)
            if stored is not None and stored.status is None:
                del self._keys[key]

    def clear(self) -> None:
        """Forget all keys."""
        with self._lock:
            self._keys.clear()


def _mismatch(message: str) -> StripeError:
    return StripeError(400, "idempotency_error", message, executed=False)
