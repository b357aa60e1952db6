"""How an event gets into the inbox, whoever brings it: check that it is one, then one INSERT that skips duplicates."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from django.db import InterfaceError, OperationalError, connection
from django.utils import timezone


class NotAnEvent(ValueError):
    """The text is no Stripe event; `str()` says what is missing."""


def parse(text: str) -> dict[str, Any]:
    """The event in a JSON text, checked thinly: what the inbox needs must be there. Raises NotAnEvent."""
    try:
        event = json.loads(text, parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise NotAnEvent("The body is not JSON.")
    if not isinstance(event, dict) or event.get("object") != "event":
        raise NotAnEvent('The body is no Stripe event ("object" is not "event").')
    for key in ("id", "type"):
        if not isinstance(event.get(key), str) or not event[key]:
            raise NotAnEvent(f"The event has no {key}.")
    created = event.get("created")
    if not isinstance(created, int) or isinstance(created, bool) or not 0 <= created < 2**33:
        raise NotAnEvent("The event has no time of creation.")
    data = event.get("data")
    if not isinstance(data, dict) or not isinstance(data.get("object"), dict):
        raise NotAnEvent("The event has no data.object.")
    return event


def insert(event: Mapping[str, Any], text: str, *, account: str = "") -> bool:
    """Put a checked event into the inbox with one SQL statement; False when it was there already.

    `text` is the event's JSON, stored as it came. `account` names the connected account of an event that was read from
    that account's own list, which does not say it. Raises django.db.DataError for a text the database cannot hold.
    """
    subject = event["data"]["object"]
    adapt = connection.ops.adapt_datetimefield_value
    now = adapt(timezone.now())
    params = [
        event["id"],
        _word(event.get("account")) or account,
        event["type"],
        _word(subject.get("object")),
        _word(subject.get("id")),
        _word(event.get("api_version")),
        event.get("livemode") is True,
        adapt(datetime.fromtimestamp(event["created"], tz=UTC)),
        now,
        now,
        text,
    ]
    # Written by hand: bulk_create(ignore_conflicts=True) wraps its INSERT in BEGIN and COMMIT, two more round trips.
    # A third would be Django's look whether a kept connection still lives; here the INSERT itself is that look.
    connection.health_check_done = True  # type: ignore[attr-defined]
    try:
        return _execute(params)
    except (InterfaceError, OperationalError):
        if connection.in_atomic_block or connection.is_usable():
            raise
        connection.close()
        return _execute(params)  # harmless, should the first one have got through


def _execute(params: list[Any]) -> bool:
    with connection.cursor() as cursor:
        cursor.execute(_INSERT, params)
        return cursor.rowcount == 1


# What each new event starts with is written out: half as many values to hand over. A test compares it with the model.
_INSERT = """
INSERT INTO inbox_inboundevent (
    event_id, account, type, object_type, object_id, api_version, livemode, created_at, received_at, next_attempt_at,
    payload, state, attempts, claimed_at, claimed_by, error, note, handled_at, dismissed_by, dismiss_reason
) VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, 'waiting', 0, NULL, '', '', '', NULL, '', '')
ON CONFLICT DO NOTHING
"""


def _word(value: Any) -> str:
    return value if isinstance(value, str) else ""


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")
