"""The `policies` section of the config file: who must look at what, per kind and account."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from approvals import audit, registry
from approvals.models import Policy
from billingops.actors import Actor, save_with_history
from billingops.config import Change, Section, Value

KEYS = ("kind", "account", "mode", "two_approvers_over", "auto_under")
_FIELDS = ("mode", "two_approvers_over", "auto_under")


@dataclass(frozen=True)
class PolicyPlan:
    kind: str
    account: str
    mode: str
    two_approvers_over: dict[str, int]
    auto_under: dict[str, int]

    @property
    def name(self) -> str:
        return f"policy {self.kind} · {self.account or 'all accounts'}"


def read(values: list[Value], plans: Mapping[str, Any]) -> list[PolicyPlan]:
    found: list[PolicyPlan] = []
    for value in values:
        fields = value.fields(*KEYS)
        if fields is None:
            continue
        kind = fields.require("kind", lambda member: member.choice([*registry.names(), "*"]))
        mode = fields.require("mode", lambda member: member.choice(Policy.Mode.values))
        account = fields.read("account", _account, "")
        over: dict[str, int] = fields.read("two_approvers_over", Value.amounts, {})
        under: dict[str, int] = fields.read("auto_under", Value.amounts, {})
        if kind is None or mode is None:
            continue
        if any((plan.kind, plan.account) == (kind, account) for plan in found):
            value.refuse(f"a second policy for {kind} · {account or 'all accounts'}; there may be one.")
            continue
        found.append(PolicyPlan(kind, account, mode, over, under))
    return found


def _account(value: Value) -> str | None:
    text = value.text()
    if text is not None and not (text.startswith("acct_") and len(text) <= 64):
        value.refuse(f"must be a connected account (acct_…) or null for all accounts, not {text!r}.")
        return None
    return text


def apply(plan: list[PolicyPlan] | None, *, actor: Actor, prune: bool) -> list[Change]:
    """A changed policy gets the next version: what was decided under the old one says so in its own record."""
    if plan is None:
        return []
    rows = {(row.kind, row.account): row for row in Policy.objects.select_for_update()}
    changes = []
    for wanted in plan:
        row = rows.pop((wanted.kind, wanted.account), None)
        fresh = row is None
        if row is None:
            row = Policy(kind=wanted.kind, account=wanted.account)
        lines = [
            f"{name}: {getattr(row, name)} → {getattr(wanted, name)}"
            for name in _FIELDS
            if getattr(row, name) != getattr(wanted, name)
        ]
        if not (lines or fresh):
            continue
        for name in _FIELDS:
            setattr(row, name, getattr(wanted, name))
        row.version += not fresh
        save_with_history(row, actor=actor, reason="config file")
        _audit(row, "policy.added" if fresh else "policy.changed", actor)
        changes.append(
            Change("+" if fresh else "~", f"{wanted.name} v{row.version}: {row.mode}", () if fresh else tuple(lines))
        )
    for row in rows.values():
        what = f"policy {row.kind} · {row.account or 'all accounts'} v{row.version}"
        if not prune:
            changes.append(Change("-", what, ("not in the file; kept (--prune removes it)",), applied=False))
            continue
        _audit(row, "policy.removed", actor)
        row._history_user, row._change_reason = actor.user, f"config file · {actor.name}"  # type: ignore[attr-defined]
        row.delete()
        changes.append(Change("-", what, ("not in the file; removed",)))
    return changes


def _audit(row: Policy, action: str, actor: Actor) -> None:
    audit.append(
        action=action,
        subject=f"policy:{row.kind}/{row.account}",
        actor=actor,
        data={"version": row.version, **{name: getattr(row, name) for name in _FIELDS}},
    )


SECTION = Section(name="policies", read=read, apply=apply, order=30)
