"""What a suggestion's page shows: the evidence first, then what would happen, then the steps this person may take."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from django.template import TemplateDoesNotExist
from django.template.loader import get_template, render_to_string
from django.utils import timezone
from django.utils.safestring import SafeString

from approvals import blind, policies, registry, sealing, seeds, services
from approvals.models import Decision, Execution, Suggestion
from approvals.services import desk
from approvals.states import State
from billingops import access, personal
from billingops.admin import history, names
from billingops.exceptions import InvalidInput

SIMILAR = 5
POLICY_RESULT, STORY_LINK = "admin/approvals/_policy_result.html", "admin/approvals/_story_link.html"


@dataclass(frozen=True)
class Steps:
    """Which buttons stand on the page. `why_not`: why this person cannot approve, "" when they can. `taken_by`: whoever
    else is on it; deciding all the same has to be said."""

    approve: bool
    reject: bool
    cancel: bool
    retry: bool
    look_again: bool
    edit: bool
    take: bool
    release: bool
    assign: bool
    comment: bool
    why_not: str
    taken_by: str

    @property
    def any(self) -> bool:
        return self.approve or self.reject or self.cancel or self.retry or self.look_again


def steps(suggestion: Suggestion, user: Any) -> Steps:
    right = user.has_perm("approvals.approve_suggestion") and access.may_see_account(user, suggestion.account)
    known = suggestion.kind in registry.names()
    why_not = services.may_decide(user, suggestion) if suggestion.is_waiting else ""
    open_to_verdicts = suggestion.is_waiting and not blind.hides(suggestion)
    takeable = suggestion.state in desk.TAKEABLE and right
    own = suggestion.assignee_id in (None, user.pk) or user.has_perm(desk.LEAD)
    return Steps(
        approve=suggestion.is_waiting and not why_not and known,
        reject=open_to_verdicts and right,
        cancel=suggestion.state in (State.APPROVED, State.FAILED) and right,
        retry=suggestion.state == State.FAILED and right and known,
        look_again=suggestion.state == State.UNKNOWN and right and known,
        edit=open_to_verdicts and right and known and bool(registry.get(suggestion.kind).editable),
        take=takeable and suggestion.assignee_id is None,
        release=takeable and suggestion.assignee_id is not None and own,
        assign=takeable and own,
        comment=user.has_perm(desk.COMMENT) and access.may_see_account(user, suggestion.account),
        why_not=why_not or ("" if known else "No installed app can carry this kind out."),
        taken_by=desk.taken_by_other(suggestion, user),
    )


def verdict(suggestion: Suggestion, user: Any) -> dict[str, Any]:
    """The card: amount, destination, what will happen, who has approved, the forms."""
    try:
        preview = registry.get(suggestion.kind).preview(suggestion)
    except InvalidInput:
        preview = registry.Preview("No installed app can carry this kind out; it can only be rejected.")
    decisions = list(suggestion.decisions.select_related("actor"))
    asks = policies.evaluate(suggestion, stage="approved") if suggestion.is_waiting else None
    allowed = steps(suggestion, user)
    counting = [one for one in decisions if _counts(one, suggestion)]
    return {
        "suggestion": suggestion,
        "preview": preview,
        "steps": allowed,
        "decisions": decisions,
        "approvals": counting,
        "approvals_needed": max(suggestion.required_approvals, asks.approvals if asks else 0),
        "approvals_void": sum(one.verdict == Decision.Verdict.APPROVE for one in decisions) - len(counting),
        "may_not": may_not_approve(suggestion, counting, user) if suggestion.is_waiting else [],
        "seal": sealing.of(suggestion, asks.versions) if asks else "",
        "policy_clause": asks.clause if asks else _stored_clause(suggestion),
        "policy_denies": asks.denied if asks else "",
        "policy_result": asks,
        "policy_template": _if_there(POLICY_RESULT),
        "story_template": _if_there(STORY_LINK),
        "coming": coming(suggestion),
        "comments": list(suggestion.comments.all()),
        "people": desk.assignable(suggestion) if allowed.assign else [],
        "destination": suggestion.destination,
        "reasons": services.REJECTION_REASONS,
        "max_comment": services.MAX_COMMENT,
        "names": names.of({suggestion.account, suggestion.customer, suggestion.destination} - {""}, user),
        "facts": personal.shown(suggestion.facts, user),
        "params": personal.shown(suggestion.params, user),
    }


def _stored_clause(suggestion: Suggestion) -> str:
    for stage in ("executed", "approved", "proposed"):
        if clause := (suggestion.policy.get(stage) or {}).get("clause"):
            return str(clause)
    return ""


def _counts(decision: Decision, suggestion: Suggestion) -> bool:
    return decision.verdict == Decision.Verdict.APPROVE and decision.revision == suggestion.revision


@cache
def _if_there(template: str) -> str:
    """The template's name where some part of the house brings it, else ""."""
    try:
        get_template(template)
    except TemplateDoesNotExist:
        return ""
    return template


@dataclass(frozen=True)
class MayNot:
    """Somebody whose approval does not count, and why."""

    name: str
    why: str
    is_you: bool


def may_not_approve(suggestion: Suggestion, approvals: list[Decision], user: Any) -> list[MayNot]:
    """Four eyes in words. At most two statements: the proposer and the last editor."""
    found = [(suggestion.proposed_by, "proposed it"), (suggestion.last_editor, "made the last edit")]
    found += [(decision.actor, "gave the first approval") for decision in approvals]
    return [MayNot(person.get_username(), why, person.pk == user.pk) for person, why in found if person is not None]


@dataclass(frozen=True)
class Coming:
    """An attempt that has not begun: when it will, whether policy holds it, and whether it can still be taken back."""

    at: datetime
    held: str
    is_ahead: bool


def coming(suggestion: Suggestion) -> Coming | None:
    if suggestion.state != State.APPROVED:
        return None
    queued = suggestion.executions.filter(state=Execution.State.QUEUED).order_by("-id").first()
    if queued is None:
        return None
    return Coming(queued.not_before, queued.held, queued.not_before > timezone.now())


def moved_facts(executions: list[Execution], user: Any) -> list[dict[str, Any]]:
    """What had changed at Stripe when it was to be carried out: [{field, before, after}] of the last such attempt."""
    for execution in executions:
        if moved := execution.result.get("differences"):
            return [_shown_difference(one, user) for one in moved]
    return []


def _shown_difference(difference: dict[str, Any], user: Any) -> dict[str, Any]:
    """A path such as `customer.email` is masked like the facts it points into."""
    parts = str(difference.get("field", "")).split(".")
    hidden = not personal.may_see(user) and not personal.KEYS.isdisjoint(parts)
    return {
        "field": difference.get("field", ""),
        **{
            name: personal.MASK if hidden else sealing.in_words(personal.shown(difference.get(name), user))
            for name in ("before", "after")
        },
    }


def changed_since(suggestion: Suggestion, version: int, user: Any) -> list[history.Change]:
    """Field by field: what moved between the version somebody looked at and now. Three statements."""
    rows = suggestion.history.order_by("-history_id")
    old, new = rows.filter(version=version).first(), rows.first()
    if old is None or new is None:
        return []
    for row in (old, new):
        row.params, row.facts = personal.shown(row.params, user), personal.shown(row.facts, user)
    ignored = ("Version", "Policy", "Rank at", "Updated at")
    return [change for change in history.differences(new, old) if not change.label.startswith(ignored)]


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
    rows = rows.exclude(blind.hidden()).filter(is_seeded=False)
    if suggestion.is_seeded:  # beside the real one, the copy would be known as one
        rows = rows.exclude(pk__in=seeds.source_of(suggestion))
    return list(rows.defer("facts", "params", "policy").order_by("-id")[:SIMILAR])


def context(suggestion: Suggestion, user: Any, *, page: int = 1) -> dict[str, Any]:
    entries, shown = history.entries(suggestion, page=page, per_page=10)
    executions = list(suggestion.executions.order_by("-id"))
    return {
        **verdict(suggestion, user),
        "evidence": evidence(suggestion, user),
        "similar": similar(suggestion, user),
        "executions": executions,
        "moved": moved_facts(executions, user) if suggestion.state == State.STALE else [],
        "successor": suggestion.successors.order_by("-id").only("id", "state", "kind").first(),
        "history": entries,
        "history_page": shown,
    }


def happened(suggestion: Suggestion, verb: str, who: str) -> str:
    """After a step: who did what, and what comes next."""
    state = State(suggestion.state)
    if check := seeds.told(suggestion):
        verdict = "You caught it" if check.caught else "You approved it"
        return f"This one was wrong on purpose, to see whether people look. {verdict} ({who}). {check.text}"
    if verb == "edit":
        return (
            f"Edited by {who}. Approvals given before no longer count. You made the last edit; somebody else must "
            "approve it."
        )
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
    undo = _undo(suggestion)
    said = "Another attempt with a new key was asked for" if verb == "retry" else "Approved"
    return (
        f"{said} by {who}. {undo}Next: the worker reads the facts again, then carries it out once; "
        "this page shows what Stripe answered, and “confirmed” when Stripe’s own event has come back."
    )


def _undo(suggestion: Suggestion) -> str:
    found = coming(suggestion)
    if found is None or not found.is_ahead:
        return ""
    return f"Carried out at {timezone.localtime(found.at):%H:%M:%S %Z on %d %b} unless you cancel. "
