"""What a suggestion's page shows: the evidence first, then what would happen, then the steps this person may take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.template.loader import render_to_string
from django.utils.safestring import SafeString

from approvals import registry, services
from approvals.models import Decision, Suggestion
from approvals.states import State
from billingops import access, personal
from billingops.admin import history, names
from billingops.exceptions import InvalidInput

SIMILAR = 5


@dataclass(frozen=True)
class Steps:
    """Which buttons stand on the page. `why_not`: why this person cannot approve, "" when they can."""

    approve: bool
    reject: bool
    cancel: bool
    retry: bool
    look_again: bool
    why_not: str

    @property
    def any(self) -> bool:
        return self.approve or self.reject or self.cancel or self.retry or self.look_again


def steps(suggestion: Suggestion, user: Any) -> Steps:
    right = user.has_perm("approvals.approve_suggestion") and access.may_see_account(user, suggestion.account)
    known = suggestion.kind in registry.names()
    why_not = services.may_decide(user, suggestion) if suggestion.is_waiting else ""
    return Steps(
        approve=suggestion.is_waiting and not why_not and known,
        reject=suggestion.is_waiting and right,
        cancel=suggestion.state in (State.APPROVED, State.FAILED) and right,
        retry=suggestion.state == State.FAILED and right and known,
        look_again=suggestion.state == State.UNKNOWN and right and known,
        why_not=why_not or ("" if known else "No installed app can carry this kind out."),
    )


def verdict(suggestion: Suggestion, user: Any) -> dict[str, Any]:
    """The card: amount, destination, what will happen, who has approved, the forms."""
    try:
        preview = registry.get(suggestion.kind).preview(suggestion)
    except InvalidInput:
        preview = registry.Preview("No installed app can carry this kind out; it can only be rejected.")
    decisions = list(suggestion.decisions.select_related("actor"))
    clauses = suggestion.policy.get("approved") or suggestion.policy.get("proposed") or {}
    return {
        "suggestion": suggestion,
        "preview": preview,
        "steps": steps(suggestion, user),
        "decisions": decisions,
        "approvals_given": sum(decision.verdict == Decision.Verdict.APPROVE for decision in decisions),
        "policy_clause": clauses.get("clause", ""),
        "destination": _destination(suggestion),
        "reasons": services.REJECTION_REASONS,
        "max_comment": services.MAX_COMMENT,
        "names": names.of({suggestion.account, suggestion.customer, _destination(suggestion)} - {""}, user),
        "facts": personal.shown(suggestion.facts, user),
        "params": personal.shown(suggestion.params, user),
    }


def _destination(suggestion: Suggestion) -> str:
    value = suggestion.params.get("destination", "")
    return value if isinstance(value, str) else ""


def evidence(suggestion: Suggestion, user: Any) -> SafeString:
    """The kind's own template, or the bare facts where it brings none."""
    try:
        kind = registry.get(suggestion.kind)
    except InvalidInput:
        return SafeString("")
    if not kind.evidence_template:
        return SafeString("")
    extra = kind.evidence_context(suggestion, user) if kind.evidence_context else {}
    return render_to_string(kind.evidence_template, {"suggestion": suggestion, **extra})


def similar(suggestion: Suggestion, user: Any) -> list[Suggestion]:
    """The last few of the same kind for the same seller (else the same customer), with what became of them."""
    about = {"account": suggestion.account} if suggestion.account else {"customer": suggestion.customer}
    if not any(about.values()):
        return []
    rows = Suggestion.objects.visible_to(user).filter(kind=suggestion.kind, **about).exclude(pk=suggestion.pk)
    return list(rows.defer("facts", "params", "policy").order_by("-id")[:SIMILAR])


def context(suggestion: Suggestion, user: Any, *, page: int = 1) -> dict[str, Any]:
    entries, shown = history.entries(suggestion, page=page, per_page=10)
    return {
        **verdict(suggestion, user),
        "evidence": evidence(suggestion, user),
        "similar": similar(suggestion, user),
        "executions": list(suggestion.executions.order_by("-id")),
        "successor": suggestion.successors.order_by("-id").only("id", "state", "kind").first(),
        "history": entries,
        "history_page": shown,
    }


def happened(suggestion: Suggestion, verb: str, who: str) -> str:
    """After a step: who did what, and what comes next."""
    state = State(suggestion.state)
    if verb == "reject":
        return f"Rejected by {who}. Nothing of it reaches Stripe."
    if verb == "cancel":
        return f"Cancelled by {who}. Nothing of it reaches Stripe."
    if verb == "look_again":
        return f"Another look-up was asked for by {who}. The worker asks Stripe; nothing is sent twice."
    if state == State.SECOND_REVIEW:
        return (
            f"Your approval is recorded ({who}), the first of {suggestion.required_approvals}. "
            "Now somebody else must approve; until then nothing happens."
        )
    if state == State.OBSERVED:
        return f"Recorded in shadow mode ({who}). Nothing is carried out."
    said = "Another attempt with a new key was asked for" if verb == "retry" else "Approved"
    return (
        f"{said} by {who}. Next: the worker reads the facts again, then carries it out once; "
        "this page shows what Stripe answered, and “confirmed” when Stripe’s own event has come back."
    )
