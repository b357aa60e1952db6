"""The verbs of the gate. Nothing else changes a suggestion.

Each verb is one transaction: lock the row, check the right, the version and the table of states, save with the
history's reason, append to the audit chain, tell the house (signals.suggestion_changed). No verb talks to the network.
`executions.py` holds the second half: what happens after an approval.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.core.exceptions import PermissionDenied
from django.db import IntegrityError, transaction
from django.utils import timezone

from approvals import audit, policies, registry, states
from approvals.models import Decision, Execution, Policy, Suggestion
from approvals.signals import suggestion_changed
from approvals.states import WAITING_FOR_A_PERSON, State
from billingops import access, jobs
from billingops.actors import Actor, save_with_history
from billingops.exceptions import InvalidInput, InvalidTransition, VersionConflict
from billingops.ids import seal
from billingops.money import normalise_currency

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
MAX_COMMENT = 2000
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Proposed:
    """`suggestion` is None when policy switches the kind off; `created` is False when the key was already held."""

    suggestion: Suggestion | None
    created: bool


def propose(
    *,
    kind: str,
    subject: str,
    account: str = "",
    customer: str = "",
    amount: int | None = None,
    currency: str = "",
    params: dict[str, Any],
    facts: dict[str, Any],
    rationale: str,
    reason_code: str = "",
    confidence: Decimal | None = None,
    suggested_by: str,
    flags: Iterable[dict[str, str]] = (),
    event_id: str = "",
    dedupe_key: str,
    expires_at: datetime | None = None,
    previous: Suggestion | None = None,
    actor: Actor,
) -> Proposed:
    """Store a suggestion that waits at the gate; return the one that already holds `dedupe_key`, if any.

    Raises InvalidInput for an unknown kind, wrong params, or a money kind without a positive amount and a currency.
    """
    spec = registry.get(kind)
    spec.check_params(params)
    if amount is not None:
        currency = normalise_currency(currency)
    if spec.moves_money and (amount is None or isinstance(amount, bool) or amount <= 0):
        raise InvalidInput(f"{kind} needs a positive amount in minor units, not {amount!r}.", field="amount")
    verdict = policies.evaluate(kind=kind, account=account, amount=amount, currency=currency)
    if verdict.mode == Policy.Mode.OFF:
        return Proposed(None, False)
    suggestion = Suggestion(
        kind=kind,
        subject=subject,
        account=account,
        customer=customer,
        amount=amount,
        currency=currency if amount is not None else "",
        params=params,
        facts=facts,
        facts_hash=seal(facts),
        rationale=rationale,
        reason_code=reason_code,
        confidence=confidence,
        suggested_by=suggested_by,
        flags=list(flags),
        event_id=event_id,
        dedupe_key=dedupe_key,
        mode=verdict.mode,
        policy={"proposed": verdict.as_json()},
        required_approvals=verdict.approvals,
        expires_at=expires_at or timezone.now() + timedelta(days=settings.SUGGESTION_EXPIRES_DAYS),
        previous=previous,
    )
    if held := Suggestion.objects.holding(dedupe_key).first():
        return Proposed(held, False)
    try:
        with transaction.atomic():
            _save(suggestion, previous=None, actor=actor, reason="proposed", force_insert=True)
    except IntegrityError:
        # Somebody else proposed under this key between the look and the insert; the constraint decides.
        held = Suggestion.objects.holding(dedupe_key).first()
        if held is None:
            raise
        return Proposed(held, False)
    return Proposed(suggestion, True)


def approve(*, suggestion_id: uuid.UUID | str, actor: Actor, version: int, comment: str = "") -> Suggestion:
    """A person's yes to exactly what `version` showed. Queues the execution once enough people have said it.

    Raises VersionConflict, InvalidTransition, PermissionDenied (no right, other account, second approval by the first).
    """
    with transaction.atomic():
        suggestion = _locked(suggestion_id, actor=actor, version=version, allowed=WAITING_FOR_A_PERSON)
        now_asks = policies.evaluate(
            kind=suggestion.kind, account=suggestion.account, amount=suggestion.amount, currency=suggestion.currency
        )
        if now_asks.mode == Policy.Mode.OFF:
            raise InvalidTransition(f"Nothing was approved: {now_asks.clause}.")
        suggestion.policy = {**suggestion.policy, "approved": now_asks.as_json()}
        suggestion.required_approvals = max(suggestion.required_approvals, now_asks.approvals)
        earlier = _approvals(suggestion)
        _check_four_eyes(suggestion, actor, earlier)
        _decide(suggestion, actor=actor, verdict=Decision.Verdict.APPROVE, comment=comment)
        if suggestion.is_shadow or now_asks.mode == Policy.Mode.SHADOW:
            return _move(suggestion, State.OBSERVED, actor=actor, reason="approved in shadow mode, not executed")
        given = len(earlier) + 1
        if given < suggestion.required_approvals:
            return _move(
                suggestion,
                State.SECOND_REVIEW,
                actor=actor,
                reason=f"approval {given} of {suggestion.required_approvals}",
            )
        _move(suggestion, State.APPROVED, actor=actor, reason=comment or "approved")
        _queue_execution(suggestion)
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
        suggestion = _locked(suggestion_id, actor=actor, version=version, allowed=WAITING_FOR_A_PERSON)
        _decide(suggestion, actor=actor, verdict=Decision.Verdict.REJECT, comment=comment, reason_code=reason_code)
        target = State.OBSERVED if suggestion.is_shadow and suggestion.state == State.PENDING else State.REJECTED
        return _move(suggestion, target, actor=actor, reason=f"rejected: {reason_code}")


def cancel(*, suggestion_id: uuid.UUID | str, actor: Actor, version: int, comment: str = "") -> Suggestion:
    """Take an approval back before its execution starts, or give a failed one up."""
    with transaction.atomic():
        suggestion = _locked(suggestion_id, actor=actor, version=version, allowed=(State.APPROVED, State.FAILED))
        _decide(suggestion, actor=actor, verdict=Decision.Verdict.CANCEL, comment=comment)
        _drop_queued(suggestion, "cancelled")
        return _move(suggestion, State.CANCELLED, actor=actor, reason=comment or "cancelled")


def retry(*, suggestion_id: uuid.UUID | str, actor: Actor, version: int, comment: str = "") -> Suggestion:
    """Another attempt after a definite refusal, with a new key (the old one would replay the refusal for a day)."""
    with transaction.atomic():
        suggestion = _locked(suggestion_id, actor=actor, version=version, allowed=(State.FAILED,))
        _decide(suggestion, actor=actor, verdict=Decision.Verdict.RETRY, comment=comment)
        _move(suggestion, State.APPROVED, actor=actor, reason=comment or "asked for another attempt")
        _queue_execution(suggestion)
        return suggestion


def supersede(*, suggestion_id: uuid.UUID | str, actor: Actor, reason: str) -> Suggestion:
    """The world has moved on (paid meanwhile, a newer failure). What already runs or has ended is left alone."""
    with transaction.atomic():
        suggestion = Suggestion.objects.select_for_update().get(pk=suggestion_id)
        if suggestion.state in WAITING_FOR_A_PERSON:
            return _move(suggestion, State.SUPERSEDED, actor=actor, reason=reason)
        if suggestion.state == State.APPROVED:
            _drop_queued(suggestion, reason)
            return _move(suggestion, State.CANCELLED, actor=actor, reason=reason)
        return suggestion


def expire_due(*, actor: Actor, limit: int = 500) -> int:
    """Expire what nobody decided in time; returns how many. At most `limit` a call."""
    count = 0
    for pk in list(Suggestion.objects.overdue().values_list("pk", flat=True)[:limit]):
        try:
            with transaction.atomic():
                suggestion = Suggestion.objects.select_for_update().get(pk=pk)
                if suggestion.is_overdue:
                    _move(suggestion, State.EXPIRED, actor=actor, reason="nobody decided in time")
                    count += 1
        except Exception:  # a receiver that refuses one must not keep the others waiting
            logger.exception("suggestion %s could not be expired", pk)
    return count


def look_again(*, suggestion_id: uuid.UUID | str, actor: Actor, version: int, comment: str = "") -> Suggestion:
    """Have an unknown result looked up again, after the automatic look-ups have run out. The state stays as it is."""
    with transaction.atomic():
        suggestion = _locked(suggestion_id, actor=actor, version=version, allowed=(State.UNKNOWN,))
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


def confirm(*, suggestion_id: uuid.UUID | str, event_id: str, object_id: str, actor: Actor) -> bool:
    """The returning event closes the case; see executions.confirm."""
    from approvals import executions

    return executions.confirm(suggestion_id=suggestion_id, event_id=event_id, object_id=object_id, actor=actor)


# -- what the verbs share ----------------------------------------------------------------------------------------------


def may_decide(user: Any, suggestion: Suggestion) -> str:
    """ "" when `user` may approve or reject it now, else the sentence that says why not (for pages and bulk lists)."""
    if not suggestion.is_waiting:
        return f"It is {suggestion.get_state_display()}, not waiting."
    try:
        actor = Actor.person(user)
        _check_right(suggestion, actor)
        _check_four_eyes(suggestion, actor, _approvals(suggestion))
    except PermissionDenied as refusal:
        return str(refusal)
    return ""


def _locked(suggestion_id: uuid.UUID | str, *, actor: Actor, version: int, allowed: Iterable[str]) -> Suggestion:
    suggestion = Suggestion.objects.select_for_update().get(pk=suggestion_id)
    _check_right(suggestion, actor)
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


def _check_right(suggestion: Suggestion, actor: Actor) -> None:
    if actor.user is None or not actor.user.has_perm("approvals.approve_suggestion"):
        raise PermissionDenied("You may look at suggestions but not decide on them.")
    if not access.may_see_account(actor.user, suggestion.account):
        raise PermissionDenied("This suggestion belongs to an account that you have no access to.")


def _approvals(suggestion: Suggestion) -> list[Decision]:
    return list(suggestion.decisions.filter(verdict=Decision.Verdict.APPROVE).select_related("actor"))


def _check_four_eyes(suggestion: Suggestion, actor: Actor, earlier: list[Decision]) -> None:
    """The second approval comes from another person, and one of the two has the right to give second approvals."""
    if not earlier:
        return
    if any(decision.actor_id == actor.user.pk for decision in earlier):  # type: ignore[union-attr]
        raise PermissionDenied("You gave the first approval; the second must come from somebody else.")
    second = "approvals.approve_second_suggestion"
    if not actor.user.has_perm(second) and not any(decision.actor.has_perm(second) for decision in earlier):  # type: ignore[union-attr]
        raise PermissionDenied("One of the two approvals must come from a finance lead.")


def _decide(suggestion: Suggestion, *, actor: Actor, verdict: str, comment: str, reason_code: str = "") -> Decision:
    if len(comment) > MAX_COMMENT:
        raise InvalidInput(f"The comment is longer than {MAX_COMMENT} characters.", field="comment")
    assert actor.user is not None  # _check_right has seen to it
    return Decision.objects.create(
        suggestion=suggestion,
        actor=actor.user,
        actor_name=actor.name,
        verdict=verdict,
        version=suggestion.version,
        facts_hash=suggestion.facts_hash,
        reason_code=reason_code,
        comment=comment.strip(),
    )


def _queue_execution(suggestion: Suggestion) -> Execution:
    attempt = suggestion.executions.count() + 1
    due = registry.get(suggestion.kind).due_at(suggestion)
    now = timezone.now()
    execution = Execution.objects.create(
        suggestion=suggestion,
        attempt=attempt,
        idempotency_key=Execution.new_key(suggestion.pk, attempt),
        not_before=max(due, now) if due else now,
    )
    if execution.not_before <= now:
        jobs.enqueue("approvals.tasks.execute", execution.pk)
    return execution


def _drop_queued(suggestion: Suggestion, why: str) -> None:
    suggestion.executions.filter(state=Execution.State.QUEUED).update(
        state=Execution.State.DROPPED, error=why, finished_at=timezone.now()
    )


def _move(suggestion: Suggestion, target: State, *, actor: Actor, reason: str) -> Suggestion:
    """The one place where a state changes; the caller holds the row's lock."""
    states.check(suggestion.state, target)
    previous, suggestion.state = suggestion.state, target
    suggestion.version += 1
    _save(suggestion, previous=previous, actor=actor, reason=reason)
    return suggestion


def _save(suggestion: Suggestion, *, previous: str | None, actor: Actor, reason: str, **kwargs: Any) -> None:
    save_with_history(suggestion, actor=actor, reason=reason, **kwargs)
    audit.append(
        action=f"suggestion.{suggestion.state if previous else 'proposed'}",
        subject=f"suggestion:{suggestion.pk}",
        actor=actor,
        data={
            "kind": suggestion.kind,
            "from": previous,
            "version": suggestion.version,
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
