"""What every verb of the gate shares: lock and look, check the right, write the decision, move the state.

Verbs outside this package do not call it, `executions.py` excepted.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection
from datetime import timedelta
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db.models import Count, F
from django.utils import timezone

from approvals import blind, registry, sealing
from approvals.models import Decision, Execution, Suggestion
from approvals.services import writing
from approvals.states import State
from billingops import access, jobs
from billingops.actors import Actor
from billingops.exceptions import InvalidInput, InvalidTransition, VersionConflict
from billingops.ids import seal

MAX_COMMENT = 2000


def locked(suggestion_id: uuid.UUID | str, *, actor: Actor, version: int, allowed: Collection[str]) -> Suggestion:
    suggestion = Suggestion.objects.select_for_update(no_key=True).get(pk=suggestion_id)
    check_person(actor)
    check_ready(suggestion, actor=actor, version=version, allowed=allowed)
    return suggestion


def check_ready(
    suggestion: Suggestion, *, actor: Actor, version: int, allowed: Collection[str], explain: bool = True
) -> None:
    """That this step is possible for this row, by this person as far as the row is concerned. `explain`: say what has
    changed since `version`, which costs two statements."""
    check_account(suggestion, actor)
    if suggestion.state not in allowed:
        raise InvalidTransition(
            f"This suggestion is {suggestion.get_state_display()}; that step is no longer possible. Nothing changed."
        )
    if suggestion.is_overdue:
        raise InvalidTransition("This suggestion has expired; nobody decided in time. Nothing was changed.")
    if blind.hides(suggestion):
        raise InvalidTransition(f"{blind.FIRST_SAY} Nothing was changed.")
    if suggestion.version != version:
        changes = changes_since(suggestion, version) if explain else []
        raise VersionConflict(
            f"You saw version {version}, it is now version {suggestion.version}. Nothing was changed; look again.",
            changes,
        )


def check_right(suggestion: Suggestion, actor: Actor) -> None:
    check_person(actor)
    check_account(suggestion, actor)


def check_person(actor: Actor) -> None:
    """That this person may decide at all: once for a verb, however many rows it is about."""
    if actor.user is None or not actor.user.has_perm("approvals.approve_suggestion"):
        raise PermissionDenied("You may look at suggestions but not decide on them.")
    access.check_may_act(actor.user)


def check_account(suggestion: Suggestion, actor: Actor) -> None:
    if not access.may_see_account(actor.user, suggestion.account):
        raise PermissionDenied("This suggestion belongs to an account that you have no access to.")


def let_go(suggestion: Suggestion, actor: Actor) -> None:
    """Whoever cannot give the next approval is not on it any more, so that others see it as free."""
    if actor.user is not None and suggestion.assignee_id == actor.user.pk:
        suggestion.assignee = suggestion.assigned_at = None


def approvals(suggestion: Suggestion) -> list[Decision]:
    """The approvals that count: those given since the last edit."""
    return approvals_of([suggestion]).get(suggestion.pk, [])


def approvals_of(suggestions: Collection[Suggestion]) -> dict[uuid.UUID, list[Decision]]:
    """The approvals that count, by suggestion. One statement; each person's object is there once, so their rights are
    read once."""
    rows = Decision.objects.filter(suggestion__in=suggestions, verdict=Decision.Verdict.APPROVE)
    found: dict[uuid.UUID, list[Decision]] = {}
    people: dict[int, Any] = {}
    for row in rows.filter(revision=F("suggestion__revision")).select_related("actor"):
        if row.actor is not None:
            row.actor = people.setdefault(row.actor.pk, row.actor)
        found.setdefault(row.suggestion_id, []).append(row)
    return found


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


def check_comment(comment: str) -> None:
    if len(comment) > MAX_COMMENT:
        raise InvalidInput(f"The comment is longer than {MAX_COMMENT} characters.", field="comment")


def decision(
    suggestion: Suggestion,
    *,
    actor: Actor,
    verdict: str,
    comment: str,
    reason_code: str = "",
    versions: list[list[int]] | None = None,
) -> Decision:
    """The verdict, bound to what was seen; not stored yet. `versions` of the policies that were asked."""
    sealed = sealing.content(suggestion, versions or [])
    return Decision(
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


def decide(suggestion: Suggestion, *, actor: Actor, verdict: str, comment: str, **kwargs: Any) -> Decision:
    """Write the verdict down."""
    check_comment(comment)
    made = decision(suggestion, actor=actor, verdict=verdict, comment=comment, **kwargs)
    made.save(force_insert=True)
    return made


def queue_execution(suggestion: Suggestion, *, undo_seconds: int = 0) -> Execution:
    """The next attempt, with its own key. `undo_seconds`: how long it can still be taken back."""
    return queue_executions([(suggestion, undo_seconds)])[0]


def queue_executions(approved: Collection[tuple[Suggestion, int]]) -> list[Execution]:
    """The next attempt of each, and ONE job for those that are due. Pairs of (suggestion, seconds to take it back)."""
    suggestions = [suggestion for suggestion, _ in approved]
    earlier = dict(
        Execution.objects.filter(suggestion__in=suggestions).order_by().values_list("suggestion").annotate(Count("pk"))
    )
    now = timezone.now()
    made = []
    for suggestion, undo_seconds in approved:
        attempt = earlier.get(suggestion.pk, 0) + 1
        due = registry.get(suggestion.kind).due_at(suggestion)
        made.append(
            Execution(
                suggestion=suggestion,
                attempt=attempt,
                idempotency_key=Execution.new_key(suggestion.pk, attempt),
                not_before=max(due or now, now + timedelta(seconds=undo_seconds)),
            )
        )
    made = Execution.objects.bulk_create(made)
    ready = [execution.pk for execution in made if execution.not_before <= now]
    if len(ready) == 1:
        jobs.enqueue("approvals.tasks.execute", ready[0])
    elif ready:
        jobs.enqueue("approvals.tasks.execute_many", *ready)
    return made


def drop_queued(suggestion: Suggestion, why: str) -> None:
    suggestion.executions.filter(state=Execution.State.QUEUED).update(
        state=Execution.State.DROPPED, error=why, finished_at=timezone.now()
    )


def move(suggestion: Suggestion, target: State, *, actor: Actor, reason: str) -> Suggestion:
    """One step of one suggestion; the caller holds the row's lock."""
    writing.write([writing.move(suggestion, target, reason=reason)], actor=actor)
    return suggestion


def changes_since(suggestion: Suggestion, version: int) -> list[str]:
    """What moved between `version` and now, one sentence a field, for the person who looked at the old page."""
    old = suggestion.history.filter(version=version).order_by("-history_id").first()
    if old is None:
        return [f"state: {suggestion.get_state_display()}"]
    new = suggestion.history.order_by("-history_id").first()
    ignored = {"version", "updated_at", "policy", "assignee", "assigned_at", "rank_at"}
    delta = new.diff_against(old, excluded_fields=ignored)
    return [f"{change.field}: {change.old} → {change.new}" for change in delta.changes]
