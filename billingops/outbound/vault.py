"""Keys that we must be able to use again are stored encrypted, under a key derived from DJANGO_SECRET_KEY.

HKDF-SHA256 with a purpose of its own, so that nothing else derived from that key opens them; Fernet (AES-128-CBC with
HMAC-SHA256). SECRET_KEY_FALLBACKS still open what was sealed under a former DJANGO_SECRET_KEY. A copy of the database
without that key gives no secret away.
"""

from __future__ import annotations

import base64
from functools import lru_cache

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from django.conf import settings

_PURPOSE = b"billingops.outbound.secret.v1"


class Unreadable(Exception):
    """Sealed under a DJANGO_SECRET_KEY that is neither the present one nor among the fallbacks."""


@lru_cache(maxsize=8)
def _fernet(secret_key: str) -> Fernet:
    derived = HKDF(algorithm=SHA256(), length=32, salt=None, info=_PURPOSE).derive(secret_key.encode())
    return Fernet(base64.urlsafe_b64encode(derived))


def seal(text: str) -> str:
    return _fernet(settings.SECRET_KEY).encrypt(text.encode()).decode()


def unseal(sealed: str) -> str:
    """Raises Unreadable."""
    keys = [settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]
    try:
        return MultiFernet([_fernet(key) for key in keys]).decrypt(sealed.encode()).decode()
    except InvalidToken:
        raise Unreadable from None
