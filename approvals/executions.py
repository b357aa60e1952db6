"""What happens after an approval: exactly one effect, however often the task runs and wherever the worker dies.

    queued ─begin─▶ executing ─call─▶ executed | failed | unknown ─look_up─▶ executed | failed
    executed ─event─▶ confirmed

`begin` commits "executing" together with the attempt's idempotency key before anything goes out, and only one caller
can do it. Whoever finds an attempt executing for too long calls its result unknown; a look-up, never a repeat,
settles it. Every step here is one short transaction; the calls between them (facts, execute, look_up) hold no lock.
"""

from __future__ import annotations

import logging
import uuid
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from django.conf import settings
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from approvals import audit, policies, registry, sealing
from approvals.models import Decision, Execution, Policy, Suggestion
from approvals.policies import locks, usage
from approvals.registry import Outcome
from approvals.sealing import Difference
from approvals.services import steps, writing
from approvals.signals import Change
from approvals.states import State
from billingops.actors import Actor
from billingops.stripe.errors import Ambiguous, Refused, StripeProblem, Throttled

logger = logging.getLogger(__name__)
WORKER = Actor.system("worker")
MAX_READS = 10  # of the facts, before the approval goes back
MAX_LOOK_UPS = 20  # of an unknown result, before only a person can ask again
THROTTLE_RETRIES = 3
HOLD = timedelta(minutes=5)  # before something that policy holds without a date is looked at again


def execute(execution_id: int) -> str:
    """Carry one attempt out and return its state afterwards. Safe to call twice, at once, and after a crash."""
    execution = Execution.objects.select_related("suggestion").get(pk=execution_id)
    suggestion = execution.suggestion
    if execution.state != Execution.State.QUEUED or execution.not_before > timezone.now():
        return execution.state
    if execution.held and _is_still_held(execution_id):
        return execution.state  # without asking Stripe for the facts again
    try:
        kind = registry.get(suggestion.kind)
        facts = kind.rebuild_facts(suggestion)
    except Refused as refusal:  # gone, or no longer ours to see
        return _went_stale(execution_id, f"Stripe does not show what this is about any more: {refusal}")
    except (Ambiguous, Throttled) as problem:
        return _read_again_later(execution_id, str(problem))
    except Exception as error:
        logger.exception("the facts of execution %s could not be rebuilt", execution_id)
        return _read_again_later(execution_id, f"{type(error).__name__}; see the worker's log")
    if not begin(execution_id, facts):
        return Execution.objects.get(pk=execution_id).state
    suggestion.refresh_from_db()
    execution.refresh_from_db()
    try:
        outcome = _call(kind, suggestion, execution)
    except Refused as refusal:
        return record_failed(execution_id, code=refusal.code, message=str(refusal), request_id=refusal.request_id)
    except Ambiguous as problem:
        return record_unknown(execution_id, code=problem.code, message=str(problem), request_id=problem.request_id)
    except Exception as error:  # our own mistake, perhaps after the effect: only a look-up may tell
        logger.exception("execution %s broke", execution_id)
        return record_unknown(execution_id, code=type(error).__name__, message="the action broke; see the worker's log")
    return record_executed(execution_id, outcome)


def _call(kind: registry.Kind, suggestion: Suggestion, execution: Execution) -> Outcome:
    """The action, repeated with the same key when Stripe says 429: that is a definite "nothing happened yet"."""
    import time

    for attempt in range(THROTTLE_RETRIES + 1):
        try:
            return kind.execute(suggestion, execution)
        except Throttled as throttled:
            if attempt == THROTTLE_RETRIES:
                raise Refused(str(throttled), code="rate_limit", request_id=throttled.request_id)
            time.sleep(0.5 * 2**attempt)
    raise AssertionError("unreachable")


def begin(execution_id: int, facts: dict[str, Any]) -> bool:
    """Commit "executing", or send the approval back. True exactly once per attempt, to exactly one caller."""
    with transaction.atomic():
        execution, suggestion = _lock(execution_id)
        if execution.state != Execution.State.QUEUED or suggestion.state != State.APPROVED:
            return False
        if moved := sealing.differences(suggestion.facts, facts):
            _send_back(execution, suggestion, State.STALE, f"the facts have moved: {_words(moved)}", facts, moved)
            return False
        given = steps.approvals(suggestion)
        if moved := [one for decision in given for one in sealing.broken(decision.sealed, suggestion)]:
            _send_back(execution, suggestion, State.STALE, f"not what was approved: {_words(moved)}", facts, moved)
            return False
        locks.begin(suggestion.kind)
        now = timezone.now()
        asks = policies.evaluate(suggestion, stage="executed", at=now)
        suggestion.policy = {**suggestion.policy, "executed": asks.as_json()}
        if asks.mode in (Policy.Mode.OFF, Policy.Mode.SHADOW):
            _send_back(execution, suggestion, State.CANCELLED, f"policy forbids it now: {asks.clause}")
            return False
        if asks.denied:
            _send_back(execution, suggestion, State.STALE, f"policy denies it now: {asks.denied}")
            return False
        if missing := _missing(given, asks):
            _send_back(execution, suggestion, State.STALE, f"{missing}: {asks.clause}")
            return False
        if asks.hold:
            _hold(execution, suggestion, asks)
            return False
        execution.state, execution.started_at = Execution.State.EXECUTING, now
        execution.held = ""
        usage.take(execution, suggestion, at=now)
        execution.save()
        steps.move(suggestion, State.EXECUTING, actor=WORKER, reason=f"attempt {execution.attempt}")
        return True


def record_executed(execution_id: int, outcome: Outcome) -> str:
    with transaction.atomic():
        execution, suggestion = _lock(execution_id)
        if execution.state not in (Execution.State.EXECUTING, Execution.State.UNKNOWN):
            return execution.state
        execution.state, execution.finished_at = Execution.State.EXECUTED, timezone.now()
        execution.object_id, execution.request_id = outcome.object_id, outcome.request_id or execution.request_id
        execution.result, execution.error, execution.error_code = {"summary": outcome.summary, **outcome.data}, "", ""
        if execution.attempt > 1 and _earlier_with_its_object(execution).exclude(counted_at=None).exists():
            locks.count(suggestion.kind)
            usage.give_back(execution, suggestion)  # one effect, and the attempt that had it is counted
        execution.save()
        _audit(execution, "execution.executed")
        steps.move(suggestion, State.EXECUTED, actor=WORKER, reason=outcome.summary or outcome.object_id)
        if not registry.get(suggestion.kind).confirmed_by:
            _confirm(execution, suggestion, event_id="", actor=WORKER)
        elif event := execution.confirmed_event or _confirmed_earlier(execution):
            # The event came back before the answer did.
            _confirm(execution, suggestion, event_id=event, actor=Actor.system("inbox"))
        return execution.state


def record_failed(execution_id: int, *, code: str, message: str, request_id: str = "") -> str:
    """A definite refusal: nothing happened. A person may ask for another attempt, which gets a new key."""
    return _record(
        execution_id, Execution.State.FAILED, State.FAILED, code=code, message=message, request_id=request_id
    )


def record_unknown(execution_id: int, *, code: str, message: str, request_id: str = "") -> str:
    """The effect may have happened. The first look-up comes soon; "nothing there" counts only after a while."""
    return _record(
        execution_id, Execution.State.UNKNOWN, State.UNKNOWN, code=code, message=message, request_id=request_id
    )


def _record(execution_id: int, target: str, state: State, *, code: str, message: str, request_id: str) -> str:
    with transaction.atomic():
        execution, suggestion = _lock(execution_id)
        if execution.state not in (Execution.State.EXECUTING, Execution.State.UNKNOWN) or execution.state == target:
            return execution.state
        execution.state, execution.finished_at = target, timezone.now()
        execution.error_code, execution.error = code[:120], message[:1000]
        execution.request_id = request_id or execution.request_id
        execution.not_before = timezone.now() + timedelta(seconds=1)
        if target == Execution.State.FAILED:
            locks.count(suggestion.kind)
            usage.give_back(execution, suggestion)
        execution.save()
        _audit(execution, f"execution.{target}")
        steps.move(suggestion, state, actor=WORKER, reason=f"{code}: {message}"[:500])
        if target == Execution.State.UNKNOWN and execution.confirmed_event:
            execution.state = Execution.State.EXECUTED
            execution.save()
            steps.move(suggestion, State.EXECUTED, actor=Actor.system("inbox"), reason="its event came back")
            _confirm(execution, suggestion, event_id=execution.confirmed_event, actor=Actor.system("inbox"))
        return execution.state


def resolve(execution_id: int) -> str:
    """Look an unknown result up. Found: executed. Not there, long enough ago: failed. No answer: later, limited."""
    execution = Execution.objects.select_related("suggestion").get(pk=execution_id)
    if execution.state != Execution.State.UNKNOWN:
        return execution.state
    kind = registry.get(execution.suggestion.kind)
    try:
        outcome = kind.look_up(execution.suggestion, execution)
    except StripeProblem as problem:
        return _look_again_later(execution_id, f"{problem.code}: {problem}")
    except Exception:
        logger.exception("the look-up of execution %s broke", execution_id)
        return _look_again_later(execution_id, "the look-up broke; see the worker's log")
    if outcome is not None:
        return record_executed(execution_id, outcome)
    ended = execution.finished_at or execution.started_at or execution.queued_at
    if timezone.now() - ended < timedelta(seconds=settings.EXECUTION_LOOKUP_SECONDS):
        return _look_again_later(execution_id, "not there yet", counts=False)
    return record_failed(execution_id, code="not_carried_out", message="looked up: Stripe has nothing of this attempt")


def confirm(*, suggestion_id: uuid.UUID | str, event_id: str, object_id: str, actor: Actor) -> bool:
    """The returning event closes the case. True when this call (or an earlier one) has confirmed it.

    It may overtake the answer of the call it confirms: then it is kept on the attempt and counts once the answer is
    recorded. It also proves that an unknown attempt took effect.
    """
    with transaction.atomic():
        suggestion = Suggestion.objects.select_for_update(no_key=True).filter(pk=suggestion_id).first()
        if suggestion is None:
            return False
        live = [Execution.State.EXECUTING, Execution.State.EXECUTED, Execution.State.UNKNOWN, Execution.State.CONFIRMED]
        execution = suggestion.executions.select_for_update().filter(state__in=live).order_by("-attempt").first()
        if execution is None:
            _remember(suggestion, event_id=event_id, object_id=object_id)
            return False
        if execution.state == Execution.State.CONFIRMED:
            return True
        if execution.object_id and object_id and execution.object_id != object_id:
            return False
        execution.confirmed_event = event_id
        if execution.state == Execution.State.EXECUTING:
            execution.object_id = object_id
            execution.save()
            return True
        if execution.state == Execution.State.UNKNOWN:
            execution.state, execution.object_id, execution.finished_at = (
                Execution.State.EXECUTED,
                object_id,
                timezone.now(),
            )
            execution.save()
            steps.move(suggestion, State.EXECUTED, actor=actor, reason=f"event {event_id} shows that it took effect")
        _confirm(execution, suggestion, event_id=event_id, actor=actor)
        return True


def _remember(suggestion: Suggestion, *, event_id: str, object_id: str) -> None:
    """An attempt that was looked up in vain has taken effect after all. Its suggestion stays failed, for the state was
    shown to people; their retry finds the object instead of making another, and then counts as confirmed at once."""
    failed = suggestion.executions.select_for_update().filter(state=Execution.State.FAILED).order_by("-attempt").first()
    if failed is not None and not failed.confirmed_event:
        failed.confirmed_event, failed.object_id = event_id, object_id
        locks.count(suggestion.kind)
        usage.take(failed, suggestion, at=failed.started_at or timezone.now())
        failed.save()
        _audit(failed, "execution.found_late")


def _confirmed_earlier(execution: Execution) -> str:
    """The event that came for an earlier attempt and names the very object this attempt ended with."""
    earlier = _earlier_with_its_object(execution).exclude(confirmed_event="")
    return earlier.values_list("confirmed_event", flat=True).first() or ""


def _earlier_with_its_object(execution: Execution) -> QuerySet[Execution]:
    return execution.suggestion.executions.filter(state=Execution.State.FAILED, object_id=execution.object_id)


def _confirm(execution: Execution, suggestion: Suggestion, *, event_id: str, actor: Actor) -> None:
    execution.state, execution.confirmed_at = Execution.State.CONFIRMED, timezone.now()
    execution.confirmed_event = event_id
    execution.save()
    _audit(execution, "execution.confirmed")
    steps.move(suggestion, State.CONFIRMED, actor=actor, reason=f"confirmed by {event_id}" if event_id else "done")


def _words(moved: list[Difference]) -> str:
    return "; ".join(str(difference) for difference in moved[:20])


def _missing(given: list[Decision], asks: policies.Result) -> str:
    """What the approvals given lack of what policy asks for now, in words; "" when they suffice."""
    people = {decision.actor_id for decision in given if decision.actor_id is not None}
    if asks.mode == Policy.Mode.AUTO:
        return ""
    if not people:
        return "policy asks for a person now"
    return "policy asks for more approvals now" if asks.approvals > len(people) else ""


def _is_still_held(execution_id: int) -> bool:
    """For what was held before: whether it is now, in which case it is put off again."""
    with transaction.atomic():
        execution, suggestion = _lock(execution_id)
        if execution.state != Execution.State.QUEUED or suggestion.state != State.APPROVED:
            return False
        asks = policies.evaluate(suggestion, stage="executed")
        if not asks.hold or asks.denied or asks.mode in (Policy.Mode.OFF, Policy.Mode.SHADOW):
            return False
        _hold(execution, suggestion, asks)
        return True


def _hold(execution: Execution, suggestion: Suggestion, asks: policies.Result) -> None:
    """Policy makes it wait (a switch, hours, a cap, a cool-down): it stays approved and is looked at again later."""
    if execution.held != asks.hold:
        suggestion.policy = {**suggestion.policy, "executed": asks.as_json()}
        writing.write([Change(suggestion, suggestion.state, asks.hold)], actor=WORKER, action="execution.held")
    execution.held = asks.hold
    execution.not_before = max(asks.held_until or timezone.now() + HOLD, timezone.now() + timedelta(seconds=1))
    execution.save()


def _lock(execution_id: int) -> tuple[Execution, Suggestion]:
    """Suggestion first, then its execution: the same order everywhere, so that two tasks never wait for each other."""
    suggestion_id = Execution.objects.values_list("suggestion_id", flat=True).get(pk=execution_id)
    suggestion = Suggestion.objects.select_for_update(no_key=True).get(pk=suggestion_id)
    execution = Execution.objects.select_for_update().get(pk=execution_id)
    execution.suggestion = suggestion  # so that nobody asks for it again
    return execution, suggestion


def _send_back(
    execution: Execution,
    suggestion: Suggestion,
    target: State,
    reason: str,
    facts: dict[str, Any] | None = None,
    moved: Sequence[Difference] = (),
) -> None:
    execution.state, execution.error, execution.finished_at = Execution.State.DROPPED, reason[:1000], timezone.now()
    execution.result = {"facts_now": facts} if facts is not None else {}
    if moved:
        execution.result["differences"] = [difference.as_json() for difference in moved]
    execution.save()
    steps.move(suggestion, target, actor=WORKER, reason=reason[:500])


def _went_stale(execution_id: int, reason: str) -> str:
    with transaction.atomic():
        execution, suggestion = _lock(execution_id)
        if execution.state == Execution.State.QUEUED and suggestion.state == State.APPROVED:
            _send_back(execution, suggestion, State.STALE, reason)
        return execution.state


def _read_again_later(execution_id: int, problem: str) -> str:
    with transaction.atomic():
        execution, suggestion = _lock(execution_id)
        if execution.state != Execution.State.QUEUED or suggestion.state != State.APPROVED:
            return execution.state
        execution.tries += 1
        if execution.tries >= MAX_READS:
            _send_back(execution, suggestion, State.STALE, f"the facts could not be read {MAX_READS} times: {problem}")
            return execution.state
        execution.not_before = timezone.now() + timedelta(seconds=min(600, 5 * 2**execution.tries))
        execution.error = f"the facts could not be read: {problem}"[:1000]
        execution.save()
        return execution.state


def _look_again_later(execution_id: int, why: str, *, counts: bool = True) -> str:
    with transaction.atomic():
        execution, _ = _lock(execution_id)
        if execution.state != Execution.State.UNKNOWN:
            return execution.state
        execution.tries += int(counts)
        pause = min(600, 5 * 2 ** min(execution.tries, 7)) if counts else settings.EXECUTION_LOOKUP_SECONDS / 2
        execution.not_before = timezone.now() + timedelta(seconds=pause)
        execution.result = {**execution.result, "look_up": why[:300]}
        execution.save()
        return execution.state


def _audit(execution: Execution, action: str) -> None:
    audit.append(
        action=action,
        subject=f"suggestion:{execution.suggestion_id}",
        actor=WORKER,
        account=execution.suggestion.account,
        event_id=execution.confirmed_event or execution.suggestion.event_id,
        data={
            "attempt": execution.attempt,
            "idempotency_key": execution.idempotency_key,
            "object": execution.object_id,
            "stripe_request": execution.request_id,
            "error_code": execution.error_code,
            "event": execution.confirmed_event,
        },
    )
