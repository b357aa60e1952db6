"""What mail providers report, as django-anymail puts it: one shape for all of them, signatures and secrets checked.

A report is linked by the message's own number, which the sender gives the provider as metadata `message`, else by the
provider's id. Opened and clicked are not taken in: nobody is watched here.
"""

from __future__ import annotations

import logging
from typing import Any

from anymail.signals import AnymailTrackingEvent, EventType, RejectReason, inbound, tracking

from billingops.actors import Actor
from dunning.contact import codes, intake
from dunning.contact.intake import Report
from dunning.contact.models import Receipt
from dunning.models import Message

logger = logging.getLogger(__name__)
PROVIDER = Actor.system("mail provider")
Kind = Receipt.Kind

_KINDS = {
    EventType.DELIVERED: Kind.DELIVERED,
    EventType.DEFERRED: Kind.DELAYED,
    EventType.COMPLAINED: Kind.COMPLAINT,
    EventType.UNSUBSCRIBED: Kind.UNSUBSCRIBED,
    EventType.AUTORESPONDED: Kind.AUTO_REPLY,
}
_NOT_TAKEN = (EventType.BOUNCED, EventType.REJECTED, EventType.FAILED)
# What a refusal says of the address; the rest (blocked, timed out, other) says nothing of it.
_BY_REASON = {
    RejectReason.SPAM: Kind.COMPLAINT,
    RejectReason.UNSUBSCRIBED: Kind.UNSUBSCRIBED,
    RejectReason.INVALID: Kind.HARD_BOUNCE,
    RejectReason.BOUNCED: Kind.HARD_BOUNCE,
}
# Anymail calls these bounced, too; the provider's own word says that they pass. Sources: Postmark "Bounce API" types,
# Amazon SES "Bounce types", SparkPost "Bounce classification codes".
_PASSING = {
    "postmark": ("Type", {"SoftBounce", "Transient", "DnsError", "AutoResponder", "AddressChange", "Blocked"}),
    "sparkpost": ("bounce_class", {"20", "21", "22", "23", "24", "70"}),
}


def connect() -> None:
    tracking.connect(tracked, dispatch_uid="contact.tracked")
    inbound.connect(received, dispatch_uid="contact.received")


def tracked(sender: Any, event: AnymailTrackingEvent, esp_name: str, **kwargs: Any) -> None:
    """Runs in the webhook's request: one short transaction; an error makes the provider try again later."""
    kind = kind_of(event, esp_name)
    if kind is None:
        return
    message = find(event)
    if message is None:
        return  # another system's mail of the same provider account
    server = f"{event.mta_response or ''} {event.description or ''}"
    code = codes.find(server) if kind in (Kind.HARD_BOUNCE, Kind.SOFT_BOUNCE, Kind.DELAYED) else ""
    words = codes.judge(code, failed=kind != Kind.DELAYED)[1] if code else _WORDS.get(kind, "")
    report = Report(kind, _key(event), esp_name, code, words, event.recipient or "")
    intake.take_report(message=message, report=report, actor=PROVIDER)


_WORDS = {
    Kind.HARD_BOUNCE: "the provider cannot deliver to it",
    Kind.SOFT_BOUNCE: "it was not taken this time",
    Kind.DELAYED: "it is delayed",
}


def received(sender: Any, event: Any, esp_name: str, **kwargs: Any) -> None:
    """Mail that a provider received for us: the same way as a mail server's."""
    if event.message is not None:
        intake.take_mail(event.message.as_bytes(), actor=PROVIDER)


def kind_of(event: AnymailTrackingEvent, esp_name: str) -> Kind | None:
    """None for what is not taken in."""
    if event.event_type not in _NOT_TAKEN:
        return _KINDS.get(event.event_type)
    known = _BY_REASON.get(event.reject_reason)
    if event.event_type == EventType.BOUNCED and event.reject_reason == RejectReason.SPAM:
        known = Kind.SOFT_BOUNCE  # the receiving server took it for spam; nobody has complained
    if known != Kind.HARD_BOUNCE:
        return known or Kind.SOFT_BOUNCE
    code = codes.find(f"{event.mta_response or ''} {event.description or ''}")
    passes = _says_that_it_passes(esp_name, event.esp_event) or (code and not codes.judge(code)[0])
    return Kind.SOFT_BOUNCE if passes else Kind.HARD_BOUNCE


def _says_that_it_passes(esp_name: str, raw: Any) -> bool:
    if not isinstance(raw, dict):
        return False
    if "ses" in esp_name.lower():
        bounce = raw.get("bounce")
        return isinstance(bounce, dict) and bounce.get("bounceType") != "Permanent"
    name, words = _PASSING.get(esp_name.lower(), ("", set()))
    return bool(name) and str(raw.get(name, "")) in words


def find(event: AnymailTrackingEvent) -> Message | None:
    """Two statements at most."""
    own = str((event.metadata or {}).get("message", ""))
    if own.isascii() and own.isdecimal() and len(own) < 18 and (found := Message.objects.filter(pk=int(own)).first()):
        return found
    if not event.message_id:
        return None
    given = str(event.message_id)[:255]
    by_header = intake.find(ids=[given, f"<{given.strip('<>')}>"])
    return by_header or Message.objects.filter(provider_id=given).order_by("-id").first()


def _key(event: AnymailTrackingEvent) -> str:
    moment = event.timestamp.isoformat() if event.timestamp else ""
    return f"{event.event_id or ''}:{event.message_id}:{event.event_type}:{moment}"
