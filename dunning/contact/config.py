"""The dials of contact and their defaults; `settings.CONTACT` (a dict) overrides any of them by name."""

from __future__ import annotations

from dataclasses import dataclass, fields

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured


@dataclass(frozen=True)
class ContactSettings:
    """
    required        templates of notices that a contract or a law asks for: these go out to whoever unsubscribed, too
    reply_address   where answers go, when the mail server takes part+anything@: the answer's way back to its message
    reply_days      after these the words of an answer are deleted; 0: on the day it is handled
    mail_max_bytes  of one incoming mail, what is looked at; the rest is cut off
    providers       mail providers whose reports are taken in, as anymail writes their names (postmark, mailgun, …)
    """

    required: tuple[str, ...] = ("last_notice", "grace_started", "service_paused")
    reply_address: str = ""
    reply_days: int = 180
    mail_max_bytes: int = 5 * 1024 * 1024
    providers: tuple[str, ...] = ()


def current() -> ContactSettings:
    """The configuration in force. Raises ImproperlyConfigured for a name that does not exist."""
    given = getattr(settings, "CONTACT", {})
    known = {item.name for item in fields(ContactSettings)}
    if unknown := sorted(set(given) - known):
        raise ImproperlyConfigured(f"CONTACT does not know {unknown[0]!r}; it knows {', '.join(sorted(known))}.")
    return ContactSettings(**given)
