"""What people do with outgoing webhooks: endpoints, secrets, a test, a replay. Each verb asks for right, account and
second factor, and leaves a note in the audit log.

An endpoint is locked without its key (`no_key`): whoever emits an event refers to endpoints while holding the gate's
locks, and must not wait for a page that waits for the gate.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import F, Q
from django.utils import timezone

from billingops import access, jobs
from billingops.actors import Actor, save_with_history
from billingops.exceptions import InvalidInput, InvalidTransition, VersionConflict
from billingops.ids import uuid7
from billingops.journal import Note, note
from billingops.outbound import addresses, emitting, kinds, signing, vault
from billingops.outbound.models import Delivery, Endpoint, OutgoingEvent, Secret

MANAGE, REPLAY = "outbound.manage_endpoint", "outbound.replay_delivery"
WORK = "billingops.outbound.tasks.work"
FIELDS = ("name", "url", "types", "timeout_seconds")
MOST_SECRETS = 5  # valid at a time: each adds a signature to every message
MOST_OVERLAP_HOURS = 30 * 24
MOST_REPLAYED = 10_000
REPLAYABLE = (Delivery.State.DELIVERED, Delivery.State.GIVEN_UP, Delivery.State.FAILED)

State = Endpoint.State


def _allowed(actor: Actor, permission: str, account: str) -> None:
    """Raises PermissionDenied, SecondFactorNeeded."""
    if actor.user is None:
        raise PermissionDenied("A person does this.")
    if not actor.user.has_perm(permission):
        raise PermissionDenied("You may look at outgoing webhooks but not change them.")
    if not access.may_see_account(actor.user, account):
        raise PermissionDenied("This belongs to an account that you have no access to.")
    access.check_may_act(actor.user)


def may_manage(user: Any) -> bool:
    return bool(user.has_perm(MANAGE))


def may_replay(user: Any) -> bool:
    return bool(user.has_perm(REPLAY))


# -- endpoints ---------------------------------------------------------------------------------------------------------


def checked(values: Mapping[str, Any]) -> dict[str, Any]:
    """An endpoint's values as they are stored. Raises InvalidInput with the field."""
    found = {"name": str(values.get("name", "")).strip(), "url": str(values.get("url", "")).strip()}
    if not 1 <= len(found["name"]) <= 80:
        raise InvalidInput("A name has 1 to 80 characters.", field="name")
    addresses.parts(found["url"])
    seconds = values.get("timeout_seconds", 10)
    if not isinstance(seconds, int) or isinstance(seconds, bool) or not 1 <= seconds <= 30:
        raise InvalidInput("The time-out is 1 to 30 seconds.", field="timeout_seconds")
    return {**found, "types": kinds.checked(values.get("types") or ()), "timeout_seconds": seconds}


def add(*, account: str, values: Mapping[str, Any], actor: Actor) -> tuple[Endpoint, str]:
    """A new endpoint and its first secret in clear, which is shown this once."""
    _allowed(actor, MANAGE, account)
    endpoint = Endpoint(account=account, created_by=actor.name, **checked(values))
    with transaction.atomic():
        save_with_history(endpoint, actor=actor, reason="added")
        secret, shown = _new_secret(endpoint, actor)
        _note(
            "outbound.endpoint_added", endpoint, actor, host=_host(endpoint), types=endpoint.types, secret=secret.hint
        )
    return endpoint, shown


def change(*, endpoint_id: int, values: Mapping[str, Any], version: int, actor: Actor) -> Endpoint:
    clean = checked(values)
    with transaction.atomic():
        endpoint = _locked(endpoint_id, actor, version)
        changed = [name for name in FIELDS if getattr(endpoint, name) != clean[name]]
        if not changed:
            raise InvalidInput("Nothing is different from what holds.", field="name")
        for name in changed:
            setattr(endpoint, name, clean[name])
        _save(endpoint, actor, f"changed: {', '.join(changed)}", *changed)
        _note("outbound.endpoint_changed", endpoint, actor, changed=changed, host=_host(endpoint))
    return endpoint


def switch_off(*, endpoint_id: int, reason: str, actor: Actor, version: int | None = None) -> Endpoint:
    """From now on nothing is sent to it; what it would have been sent is kept. An attempt that runs ends by itself."""
    with transaction.atomic():
        endpoint = _locked(endpoint_id, actor, version)
        if endpoint.state == State.OFF:
            raise InvalidTransition("This endpoint is switched off already.")
        endpoint.state, endpoint.paused_why = State.OFF, ""
        _save(endpoint, actor, f"switched off: {reason}" if reason else "switched off", "state", "paused_why")
        _note("outbound.endpoint_off", endpoint, actor, reason=reason[:500])
    return endpoint


def switch_on(*, endpoint_id: int, actor: Actor, version: int | None = None) -> Endpoint:
    """What waits for it is sent now, oldest first."""
    with transaction.atomic():
        endpoint = _locked(endpoint_id, actor, version)
        if endpoint.state == State.ACTIVE:
            raise InvalidTransition("This endpoint is on already.")
        endpoint.state, endpoint.paused_why = State.ACTIVE, ""
        endpoint.failures, endpoint.failing_since, endpoint.probe_at = 0, None, None
        _save(endpoint, actor, "switched on", "state", "paused_why", "failures", "failing_since", "probe_at")
        _note("outbound.endpoint_on", endpoint, actor)
        jobs.enqueue(WORK)
    return endpoint


def _locked(endpoint_id: int, actor: Actor, version: int | None = None) -> Endpoint:
    endpoint = Endpoint.objects.select_for_update(no_key=True).get(pk=endpoint_id)
    _allowed(actor, MANAGE, endpoint.account)
    if version is not None and endpoint.version != version:
        raise VersionConflict("The endpoint was changed since you saw it. Nothing was changed; look again.")
    return endpoint


def _save(endpoint: Endpoint, actor: Actor, reason: str, *fields: str) -> None:
    """Only these columns: the worker writes its figures beside us."""
    endpoint.version += 1
    save_with_history(endpoint, actor=actor, reason=reason[:500], update_fields=[*fields, "version"])


def _host(endpoint: Endpoint) -> str:
    """For the log: a path or a query may hold somebody's token."""
    return urlsplit(endpoint.url).hostname or ""


def _note(action: str, endpoint: Endpoint, actor: Actor, **data: Any) -> None:
    note(Note(action, f"endpoint:{endpoint.pk}", actor, {"name": endpoint.name, **data}, endpoint.account))


# -- secrets -----------------------------------------------------------------------------------------------------------


def rotate(*, endpoint_id: int, overlap_hours: int, actor: Actor) -> str:
    """A further secret, in clear, shown this once. Messages are signed with it and with the earlier ones, until these
    end in `overlap_hours` (0: at once, where one has leaked)."""
    if not 0 <= overlap_hours <= MOST_OVERLAP_HOURS:
        raise InvalidInput(f"The overlap is 0 to {MOST_OVERLAP_HOURS} hours.", field="overlap_hours")
    now = timezone.now()
    ends = now + timedelta(hours=overlap_hours)
    with transaction.atomic():
        endpoint = _locked(endpoint_id, actor)
        valid = endpoint.secrets.filter(Q(expires_at__isnull=True) | Q(expires_at__gt=now))
        if overlap_hours and valid.count() >= MOST_SECRETS:
            raise InvalidTransition(f"{MOST_SECRETS} secrets are valid already; wait until one has ended.")
        valid.filter(Q(expires_at__isnull=True) | Q(expires_at__gt=ends)).update(expires_at=ends)
        secret, shown = _new_secret(endpoint, actor)
        _save(endpoint, actor, f"new secret …{secret.hint}, earlier ones end in {overlap_hours} h")
        _note("outbound.secret_added", endpoint, actor, secret=secret.hint, overlap_hours=overlap_hours)
    return shown


def _new_secret(endpoint: Endpoint, actor: Actor) -> tuple[Secret, str]:
    shown = signing.new_secret()
    sealed = vault.seal(shown)
    hint = shown.rstrip("=")[-4:]
    return Secret.objects.create(endpoint=endpoint, sealed=sealed, hint=hint, created_by=actor.name), shown


# -- a test, and again -------------------------------------------------------------------------------------------------


def ping(*, endpoint_id: int, actor: Actor) -> Delivery:
    """A test message to this endpoint alone, whatever types it asks for."""
    with transaction.atomic():
        endpoint = _locked(endpoint_id, actor)
        if endpoint.state != State.ACTIVE:
            raise InvalidTransition("Switch the endpoint on first. Nothing was sent.")
        event = OutgoingEvent.objects.create(
            type=kinds.PING,
            key=f"ping:{endpoint.pk}:{uuid7().hex}",
            account=endpoint.account,
            subject=f"endpoint:{endpoint.pk}",
            data={"endpoint": endpoint.name},
        )
        _note("outbound.ping", endpoint, actor, event=event.id)
        return emitting.hand_over(event, [endpoint])[0]


def replay(*, delivery_id: int, actor: Actor) -> Delivery:
    """Send one event again, with all its attempts before it, under the same webhook-id."""
    with transaction.atomic():
        delivery = Delivery.objects.select_for_update(of=("self",)).select_related("endpoint").get(pk=delivery_id)
        _allowed(actor, REPLAY, delivery.account)
        if delivery.state not in REPLAYABLE:
            raise InvalidTransition(f"This delivery is {delivery.get_state_display()}; it is sent anyway.")
        _note(
            "outbound.replayed",
            delivery.endpoint,
            actor,
            event=delivery.event_id,
            delivery=delivery.pk,
            was=delivery.state,
        )
        _wait_again(Delivery.objects.filter(pk=delivery_id))
        jobs.enqueue(emitting.SEND, delivery.pk)
    delivery.refresh_from_db()
    return delivery


def replay_since(*, endpoint_id: int, since: datetime, actor: Actor) -> int:
    """Send again what this endpoint was sent since then, and what it would have been sent had it been there; under the
    same webhook-ids, oldest first. Returns how many; raises InvalidInput for more than MOST_REPLAYED."""
    with transaction.atomic():
        endpoint = Endpoint.objects.select_for_update(no_key=True).get(pk=endpoint_id)
        _allowed(actor, REPLAY, endpoint.account)
        events = OutgoingEvent.objects.filter(created_at__gte=since).exclude(type=kinds.PING)
        if endpoint.account:
            events = events.filter(account=endpoint.account)
        if endpoint.types:
            events = events.filter(type__in=endpoint.types)
        found = list(events.order_by("id").values_list("id", "type")[: MOST_REPLAYED + 1])
        if len(found) > MOST_REPLAYED:
            raise InvalidInput(f"More than {MOST_REPLAYED:,} events since then. Choose a later time.", field="since")
        known = Delivery.objects.filter(endpoint=endpoint, event__in=events.values("id"))
        have = set(known.values_list("event_id", flat=True))
        again = _wait_again(known.filter(state__in=REPLAYABLE))
        missing = [(pk, type) for pk, type in found if pk not in have]
        _add_missing(endpoint, missing)
        count = again + len(missing)
        _note("outbound.replayed_since", endpoint, actor, since=since.isoformat(), deliveries=count)
        if count:
            jobs.enqueue(WORK)
    return count


def _wait_again(rows: Any) -> int:
    return int(
        rows.update(
            state=Delivery.State.WAITING,
            attempts=0,
            next_attempt_at=timezone.now(),
            replays=F("replays") + 1,
            claim="",
            lease_until=None,
        )
    )


def _add_missing(endpoint: Endpoint, events: Sequence[tuple[str, str]]) -> None:
    rows = [Delivery(event_id=pk, endpoint=endpoint, account=endpoint.account, type=type) for pk, type in events]
    Delivery.objects.bulk_create(rows, batch_size=1000, ignore_conflicts=True)
