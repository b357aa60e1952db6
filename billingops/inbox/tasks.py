"""The inbox's work in the background: the drain, the sweep for lost wake-ups, missed events, and forgetting."""

from __future__ import annotations

import json
import logging
from datetime import timedelta

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, DataError
from django.utils import timezone

from billingops import jobs
from billingops.inbox import drain as inbox_drain
from billingops.inbox import intake, waker
from billingops.inbox.models import InboundEvent
from billingops.models import Heartbeat
from billingops.stripe import reads
from billingops.stripe.store import model_of

logger = logging.getLogger(__name__)

DRAIN_SECONDS = 60  # half of the queue's time-out for a task; what is left gets a task of its own
MISSED_DAYS = 30  # Stripe's event list reaches no further back
MISSED_PAGES = 50  # per account and run: 5,000 events
MISSED_ACCOUNTS = 50  # connected accounts per run, in turns
FORGET_AT_ONCE, FORGET_ROUNDS = 1000, 50


def drain() -> dict[str, int]:
    """What the wake-up asks for: work off what is due."""
    waker.drain_has_started()
    counts = inbox_drain.drain(seconds=DRAIN_SECONDS)
    if counts["left"]:
        waker.request_drain()
    if counts["objects"] and counts["done"]:
        _stripe_answered()
    return counts


@jobs.every(1, name="inbox-sweep")
def sweep() -> dict[str, int]:
    """Catch a wake-up that was lost, an event whose back-off is over, and what a lost worker held."""
    if InboundEvent.objects.due().exists() or InboundEvent.objects.lost().exists():
        return drain()
    return {}


@jobs.every(15, name="inbox-missed-events")
def fetch_missed_events() -> int:
    """Read from Stripe's own list the events that were not delivered, platform first; returns how many were new.

    An event may be listed although we have it (another endpoint did not answer): its id decides.
    """
    found = 0
    for account in ["", *_connected_accounts()]:
        try:
            found += _fetch_missed(account)
            _stripe_answered()
        except Exception as problem:  # the other accounts have their turn
            text = inbox_drain.describe(problem)
            logger.warning("Missed events of %s could not be read: %s", account or "the platform", text)
    if found:
        logger.info("%d missed events were fetched from Stripe's list.", found)
        waker.request_drain()
    return found


def _stripe_answered() -> None:
    """For the strip on top of every page: when Stripe was last reached."""
    Heartbeat.objects.update_or_create(name="stripe", defaults={"at": timezone.now()})


def _fetch_missed(account: str) -> int:
    since = int((timezone.now() - timedelta(days=MISSED_DAYS)).timestamp())
    found = 0
    for number, page in enumerate(reads.event_pages(account, delivery_success=False, created={"gte": since}), start=1):
        ids = [str(event.get("id")) for event in page]
        ids = [event_id for event_id in ids if event_id.isprintable()]  # PostgreSQL cannot be asked for a NUL
        have = set(InboundEvent.objects.filter(event_id__in=ids).values_list("event_id", flat=True))
        for event in reversed(page):  # Stripe lists the newest first
            if event.get("id") in have:
                continue
            text = json.dumps(event)
            try:
                found += intake.insert(intake.parse(text), text, account=account)
            except (ValueError, DataError) as problem:  # NotAnEvent, or a text that the database cannot hold
                logger.warning("Missed event %r cannot be taken: %s", event.get("id"), type(problem).__name__)
        if number == MISSED_PAGES:
            logger.warning("More than %d pages of missed events; the rest waits for the next run.", MISSED_PAGES)
            break
    return found


def _connected_accounts() -> list[str]:
    """The connected accounts the mirror knows, all of them or, of very many, another part in each run."""
    known = model_of("account").objects.exclude(stripe_data__has_key="deauthorised")
    accounts = list(known.order_by("id").values_list("id", flat=True))
    parts = -(-len(accounts) // MISSED_ACCOUNTS)
    return accounts[int(timezone.now().timestamp()) // 900 % parts :: parts] if parts else []


@jobs.every(24 * 60, name="inbox-retention")
def forget_old_events() -> int:
    """Delete events that were closed `INBOX_RETENTION_DAYS` ago (400); parked and waiting ones stay. Bounded a day."""
    before = timezone.now() - timedelta(days=settings.INBOX_RETENTION_DAYS)
    closed = [state.value for state in (inbox_drain.State.DONE, inbox_drain.State.IGNORED, inbox_drain.State.GONE)]
    old = InboundEvent.objects.filter(state__in=[*closed, inbox_drain.State.DISMISSED], handled_at__lt=before)
    deleted = 0
    for _ in range(FORGET_ROUNDS):
        ids = list(old.order_by("id").values_list("id", flat=True)[:FORGET_AT_ONCE])
        if not ids:
            break
        deleted += InboundEvent.objects.filter(id__in=ids)._raw_delete(using=DEFAULT_DB_ALIAS)  # no history
    return deleted
