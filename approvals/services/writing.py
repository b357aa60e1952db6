"""Writing steps down, for one suggestion or for a thousand: the rows, their history, the audit log, the house.

The only place where a suggestion's row is changed. The number of statements does not grow with the number of rows:
one UPDATE, one INSERT into the history, one into the audit log, and one signal that receivers answer as a whole.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.utils import timezone

from approvals import audit, states
from approvals.models import Suggestion
from approvals.signals import Change, seeded_changed, suggestion_changed, suggestions_changed
from approvals.states import State
from billingops import bulk
from billingops.actors import Actor, save_with_history
from billingops.ids import seal


def move(suggestion: Suggestion, target: State, *, reason: str) -> Change:
    """The step as it will be written, the row changed in memory only. Raises InvalidTransition."""
    states.check(suggestion.state, target)
    previous, suggestion.state = suggestion.state, target
    suggestion.version += 1
    return Change(suggestion, previous, reason)


def write(changes: Sequence[Change], *, actor: Actor, action: str = "") -> None:
    """Write the steps; the caller holds the rows' locks. What of each row differs from what was read is stored."""
    if not changes:
        return
    now, rows = timezone.now(), [change.suggestion for change in changes]
    for row in rows:
        row.updated_at = now
    moved = sorted(set().union(*(row.moved_fields() for row in rows)))
    bulk.update_with_history(Suggestion, rows, moved, actor=actor, reasons=[change.reason for change in changes])
    for row in rows:
        row.is_stored()
    _tell(changes, actor=actor, action=action)


def insert(suggestion: Suggestion, *, actor: Actor, reason: str) -> None:
    """A new one. Raises IntegrityError where its dedupe key is held."""
    save_with_history(suggestion, actor=actor, reason=reason, force_insert=True)
    suggestion.is_stored()
    _tell([Change(suggestion, None, reason)], actor=actor)


def insert_many(suggestions: Sequence[Suggestion], *, actor: Actor, reason: str) -> None:
    """New ones, in as many statements for a thousand as for ten. Raises IntegrityError where a dedupe key is held."""
    if not suggestions:
        return
    Suggestion.objects.bulk_create(suggestions)
    bulk.add_history(Suggestion, suggestions, kind="+", actor=actor, reasons=[reason] * len(suggestions))
    for row in suggestions:
        row.is_stored()
    _tell([Change(row, None, reason) for row in suggestions], actor=actor)


def _tell(changes: Sequence[Change], *, actor: Actor, action: str = "") -> None:
    audit.append_many(_note(change, actor, action) for change in changes)
    if seeded := [change for change in changes if change.suggestion.is_seeded]:
        seeded_changed.send(sender=Suggestion, changes=seeded, actor=actor)
        if not (changes := [change for change in changes if not change.suggestion.is_seeded]):
            return
    suggestions_changed.send(sender=Suggestion, changes=changes, actor=actor)
    if suggestion_changed.has_listeners(Suggestion):
        for change in changes:
            suggestion_changed.send(
                sender=Suggestion,
                suggestion=change.suggestion,
                previous=change.previous,
                actor=actor,
                reason=change.reason,
            )


def _note(change: Change, actor: Actor, action: str) -> audit.Note:
    suggestion = change.suggestion
    return audit.Note(
        action=action or f"suggestion.{suggestion.state if change.previous else 'proposed'}",
        subject=f"suggestion:{suggestion.pk}",
        actor=actor,
        account=suggestion.account,
        event_id=suggestion.event_id,
        data={
            "kind": suggestion.kind,
            "from": change.previous,
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
            "reason": change.reason,
            **(_reasoning(suggestion) if change.previous is None else {}),
        },
    )


def _reasoning(suggestion: Suggestion) -> dict[str, Any]:
    """Why it was suggested. The words themselves may name people, so they are bound by their hash; what a model was
    asked, redacted, and what it said stand in its AgentRun."""
    return {
        "reason_code": suggestion.reason_code,
        "confidence": None if suggestion.confidence is None else str(suggestion.confidence),
        "flags": [flag.get("code", "") for flag in suggestion.flags],
        "rationale_hash": seal(suggestion.rationale),
        "baseline": suggestion.baseline,
        "agent_run": str(suggestion.agent_run) if suggestion.agent_run else "",
    }
