"""What people do around a decision: take, release, assign, comment, keep a view of the queue.

Taking says "I am on it": it keeps nobody out. Whoever decides on what somebody else has taken says so first
(`mind_assignee`), and that is written down. None of these changes the suggestion's version, for none changes what an
approval binds to.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from hashlib import sha256
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from approvals import audit
from approvals.models import Comment, DeskSetting, SavedView, Suggestion
from approvals.services.steps import MAX_COMMENT
from approvals.states import TAKEABLE
from billingops import access
from billingops.actors import Actor, save_with_history
from billingops.exceptions import InvalidInput, InvalidTransition

DECIDE = "approvals.approve_suggestion"
LEAD = "approvals.approve_second_suggestion"  # who has it may also take work from one person and give it to another
COMMENT = "approvals.add_comment"
MAX_VIEWS = 50


class AlreadyTaken(InvalidTransition):
    """Somebody else is on it. Nothing was changed. (API: 409)"""

    code = "already_taken"


# -- who is on it ------------------------------------------------------------------------------------------------------


def take(*, suggestion_id: uuid.UUID | str, actor: Actor) -> Suggestion:
    """`actor` is on it from now on. Of two who take at once one has it; the other gets AlreadyTaken."""
    with transaction.atomic():
        suggestion = _locked(suggestion_id, actor)
        assert actor.user is not None
        if suggestion.assignee_id == actor.user.pk:
            return suggestion
        _check_free(suggestion)
        return _put(suggestion, actor.user, actor=actor, action="suggestion.taken", reason="taken")


def release(*, suggestion_id: uuid.UUID | str, actor: Actor) -> Suggestion:
    """Nobody is on it any more. One's own; a lead's right for somebody else's."""
    with transaction.atomic():
        suggestion = _locked(suggestion_id, actor)
        if suggestion.assignee_id is None:
            return suggestion
        _check_own_or_lead(suggestion, actor)
        return _put(suggestion, None, actor=actor, action="suggestion.released", reason="released")


def assign(*, suggestion_id: uuid.UUID | str, actor: Actor, to: Any, seen: int | None = None) -> Suggestion:
    """`to` (a user who may decide on its account) is on it from now on.

    `seen`: the id of whoever was on it on the page that `actor` looked at. Raises AlreadyTaken when that has changed,
    PermissionDenied when it is somebody else's and `actor` is no lead, InvalidInput when `to` may not decide on it.
    """
    with transaction.atomic():
        suggestion = _locked(suggestion_id, actor)
        if suggestion.assignee_id == to.pk:
            return suggestion
        if suggestion.assignee_id != seen:
            _check_free(suggestion)
            raise AlreadyTaken("Somebody has released it meanwhile. Nothing was changed; look again.")
        if suggestion.assignee_id is not None:
            _check_own_or_lead(suggestion, actor)
        if why := cannot_be_given(suggestion, to):
            raise InvalidInput(f"{to.get_username()} {why}. Nothing was changed.", field="to")
        reason = f"assigned to {to.get_username()}"
        return _put(suggestion, to, actor=actor, action="suggestion.assigned", reason=reason)


def cannot_be_given(suggestion: Suggestion, user: Any) -> str:
    """ "" when `user` may decide on it, else why not, to follow a name."""
    if not user.is_active or not user.has_perm(DECIDE):
        return "may not decide on suggestions"
    return _why_not_theirs(suggestion, user)


def _why_not_theirs(suggestion: Suggestion, user: Any) -> str:
    if not access.may_see_account(user, suggestion.account):
        return "may not decide on this account"
    if user.pk in (suggestion.proposed_by_id, suggestion.last_editor_id):
        return "proposed or edited it and may not approve it"
    return ""


def assignable(suggestion: Suggestion) -> list[Any]:
    """Who may decide on its account, by name. Two statements, however many people there are."""
    people = list(deciders())
    access.read_many(people)
    return [user for user in people if not _why_not_theirs(suggestion, user)]


def deciders() -> QuerySet[Any]:
    """Active people with the right to decide."""
    return access.holders(DECIDE)


def taken_by_other(suggestion: Suggestion, user: Any) -> str:
    """The name of whoever else is on it, "" for nobody or `user`."""
    if suggestion.assignee_id in (None, user.pk) or suggestion.state not in TAKEABLE:
        return ""
    assert suggestion.assignee is not None
    return suggestion.assignee.get_username()


def mind_assignee(*, suggestion_id: uuid.UUID | str, actor: Actor, despite: bool) -> None:
    """Before a verdict, in its transaction: what somebody else has taken is decided only by who says so (`despite`),
    and the audit log says that it was. Raises AlreadyTaken."""
    suggestion = Suggestion.objects.select_for_update(no_key=True).get(pk=suggestion_id)
    other = taken_by_other(suggestion, actor.user) if actor.user is not None else ""
    if not other:
        return
    if not despite:
        raise AlreadyTaken(
            f"{other} has taken this one. Nothing was changed. Speak with {other}, or say that you decide all the same."
        )
    audit.append(
        action="suggestion.decided_beside",
        subject=f"suggestion:{suggestion.pk}",
        actor=actor,
        account=suggestion.account,
        data={"version": suggestion.version, "taken_by": other},
    )


def decide(
    verb: Callable[..., Suggestion], *, suggestion_id: uuid.UUID | str, actor: Actor, despite: bool, **given: Any
) -> Suggestion:
    """`verb` (approve, edit, reject) with `mind_assignee` before it, in one transaction."""
    with transaction.atomic():
        mind_assignee(suggestion_id=suggestion_id, actor=actor, despite=despite)
        return verb(suggestion_id=suggestion_id, actor=actor, **given)


def _locked(suggestion_id: uuid.UUID | str, actor: Actor) -> Suggestion:
    suggestion = Suggestion.objects.select_for_update(no_key=True).get(pk=suggestion_id)
    if actor.user is None or not actor.user.has_perm(DECIDE):
        raise PermissionDenied("You may look at suggestions but not take them.")
    _check_account(suggestion, actor)
    if suggestion.state not in TAKEABLE:
        raise InvalidTransition(f"It is {suggestion.get_state_display()}; there is nothing to take. Nothing changed.")
    return suggestion


def _check_account(suggestion: Suggestion, actor: Actor) -> None:
    if not access.may_see_account(actor.user, suggestion.account):
        raise PermissionDenied("This suggestion belongs to an account that you have no access to.")


def _check_free(suggestion: Suggestion) -> None:
    if suggestion.assignee is not None:
        raise AlreadyTaken(f"{suggestion.assignee.get_username()} took it first. Nothing was changed.")


def _check_own_or_lead(suggestion: Suggestion, actor: Actor) -> None:
    user = actor.user
    assert user is not None
    if suggestion.assignee_id != user.pk and not user.has_perm(LEAD):
        raise PermissionDenied("Somebody else has taken it; only they or a finance lead can pass it on.")


def _put(suggestion: Suggestion, user: Any, *, actor: Actor, action: str, reason: str) -> Suggestion:
    before = suggestion.assignee
    suggestion.assignee, suggestion.assigned_at = user, timezone.now() if user else None
    save_with_history(suggestion, actor=actor, reason=reason)
    audit.append(
        action=action,
        subject=f"suggestion:{suggestion.pk}",
        actor=actor,
        account=suggestion.account,
        data={
            "version": suggestion.version,
            "from": before.get_username() if before else "",
            "to": user.get_username() if user else "",
        },
    )
    return suggestion


# -- comments ----------------------------------------------------------------------------------------------------------


def comment(*, suggestion_id: uuid.UUID | str, actor: Actor, text: str) -> Comment:
    """Say something about it, whatever its state. The audit log keeps the text's hash, not the text."""
    text = text.strip()
    if not text:
        raise InvalidInput("An empty comment says nothing.", field="text")
    if len(text) > MAX_COMMENT:
        raise InvalidInput(f"The comment is longer than {MAX_COMMENT} characters.", field="text")
    with transaction.atomic():
        suggestion = Suggestion.objects.get(pk=suggestion_id)
        if actor.user is None or not actor.user.has_perm(COMMENT):
            raise PermissionDenied("You may look at suggestions but not comment on them.")
        _check_account(suggestion, actor)
        made = Comment.objects.create(suggestion=suggestion, author=actor.user, author_name=actor.name, text=text)
        audit.append(
            action="suggestion.commented",
            subject=f"suggestion:{suggestion.pk}",
            actor=actor,
            account=suggestion.account,
            data={"comment": made.pk, "sha256": sha256(text.encode()).hexdigest()},
        )
        return made


# -- views and settings ------------------------------------------------------------------------------------------------


def views_of(user: Any) -> QuerySet[SavedView]:
    """One's own, and what others share."""
    return SavedView.objects.filter(Q(owner=user) | Q(shared=True)).select_related("owner")


def save_view(*, actor: Actor, name: str, query: str, shared: bool = False) -> SavedView:
    """Keep `query` under `name`; the same name again replaces it. Sharing asks for the right to decide."""
    name = " ".join(name.split())
    if not name or len(name) > 60:
        raise InvalidInput("A view needs a name of at most 60 characters.", field="name")
    if actor.user is None or not actor.user.has_perm("approvals.view_suggestion"):
        raise PermissionDenied("You may not see suggestions.")
    if shared and not actor.user.has_perm(DECIDE):
        raise PermissionDenied("Only who may decide on suggestions can share a view. Nothing was saved.")
    with transaction.atomic():
        mine = SavedView.objects.filter(owner=actor.user)
        if not mine.filter(name=name).exists() and mine.count() >= MAX_VIEWS:
            raise InvalidInput(f"You have {MAX_VIEWS} views already; delete one first.", field="name")
        view, _ = SavedView.objects.update_or_create(
            owner=actor.user, name=name, defaults={"query": query[:600], "shared": shared}
        )
        if shared:
            audit.append(action="view.shared", subject=f"view:{view.pk}", actor=actor, data={"query": view.query})
        return view


def delete_view(*, view_id: int, actor: Actor) -> None:
    """One's own. Raises SavedView.DoesNotExist for anybody else's."""
    with transaction.atomic():
        view = SavedView.objects.get(pk=view_id, owner=actor.user)
        if view.shared:
            audit.append(action="view.unshared", subject=f"view:{view.pk}", actor=actor, data={"query": view.query})
        view.delete()


def set_daily_summary(*, actor: Actor, wanted: bool) -> DeskSetting:
    setting, _ = DeskSetting.objects.update_or_create(user=actor.user, defaults={"daily_summary": wanted})
    return setting
