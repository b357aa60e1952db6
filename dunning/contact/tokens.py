"""What our links and reply addresses carry: signed, without a name or an address, and worth nothing elsewhere.

An unsubscribe token names Stripe's ids of account and customer and the channel; it does not expire, for a message may
be opened years later, and it can do one thing only. A reply tag names the message; it is lower-case letters and digits
since mail servers may change the case of an address.
"""

from __future__ import annotations

import base64
import re
from dataclasses import dataclass
from email.utils import parseaddr

from django.core import signing
from django.utils.crypto import constant_time_compare, salted_hmac

from dunning.models import Message

_SIGNER_SALT = "contact.unsubscribe"
_TAG_SALT = "contact.reply"
_TAG = re.compile(r"^r([0-9]{1,18})-([a-z2-7]{16})$")
MAX_TOKEN = 500


@dataclass(frozen=True, slots=True)
class Subscription:
    """What an unsubscribe link is about."""

    account: str
    customer: str
    channel: str


def sign(about: Subscription) -> str:
    """The same text each time, so that it may be compared and cached."""
    return signing.Signer(salt=_SIGNER_SALT).sign_object([about.channel, about.account, about.customer])


def unsign(token: str) -> Subscription | None:
    """None for anything that we have not signed."""
    if len(token) > MAX_TOKEN:
        return None
    try:
        channel, account, customer = signing.Signer(salt=_SIGNER_SALT).unsign_object(token)
    except (signing.BadSignature, ValueError, TypeError):
        return None
    if channel not in Message.Channel.values or not isinstance(account, str) or not isinstance(customer, str):
        return None
    return Subscription(account, customer, channel)


def reply_tag(message_id: int) -> str:
    """For the part after the plus: `r123-…`; 80 bits of the keyed hash."""
    digest = salted_hmac(_TAG_SALT, str(message_id), algorithm="sha256").digest()[:10]
    return f"r{message_id}-{base64.b32encode(digest).decode().lower()}"


def message_of_tag(tag: str) -> int | None:
    """The message's primary key, None for a tag that we have not made."""
    found = _TAG.match(tag.lower())
    if found is None or not constant_time_compare(reply_tag(int(found[1])), found[0]):
        return None
    return int(found[1])


def with_tag(address: str, message_id: int) -> str:
    """`billing@example.com` → `billing+r123-…@example.com`; "" for what is no address."""
    local, at, domain = parseaddr(address)[1].rpartition("@")
    return f"{local}+{reply_tag(message_id)}@{domain}" if at and local and domain else ""
