"""What people do about differences by hand: match, and take a match apart. With a reason, and noted in the audit
log."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import F
from django.db.models.functions import Abs
from django.utils import timezone

from billingops import access
from billingops.actors import Actor, save_with_history
from billingops.exceptions import InvalidInput, InvalidTransition
from billingops.journal import Note, note
from settlements.reconciliation import engine, writing
from settlements.reconciliation.models import ReconciliationItem, ReconciliationLink
from settlements.reconciliation.states import OPEN, SETTLED, How, State

MAX_REASON = 500
MAX_MEMBERS = 200
_ONE_BOOK = "Only items of one book and one currency can be matched. Nothing was changed."


def match_by_hand(*, item_id: int, others: Collection[int], reason: str, actor: Actor) -> ReconciliationItem:
    """Say that these open items are about the same money. What adds up is matched; what does not stays open as one
    difference. Raises PermissionDenied, InvalidInput, InvalidTransition."""
    reason = _checked(actor, reason)
    wanted = {int(pk) for pk in others} - {item_id}
    if not wanted:
        raise InvalidInput("Choose at least one other item to match it with.", field="others")
    with transaction.atomic():
        engine.lock()
        found = {
            one.pk: one for one in ReconciliationItem.objects.select_for_update().filter(pk__in={item_id, *wanted})
        }
        item = _mine(found, item_id, actor)
        rest = [_mine(found, pk, actor) for pk in sorted(wanted)]
        for one in (item, *rest):
            if one.state not in OPEN:
                raise InvalidTransition(f"Item {one.pk} is {one.get_state_display()} already. Nothing was changed.")
            if one.account != item.account:
                raise InvalidInput(_ONE_BOOK, field="others")
        members = ReconciliationLink.objects.filter(item__in=found)
        if members.order_by().values("currency").distinct().count() > 1:
            raise InvalidInput(_ONE_BOOK, field="others")  # also within one of them: no sum is made of two
        if not (any(one.transactions for one in found.values()) and any(one.entries for one in found.values())):
            raise InvalidInput(
                "A match needs a transaction of Stripe’s and a journal entry. Nothing was changed.", field="others"
            )
        if sum(one.transactions + one.entries for one in found.values()) > MAX_MEMBERS:
            raise InvalidInput(f"At most {MAX_MEMBERS} members can be matched by hand.", field="others")
        ReconciliationLink.objects.filter(item__in=wanted).update(item=item)
        item.how, item.reason = How.HAND, reason
        save_with_history(item, actor=actor, reason=f"matched by hand: {reason}"[:100])
        writing.close(rest, reason=f"matched by hand with item {item.pk}", now=timezone.now(), actor=actor)
        # State, sums, cause, words and evidence are of the whole now.
        engine.look_again([item.pk], actor=actor)
        item.refresh_from_db()
        _note("reconciliation.matched", item, actor, {"with": sorted(wanted), "reason": reason, "state": item.state})
    return item


def unmatch(*, item_id: int, reason: str, actor: Actor) -> ReconciliationItem:
    """Take a match by hand apart again; its members are judged anew at once. Raises as match_by_hand does."""
    reason = _checked(actor, reason)
    with transaction.atomic():
        engine.lock()
        found = {one.pk: one for one in ReconciliationItem.objects.select_for_update().filter(pk=item_id)}
        item = _mine(found, item_id, actor)
        if item.how != How.HAND or item.state in (State.EXPLAINED, State.WRITTEN_OFF):
            raise InvalidTransition("Only a match that was made by hand can be taken apart. Nothing was changed.")
        was = item.state
        item.how, item.reason, item.closed_at, item.closed_by = How.NONE, "", None, ""
        item.state = State.PARTIALLY_MATCHED if was in SETTLED else item.state
        save_with_history(item, actor=actor, reason=f"match by hand taken apart: {reason}"[:100])
        engine.look_again([item.pk], actor=actor)
        _note("reconciliation.unmatched", item, actor, {"reason": reason, "was": was})
        return ReconciliationItem.objects.filter(pk=item_id).first() or item


def candidates(item: ReconciliationItem, user: Any, *, most: int = 50) -> list[ReconciliationItem]:
    """Open items of the same book and currency that have the side this one lacks; the nearest amounts first."""
    rows = ReconciliationItem.objects.open().visible_to(user).filter(account=item.account, currency=item.currency)
    rows = rows.exclude(pk=item.pk).exclude(state=State.CURRENCY_MISMATCH)
    rows = rows.filter(entries__gt=0) if item.entries == 0 else rows.filter(transactions__gt=0)
    wanted = -item.difference  # what would make this one whole
    nearest = rows.order_by(Abs(F("difference") - wanted), "-id")[:500]
    return sorted(nearest, key=lambda one: (abs(one.difference - wanted), abs(one.occurred_at - item.occurred_at)))[
        :most
    ]


def _checked(actor: Actor, reason: str) -> str:
    if actor.user is None or not actor.user.has_perm("reconciliation.match_by_hand"):
        raise PermissionDenied("You may look at differences but not match them.")
    access.check_may_act(actor.user)
    reason = reason.strip()
    if not reason or len(reason) > MAX_REASON:
        raise InvalidInput(f"Say in 1 to {MAX_REASON} characters why these belong together.", field="reason")
    return reason


def _mine(found: dict[int, ReconciliationItem], pk: int, actor: Actor) -> ReconciliationItem:
    if pk not in found:
        raise InvalidInput(f"There is no item {pk} any more. Nothing was changed.", field="others")
    if not access.may_see_account(actor.user, found[pk].account):
        raise PermissionDenied("This belongs to an account that you have no access to.")
    return found[pk]


def _note(action: str, item: ReconciliationItem, actor: Actor, data: dict[str, Any]) -> None:
    note(Note(action, f"reconciliation:{item.pk}", actor, data, item.account))
