"""The verbs of findings: opened once per cause, kept up to date, closed by a later look or dismissed by a person."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from django.core.exceptions import PermissionDenied
from django.db import IntegrityError, transaction
from django.utils import timezone

from billingops import access
from billingops.actors import Actor, save_with_history
from billingops.exceptions import InvalidInput
from settlements import states
from settlements.models import Finding
from settlements.states import FindingState

MAX_REASON = 500


def open_finding(
    *,
    code: str,
    subject: str,
    account: str,
    text: str,
    actor: Actor,
    lines: Iterable[str] = (),
    amount: int | None = None,
    currency: str = "",
    event_id: str = "",
) -> Finding:
    """The open finding of this cause, made or brought up to date. One that a person dismissed is not opened again while
    it would say the same."""
    content = {"text": text, "lines": list(lines), "amount": amount, "currency": currency if amount is not None else ""}
    cause = {"code": code, "subject": subject, "account": account}
    with transaction.atomic():
        found = Finding.objects.select_for_update().filter(**cause).order_by("-id").first()
        if found is not None and found.state == FindingState.DISMISSED and found.text == text:
            return found
        if found is None or found.state != FindingState.OPEN:
            found = Finding(**cause, **content, event_id=event_id)
            try:
                with transaction.atomic():
                    save_with_history(found, actor=actor, reason="found")
            except IntegrityError:  # found by somebody else at the same moment
                return Finding.objects.open().get(**cause)
        elif any(getattr(found, name) != value for name, value in content.items()):
            for name, value in content.items():
                setattr(found, name, value)
            save_with_history(found, actor=actor, reason="found again, with other figures")
        return found


def resolve(
    *, subject: str, account: str, actor: Actor, reason: str, keep: Collection[str] = (), only: Collection[str] = ()
) -> int:
    """Close the open findings of one seller on one invoice, except those with a code in `keep`; returns how many."""
    with transaction.atomic():
        rows = Finding.objects.open().filter(subject=subject, account=account).exclude(code__in=keep)
        if only:
            rows = rows.filter(code__in=only)
        found = list(rows.select_for_update())
        for row in found:
            _close(row, FindingState.RESOLVED, actor=actor, reason=reason)
    return len(found)


def dismiss(*, finding_id: int, actor: Actor, reason: str) -> Finding:
    """A person says that nothing needs doing, and why. Raises PermissionDenied, InvalidInput, InvalidTransition."""
    if actor.user is None or not actor.user.has_perm("settlements.dismiss_finding"):
        raise PermissionDenied("You may look at findings but not dismiss them.")
    reason = reason.strip()
    if not reason or len(reason) > MAX_REASON:
        raise InvalidInput(f"Say in 1 to {MAX_REASON} characters why this finding needs nothing more.", field="reason")
    with transaction.atomic():
        finding = Finding.objects.select_for_update().get(pk=finding_id)
        if not access.may_see_account(actor.user, finding.account):
            raise PermissionDenied("This finding belongs to an account that you have no access to.")
        return _close(finding, FindingState.DISMISSED, actor=actor, reason=reason)


def _close(finding: Finding, target: FindingState, *, actor: Actor, reason: str) -> Finding:
    states.check_finding(finding.state, target)
    finding.state, finding.closed_at, finding.closed_reason = target, timezone.now(), reason[:MAX_REASON]
    save_with_history(finding, actor=actor, reason=f"{target.label}: {reason}"[:MAX_REASON])
    return finding
