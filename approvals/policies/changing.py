"""The one way a policy is added, changed or removed: with a version, its history, the audit log, and a second look at
what it holds. A person needs the right and the account; a file comes from whoever may run commands."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import transaction

from approvals import audit
from approvals.models import Policy
from approvals.models.policy import default_bar
from approvals.policies import locks
from billingops import access, jobs
from billingops.actors import Actor, save_with_history
from billingops.exceptions import InvalidInput, VersionConflict

# What a person or a file sets, in the order in which pages show it, with what holds where nothing is said.
DEFAULTS: dict[str, Any] = {
    "mode": Policy.Mode.REVIEW.value,
    "review_over": {},
    "two_approvers_over": {},
    "auto_under": {},
    "caps": {},
    "destinations": [],
    "cool_down_hours": 0,
    "expires_hours": None,
    "timezone": "",
    "hours": {},
    "undo_seconds": 0,
    "automation_bar": default_bar(),
    "bands": {},
    "blind_percent": Decimal(0),
    "seed_percent": Decimal(0),
}
FIELDS = tuple(DEFAULTS)


def values_of(row: Policy) -> dict[str, Any]:
    return {name: getattr(row, name) for name in FIELDS}


def moved(row: Policy, values: Mapping[str, Any]) -> list[str]:
    """The fields that `values` would change."""
    return [name for name in FIELDS if name in values and getattr(row, name) != values[name]]


def may_change(user: Any, account: str, *, adding: bool = False) -> str:
    """ "" when this person may change (or add) the policies of `account` ("": of all accounts), else why not."""
    right = "approvals.add_policy" if adding else "approvals.change_policy"
    if not user.has_perm(right):
        return "You may look at policies but not change them."
    if not access.may_see_account(user, account):
        return "This policy concerns accounts that you have no access to."
    return ""


def change(
    *, kind: str, account: str, values: Mapping[str, Any], version: int | None, actor: Actor, comment: str = ""
) -> Policy:
    """A person's change; `version` is the one they saw, None for a policy that is to be added.

    `values` are checked by whoever reads them. Raises PermissionDenied, VersionConflict, InvalidInput (no difference).
    """
    if actor.user is None:
        raise PermissionDenied("A person changes a policy here.")
    if why := may_change(actor.user, account, adding=version is None):
        raise PermissionDenied(why)
    access.check_may_act(actor.user)
    with transaction.atomic():
        locks.change()
        row = Policy.objects.select_for_update().filter(kind=kind, account=account).first()
        if version is None and row is not None:
            raise VersionConflict(f"There is a {row.name} already (version {row.version}). Change that one.", [])
        if version is not None and (row is None or row.version != version):
            now = f"it is now version {row.version}" if row else "it is gone"
            raise VersionConflict(f"You saw version {version}, {now}. Nothing was changed; look again.", [])
        row = row or Policy(kind=kind, account=account)
        if row.pk and not moved(row, values):
            raise InvalidInput("Nothing is different from what holds.", field="mode")
        return store(row, values, actor=actor, reason=comment or "changed in the admin")


def store(row: Policy, values: Mapping[str, Any], *, actor: Actor, reason: str) -> Policy:
    """Write `values`; what was decided under the version before says so in its own record. The caller holds
    `locks.change`."""
    fresh = row.pk is None
    for name in FIELDS:
        if name in values:
            setattr(row, name, values[name])
    row.version += not fresh
    save_with_history(row, actor=actor, reason=reason)
    _note(row, "policy.added" if fresh else "policy.changed", actor, reason)
    return row


def remove(row: Policy, *, actor: Actor, reason: str) -> None:
    _note(row, "policy.removed", actor, reason)
    row._history_user, row._change_reason = actor.user, f"{reason} · {actor.name}"  # type: ignore[attr-defined]
    row.delete()


def _note(row: Policy, action: str, actor: Actor, reason: str) -> None:
    shown = {name: str(value) if isinstance(value, Decimal) else value for name, value in values_of(row).items()}
    audit.append(
        action=action,
        subject=f"policy:{row.kind}/{row.account}",
        account=row.account,
        actor=actor,
        data={"version": row.version, "reason": reason[:500], **shown},
    )
    # A task: no row of a suggestion or an execution is touched under the policy lock (locks.py).
    jobs.enqueue("approvals.tasks.wake_held", row.kind, row.account)
