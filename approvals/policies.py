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


def applicable(kind: str, account: str) -> list[Policy]:
    """The narrowest policies: kind and account named beats one of them named beats none. The strictest mode first.

    Two can be equally narrow (this kind for all accounts, all kinds for this account): then both hold.
    """
    rows = list(Policy.objects.filter(Q(kind=kind) | Q(kind="*"), Q(account=account) | Q(account="")))
    narrowest = max((_narrowness(row) for row in rows), default=0)
    equal = [row for row in rows if _narrowness(row) == narrowest]
    return sorted(equal, key=lambda row: (STRICTNESS[Policy.Mode(row.mode)], row.pk))


def _narrowness(row: Policy) -> int:
    return (row.kind != "*") + (row.account != "")


def evaluate(*, kind: str, account: str, amount: int | None, currency: str) -> Result:
    """One statement. Without any policy everything waits for one person."""
    policies = applicable(kind, account)
    if not policies:
        return Result(Policy.Mode.REVIEW, 1, "no policy is set: one person reviews")
    policy = policies[0]
    where = f"policy {policy.kind} · {policy.account or 'all accounts'} v{policy.version}"
    named = {"policy_id": policy.pk, "policy_version": policy.version}
    approvals, clause = 1, f"{where}: {policy.mode}"
    if policy.mode == Policy.Mode.AUTO:
        # Automation is switched on by evidence only, and there is none recorded yet: a person looks.
        clause = f"{where}: auto is not earned yet, one person reviews"
    limits = [row.two_approvers_over[currency] for row in policies if currency in row.two_approvers_over]
    if amount is not None and limits and exceeds(amount, currency, {currency: min(limits)}):
        approvals = 2
        clause += f"; two approvers over {format_money(min(limits), currency)}"
    mode = Policy.Mode.REVIEW if policy.mode == Policy.Mode.AUTO else Policy.Mode(policy.mode)
    return Result(mode.value, approvals, clause, **named)
