"""How often a visitor without a log-in may ask. Counted in the cache by a keyed hash of where they come from, for a
minute; a server of several processes counts in each."""

from __future__ import annotations

from django.core.cache import cache
from django.http import HttpRequest
from django.utils.crypto import salted_hmac

MINUTE = 60


def is_too_often(request: HttpRequest, what: str, *, most: int) -> bool:
    """Counts this request, too."""
    where = salted_hmac("contact.throttle", f"{what}:{request.META.get('REMOTE_ADDR', '')}").hexdigest()
    return _count(f"contact.{what}.{where}") > most


def is_used_too_often(token: str, *, most: int) -> bool:
    """The same for one link, wherever it is opened."""
    return _count(f"contact.token.{salted_hmac('contact.throttle', token).hexdigest()}") > most


def _count(key: str) -> int:
    cache.add(key, 0, timeout=MINUTE)
    try:
        return int(cache.incr(key))
    except ValueError:  # it ran out between the two
        return 1
