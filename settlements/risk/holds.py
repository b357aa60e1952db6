"""Payouts held by policy: placed above the bar that a person set in the config file, or with a verification that a
person approved; released by a person who may, or when the verification is done through the gate.

The only writer of RiskHold. Whoever pays asks `reason_for` first; an account without an active hold gives "".
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import TYPE_CHECKING

from django.core.exceptions import PermissionDenied
from django.db import IntegrityError, transaction
from django.utils import timezone

from billingops import access, jobs
from billingops.actors import Actor
from billingops.exceptions import InvalidInput, InvalidTransition
from billingops.journal import Note, note
from settlements.risk.models import RiskAssessment, RiskHold

if TYPE_CHECKING:
    from approvals.models import Suggestion

MAX_REASON = 500
LOOK_AGAIN = "settlements.tasks.look_again_at_account"


def reason_for(account: str) -> str:
    """ "" when payouts to `account` (acct_…) may go ahead, else why not: `payouts are held while the account is
    verified (since 2026-11-20)`. One statement."""
    return reasons_for([account]).get(account, "")


def reasons_for(accounts: Iterable[str]) -> dict[str, str]:
    """As `reason_for`, of many accounts; those that are not held are left out. One statement."""
    rows = RiskHold.objects.filter(account__in=set(accounts), state=RiskHold.State.ACTIVE)
    return {account: words(since) for account, since in rows.values_list("account", "since")}


def words(since: datetime) -> str:
    return f"payouts are held while the account is verified (since {since:%Y-%m-%d})"


def place(
    *,
    account: str,
    reason: str,
    placed_by: str,
    actor: Actor,
    score: int = 0,
    until: datetime | None = None,
    event_id: str = "",
    suggestion: Suggestion | None = None,
) -> RiskHold:
    """The account's active hold, made when there is none. What waits to be paid is looked at again."""
    try:
        with transaction.atomic():
            held = RiskHold.objects.create(
                account=account,
                reason=reason[:MAX_REASON],
                score=score,
                placed_by=placed_by,
                until=until,
                event_id=event_id,
                suggestion=suggestion,
            )
            data = {"reason": held.reason, "score": score, "placed_by": placed_by}
            note(Note("risk.hold_placed", f"hold:{held.pk}", actor, data, account, event_id))
            jobs.enqueue(LOOK_AGAIN, account)
    except IntegrityError:
        return RiskHold.objects.get(account=account, state=RiskHold.State.ACTIVE)
    return held


def release(*, hold_id: int, actor: Actor, reason: str) -> RiskHold:
    """A person lets the payouts go. Raises PermissionDenied, InvalidInput (no reason) or InvalidTransition (released
    already)."""
    if actor.user is None or not actor.user.has_perm("risk.release_hold"):
        raise PermissionDenied("You may look at holds but not release them.")
    access.check_may_act(actor.user)
    hold = RiskHold.objects.filter(pk=hold_id).first()
    if hold is None or not access.may_see_account(actor.user, hold.account):
        raise PermissionDenied("There is no such hold on an account that you have access to.")
    reason = reason.strip()
    if not reason or len(reason) > MAX_REASON:
        raise InvalidInput(f"Say in 1 to {MAX_REASON} characters why the hold is released.", field="reason")
    return _end(hold_id, actor=actor, reason=reason)


def release_verified(*, account: str, actor: Actor, reason: str) -> RiskHold | None:
    """The account's verification was said to be done through the gate. None when nothing was held."""
    held = RiskHold.objects.filter(account=account, state=RiskHold.State.ACTIVE).first()
    return _end(held.pk, actor=actor, reason=reason) if held else None


def release_expired(*, now: datetime, actor: Actor) -> int:
    """Those whose policy gave them an end. Returns how many."""
    ended = RiskHold.objects.filter(state=RiskHold.State.ACTIVE, until__lte=now).values_list("pk", flat=True)[:200]
    for pk in list(ended):
        try:
            _end(pk, actor=actor, reason="its time has come, as the policy says")
        except InvalidTransition:  # released by a person meanwhile
            continue
    return len(ended)


def _end(hold_id: int, *, actor: Actor, reason: str) -> RiskHold:
    with transaction.atomic():
        hold: RiskHold = RiskHold.objects.select_for_update().get(pk=hold_id)
        if hold.state != RiskHold.State.ACTIVE:
            raise InvalidTransition(f"This hold was released by {hold.released_by} already.")
        score = RiskAssessment.objects.filter(account=hold.account, latest=True).values_list("score", flat=True)
        hold.state = RiskHold.State.RELEASED
        hold.released_at, hold.released_by = timezone.now(), actor.name[:160]
        hold.released_reason, hold.score_at_release = reason[:MAX_REASON], score.first()
        hold.save()
        note(Note("risk.hold_released", f"hold:{hold.pk}", actor, {"reason": hold.released_reason}, hold.account))
        jobs.enqueue(LOOK_AGAIN, hold.account)
    return hold
