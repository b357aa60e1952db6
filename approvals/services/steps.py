"""What every verb of the gate shares: lock and look, check the right, write the decision, move the state.

The only place where a suggestion's state changes; verbs outside this package do not call it, `executions.py` excepted.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from datetime import timedelta
from typing import Any

from django.core.exceptions import PermissionDenied
from django.utils import timezone

from approvals import audit, registry, sealing, states
from approvals.models import Decision, Execution, Suggestion
from approvals.signals import suggestion_changed
from approvals.states import State
from billingops import access, jobs
from billingops.actors import Actor, save_with_history
from billingops.exceptions import InvalidInput, InvalidTransition, VersionConflict
from billingops.ids import seal

MAX_COMMENT = 2000


def locked(suggestion_id: uuid.UUID | str, *, actor: Actor, version: int, allowed: Iterable[str]) -> Suggestion:
    suggestion = Suggestion.objects.select_for_update().get(pk=suggestion_id)
    check_right(suggestion, actor)
    if suggestion.state not in allowed:
        raise InvalidTransition(
            f"This suggestion is {suggestion.get_state_display()}; that step is no longer possible. Nothing changed."
        )
    if suggestion.is_overdue:
        raise InvalidTransition("This suggestion has expired; nobody decided in time. Nothing was changed.")
    if suggestion.version != version:
        changes = changes_since(suggestion, version)
        raise VersionConflict(
            f"You saw version {version}, it is now version {suggestion.version}. Nothing was changed; look again.",
            changes,
        )
    return suggestion


def check_right(suggestion: Suggestion, actor: Actor) -> None:
    if actor.user is None or not actor.user.has_perm("approvals.approve_suggestion"):
        raise PermissionDenied("You may look at suggestions but not decide on them.")
    if not access.may_see_account(actor.user, suggestion.account):
        raise PermissionDenied("This suggestion belongs to an account that you have no access to.")


def approvals(suggestion: Suggestion) -> list[Decision]:
    """The approvals that count: those given since the last edit."""
    given = suggestion.decisions.filter(verdict=Decision.Verdict.APPROVE, revision=suggestion.revision)
    return list(given.select_related("actor"))


def check_four_eyes(suggestion: Suggestion, actor: Actor, earlier: list[Decision]) -> None:
    """Nobody approves what they proposed or edited; the second approval comes from another person than the first, and
    one of the two has the right to give second approvals."""
    user = actor.user
    assert user is not None  # check_right has seen to it
    if suggestion.proposed_by_id == user.pk:
        raise PermissionDenied("You proposed this; the approval must come from somebody else.")
    if suggestion.last_editor_id == user.pk:
        raise PermissionDenied("You made the last edit; the approval must come from somebody else.")
    if not earlier:
        return
    if any(decision.actor_id == user.pk for decision in earlier):
        raise PermissionDenied("You gave the first approval; the second must come from somebody else.")
    second = "approvals.approve_second_suggestion"
    if not user.has_perm(second) and not any(one.actor and one.actor.has_perm(second) for one in earlier):
        raise PermissionDenied("One of the two approvals must come from a finance lead.")


def decide(
    suggestion: Suggestion,
    *,
    actor: Actor,
    verdict: str,
    comment: str,
    reason_code: str = "",
    versions: list[list[int]] | None = None,
) -> Decision:
    """Write the verdict down, bound to what was seen. `versions` of the policies that were asked."""
    if len(comment) > MAX_COMMENT:
        raise InvalidInput(f"The comment is longer than {MAX_COMMENT} characters.", field="comment")
    sealed = sealing.content(suggestion, versions or [])
    return Decision.objects.create(
        suggestion=suggestion,
        actor=actor.user,
        actor_name=actor.name,
        verdict=verdict,
        version=suggestion.version,
        revision=suggestion.revision,
        facts_hash=suggestion.facts_hash,
        seal=seal(sealed),
        sealed=sealed,
        reason_code=reason_code,
        comment=comment.strip(),
    )


def queue_execution(suggestion: Suggestion, *, undo_seconds: int = 0) -> Execution:
    """The next attempt, with its own key. `undo_seconds`: how long it can still be taken back."""
    attempt = suggestion.executions.count() + 1
    due = registry.get(suggestion.kind).due_at(suggestion)
    now = timezone.now()
    execution = Execution.objects.create(
        suggestion=suggestion,
        attempt=attempt,
        idempotency_key=Execution.new_key(suggestion.pk, attempt),
        not_before=max(due or now, now + timedelta(seconds=undo_seconds)),
    )
    if execution.not_before <= now:
        jobs.enqueue("approvals.tasks.execute", execution.pk)
    return execution


def drop_queued(suggestion: Suggestion, why: str) -> None:
    suggestion.executions.filter(state=Execution.State.QUEUED).update(
        state=Execution.State.DROPPED, error=why, finished_at=timezone.now()
    )


def move(suggestion: Suggestion, target: State, *, actor: Actor, reason: str) -> Suggestion:
    """The one place where a state changes; the caller holds the row's lock."""
    states.check(suggestion.state, target)
    previous, suggestion.state = suggestion.state, target
    suggestion.version += 1
    save(suggestion, previous=previous, actor=actor, reason=reason)
    return suggestion


def save(
    suggestion: Suggestion, *, previous: str | None, actor: Actor, reason: str, action: str = "", **kwargs: Any
) -> None:
    save_with_history(suggestion, actor=actor, reason=reason, **kwargs)
    audit.append(
        action=action or f"suggestion.{suggestion.state if previous else 'proposed'}",
        subject=f"suggestion:{suggestion.pk}",
        actor=actor,
        data={
            "kind": suggestion.kind,
            "from": previous,
            "version": suggestion.version,
            "revision": suggestion.revision,
            "account": suggestion.account,
            "about": suggestion.subject,
            "amount": suggestion.amount,
            "currency": suggestion.currency,
            "facts_hash": suggestion.facts_hash,
            "params_hash": seal(suggestion.params),
            "policy": suggestion.policy,
            "suggested_by": suggestion.suggested_by,
            "event": suggestion.event_id,
            "reason": reason,
        },
    )
    suggestion_changed.send(sender=Suggestion, suggestion=suggestion, previous=previous, actor=actor, reason=reason)


def changes_since(suggestion: Suggestion, version: int) -> list[str]:
    """What moved between `version` and now, one sentence a field, for the person who looked at the old page."""
    old = suggestion.history.filter(version=version).order_by("-history_id").first()
    if old is None:
        return [f"state: {suggestion.get_state_display()}"]
    new = suggestion.history.order_by("-history_id").first()
    ignored = {"version", "updated_at", "policy"}
    delta = new.diff_against(old, excluded_fields=ignored)
    return [f"{change.field}: {change.old} → {change.new}" for change in delta.changes]
