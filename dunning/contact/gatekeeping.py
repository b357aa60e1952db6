"""May this message go out now, and if not, when? Asked when a plan is made and again at the moment of sending."""

from __future__ import annotations

from datetime import datetime

from dunning.models import Message


def next_moment(*, account: str, customer: str, zone: str, country: str, now: datetime) -> datetime:
    """The earliest moment at or after `now` at which a message may go out to the customer. Aware, UTC."""
    return now


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
    """"" = it may be sent; else why not, in words. `besides`: the message itself, when it is tried once more."""
    return ""


def one_at_a_time(*, account: str, customer: str) -> None:
    """Call inside the transaction that claims a message, then ask `refused` again: no second one to the same customer
    is claimed until it ends."""


def unsubscribe_url(*, account: str, customer: str, channel: str = "email", language: str = "") -> str:
    """The page that stops such messages; "" where BASE_URL is not set and none can be given."""
    return ""


def reply_address(message: Message) -> str:
    """The Reply-To that leads an answer back to its message; "" where none is set up."""
    return ""
