"""The kill switch: one click, and nothing (or nothing of one kind) is carried out any more. What is approved is held
and goes on when the switch is off again; the facts are read again then, as always.

A flip takes the policy lock alone (policies/locks.py), which every execution shares while it begins: once `flip` has
returned, nothing begins. What had begun before is on its way to Stripe and is listed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from approvals import audit, registry
from approvals.models import Execution, KillSwitch
from approvals.models.switch import EVERYTHING
from approvals.policies import locks
from billingops import access, jobs
from billingops.actors import Actor, save_with_history
from billingops.exceptions import InvalidInput

MAX_REASON = 500


@dataclass(frozen=True)
class Flipped:
    """`running`: what had begun when the switch went on; it cannot be stopped any more."""

    switch: KillSwitch
    running: list[Execution]


def label(kind: str) -> str:
    return registry.label(kind) if kind else "Everything"


def may_use(user: Any) -> str:
    """ "" when this person may flip a switch, else why not. A switch stops all accounts, so it is not for those who are
    limited to some."""
    if not user.has_perm("approvals.use_kill_switch"):
        return "You may look at the kill switch but not use it."
    if access.accounts_of(user) is not None:
        return "The kill switch stops all accounts, and you have access to some of them only."
    return ""


def flip(*, kind: str, on: bool, actor: Actor, reason: str = "") -> Flipped:
    """Stop `kind` ("": everything), or let it go on. Flipping it to what it is changes nothing.

    Stopping asks for no second factor and no reason: it must not have to wait for a telephone. Going on asks for both.
    Raises PermissionDenied, InvalidInput.
    """
    if actor.user is None:
        raise PermissionDenied("A person uses the kill switch.")
    if why := may_use(actor.user):
        raise PermissionDenied(why)
    reason = reason.strip()
    if kind and kind not in registry.names():
        raise InvalidInput(f"{kind!r} is no known kind; there are {', '.join(registry.names())}.", field="kind")
    if len(reason) > MAX_REASON:
        raise InvalidInput(f"The reason is longer than {MAX_REASON} characters.", field="reason")
    if not on:
        access.check_may_act(actor.user)
        if not reason:
            raise InvalidInput("Say why it may go on.", field="reason")
    with transaction.atomic():
        locks.change()
        switch, _ = KillSwitch.objects.select_for_update().get_or_create(kind=kind)
        if switch.is_on != on:
            switch.is_on, switch.reason, switch.changed_at = on, reason, timezone.now()
            switch.changed_by, switch.changed_by_name = actor.user, actor.name
            save_with_history(switch, actor=actor, reason=reason or ("stopped" if on else "goes on"))
            audit.append(
                action=f"kill_switch.{'on' if on else 'off'}",
                subject=f"kill_switch:{kind or 'everything'}",
                actor=actor,
                data={"reason": reason},
            )
            if not on:
                jobs.enqueue("approvals.tasks.wake_held", kind or "*", "")
    return Flipped(switch, list(running(kind)) if on else [])


def running(kind: str = EVERYTHING) -> QuerySet[Execution]:
    """What has begun and has no result yet, the oldest first."""
    rows = Execution.objects.filter(state=Execution.State.EXECUTING).select_related("suggestion").order_by("started_at")
    return rows.filter(suggestion__kind=kind) if kind else rows


def every() -> list[KillSwitch]:
    """Everything first, then each kind; unsaved rows for those never used. One statement."""
    rows = {row.kind: row for row in KillSwitch.objects.all()}
    return [rows.get(kind) or KillSwitch(kind=kind) for kind in (EVERYTHING, *registry.names())]


def now_on() -> list[KillSwitch]:
    """One statement, which an index of the rows that are on answers."""
    return list(KillSwitch.objects.filter(is_on=True))
