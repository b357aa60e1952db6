"""Works the inbox off: claim a batch, bring each object it names up to date once, call the handlers, note the outcome.

Nothing is lost and nothing done twice when a worker is killed: a claim is a short transaction that counts the attempt,
an outcome is written only by the worker that holds the claim, and a claim that is not kept in time is taken again. No
transaction is open while Stripe is read or a handler runs.
"""

from __future__ import annotations

import logging
import os
import random
import socket
import time
import traceback
import uuid
from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.db import connection, transaction
from django.db.models import F, Q
from django.utils import timezone

from billingops.actors import Actor
from billingops.exceptions import BillingOpsError
from billingops.inbox.models import InboundEvent
from billingops.inbox.querysets import InboundEventQuerySet
from billingops.inbox.routes import EventNote, handlers_for
from billingops.journal import Note, note
from billingops.stripe import errors, sync
from billingops.stripe.reads import Key
from billingops.stripe.shapes import ident

logger = logging.getLogger(__name__)

State = InboundEvent.State
DRAIN = Actor.system("inbox")
LOST = "The worker was lost while it had this event."
BROKEN = "The group this event was worked off in broke down: "
GONE = "Stripe no longer has this object."
WRONG_MODE = "An event of the other mode (test or live)."
NOBODY = "Nobody here needs this type."

FINISH_EVERY = 200  # outcomes are written in groups: a kill repeats at most so many handlers
OUTAGE = tuple(f"{kind.__name__} (" for kind in (errors.Ambiguous, errors.Throttled))  # so `describe` begins then
SUSPECT = Q(error=LOST) | Q(error__startswith=BROKEN)  # one of several such events is at fault, nobody knows which
RETRY_SECONDS = 10  # doubled twice with each attempt, up to the longest
LONGEST_RETRY_SECONDS = 6 * 3600


def drain(*, seconds: float | None = None) -> dict[str, int]:
    """Work off what is due, batch by batch, until nothing is or `seconds` are over.

    Returns counts: `claimed done ignored gone retried parked` of events, `objects` refreshed, `batches`, and `left`
    (1 when time ran out). `claimed` is the sum of the outcomes, but for what another worker has taken over meanwhile.
    """
    until = time.monotonic() + seconds if seconds is not None else None
    counts = Counter(claimed=0, done=0, ignored=0, gone=0, retried=0, parked=0, objects=0, batches=0, left=0)
    memory = sync.Memory()
    counts["parked"] += return_lost()
    while until is None or time.monotonic() < until:
        batch = claim()
        if batch is None:
            return dict(counts)
        counts.update(batch.work(memory, until=until))
    counts["left"] = int(InboundEvent.objects.due().exists())
    return dict(counts)


def return_lost(now: datetime | None = None) -> int:
    """Let go of what lost workers hold; what was lost too often is parked. Returns how many were parked."""
    now = now or timezone.now()
    lost = InboundEvent.objects.lost(now)
    silent = Q(error__startswith=OUTAGE[0]) | Q(error__startswith=OUTAGE[1])
    # The attempts up to now were Stripe's fault: from here on they count anew.
    tried_out = lost.filter(attempts__gte=settings.INBOX_MAX_ATTEMPTS)
    tried_out.filter(silent, received_at__gt=now - _patience()).update(attempts=1)
    with transaction.atomic():
        parked = list(tried_out.select_for_update().defer("payload"))
        if parked:
            keys = [event.pk for event in parked]
            InboundEvent.objects.filter(pk__in=keys).update(
                state=State.PARKED, error=LOST, handled_at=now, claimed_by="", claimed_at=None
            )
            note(*(journal_note(Outcome(event, State.PARKED, LOST)) for event in parked))
        lost.update(state=State.WAITING, error=LOST, next_attempt_at=now, claimed_by="", claimed_at=None)
    return len(parked)


def claim() -> Batch | None:
    """Take the events that are due, and with each all others that wait for its object; None when nothing is due."""
    token = f"{socket.gethostname()[:24]}:{os.getpid()}:{uuid.uuid4().hex[:16]}"
    now, size = timezone.now(), settings.INBOX_BATCH_SIZE
    with transaction.atomic():
        due = InboundEvent.objects.due(now).order_by("next_attempt_at", "id")
        first = due.values_list("error", "attempts").first()
        if first is None:
            return None
        suspect = first[0] == LOST or first[0].startswith(BROKEN)
        due = due.filter(SUSPECT) if suspect else due.exclude(SUSPECT)
        if suspect:  # one of these may be what kills the worker: smaller groups find it, so that the others get through
            size = max(1, size >> (3 * first[1]))
        chosen = dict(_locked(due).values_list("id", "object_id")[:size])
        objects = {object_id for object_id in chosen.values() if object_id}
        if objects and not suspect:
            others = due.filter(object_id__in=objects).exclude(id__in=list(chosen))
            chosen |= dict(_locked(others.order_by("id")).values_list("id", "object_id")[: 4 * size])
        # Where the database cannot skip locked rows, the state in this condition decides who has an event.
        InboundEvent.objects.waiting().filter(id__in=list(chosen)).update(
            state=State.PROCESSING, claimed_by=token, claimed_at=now, attempts=F("attempts") + 1
        )
    events = InboundEvent.objects.filter(claimed_by=token, state=State.PROCESSING).order_by("created_at", "id")
    return Batch(token, list(events))


def _locked(queryset: Any) -> Any:
    skip = connection.features.has_select_for_update_skip_locked
    return queryset.select_for_update(skip_locked=True) if skip else queryset


@dataclass(frozen=True)
class Outcome:
    event: InboundEvent
    state: str
    text: str = ""


class Batch:
    """Events that this worker has claimed, in the order in which Stripe made them."""

    def __init__(self, token: str, events: list[InboundEvent]) -> None:
        self.token = token
        self.events = events

    def work(self, memory: sync.Memory, *, until: float | None = None) -> Counter[str]:
        """Refresh, handle, note. What time does not suffice for is let go of, as if it had never been claimed."""
        counts = Counter(batches=1, claimed=len(self.events))
        try:
            self._work(memory, until, counts)
        except Exception as problem:
            counts.update(self._broke_down(problem))
        finally:  # time ran out, or the worker is told to stop: what has no outcome was not tried
            counts["claimed"] -= self._mine().update(
                state=State.WAITING, attempts=F("attempts") - 1, claimed_by="", claimed_at=None
            )
        return counts

    def _work(self, memory: sync.Memory, until: float | None, counts: Counter[str]) -> None:
        keys: dict[int, Key | None] = {}
        since: dict[Key, datetime] = {}
        of_event: dict[int, sync.Refreshed] = {}
        for event in self.events:
            try:
                key = keys[event.pk] = self._key(event)
            except Exception as problem:  # a payload of an unknown shape
                of_event[event.pk] = sync.Refreshed(problem=problem)
                continue
            if key:
                since[key] = max(event.received_at, since.get(key, event.received_at))
        refreshed = sync.refresh_many(since, memory=memory, since=since)
        of_event |= {pk: refreshed[key] for pk, key in keys.items() if key}
        counts["objects"] = len(since)
        for start in range(0, len(self.events), FINISH_EVERY):
            if until is not None and time.monotonic() > until:
                return
            group = self.events[start : start + FINISH_EVERY]
            with sync.remembering(memory):
                outcomes = [self._handle(event, of_event.get(event.pk)) for event in group]
            counts.update(self._finish(outcomes))

    def _mine(self) -> InboundEventQuerySet:
        """What this worker still holds, and has no outcome."""
        return InboundEvent.objects.filter(claimed_by=self.token, state=State.PROCESSING)

    def _broke_down(self, problem: Exception) -> Counter[str]:
        """Something failed that is no single event's. They come again in smaller groups, until one is left with it."""
        text = (BROKEN + describe(problem))[:500]
        logger.error("%d events were put back, %s", len(self.events), text)
        held = set(self._mine().values_list("pk", flat=True))
        return self._finish([self._again(event, text) for event in self.events if event.pk in held])

    def _key(self, event: InboundEvent) -> Key | None:
        """What is to be refreshed for an event; None when there is nothing to mirror."""
        if event.livemode != settings.STRIPE_LIVE_MODE:
            return None
        if sync.can_refresh(event.object_type):
            return sync.key_of(event.object_type, event.object_id, event.account) if event.object_id else None
        data = event.data_object
        if event.object_type == "capability" and ident(data.get("account")):
            return sync.key_of("account", ident(data["account"]))
        if event.object_type == "fee_refund" and ident(data.get("fee")):
            return sync.key_of("application_fee", ident(data["fee"]), event.account)
        if event.object_type == "discount":  # it has no API of its own: it stands on what it reduces
            for kind in ("subscription", "customer"):
                if ident(data.get(kind)):
                    return sync.key_of(kind, ident(data[kind]), event.account)
        return None

    def _handle(self, event: InboundEvent, refreshed: sync.Refreshed | None) -> Outcome:
        if event.livemode != settings.STRIPE_LIVE_MODE:
            return Outcome(event, State.IGNORED, WRONG_MODE)
        handlers = handlers_for(event.type)
        if refreshed is None and not handlers:
            return Outcome(event, State.IGNORED, NOBODY)
        if refreshed and refreshed.problem:
            return self._failed(event, refreshed.problem)
        mirrored = refreshed is not None and sync.can_refresh(event.object_type)
        current = refreshed.data if refreshed is not None and mirrored else event.data_object
        note = EventNote(
            event_id=event.event_id,
            type=event.type,
            account=event.account,
            created=event.created_at,
            object_id=event.object_id,
            object_type=event.object_type,
            data=event.data_object,
            previous=event.previous_attributes,
            current=current,
        )
        problem: Exception | None = None
        for handler in handlers:
            try:
                handler(note)
            except Exception as error:  # the other handlers have their turn; the event comes again as a whole
                problem = problem or error
        if problem:
            return self._failed(event, problem)
        return Outcome(event, State.GONE, GONE) if mirrored and current is None else Outcome(event, State.DONE)

    def _failed(self, event: InboundEvent, problem: Exception) -> Outcome:
        text = describe(problem)
        logger.warning("%s %s, attempt %d: %s", event.type, event.event_id, event.attempts, text)
        logger.debug("%s", event.event_id, exc_info=problem)
        return self._again(event, text)

    def _again(self, event: InboundEvent, text: str) -> Outcome:
        """Parked after the last try. A try that Stripe did not answer, or refused for our rate, counts only when the
        event has waited for longer than such a thing lasts."""
        last = event.attempts >= settings.INBOX_MAX_ATTEMPTS
        if last and timezone.now() - event.received_at < _patience():
            if text.startswith(OUTAGE):
                last = False
            elif event.error.startswith(OUTAGE):  # the tries before were Stripe's fault: from here on they count anew
                event.attempts, last = 1, False
        return Outcome(event, State.PARKED if last else State.WAITING, text)

    def _finish(self, outcomes: list[Outcome]) -> Counter[str]:
        """Write the outcomes with one statement per kind, and what they were into the journal. Whoever lost the claim
        meanwhile writes nothing."""
        with transaction.atomic():
            mine = self._mine().filter(pk__in=[outcome.event.pk for outcome in outcomes])
            held = set(mine.select_for_update().values_list("pk", flat=True))
            outcomes = [outcome for outcome in outcomes if outcome.event.pk in held]
            counts = self._write(outcomes)
            note(*(journal_note(outcome) for outcome in outcomes if outcome.state != State.WAITING))
        return counts

    def _write(self, outcomes: list[Outcome]) -> Counter[str]:
        now = timezone.now()
        mine = self._mine()
        counts: Counter[str] = Counter()
        closed: dict[tuple[str, str], list[int]] = {}
        failed: list[InboundEvent] = []
        for outcome in outcomes:
            event = outcome.event
            if outcome.state in {State.WAITING, State.PARKED}:
                event.state, event.error, event.claimed_by, event.claimed_at = outcome.state, outcome.text, "", None
                event.next_attempt_at = now + backoff(event.attempts)
                event.handled_at = now if outcome.state == State.PARKED else None
                failed.append(event)
                counts["parked" if outcome.state == State.PARKED else "retried"] += 1
            else:
                closed.setdefault((outcome.state, outcome.text), []).append(event.pk)
        for (state, text), ids in closed.items():
            counts[state] += mine.filter(pk__in=ids).update(
                state=state, note=text, error="", handled_at=now, claimed_by="", claimed_at=None
            )
        if failed:
            columns = ["state", "error", "attempts", "next_attempt_at", "handled_at", "claimed_by", "claimed_at"]
            mine.bulk_update(failed, columns)
        return counts


def journal_note(outcome: Outcome) -> Note:
    """One entry of the audit log for each event that is through with: handled, of no use here, or parked."""
    event = outcome.event
    verb = "handled" if outcome.state == State.DONE else str(outcome.state)
    data = {"type": event.type, "object": event.object_id, "attempts": event.attempts, "why": outcome.text}
    return Note(f"event.{verb}", f"event:{event.event_id}", DRAIN, data, event.account, event.event_id)


def _patience() -> timedelta:
    return timedelta(hours=settings.INBOX_OUTAGE_PATIENCE_HOURS)


def backoff(attempts: int) -> timedelta:
    """10 s, 40 s, 160 s … with half of it by chance, so that what failed together does not come back together."""
    seconds = min(RETRY_SECONDS * 4 ** max(0, attempts - 1), LONGEST_RETRY_SECONDS)
    return timedelta(seconds=seconds * random.uniform(0.75, 1.25))  # noqa: S311


def describe(problem: Exception) -> str:
    """What went wrong and where, without the values: an exception's text may hold a customer's data."""
    name = type(problem).__name__
    if isinstance(problem, BillingOpsError):
        code = getattr(problem, "code", "")
        return f"{name} ({code}): {problem}".replace("\x00", "")[:500]  # PostgreSQL's texts cannot hold a NUL
    frames = traceback.extract_tb(problem.__traceback__)
    ours = [frame for frame in frames if str(settings.BASE_DIR) in frame.filename and ".venv" not in frame.filename]
    where = (ours or list(frames))[-1:]
    return name + "".join(f" in {os.path.basename(frame.filename)}:{frame.lineno} {frame.name}" for frame in where)
