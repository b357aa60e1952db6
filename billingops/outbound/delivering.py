"""How deliveries move on: claim, POST, record. At least once, never twice at the same time.

A claim is a compare-and-swap on the row with a lease; the POST is made outside of any transaction. Where the worker
dies in between, the lease runs out and the event is sent again under the same webhook-id. A receiver that does not
answer is probed with one delivery at a time, further and further apart, so that it holds no worker and uses up nobody's
attempts.
"""

from __future__ import annotations

import logging
import random
import time
import uuid
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Case, Exists, F, OuterRef, Q, QuerySet, Value, When
from django.db.models.functions import Coalesce
from django.utils import timezone

from billingops.actors import Actor, save_with_history
from billingops.journal import Note, note
from billingops.outbound import emitting, sending, signing, vault
from billingops.outbound.models import Delivery, DeliveryAttempt, Endpoint, Secret

logger = logging.getLogger(__name__)
WORKER = Actor.system("outbound")
State = Delivery.State
OPEN = (State.WAITING, State.FAILED)

# Minutes after the first, second, … failed attempt: eight attempts in about 24 hours. The last failure gives up.
BACK_OFF = (1, 5, 30, 120, 240, 420, 600)
MAX_ATTEMPTS = len(BACK_OFF) + 1
JITTER = 0.1
MOST_PATIENCE = timedelta(hours=6)  # with a receiver that asks us to wait (Retry-After)
LEASE = timedelta(seconds=90)  # three times the longest time-out of an endpoint
PROBE_AFTER = 3  # failures in a row, of whatever delivery
PROBES = (1, 2, 5, 15)  # minutes between probes from then on
A_TURN = 20  # deliveries of one endpoint before another one's turn


# -- one attempt -------------------------------------------------------------------------------------------------------


def attempt(delivery_id: int) -> str:
    """One POST, where it is due and nobody else makes it: "delivered", "failed", "given_up", or "not now"."""
    delivery = claim(delivery_id)
    if delivery is None:
        return "not now"
    return record(delivery, _post(delivery))


def claim(delivery_id: int) -> Delivery | None:
    """The delivery, for this caller alone until its lease runs out; None where it is not due, or somebody has it."""
    now, mark = timezone.now(), uuid.uuid4().hex
    due = Delivery.objects.filter(pk=delivery_id, state__in=OPEN, next_attempt_at__lte=now)
    if not due.update(state=State.DELIVERING, claim=mark, lease_until=now + LEASE, attempts=F("attempts") + 1):
        return None
    delivery = Delivery.objects.select_related("event", "endpoint").get(pk=delivery_id)
    if delivery.claim != mark:
        return None
    if _may_send(delivery.endpoint, now):
        return delivery
    back = Case(When(attempts__lte=1, then=Value(State.WAITING)), default=Value(State.FAILED))
    _held(delivery).update(state=back, claim="", lease_until=None, attempts=F("attempts") - 1)
    return None


def _may_send(endpoint: Endpoint, now: datetime) -> bool:
    """Whether it is on, and answers; of many who ask about one that does not, one may probe."""
    if endpoint.state != Endpoint.State.ACTIVE:
        return False
    if endpoint.failures < PROBE_AFTER:
        return True
    if endpoint.probe_at and endpoint.probe_at > now:
        return False
    mine = Endpoint.objects.filter(pk=endpoint.pk, probe_at=endpoint.probe_at)
    return bool(mine.update(probe_at=now + LEASE))


def _held(delivery: Delivery) -> QuerySet[Delivery]:
    """The row, while the claim still holds."""
    return Delivery.objects.filter(pk=delivery.pk, state=State.DELIVERING, claim=delivery.claim)


def _post(delivery: Delivery) -> sending.Answer:
    endpoint, body, now = delivery.endpoint, emitting.body(delivery.event), timezone.now()
    try:
        keys = [vault.unseal(secret.sealed) for secret in valid_secrets(endpoint, now)]
    except vault.Unreadable:
        keys = []
    if not keys:
        return sending.Answer(None, "secret", 0)
    headers = signing.headers(keys, delivery.event_id, int(now.timestamp()), body)
    return sending.post(endpoint.url, body=body, headers=headers, seconds=endpoint.timeout_seconds)


def valid_secrets(endpoint: Endpoint, now: datetime) -> list[Secret]:
    """Newest first."""
    found = endpoint.secrets.filter(Q(expires_at__isnull=True) | Q(expires_at__gt=now))
    return list(found.order_by("-id"))


# -- what came of it ---------------------------------------------------------------------------------------------------


def record(delivery: Delivery, answer: sending.Answer) -> str:
    """Write the attempt down, and when the next one is due. An attempt whose lease has run out is only written down:
    the next one is somebody else's."""
    now = timezone.now()
    state, at = _next(delivery.attempts, answer, now)
    with transaction.atomic():
        moved = _held(delivery).update(
            state=state,
            claim="",
            lease_until=None,
            next_attempt_at=at,
            status=answer.status,
            error=answer.error,
            response_ms=answer.ms,
            delivered_at=now if answer.is_delivered else None,
        )
        DeliveryAttempt.objects.create(
            delivery=delivery,
            account=delivery.account,
            number=delivery.attempts,
            at=now,
            status=answer.status,
            error=answer.error,
            response_ms=answer.ms,
        )
        _record_health(delivery.endpoint, answer, now)
    _pause_where_needed(delivery.endpoint_id, answer, now)
    if not answer.is_delivered:
        logger.warning("%s to endpoint %s: %s", delivery.event_id, delivery.endpoint_id, answer.status or answer.error)
    return state.value if moved else "late"


def _next(attempts: int, answer: sending.Answer, now: datetime) -> tuple[Delivery.State, datetime]:
    if answer.is_delivered:
        return State.DELIVERED, now
    if attempts >= MAX_ATTEMPTS:
        return State.GIVEN_UP, now
    pause = timedelta(minutes=BACK_OFF[attempts - 1]) * random.uniform(1 - JITTER, 1 + JITTER)  # noqa: S311
    asked = min(timedelta(seconds=answer.retry_after), MOST_PATIENCE)
    return State.FAILED, now + max(pause, asked)


def _record_health(endpoint: Endpoint, answer: sending.Answer, now: datetime) -> None:
    rows = Endpoint.objects.filter(pk=endpoint.pk)
    if answer.is_delivered:
        rows.update(failures=0, failing_since=None, probe_at=None, last_success_at=now)
        return
    failures = endpoint.failures + 1
    step = min(max(failures - PROBE_AFTER, 0), len(PROBES) - 1)
    rows.update(
        failures=F("failures") + 1,
        failing_since=Coalesce(F("failing_since"), now),
        last_failure_at=now,
        probe_at=now + timedelta(minutes=PROBES[step]) if failures >= PROBE_AFTER else None,
    )


def _pause_where_needed(endpoint_id: int, answer: sending.Answer, now: datetime) -> None:
    """After days without an answer, or at once where the receiver says that it is gone for good (410, as the
    specification asks). Nothing is lost: what waits goes out when a person switches the endpoint on again."""
    if answer.is_delivered:
        return
    since = now - timedelta(days=settings.OUTBOUND_PAUSE_AFTER_DAYS)
    rows = Endpoint.objects.filter(pk=endpoint_id, state=Endpoint.State.ACTIVE)
    if answer.status != 410:
        rows = rows.filter(failing_since__lte=since)
    if not rows.exists():
        return
    why = "it says that it is gone (410)" if answer.status == 410 else "it has not answered for days"
    with transaction.atomic():
        endpoint = rows.select_for_update(no_key=True).first()
        if endpoint is None:
            return
        endpoint.state, endpoint.paused_why, endpoint.version = Endpoint.State.PAUSED, why, endpoint.version + 1
        save_with_history(
            endpoint, actor=WORKER, reason=f"paused: {why}", update_fields=["state", "paused_why", "version"]
        )
        note(Note("outbound.paused", f"endpoint:{endpoint_id}", WORKER, {"why": why}, endpoint.account))


# -- many --------------------------------------------------------------------------------------------------------------


def recover_lost(*, most: int = 500) -> int:
    """Attempts whose worker died: due again, or given up if that was the last one. Returns how many."""
    now, count = timezone.now(), 0
    lost = Delivery.objects.filter(state=State.DELIVERING, lease_until__lte=now).select_related("endpoint")
    for delivery in lost.order_by("lease_until")[:most]:
        state = State.GIVEN_UP if delivery.attempts >= MAX_ATTEMPTS else State.FAILED
        changes = {"state": state, "claim": "", "lease_until": None, "next_attempt_at": now}
        with transaction.atomic():
            moved = _held(delivery).update(**changes, status=None, error="interrupted", response_ms=None)
            if moved:
                DeliveryAttempt.objects.create(
                    delivery=delivery, account=delivery.account, number=delivery.attempts, at=now, error="interrupted"
                )
        count += moved
    return count


def ready(now: datetime) -> QuerySet[Endpoint]:
    """Endpoints that may be sent to, and have something due."""
    due = Delivery.objects.filter(endpoint=OuterRef("pk"), state__in=OPEN, next_attempt_at__lte=now)
    answers = Q(failures__lt=PROBE_AFTER) | Q(probe_at__isnull=True) | Q(probe_at__lte=now)
    return Endpoint.objects.filter(answers, Exists(due), state=Endpoint.State.ACTIVE).order_by("id")


def work(*, seconds: float) -> dict[str, int]:
    """Send what is due, the endpoints in turns, oldest first, until nothing is left or the time is over. Returns counts
    by outcome, and under "left" whether something may still be due (0 or 1)."""
    ends, counts = time.monotonic() + seconds, {"recovered": recover_lost(), "left": 0}
    while True:
        progress = False
        for endpoint_id in list(ready(timezone.now()).values_list("pk", flat=True)):
            due = Delivery.objects.filter(endpoint=endpoint_id, state__in=OPEN, next_attempt_at__lte=timezone.now())
            for pk in list(due.order_by("next_attempt_at", "pk").values_list("pk", flat=True)[:A_TURN]):
                if time.monotonic() > ends:
                    counts["left"] = 1
                    return counts
                outcome = attempt(pk)
                if outcome == "not now":
                    break  # it is being probed, or was switched off meanwhile
                counts[outcome] = counts.get(outcome, 0) + 1
                progress = True
        if not progress:
            return counts
