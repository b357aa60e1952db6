"""May this message go out now, and if not, when? Asked when a plan is made and again at the moment of sending.

Reads our own tables only: a handful of statements, whatever the number of customers (`states_of_many`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from urllib.parse import urlencode
from zlib import crc32

from django.conf import settings
from django.db import connection
from django.db.models import Q
from django.urls import reverse

from dunning import config as dunning_config
from dunning.contact import config, pacing, tokens
from dunning.contact.addresses import address_hash
from dunning.contact.models import Complaint, ContactPreference, Reply
from dunning.models import Message
from dunning.states import MessageState

State = ContactPreference.State
Pair = tuple[str, str]  # (account, customer)

OPEN_COMPLAINT = "they have complained, and the complaint is open"
COMPLAINED = "they reported a message as unwanted"
UNSUBSCRIBED = "they unsubscribed"
BOUNCED = "it bounced"
NO_ADDRESS = "no address"
WAITING_REPLY = "an answer of theirs waits for a person"
ON_ITS_WAY = (MessageState.SENDING, MessageState.UNKNOWN)
_CONTACT_LOCK = 0x43746163  # "Ctac", with the customer as the second key


@dataclass(frozen=True, slots=True)
class ContactState:
    """What is to be known of one customer before anything is planned.

    unreachable      channel → why it cannot be used; what one unsubscribed from stands here, too (see `required`)
    complaint_open   the customer is not dunned
    waiting_replies  answers that no person has handled: nothing is sent by itself meanwhile
    sent             times of what went out in the last seven days, any invoice, newest last
    last_message_at  the newest of all
    """

    unreachable: Mapping[str, str] = field(default_factory=dict)
    complaint_open: bool = False
    waiting_replies: int = 0
    sent: tuple[datetime, ...] = ()
    last_message_at: datetime | None = None


# -- one customer ------------------------------------------------------------------------------------------------------


def next_moment(*, account: str, customer: str, zone: str, country: str, now: datetime) -> datetime:
    """The earliest moment at or after `now` (aware) at which a message may go out to the customer; UTC.

    Quiet hours where they live, one message a day whatever the number of invoices, so many in a week. One statement.
    """
    return pacing.earliest(now=now, sent=sent_to(account=account, customer=customer, now=now), pace=pace(zone, country))


def refused(
    *,
    account: str,
    customer: str,
    address: str,
    channel: str,
    template: str,
    now: datetime,
    zone: str = "",
    country: str = "",
    besides: int | None = None,
) -> str:
    """ "" = the message may be sent; else why not, in words. Four statements at most.

    `address` is compared with the one that bounced, so another one at Stripe lifts that. `besides`: primary key of the
    message itself, which is not counted when it is tried once more. Hours and days are the customer's: give `zone`
    (IANA) or `country` (ISO) as the plan has them. A task for the phone or a letter knows neither quiet hours nor caps.
    """
    if open_complaint(account, customer):
        return OPEN_COMPLAINT
    preference = ContactPreference.objects.filter(account=account, customer=customer, channel=channel).first()
    if why := unusable(preference, address_hash(address), is_required=is_required(template)):
        return why
    if channel != Message.Channel.EMAIL:
        return ""
    if Reply.objects.of_customer(customer, account).waiting().exists():
        return WAITING_REPLY
    sent = sent_to(account=account, customer=customer, now=now, besides=besides)
    return pacing.refused(now=now, sent=sent, pace=pace(zone, country))


def unusable(preference: ContactPreference | None, hashed: str, *, is_required: bool = False) -> str:
    """Why a channel cannot be used, "" when it can. `hashed`: of today's address, "" where it is not known: then a
    bounce is believed to be about it."""
    if preference is None or preference.state == State.OK:
        return ""
    if preference.state == State.COMPLAINED:
        return COMPLAINED
    if preference.address_hash and (not hashed or hashed == preference.address_hash):
        return BOUNCED
    if preference.state == State.UNSUBSCRIBED and not is_required:
        return UNSUBSCRIBED
    return ""


def is_required(template: str) -> bool:
    """Whether it is a notice that a contract or a law asks for, which nobody can unsubscribe from."""
    return template in config.current().required


def required_templates() -> tuple[str, ...]:
    return config.current().required


def open_complaint(account: str, customer: str) -> bool:
    """Whether a complaint of the customer is open. One statement."""
    return Complaint.objects.filter(account=account, customer=customer, state=Complaint.State.OPEN).exists()


def sent_to(*, account: str, customer: str, now: datetime, besides: int | None = None) -> list[datetime]:
    """Times of the customer's messages of the last eight days, oldest first; what may have gone out counts. One
    statement."""
    since = now - pacing.WEEK - timedelta(days=1)
    rows = Message.objects.filter(_went_out(since), customer=customer, account=account).order_by()
    times = rows.values_list("pk", "sent_at", "sending_at")
    return sorted(at for pk, sent_at, sending_at in times if (at := sent_at or sending_at) and pk != besides)


def _went_out(since: datetime) -> Q:
    return Q(sent_at__gt=since) | Q(state__in=ON_ITS_WAY, sent_at__isnull=True, sending_at__gt=since)


def pace(zone: str, country: str) -> pacing.Pace:
    """The limits in force for somebody who lives there."""
    rules = dunning_config.current()
    return pacing.Pace(zone, country, rules.quiet_from, rules.quiet_until, max(1, rules.messages_a_week))


def one_at_a_time(*, account: str, customer: str) -> None:
    """Call it first inside the transaction that claims a message, then ask `refused`: until that transaction ends no
    other message to the same customer is claimed. PostgreSQL locks; on SQLite a writer is alone anyway."""
    if not connection.in_atomic_block:
        raise RuntimeError("The lock on a customer belongs to a transaction.")
    if connection.vendor == "postgresql":
        key = crc32(f"{account}:{customer}".encode()) - 2**31
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s, %s)", [_CONTACT_LOCK, key])


# -- many customers ----------------------------------------------------------------------------------------------------


def states_of_many(
    pairs: Iterable[Pair],
    *,
    now: datetime,
    addresses: Mapping[Pair, str] | None = None,
    sent: Mapping[Pair, list[datetime]] | None = None,
) -> dict[Pair, ContactState]:
    """What is to be known of each (account, customer), every pair given; four statements for up to 1,000 of them.

    `addresses`: e-mail addresses as Stripe has them, "" for none; without one a bounce is believed to be about it.
    `sent`: times of the messages of the last eight days, where the caller has read them.
    """
    wanted = set(pairs)
    customers, known = {customer for _, customer in wanted}, addresses or {}
    unreachable: dict[Pair, dict[str, str]] = {pair: {} for pair in wanted}
    for pair, address in known.items():
        if pair in wanted and not address:
            unreachable[pair][Message.Channel.EMAIL] = NO_ADDRESS
    for preference in ContactPreference.objects.filter(customer__in=customers).exclude(state=State.OK).order_by():
        pair = (preference.account, preference.customer)
        hashed = address_hash(known.get(pair, "")) if preference.channel == Message.Channel.EMAIL else ""
        if pair in wanted and (why := unusable(preference, hashed)):
            unreachable[pair].setdefault(preference.channel, why)
    complaints = set(
        Complaint.objects.filter(customer__in=customers, state=Complaint.State.OPEN)
        .order_by()
        .values_list("account", "customer")
    )
    replies: dict[Pair, int] = {}
    for pair in Reply.objects.waiting().filter(customer__in=customers).order_by().values_list("account", "customer"):
        replies[pair] = replies.get(pair, 0) + 1
    if sent is None:
        sent = _sent_to_many(customers, now - pacing.WEEK - timedelta(days=1))
    return {
        pair: ContactState(
            unreachable[pair],
            pair in complaints,
            replies.get(pair, 0),
            tuple(sent.get(pair, ())),
            max(sent.get(pair, ()), default=None),
        )
        for pair in wanted
    }


def _sent_to_many(customers: set[str], since: datetime) -> dict[Pair, list[datetime]]:
    found: dict[Pair, list[datetime]] = {}
    rows = Message.objects.filter(_went_out(since), customer__in=customers).order_by()
    for account, customer, sent_at, sending_at in rows.values_list("account", "customer", "sent_at", "sending_at"):
        if at := sent_at or sending_at:
            found.setdefault((account, customer), []).append(at)
    return {pair: sorted(times) for pair, times in found.items()}


# -- what a message carries --------------------------------------------------------------------------------------------


def unsubscribe_url(*, account: str, customer: str, channel: str = "email", language: str = "") -> str:
    """The page that stops such messages, and the URL of the one-click POST; "" where BASE_URL is not set."""
    if not settings.BASE_URL:
        return ""
    token = tokens.sign(tokens.Subscription(account, customer, channel))
    query = f"?{urlencode({'l': language})}" if language else ""
    return f"{settings.BASE_URL.rstrip('/')}{reverse('contact:unsubscribe', args=[token])}{query}"


def unsubscribe_headers(*, account: str, customer: str, template: str, language: str = "") -> dict[str, str]:
    """List-Unsubscribe (RFC 2369) and, where the page is reached by HTTPS, one-click (RFC 8058); none for a notice that
    cannot be unsubscribed. RFC 8058 asks for a DKIM signature over both: that is the mail server's."""
    url = "" if is_required(template) else unsubscribe_url(account=account, customer=customer, language=language)
    if not url:
        return {}
    one_click = {"List-Unsubscribe-Post": "List-Unsubscribe=One-Click"} if url.startswith("https://") else {}
    return {"List-Unsubscribe": f"<{url}>", **one_click}


def reply_address(message: Message, base: str = "") -> str:
    """The Reply-To that leads an answer back to its message. `base`: the brand's own address for answers, used only
    where CONTACT["reply_address"] says that its server takes part+anything@; "" where none is set up."""
    configured = config.current().reply_address
    if not configured:
        return base
    same_domain = base.rpartition("@")[2].lower() == configured.rpartition("@")[2].lower()
    return tokens.with_tag(base if base and same_domain else configured, message.pk)
