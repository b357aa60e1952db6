"""What people do with a suggestion: approve, reject, cancel, ask for another attempt or another look."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import ObjectDoesNotExist, PermissionDenied
from django.db import transaction
from django.utils import timezone

from approvals import audit, blind, policies, registry, sealing
from approvals.models import Decision, Execution, Policy, Suggestion
from approvals.services import steps, writing
from approvals.services.steps import MAX_COMMENT
from approvals.signals import Change
from approvals.states import WAITING_FOR_A_PERSON, State
from billingops import jobs
from billingops.actors import Actor
from billingops.exceptions import BillingOpsError, InvalidInput, InvalidTransition, VersionConflict

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


@dataclass(frozen=True)
class Ask:
    """One row of a verb about many: the version (and the seal, where there is one) that the person looked at."""

    suggestion_id: uuid.UUID | str
    version: int
    seal: str = ""


@dataclass(frozen=True)
class Answer:
    """What became of one row: the suggestion after the step, or why nothing was done to it. `seal`: of what was decided
    on, for a preview's page to bring back."""

    ask: Ask
    suggestion: Suggestion | None = None
    refusal: Exception | None = None
    seal: str = ""


REFUSALS = (BillingOpsError, PermissionDenied, ObjectDoesNotExist)


@dataclass(frozen=True)
class _Verdict:
    """A step that is allowed, changed in memory only."""

    decision: Decision
    change: Change
    undo_seconds: int | None = None  # set when it is to be carried out


def approve(
    *, suggestion_id: uuid.UUID | str, actor: Actor, version: int, comment: str = "", seal: str = ""
) -> Suggestion:
    """A person's yes to exactly what `version` showed. Queues the execution once enough people have said it.

    `seal`: of the page the person looked at; where it is given, a policy that changed meanwhile is a conflict too.
    Raises VersionConflict, InvalidTransition (wrong state, policy denies), PermissionDenied (no right, other account,
    own proposal or edit, second approval by the first).
    """
    return _the_one(approve_many(asks=[Ask(suggestion_id, version, seal)], actor=actor, comment=comment))


Check = Callable[[Suggestion], None]


def approve_many(
    *, asks: Sequence[Ask], actor: Actor, comment: str = "", check: Check | None = None, dry: bool = False
) -> list[Answer]:
    """The same yes to many, each checked by itself; one that is refused leaves the others alone. One transaction, and a
    number of statements that does not grow with theirs. Raises PermissionDenied when the person may not decide at all.

    `check`: asked of each row beside the rules, raises what refuses it. `dry`: judge only, lock and write nothing.
    """
    steps.check_comment(comment)

    def judge(suggestion: Suggestion, ask: Ask, earlier: list[Decision], asks: policies.Result) -> _Verdict:
        if ask.seal and ask.seal != sealing.of(suggestion, asks.versions):
            raise VersionConflict(
                "The policy has changed since you looked. Nothing was changed; look again.", [f"policy: {asks.clause}"]
            )
        check_policy(asks)
        steps.check_four_eyes(suggestion, actor, earlier)
        decision = steps.decision(
            suggestion, actor=actor, verdict=Decision.Verdict.APPROVE, comment=comment, versions=asks.versions
        )
        suggestion.policy = {**suggestion.policy, "approved": asks.as_json()}
        suggestion.required_approvals = max(suggestion.required_approvals, asks.approvals)
        given = len(earlier) + 1
        if suggestion.is_seeded:
            change = writing.move(suggestion, State.OBSERVED, reason="approved; it was a check and is not carried out")
        elif suggestion.is_shadow or asks.mode == Policy.Mode.SHADOW:
            change = writing.move(suggestion, State.OBSERVED, reason="approved in shadow mode, not executed")
        elif given < suggestion.required_approvals:
            reason = f"approval {given} of {suggestion.required_approvals}"
            steps.let_go(suggestion, actor)
            change = writing.move(suggestion, State.SECOND_REVIEW, reason=reason)
        else:
            change = writing.move(suggestion, State.APPROVED, reason=comment or "approved")
            return _Verdict(decision, change, asks.undo_seconds)
        return _Verdict(decision, change)

    return _decide_many(asks, actor, judge, stage="approved", check=check, dry=dry)


def check_policy(asks: policies.Result) -> None:
    """Raise InvalidTransition when policy does not let anybody approve it now."""
    if asks.mode == Policy.Mode.OFF:
        raise InvalidTransition(f"Nothing was approved: {asks.clause}.")
    if asks.denied:
        raise InvalidTransition(f"Nothing was approved: {asks.denied}.")


def approve_by_policy(*, suggestion: Suggestion, asks: policies.Result) -> Suggestion:
    """The yes of a policy that a person set and whose evidence holds. Called by `propose`, in its transaction."""
    actor = Actor.system("policy")
    steps.decide(suggestion, actor=actor, verdict=Decision.Verdict.APPROVE, comment=asks.clause, versions=asks.versions)
    steps.move(suggestion, State.APPROVED, actor=actor, reason=asks.clause)
    steps.queue_execution(suggestion, undo_seconds=asks.undo_seconds)
    return suggestion


def edit(
    *, suggestion_id: uuid.UUID | str, actor: Actor, version: int, changes: dict[str, str], comment: str = ""
) -> Suggestion:
    """Change what its kind allows (words, a time; never an amount). Approvals given so far no longer count, and the
    editor cannot approve the result.

    `changes`: {parameter: text}. Raises InvalidInput for a parameter that may not be edited or does not read well.
    """
    with transaction.atomic():
        suggestion = steps.locked(suggestion_id, actor=actor, version=version, allowed=WAITING_FOR_A_PERSON)
        kind = registry.get(suggestion.kind)
        editable = {field.name for field in kind.editable}
        if strange := sorted(set(changes) - editable):
            what = f"only {', '.join(sorted(editable))} can be edited" if editable else "nothing of it can be edited"
            raise InvalidInput(f"{kind.label}: {strange[0]} cannot be changed; {what}.", field=strange[0])
        assert kind.edit is not None  # a kind with editable parameters brings it
        params = kind.edit(suggestion, changes)
        kind.check_params(params)
        moved = sealing.differences(suggestion.params, params)
        if strange := sorted({difference.field.split(".")[0] for difference in moved} - editable):
            raise InvalidInput(f"{kind.label}: an edit must not move {strange[0]}.", field=strange[0])
        if not moved:
            raise InvalidInput("Nothing is different from what is suggested.", field=next(iter(changes), ""))
        verdict = steps.decide(suggestion, actor=actor, verdict=Decision.Verdict.EDIT, comment=comment)
        verdict.changes = [difference.as_json() for difference in moved]
        verdict.save(update_fields=["changes"])
        suggestion.params = params
        suggestion.revision += 1
        suggestion.last_editor = actor.user
        steps.let_go(suggestion, actor)
        reason = f"edited: {', '.join(difference.field for difference in moved)}"
        if suggestion.state == State.SECOND_REVIEW:
            return steps.move(suggestion, State.PENDING, actor=actor, reason=f"{reason}; the approval no longer counts")
        suggestion.version += 1
        writing.write([Change(suggestion, suggestion.state, reason)], actor=actor, action="suggestion.edited")
        return suggestion


def reject(
    *, suggestion_id: uuid.UUID | str, actor: Actor, version: int, reason_code: str, comment: str = ""
) -> Suggestion:
    """A person's no, with its reason. Raises InvalidInput for an unknown reason or `other` without a comment."""
    asks = [Ask(suggestion_id, version)]
    return _the_one(reject_many(asks=asks, actor=actor, reason_code=reason_code, comment=comment))


def reject_many(
    *,
    asks: Sequence[Ask],
    actor: Actor,
    reason_code: str,
    comment: str = "",
    check: Check | None = None,
    dry: bool = False,
) -> list[Answer]:
    """The same no to many; see approve_many. A dry run needs no reason yet."""
    if not dry:
        check_reason(reason_code, comment)

    def judge(suggestion: Suggestion, ask: Ask, earlier: list[Decision], asks: Any) -> _Verdict:
        decision = steps.decision(
            suggestion, actor=actor, verdict=Decision.Verdict.REJECT, comment=comment, reason_code=reason_code
        )
        observed = suggestion.is_shadow and suggestion.state == State.PENDING
        target = State.OBSERVED if observed else State.REJECTED
        return _Verdict(decision, writing.move(suggestion, target, reason=f"rejected: {reason_code}"))

    return _decide_many(asks, actor, judge, stage=None, check=check, dry=dry)


def check_reason(reason_code: str, comment: str) -> None:
    if reason_code not in dict(REJECTION_REASONS):
        allowed = ", ".join(code for code, _ in REJECTION_REASONS)
        raise InvalidInput(f"reason_code must be one of {allowed}.", field="reason_code")
    if reason_code == "other" and not comment.strip():
        raise InvalidInput("Say in the comment why you reject it.", field="comment")
    steps.check_comment(comment)


def _decide_many(
    asks: Sequence[Ask],
    actor: Actor,
    judge: Callable[..., _Verdict],
    *,
    stage: policies.Stage | None,
    check: Check | None,
    dry: bool,
) -> list[Answer]:
    """Lock the rows, judge each by itself, write down all that stand. `stage`: of the policies to ask, if any."""
    with transaction.atomic():
        rows_of = Suggestion.objects if dry else Suggestion.objects.select_for_update(no_key=True)
        # Always in the order of their keys, so that two who want the same rows do not wait for each other.
        wanted = rows_of.filter(pk__in=[ask.suggestion_id for ask in asks]).order_by("pk")
        found = {str(row.pk): row for row in (wanted.defer("facts", "rationale") if dry else wanted)}
        steps.check_person(actor)
        answers: list[Answer] = []
        standing: list[tuple[Ask, Suggestion]] = []
        for ask in asks:
            try:
                suggestion = found.pop(str(ask.suggestion_id), None)
                if suggestion is None:
                    raise Suggestion.DoesNotExist("There is no such suggestion, or it is in the list twice.")
                steps.check_ready(
                    suggestion, actor=actor, version=ask.version, allowed=WAITING_FOR_A_PERSON, explain=len(asks) == 1
                )
                if check:
                    check(suggestion)
                standing.append((ask, suggestion))
            except REFUSALS as refusal:
                answers.append(Answer(ask, refusal=refusal))
        rows = [suggestion for _, suggestion in standing]
        earlier = steps.approvals_of(rows) if rows and stage else {}
        results = policies.evaluate_many(rows, stage=stage) if rows and stage else {}
        verdicts: list[_Verdict] = []
        for ask, suggestion in standing:
            try:
                verdict = judge(suggestion, ask, earlier.get(suggestion.pk, []), results.get(suggestion.pk))
                verdicts.append(verdict)
                answers.append(Answer(ask, suggestion, seal=verdict.decision.seal))
            except REFUSALS as refusal:
                answers.append(Answer(ask, refusal=refusal))
        if dry:
            return answers
        Decision.objects.bulk_create(verdict.decision for verdict in verdicts)
        writing.write([verdict.change for verdict in verdicts], actor=actor)
        steps.queue_executions(
            [
                (verdict.change.suggestion, verdict.undo_seconds)
                for verdict in verdicts
                if verdict.undo_seconds is not None
            ]
        )
        return answers


def _the_one(answers: list[Answer]) -> Suggestion:
    [answer] = answers
    if answer.refusal is not None:
        raise answer.refusal
    assert answer.suggestion is not None
    return answer.suggestion


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
        asks = policies.evaluate(suggestion, stage="approved")
        if asks.denied:
            raise InvalidTransition(f"Nothing was queued: {asks.denied}.")
        steps.move(suggestion, State.APPROVED, actor=actor, reason=comment or "asked for another attempt")
        steps.queue_execution(suggestion, undo_seconds=asks.undo_seconds)
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
            account=suggestion.account,
            event_id=suggestion.event_id,
            data={"version": suggestion.version, "comment": comment[:MAX_COMMENT]},
        )
        for execution in unknown:
            jobs.enqueue("approvals.tasks.resolve", execution.pk)
        return suggestion


def may_decide(user: Any, suggestion: Suggestion) -> str:
    """ "" when `user` may approve or reject it now, else the sentence that says why not (for pages and bulk lists)."""
    if not suggestion.is_waiting:
        return f"It is {suggestion.get_state_display()}, not waiting."
    if blind.hides(suggestion):
        return blind.FIRST_SAY
    try:
        actor = Actor.person(user)
        steps.check_right(suggestion, actor)
        steps.check_four_eyes(suggestion, actor, steps.approvals(suggestion))
    except PermissionDenied as refusal:
        return str(refusal)
    return ""
