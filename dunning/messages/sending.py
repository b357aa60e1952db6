"""A message's way out: prepared once per suggestion, claimed by one, handed over, and what came of it recorded."""

from __future__ import annotations

import smtplib
import socket
from collections.abc import Callable, Mapping
from typing import Any

from anymail.exceptions import AnymailAPIError, AnymailError
from django.core.mail import BadHeaderError, EmailMultiAlternatives
from django.db import IntegrityError, transaction
from django.utils import timezone

from approvals.models import Suggestion
from billingops.actors import Actor, save_with_history
from billingops.brands import current
from billingops.brands.models import Brand
from billingops.stripe.errors import Ambiguous, Refused
from dunning import states
from dunning.messages import mail, rendering
from dunning.messages.drafting import OLDER
from dunning.messages.mail import Envelope, address_hash
from dunning.messages.rendering import Links
from dunning.models import DunningCase, Message
from dunning.states import MessageState

# After these the server has not taken the message: it answered no, or was never reached.
DEFINITE = (
    smtplib.SMTPResponseException,
    smtplib.SMTPRecipientsRefused,
    smtplib.SMTPNotSupportedError,
    BadHeaderError,
    ConnectionRefusedError,
    socket.gaierror,
)
# A provider's programming interface: it answered with an error, or nobody knows.
NOT_SURE = (smtplib.SMTPException, AnymailError, OSError)


def unsent(suggestion: Suggestion, brand: Brand | None = None) -> Message:
    """The message of a suggestion as it would be stored now. Two statements, nothing is written."""
    params: Mapping[str, Any] = {**OLDER, **suggestion.params}
    brand = brand or current.by_slug(params["brand"], suggestion.account)
    message = Message(
        suggestion=suggestion,
        account=suggestion.account,
        customer=suggestion.customer,
        channel=params["channel"] or Message.Channel.EMAIL,
        template=params["template"],
        language=params["language"],
        brand=brand.slug,
        tone=params["tone"],
        invoices=params["invoices"] or [suggestion.subject],
        subject=params["subject"],
        body_text=params["body"],
        message_id=f"<dunning.{suggestion.pk}@{mail.domain(brand)}>",
    )
    if message.channel == Message.Channel.EMAIL:
        asks = mail.asks_unsubscribe(brand, message.template)
        footed = rendering.footer(brand, message.language, unsubscribe=asks)
        message.body_text = rendering.whole_text(params["body"], footed)
        message.body_html = kept_html(message, brand)
    return message


def kept_html(message: Message, brand: Brand) -> str:
    """The HTML as it is kept: words in the places of the customer's own links."""
    body, footed = rendering.parted(message.body_text)
    return mail.html(message, body, footed, rendering.look_of(brand), Links())


def prepare(*, suggestion: Suggestion, actor: Actor) -> Message:
    """The one message of an approved suggestion, in `draft` when it is new."""
    if found := Message.objects.filter(suggestion=suggestion).first():
        return found
    message = unsent(suggestion)
    message.case = DunningCase.objects.of_invoice(suggestion.subject, suggestion.account).get()
    try:
        with transaction.atomic():
            save_with_history(message, actor=actor, reason="approved", force_insert=True)
    except IntegrityError:
        return Message.objects.get(suggestion=suggestion)
    return message


def claim(
    *,
    message_id: int,
    address: str,
    portal_session: str,
    actor: Actor,
    check: Callable[[Message], None] | None = None,
    links: Links | None = None,
) -> bool:
    """Turn a message that is not on its way into `sending`. True to exactly one caller.

    `check` is asked inside the transaction and may raise (Refused): then nothing was claimed. `links`: what can be put
    into the message; paragraphs whose page there is none of leave it here, so that what is kept is what is sent.
    """
    with transaction.atomic():
        message = Message.objects.select_for_update().get(pk=message_id)
        if MessageState.SENDING not in states.MESSAGE_TRANSITIONS[MessageState(message.state)]:
            return False
        if check is not None:
            check(message)
        message.state, message.sending_at, message.error = MessageState.SENDING, timezone.now(), ""
        message.address_hash, message.portal_session = address_hash(address) if address else "", portal_session
        if links is not None:
            message.body_text = mail.without_missing(message.body_text, links)
            message.body_html = kept_html(message, current.by_slug(message.brand, message.account))
        save_with_history(message, actor=actor, reason="sending")
        return True


def deliver(
    *,
    message: Message,
    address: str,
    link: str,
    hosted: str,
    actor: Actor,
    unsubscribe: str = "",
    reply_to: str = "",
) -> None:
    """Hand a claimed message to the mail server and record what came of it.

    Raises Refused (definite: it was not taken) or Ambiguous (it may have been). Never called inside a transaction.
    """
    brand = current.by_slug(message.brand, message.account)
    made = mail.build(
        message,
        brand,
        Envelope(address, Links(link, hosted, unsubscribe), reply_to or brand.reply_to, conversation(message)),
    )
    try:
        made.send(fail_silently=False)
    except AnymailAPIError as error:
        # No answer, or a fault on the provider's side: it may have been taken all the same.
        if error.status_code is None or error.status_code >= 500:
            _unknown(message, error, actor)
        _refused(message, error, error.status_code, actor)
    except DEFINITE as error:
        _refused(message, error, getattr(error, "smtp_code", ""), actor)
    except AnymailError as error:  # it could not be sent like this, or every recipient was refused
        _refused(message, error, "", actor)
    except NOT_SURE as error:
        _unknown(message, error, actor)
    settle(message_id=message.pk, target=MessageState.SENT, error="", actor=actor, provider_id=provider_id(made))


def _refused(message: Message, error: Exception, code: Any, actor: Actor) -> None:
    # The text of such an answer may name the address, so only its class and number are kept.
    words = f"{type(error).__name__}{f' {code}' if code else ''}"
    settle(message_id=message.pk, target=MessageState.FAILED, error=words, actor=actor)
    raise Refused(f"The mail server did not take the message ({words}). Nothing was sent.", code="mail_refused")


def _unknown(message: Message, error: Exception, actor: Actor) -> None:
    settle(message_id=message.pk, target=MessageState.UNKNOWN, error=type(error).__name__, actor=actor)
    raise Ambiguous("The mail server did not say whether it took the message.", code="mail_unknown")


def provider_id(made: EmailMultiAlternatives) -> str:
    """The mail provider's own id, which its later reports name; "" for plain SMTP."""
    status = getattr(made, "anymail_status", None)
    found = getattr(status, "message_id", None)
    if isinstance(found, (set, frozenset)):
        found = next(iter(found), "")
    return str(found or "")[:255]


def conversation(message: Message) -> tuple[str, ...]:
    """Message-IDs that this one belongs behind: the first mail about the case (or one that it speaks of), and the last,
    so that mail programs show them as one and an answer to any of them finds its way. One statement."""
    speaks_of = DunningCase.objects.filter(
        invoice__in=[*message.invoices, message.case.invoice], account=message.account, customer=message.customer
    )
    sent = (
        Message.objects.sent()
        .filter(case__in=speaks_of.values("pk"), channel=Message.Channel.EMAIL)
        .exclude(pk=message.pk)
        .order_by("sent_at", "pk")
        .values_list("message_id", flat=True)
    )
    found = list(dict.fromkeys(sent[:50]))
    return tuple(found[:1] + found[-1:] if len(found) > 1 else found)


def settle(*, message_id: int, target: MessageState, error: str, actor: Actor, provider_id: str = "") -> Message:
    """Record how the sending ended. Raises InvalidTransition for a step that is not in the table."""
    with transaction.atomic():
        message = Message.objects.select_for_update().get(pk=message_id)
        states.check_message(message.state, target)
        message.state, message.error = target, error[:500]
        if target == MessageState.SENT:
            message.sent_at = timezone.now()
            message.provider_id = provider_id or message.provider_id
        save_with_history(message, actor=actor, reason=error or MessageState(target).label)
        return message
