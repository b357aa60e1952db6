"""Approve or reject many: one page that says what, how much per currency, what not and why; then one button.

Each suggestion goes through its own call of the service, with the version the page showed.
"""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest

from approvals import registry, services
from approvals.models import Suggestion
from approvals.states import State
from billingops import access
from billingops.actors import Actor
from billingops.admin.actions import ConfirmedAction, Given

RIGHT = "approvals.approve_suggestion"


def has_right(request: HttpRequest) -> bool:
    return request.user.has_perm(RIGHT)  # type: ignore[union-attr]


def cannot_approve(request: HttpRequest, suggestion: Suggestion) -> str:
    """Costs no statement for what waits for its first approval; the service asks again in any case."""
    if suggestion.state == State.PENDING and has_right(request) and _in_scope(request, suggestion):
        return _not_executable(suggestion)
    return services.may_decide(request.user, suggestion)


def cannot_reject(request: HttpRequest, suggestion: Suggestion) -> str:
    if not suggestion.is_waiting:
        return f"It is {suggestion.get_state_display()}, not waiting."
    return "" if _in_scope(request, suggestion) else "It belongs to an account that you have no access to."


def _in_scope(request: HttpRequest, suggestion: Suggestion) -> bool:
    return access.may_see_account(request.user, suggestion.account)


def _not_executable(suggestion: Suggestion) -> str:
    return "" if suggestion.kind in registry.names() else "No installed app can carry this kind out."


def describe(suggestion: Suggestion) -> str:
    approvals = (
        ", first of two approvals" if suggestion.required_approvals > 1 and suggestion.state == State.PENDING else ""
    )
    account = f" · {suggestion.account}" if suggestion.account else ""
    return f"{suggestion.kind_label} · {suggestion.subject}{account}{approvals}"


def _amount(suggestion: Suggestion) -> tuple[int, str] | None:
    return None if suggestion.amount is None else (suggestion.amount, suggestion.currency)


def _approve(suggestion: Suggestion, actor: Actor, given: Given) -> None:
    services.approve(suggestion_id=suggestion.pk, actor=actor, version=int(given.version), comment=given.comment)


def _reject(suggestion: Suggestion, actor: Actor, given: Given) -> None:
    services.reject(
        suggestion_id=suggestion.pk,
        actor=actor,
        version=int(given.version),
        reason_code=given.reason,
        comment=given.comment,
    )


def _light(queryset: Any) -> Any:
    return queryset.order_by("-id").defer("facts", "params")


APPROVE = ConfirmedAction(
    name="approve",
    label="Approve the selected suggestions",
    button="Approve",
    sentence="Each of these is carried out once, by the worker, after it has read the facts again.",
    run=_approve,
    may=has_right,
    refuse=cannot_approve,
    amount=_amount,
    version=lambda suggestion: str(suggestion.version),
    describe=describe,
    prefetch=_light,
    comment="optional",
    done="Approved",
)
REJECT = ConfirmedAction(
    name="reject",
    label="Reject the selected suggestions",
    button="Reject",
    sentence="Nothing of these reaches Stripe. The reason is kept with each of them.",
    run=_reject,
    may=has_right,
    refuse=cannot_reject,
    amount=_amount,
    version=lambda suggestion: str(suggestion.version),
    describe=describe,
    prefetch=_light,
    comment="optional",
    comment_label="Comment (needed for “Other”)",
    reasons=tuple(services.REJECTION_REASONS),
    danger=True,
    done="Rejected",
)
