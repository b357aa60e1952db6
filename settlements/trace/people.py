"""Who suggested, approved and carried out what, and when: the steps behind a payout or a reversal."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db.models import Prefetch, QuerySet

from approvals.models import Decision, Execution, Suggestion
from settlements.trace.graph import Step


def with_people(suggestions: QuerySet[Suggestion]) -> QuerySet[Suggestion]:
    """Three statements for all of them."""
    return suggestions.prefetch_related(
        Prefetch("decisions", Decision.objects.order_by("id")),
        Prefetch("executions", Execution.objects.order_by("id")),
    )


def may_see(user: Any) -> bool:
    return bool(user.has_perm("approvals.view_suggestion"))


def steps(suggestion: Suggestion | None) -> tuple[Step, ...]:
    """Oldest first. In the blind sample nothing is told before the verdict (approvals/blind.py)."""
    if suggestion is None:
        return ()
    ref = str(suggestion.pk)
    if suggestion.is_blind and suggestion.revealed_at is None and suggestion.is_waiting:
        return (Step(suggestion.created_at, "", "waits for a verdict", ref=ref),)
    found = [Step(suggestion.created_at, suggestion.suggested_by, "suggested", suggestion.money, ref)]
    for decision in suggestion.decisions.all():
        said = " ".join(part for part in (decision.reason_code, decision.comment) if part)
        found.append(Step(decision.created_at, decision.actor_name, decision.get_verdict_display(), said, ref))
    for execution in suggestion.executions.all():
        found += _of(execution, ref)
    return tuple(sorted(found, key=lambda step: (step.at is None, step.at)))


def _of(execution: Execution, ref: str) -> Iterable[Step]:
    if execution.started_at:
        told = f"request {execution.request_id}" if execution.request_id else ""
        answer = execution.error or told
        yield Step(execution.started_at, "worker", f"sent to Stripe (attempt {execution.attempt})", answer, ref)
    if execution.confirmed_at:
        yield Step(execution.confirmed_at, "Stripe", "confirmed", execution.confirmed_event, ref)
