"""What people do with a suggestion: approve, reject, cancel, ask for another attempt or another look."""

from __future__ import annotations

import uuid
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.utils import timezone

from approvals import audit, policies
from approvals.models import Decision, Execution, Policy, Suggestion
from approvals.services import steps
from approvals.services.steps import MAX_COMMENT
from approvals.states import WAITING_FOR_A_PERSON, State
from billingops import jobs
from billingops.actors import Actor
from billingops.exceptions import InvalidInput, InvalidTransition

REJECTION_REASONS = [
    ("wrong_amount", "The amount is wrong"),
    ("wrong_party", "The wrong seller or customer"),
    ("wrong_action", "Another action is better"),
    ("bad_timing", "Not now"),
    ("already_handled", "Already handled elsewhere"),
    ("suspected_fraud", "Suspected fraud"),
    ("disputed", "A dispute or complaint is open"),
    ("other", "Other (say which in the comment)"),
]


def approve(*, suggestion_id: uuid.UUID | str, actor: Actor, version: int, comment: str = "") -> Suggestion:
    """A person's yes to exactly what `version` showed. Queues the execution once enough people have said it.

    Raises VersionConflict, InvalidTransition, PermissionDenied (no right, other account, second approval by the first).
    """
    with transaction.atomic():
        suggestion = steps.locked(suggestion_id, actor=actor, version=version, allowed=WAITING_FOR_A_PERSON)
        now_asks = policies.evaluate(
            kind=suggestion.kind, account=suggestion.account, amount=suggestion.amount, currency=suggestion.currency
        )
        if now_asks.mode == Policy.Mode.OFF:
            raise InvalidTransition(f"Nothing was approved: {now_asks.clause}.")
        suggestion.policy = {**suggestion.policy, "approved": now_asks.as_json()}
        suggestion.required_approvals = max(suggestion.required_approvals, now_asks.approvals)
        earlier = steps.approvals(suggestion)
        steps.check_four_eyes(suggestion, actor, earlier)
        steps.decide(suggestion, actor=actor, verdict=Decision.Verdict.APPROVE, comment=comment)
        if suggestion.is_shadow or now_asks.mode == Policy.Mode.SHADOW:
            return steps.move(suggestion, State.OBSERVED, actor=actor, reason="approved in shadow mode, not executed")
        given = len(earlier) + 1
        if given < suggestion.required_approvals:
            return steps.move(
                suggestion,
                State.SECOND_REVIEW,
                actor=actor,
                reason=f"approval {given} of {suggestion.required_approvals}",
            )
        steps.move(suggestion, State.APPROVED, actor=actor, reason=comment or "approved")
        steps.queue_execution(suggestion)
        return suggestion


def reject(
    *, suggestion_id: uuid.UUID | str, actor: Actor, version: int, reason_code: str, comment: str = ""
) -> Suggestion:
    """A person's no, with its reason. Raises InvalidInput for an unknown reason or `other` without a comment."""
    if reason_code not in dict(REJECTION_REASONS):
        allowed = ", ".join(code for code, _ in REJECTION_REASONS)
        raise InvalidInput(f"reason_code must be one of {allowed}.", field="reason_code")
    if reason_code == "other" and not comment.strip():
        raise InvalidInput("Say in the comment why you reject it.", field="comment")
    with transaction.atomic():
        suggestion = steps.locked(suggestion_id, actor=actor, version=version, allowed=WAITING_FOR_A_PERSON)
        steps.decide(suggestion, actor=actor, verdict=Decision.Verdict.REJECT, comment=comment, reason_code=reason_code)
        target = State.OBSERVED if suggestion.is_shadow and suggestion.state == State.PENDING else State.REJECTED
        return steps.move(suggestion, target, actor=actor, reason=f"rejected: {reason_code}")


def cancel(*, suggestion_id: uuid.UUID | str, actor: Actor, version: int, comment: str = "") -> Suggestion:
    """Take an approval back before its execution starts, or give a failed one up."""
    with transaction.atomic():
        suggestion = steps.locked(suggestion_id, actor=actor, version=version, allowed=(State.APPROVED, State.FAILED))
        steps.decide(suggestion, actor=actor, verdict=Decision.Verdict.CANCEL, comment=comment)
        steps.drop_queued(suggestion, "cancelled")
        return steps.move(suggestion, State.CANCELLED, actor=actor, reason=comment or "cancelled")


def retry(*, suggestion_id: uuid.UUID | str, actor: Actor, version: int, comment: str = "") -> Suggestion:
    """Another attempt after a definite refusal, with a new key (the old one would replay the refusal for a day)."""
    with transaction.atomic():
        suggestion = steps.locked(suggestion_id, actor=actor, version=version, allowed=(State.FAILED,))
        steps.decide(suggestion, actor=actor, verdict=Decision.Verdict.RETRY, comment=comment)
        steps.move(suggestion, State.APPROVED, actor=actor, reason=comment or "asked for another attempt")
        steps.queue_execution(suggestion)
        return suggestion


def look_again(*, suggestion_id: uuid.UUID | str, actor: Actor, version: int, comment: str = "") -> Suggestion:
    """Have an unknown result looked up again, after the automatic look-ups have run out. The state stays as it is."""
    with transaction.atomic():
        suggestion = steps.locked(suggestion_id, actor=actor, version=version, allowed=(State.UNKNOWN,))
        unknown = suggestion.executions.filter(state=Execution.State.UNKNOWN)
        unknown.update(tries=0, not_before=timezone.now())
        audit.append(
            action="execution.look_again",
            subject=f"suggestion:{suggestion.pk}",
            actor=actor,
            data={"version": suggestion.version, "comment": comment[:MAX_COMMENT]},
        )
        for execution in unknown:
            jobs.enqueue("approvals.tasks.resolve", execution.pk)
        return suggestion


def may_decide(user: Any, suggestion: Suggestion) -> str:
    """ "" when `user` may approve or reject it now, else the sentence that says why not (for pages and bulk lists)."""
    if not suggestion.is_waiting:
        return f"It is {suggestion.get_state_display()}, not waiting."
    try:
        actor = Actor.person(user)
        steps.check_right(suggestion, actor)
        steps.check_four_eyes(suggestion, actor, steps.approvals(suggestion))
    except PermissionDenied as refusal:
        return str(refusal)
    return ""
