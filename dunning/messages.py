"""Messages to customers: drafted in a frame whose figures code fills in, and sent at most once per approval.

A template is a text per language under `templates/email/dunning/<language>/<name>.txt`; a new language is new files.
Fields: {amount} {invoice} {deadline} are filled when the message is drafted, so that a person approves the very words;
{link}, the personal link to the billing portal, and {hosted}, the invoice's hosted page, only while it is sent: both
open the customer's billing to whoever holds them, so neither is written anywhere.
"""

from __future__ import annotations

import re
import smtplib
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from email.utils import parseaddr
from typing import Any

from django.conf import settings
from django.core.mail import BadHeaderError, EmailMultiAlternatives
from django.db import IntegrityError, transaction
from django.template.exceptions import TemplateDoesNotExist
from django.template.loader import render_to_string, select_template
from django.utils import timezone, translation
from django.utils.crypto import salted_hmac
from django.utils.formats import date_format

from approvals.models import Suggestion
from billingops.actors import Actor, save_with_history
from billingops.llm.texts import fill_frame
from billingops.money import format_money
from billingops.stripe.errors import Ambiguous, Refused
from dunning import states
from dunning.facts import Snapshot
from dunning.models import DunningCase, Message
from dunning.states import MessageState

FIELDS = ("amount", "invoice", "link", "deadline")
LINK = "{link}"
HOSTED = "{hosted}"
LINK_SHOWN = "(the customer's personal link to the billing portal)"
HOSTED_SHOWN = "(the invoice's hosted page)"
FALLBACK_LANGUAGE = "en"
# After these the server has not taken the message: it answered no, or was never reached.
DEFINITE = (
    smtplib.SMTPResponseException,
    smtplib.SMTPRecipientsRefused,
    smtplib.SMTPNotSupportedError,
    BadHeaderError,
    ConnectionRefusedError,
    socket.gaierror,
)


@dataclass(frozen=True)
class Draft:
    """A message as it is to be approved; `body` still has {link} and perhaps {hosted} in it, nothing else to fill."""

    template: str
    language: str
    subject: str
    body: str


def draft(*, template: str, snapshot: Snapshot, deadline: datetime, words: tuple[str, str] | None = None) -> Draft:
    """Fill a template, or `words` (subject and body in the same frame, from a model), with the invoice's figures.

    Raises KeyError for a field the frame does not have, TemplateDoesNotExist for an unknown template.
    """
    language = language_of(template, snapshot.customer.locale if snapshot.customer else "")
    subject, body = words or frame(template, language)
    values = values_of(snapshot, deadline, language)
    filled = fill_frame(body, values)
    if snapshot.invoice.hosted_invoice_url:
        filled = _with_hosted_line(filled, _hosted_line(language))
    return Draft(template, language, _one_line(fill_frame(subject, values)), filled.strip())


def _with_hosted_line(body: str, line: str) -> str:
    """`line` under the link where that is a paragraph of its own, else at the end."""
    alone = f"\n\n{LINK}\n"
    return body.replace(alone, f"{alone}\n{line}\n", 1) if alone in body else f"{body.rstrip()}\n\n{line}"


def _hosted_line(language: str) -> str:
    """Portal links live for minutes; the hosted invoice page is there for whoever reads the message later."""
    names = [f"email/dunning/{language}/_hosted.txt", f"email/dunning/{FALLBACK_LANGUAGE}/_hosted.txt"]
    return fill_frame(select_template(names).render().strip(), {"hosted": HOSTED})


def values_of(snapshot: Snapshot, deadline: datetime, language: str) -> Mapping[str, str]:
    invoice = snapshot.invoice
    return {
        "amount": format_money(invoice.amount_remaining, invoice.currency),
        "invoice": invoice.number or invoice.id,
        "deadline": day_text(deadline, language),
        "link": LINK,
    }


def day_text(moment: datetime, language: str) -> str:
    """A day as messages in `language` write it."""
    with translation.override(language):
        return date_format(moment, "j F Y" if language == FALLBACK_LANGUAGE else "DATE_FORMAT")


def language_of(template: str, locale: str) -> str:
    """The customer's language if the template exists in it, else English."""
    wanted = locale.lower().replace("_", "-")
    for candidate in (wanted, wanted.partition("-")[0]):
        if re.fullmatch(r"[a-z]{2,3}(-[a-z0-9]{2,8})?", candidate) and _exists(template, candidate):
            return candidate
    return FALLBACK_LANGUAGE


def _exists(template: str, language: str) -> bool:
    try:
        select_template([f"email/dunning/{language}/{template}.txt"])
    except TemplateDoesNotExist:
        return False
    return True


def frame(template: str, language: str) -> tuple[str, str]:
    """Subject and body of a template, fields in place. Its first line reads "Subject: …"."""
    text = render_to_string(f"email/dunning/{language}/{template}.txt")
    head, _, body = text.partition("\n")
    return head.removeprefix("Subject:").strip(), body.strip()


def as_html(subject: str, body: str, language: str, link: str = "", hosted: str = "") -> str:
    """The same words as HTML. Addresses become links; without `link` and `hosted` words stand in their places."""
    paragraphs = [_parts(block, link, hosted) for block in re.split(r"\n\s*\n", body.strip())]
    return render_to_string(
        "email/dunning/frame.html", {"subject": subject, "language": language, "paragraphs": paragraphs}
    )


def _parts(block: str, link: str, hosted: str) -> list[dict[str, Any]]:
    parts: list[dict[str, Any]] = []
    for piece in re.split(r"(\{link\}|\{hosted\}|https://\S+)", block):
        if piece == LINK:
            parts.append({"link": True, "href": link, "text": link or LINK_SHOWN})
        elif piece == HOSTED:
            parts.append({"link": True, "href": hosted, "text": hosted or HOSTED_SHOWN})
        elif piece.startswith("https://"):
            parts.append({"link": True, "href": piece, "text": piece})
        elif piece:
            parts.append({"link": False, "text": piece})
    return parts


def as_shown(body: str) -> str:
    """The text with words in the place of the customer's links, for pages."""
    return body.replace(LINK, LINK_SHOWN).replace(HOSTED, HOSTED_SHOWN)


def with_links(body: str, *, link: str, hosted: str) -> str:
    """The text as the customer reads it. A paragraph whose page Stripe no longer has is left out."""
    if not hosted:
        body = "\n\n".join(block for block in re.split(r"\n\s*\n", body) if HOSTED not in block)
    return body.replace(LINK, link).replace(HOSTED, hosted)


# -- sending -----------------------------------------------------------------------------------------------------------


def prepare(*, suggestion: Suggestion, actor: Actor) -> Message:
    """The one message of an approved suggestion, in `draft` when it is new."""
    if found := Message.objects.filter(suggestion=suggestion).first():
        return found
    params = suggestion.params
    case = DunningCase.objects.of_invoice(suggestion.subject, suggestion.account).get()
    message = Message(
        suggestion=suggestion,
        case=case,
        account=suggestion.account,
        customer=suggestion.customer,
        template=params["template"],
        language=params["language"],
        subject=params["subject"],
        body_text=params["body"],
        body_html=as_html(params["subject"], params["body"], params["language"]),
        message_id=f"<dunning.{suggestion.pk}@{_domain()}>",
    )
    try:
        with transaction.atomic():
            save_with_history(message, actor=actor, reason="approved", force_insert=True)
    except IntegrityError:
        return Message.objects.get(suggestion=suggestion)
    return message


def claim(*, message_id: int, address: str, portal_session: str, actor: Actor) -> bool:
    """Turn a message that is not on its way into `sending`. True to exactly one caller."""
    with transaction.atomic():
        message = Message.objects.select_for_update().get(pk=message_id)
        if MessageState.SENDING not in states.MESSAGE_TRANSITIONS[MessageState(message.state)]:
            return False
        message.state, message.sending_at, message.error = MessageState.SENDING, timezone.now(), ""
        message.address_hash, message.portal_session = address_hash(address), portal_session
        save_with_history(message, actor=actor, reason="sending")
        return True


def deliver(*, message: Message, address: str, link: str, hosted: str, actor: Actor) -> None:
    """Hand a claimed message to the mail server and record what came of it.

    Raises Refused (definite: it was not taken) or Ambiguous (it may have been). Never called inside a transaction.
    """
    mail = EmailMultiAlternatives(
        subject=message.subject,
        body=with_links(message.body_text, link=link, hosted=hosted),
        from_email=settings.DEFAULT_FROM_EMAIL,
        to=[address],
        headers={"Message-ID": message.message_id, "Auto-Submitted": "auto-generated"},
    )
    body = message.body_text if hosted else with_links(message.body_text, link=LINK, hosted="")
    mail.attach_alternative(as_html(message.subject, body, message.language, link, hosted), "text/html")
    try:
        mail.send(fail_silently=False)
    except DEFINITE as error:
        # The text of such an answer may name the address, so only its class and number are kept.
        code = getattr(error, "smtp_code", "")
        words = f"{type(error).__name__}{f' {code}' if code else ''}"
        settle(message_id=message.pk, target=MessageState.FAILED, error=words, actor=actor)
        raise Refused(f"The mail server did not take the message ({words}). Nothing was sent.", code="mail_refused")
    except (smtplib.SMTPException, OSError) as error:
        settle(message_id=message.pk, target=MessageState.UNKNOWN, error=type(error).__name__, actor=actor)
        raise Ambiguous("The mail server did not say whether it took the message.", code="mail_unknown")
    settle(message_id=message.pk, target=MessageState.SENT, error="", actor=actor)


def settle(*, message_id: int, target: MessageState, error: str, actor: Actor) -> Message:
    """Record how the sending ended. Raises InvalidTransition for a step that is not in the table."""
    with transaction.atomic():
        message = Message.objects.select_for_update().get(pk=message_id)
        states.check_message(message.state, target)
        message.state, message.error = target, error[:500]
        if target == MessageState.SENT:
            message.sent_at = timezone.now()
        save_with_history(message, actor=actor, reason=error or MessageState(target).label)
        return message


def address_hash(address: str) -> str:
    """Keyed, so that the list of hashes tells nothing to somebody who lacks the key."""
    return salted_hmac("dunning.address", address.strip().lower(), algorithm="sha256").hexdigest()


def _domain() -> str:
    return parseaddr(settings.DEFAULT_FROM_EMAIL)[1].rpartition("@")[2] or "localhost"


def _one_line(text: str) -> str:
    return re.sub(r"\s+", " ", text).strip()[:200]
