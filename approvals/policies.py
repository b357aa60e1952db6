"""Which policy applies, and what it asks for. Evaluated when a suggestion is made, when it is approved, and again when
it is executed; a stricter one found later wins, a looser one never helps what already waits."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from django.db.models import Q

from approvals.models import Policy
from billingops.money import exceeds, format_money

STRICTNESS = {Policy.Mode.OFF: 0, Policy.Mode.SHADOW: 1, Policy.Mode.REVIEW: 2, Policy.Mode.AUTO: 3}


@dataclass(frozen=True)
class Result:
    """`mode` as it takes effect, `approvals` needed (1 or 2), `clause`: which setting decided, in words."""

    mode: str
    approvals: int
    clause: str
    policy_id: int | None = None
    policy_version: int = 0

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def applicable(kind: str, account: str) -> Policy | None:
    """The narrowest policy: kind and account named beats one of them named beats none; among equals the stricter."""
    rows = Policy.objects.filter(Q(kind=kind) | Q(kind="*"), Q(account=account) | Q(account=""))
    return min(
        rows,
        key=lambda row: (-((row.kind != "*") + (row.account != "")), STRICTNESS[Policy.Mode(row.mode)], row.pk),
        default=None,
    )


def evaluate(*, kind: str, account: str, amount: int | None, currency: str) -> Result:
    """One statement. Without any policy everything waits for one person."""
    policy = applicable(kind, account)
    if policy is None:
        return Result(Policy.Mode.REVIEW, 1, "no policy is set: one person reviews")
    where = f"policy {policy.kind} · {policy.account or 'all accounts'} v{policy.version}"
    named = {"policy_id": policy.pk, "policy_version": policy.version}
    approvals, clause = 1, f"{where}: {policy.mode}"
    if policy.mode == Policy.Mode.AUTO:
        # Automation is switched on by evidence only, and there is none recorded yet: a person looks.
        clause = f"{where}: auto is not earned yet, one person reviews"
    if amount is not None and exceeds(amount, currency, policy.two_approvers_over):
        approvals = 2
        clause += f"; two approvers over {format_money(policy.two_approvers_over[currency], currency)}"
    mode = Policy.Mode.REVIEW if policy.mode == Policy.Mode.AUTO else Policy.Mode(policy.mode)
    return Result(mode.value, approvals, clause, **named)
