"""What comes back about a message is taken in here, whoever brings it: a mail server, a provider, a mailbox.

Linked to its message, recorded once (`Receipt.key`), then acted on: a hard bounce marks message and address and has the
case looked at again; a soft one is only noted; a complaint stops all e-mail and all dunning; an answer waits for a
person. What cannot be linked is none of ours and changes nothing.

One transaction each: the message is locked first, then what it changes. Cases come after, in a task of their own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from django.db import IntegrityError, transaction
from django.utils import timezone

from billingops.actors import Actor, save_with_history
from billingops.journal import Note, note
from dunning.contact import complaints, config, parsing, preferences, tokens, waking
from dunning.contact.addresses import address_hash
from dunning.contact.models import Receipt, Reply
from dunning.contact.parsing import Incoming, Kind
from dunning.models import Message

MAIL = "mail"


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of one report. `kind`: a Receipt's, or unlinked, ignored, unreadable. `is_new`: no repeat."""

    kind: str
    is_new: bool = False
    message: int | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """What happened to a message, by whatever way it was told. `key` names the report; `address`: the one that failed,
    where it is told; `words`: ours, never the server's (those name addresses)."""

    kind: Receipt.Kind
    key: str
    source: str
    code: str = ""
    words: str = ""
    address: str = ""


def take_mail(data: bytes, *, actor: Actor) -> Taken:
    """One incoming mail. Whatever it is, it raises nothing but database errors; more than mail_max_bytes is cut off."""
    limit = config.current().mail_max_bytes
    incoming = parsing.parse(data[:limit], is_cut=len(data) > limit)
    if incoming.kind in (Kind.IGNORED, Kind.UNREADABLE):
        return Taken(incoming.kind.value)
    message = find(ids=incoming.ids, recipients=incoming.recipients)
    if message is None:
        return Taken("unlinked")
    if incoming.kind == Kind.REPLY:
        return take_reply(message=message, incoming=incoming, actor=actor)
    return take_report(message=message, report=_report(incoming, message), actor=actor)


def find(*, ids: Sequence[str], recipients: Sequence[str] = ()) -> Message | None:
    """The message that a report or an answer is about: by the signed plus-address, else by Message-ID, the first that
    is named. Two statements at most."""
    for address in recipients:
        tag = address.partition("@")[0].rpartition("+")[2]
        pk = tokens.message_of_tag(tag)
        if pk is not None and (found := Message.objects.filter(pk=pk).first()):
            return found
    if not ids:
        return None
    known = {message.message_id: message for message in Message.objects.filter(message_id__in=ids).order_by("id")}
    return next((known[one] for one in ids if one in known), None)


def _report(incoming: Incoming, message: Message) -> Report:
    kinds = {
        Kind.DELAYED: Receipt.Kind.DELAYED,
        Kind.DELIVERED: Receipt.Kind.DELIVERED,
        Kind.COMPLAINT: Receipt.Kind.COMPLAINT,
        Kind.OPT_OUT: Receipt.Kind.UNSUBSCRIBED,
        Kind.AUTO_REPLY: Receipt.Kind.AUTO_REPLY,
    }
    bounce = Receipt.Kind.HARD_BOUNCE if incoming.hard else Receipt.Kind.SOFT_BOUNCE
    return Report(
        kinds.get(incoming.kind, bounce),
        incoming.key,
        MAIL,
        incoming.code,
        incoming.words,
        incoming.failed[0] if incoming.failed else "",
    )


# -- reports -----------------------------------------------------------------------------------------------------------


def take_report(*, message: Message, report: Report, actor: Actor) -> Taken:
    """Record a report about a message and do what it asks for. The same report again changes nothing."""
    with transaction.atomic():
        message = Message.objects.select_for_update().get(pk=message.pk)
        if not _record(message, report):
            return Taken(report.kind.value, False, message.pk)
        _ACT[report.kind](message, report, actor)
        data = {"message": message.pk, "code": report.code, "source": report.source}
        note(Note(f"contact.{report.kind.name.lower()}", f"customer:{message.customer}", actor, data, message.account))
    return Taken(report.kind.value, True, message.pk)


def _record(message: Message, report: Report) -> bool:
    """False when it was recorded before."""
    try:
        with transaction.atomic():
            Receipt.objects.create(
                message=message,
                account=message.account,
                customer=message.customer,
                kind=report.kind,
                key=_key(report, message),
                source=report.source[:40],
                code=report.code[:16],
                words=report.words[:200],
            )
    except IntegrityError:
        return False
    return True


def _key(report: Report, message: Message) -> str:
    """A report is told apart by who brought it and what it is about, so that nobody can use up another's key."""
    return hashlib.sha256(f"{report.source}:{report.key}:{message.pk}:{report.kind.value}".encode()).hexdigest()


def _delivered(message: Message, report: Report, actor: Actor) -> None:
    if message.delivered_at is None and message.bounced_at is None:
        message.delivered_at = timezone.now()
        save_with_history(message, actor=actor, reason="delivered")


def _noted(message: Message, report: Report, actor: Actor) -> None:
    """A delay, or a failure that is no fault of the address: written down, nothing else."""
    if message.bounced_at is None and report.words:
        message.bounce = _words(report)
        save_with_history(message, actor=actor, reason=message.bounce)


def _bounced(message: Message, report: Report, actor: Actor) -> None:
    words = _words(report)
    if message.bounced_at is None:
        message.bounced_at, message.bounce = timezone.now(), words
        save_with_history(message, actor=actor, reason=f"bounced: {words}")
    # What counts is the address that was written to; a forwarded one may be named in its place.
    hashed = message.address_hash or address_hash(report.address)
    preferences.bounced(
        account=message.account, customer=message.customer, address_hash=hashed, reason=words, actor=actor
    )
    waking.later(account=message.account, customer=message.customer, reason="a message to them bounced")


def _complained(message: Message, report: Report, actor: Actor) -> None:
    if message.complained_at is None:
        message.complained_at = timezone.now()
        save_with_history(message, actor=actor, reason="reported as unwanted")
    preferences.complained(
        account=message.account, customer=message.customer, reason="reported a message as unwanted", actor=actor
    )
    complaints.open_by_report(message=message, actor=actor)


def _unsubscribed(message: Message, report: Report, actor: Actor) -> None:
    preferences.unsubscribe(
        account=message.account,
        customer=message.customer,
        channel=Message.Channel.EMAIL,
        reason=f"through {report.source}",
        actor=actor,
    )


def _nothing(message: Message, report: Report, actor: Actor) -> None:
    """An automatic answer is no answer: that it came is recorded, and that is all."""


_ACT = {
    Receipt.Kind.DELIVERED: _delivered,
    Receipt.Kind.DELAYED: _noted,
    Receipt.Kind.SOFT_BOUNCE: _noted,
    Receipt.Kind.HARD_BOUNCE: _bounced,
    Receipt.Kind.COMPLAINT: _complained,
    Receipt.Kind.UNSUBSCRIBED: _unsubscribed,
    Receipt.Kind.AUTO_REPLY: _nothing,
    Receipt.Kind.REPLY: _nothing,
}


def _words(report: Report) -> str:
    return f"{report.words}{f' ({report.code})' if report.code else ''}"[:120]


# -- answers -----------------------------------------------------------------------------------------------------------


def take_reply(*, message: Message, incoming: Incoming, actor: Actor) -> Taken:
    """Keep a customer's answer for a person. Until one has handled it nothing is sent to them by itself."""
    report = Report(Receipt.Kind.REPLY, incoming.key, MAIL)
    with transaction.atomic():
        message = Message.objects.select_for_update().get(pk=message.pk)
        if not _record(message, report):
            return Taken(report.kind.value, False, message.pk)
        hashed = address_hash(incoming.sender)
        reply = Reply(
            message=message,
            case_id=message.case_id,
            account=message.account,
            customer=message.customer,
            key=_key(report, message),
            subject=incoming.subject,
            text=incoming.text,
            is_cut=incoming.is_cut,
            attachments=incoming.attachments,
            same_address=bool(hashed) and hashed == message.address_hash,
        )
        save_with_history(reply, actor=actor, reason="received")
        if message.answered_at is None:
            message.answered_at = reply.received_at
            save_with_history(message, actor=actor, reason="answered")
        data = {"message": message.pk, "reply": reply.pk, "attachments": reply.attachments}
        note(Note("contact.reply", f"customer:{message.customer}", actor, data, message.account))
        waking.later(account=message.account, customer=message.customer, reason="they answered a message")
    return Taken(report.kind.value, True, message.pk)
