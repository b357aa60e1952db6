"""Which policy applies, and what it asks for. Evaluated when a suggestion is made, when it is approved, and again when
it is executed; deny wins. A stricter policy applies at once to what waits, a looser one only to what comes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from typing import Any, Literal

from django.db.models import Q
from django.utils import timezone

from approvals.models import Policy, Suggestion
from billingops.money import exceeds, format_money

STRICTNESS = {Policy.Mode.OFF: 0, Policy.Mode.SHADOW: 1, Policy.Mode.REVIEW: 2, Policy.Mode.AUTO: 3}
Stage = Literal["proposed", "approved", "executed"]


@dataclass(frozen=True)
class Clause:
    """One thing a policy says. `name`: two_approvers_over, cap_day_sum…; `effect`: allow, review, second, hold, deny;
    `text`: in words, with the figures."""

    name: str
    effect: str
    text: str


@dataclass(frozen=True)
class Result:
    """What the policies ask for, all of it; stored with the suggestion at each stage.

    mode            as it takes effect: off, shadow, review, or auto (earned, and inside all limits: no person needed)
    approvals       how many people must approve (0 under auto, else 1 or 2)
    clause          which setting decided, in words
    clauses         everything that was looked at and had an effect, the deciding one first
    versions        [[policy id, version], …] of the policies that hold
    denied          why it must not happen at all now, "" when it may
    hold            why it has to wait, "" when it need not; `hold_until` (ISO 8601): when to look again
    expires_hours   when a waiting suggestion expires; None: the setting's days
    undo_seconds    how long an approved one can be taken back before it is carried out
    grant_id        the evidence-backed grant that `auto` rests on
    """

    mode: str
    approvals: int
    clause: str
    clauses: tuple[Clause, ...] = ()
    versions: list[list[int]] = field(default_factory=list)
    denied: str = ""
    hold: str = ""
    hold_until: str = ""
    expires_hours: int | None = None
    undo_seconds: int = 0
    grant_id: int | None = None

    def as_json(self) -> dict[str, Any]:
        return asdict(self) | {"clauses": [asdict(clause) for clause in self.clauses]}

    @property
    def held_until(self) -> datetime | None:
        return datetime.fromisoformat(self.hold_until) if self.hold_until else None


def applicable(kind: str, account: str, known: Sequence[Policy] | None = None) -> list[Policy]:
    """The narrowest policies: kind and account named beats one of them named beats none. The strictest mode first.

    Two can be equally narrow (this kind for all accounts, all kinds for this account): then both hold. `known`: all
    policies, where the caller has them.
    """
    if known is None:
        rows = list(Policy.objects.filter(Q(kind=kind) | Q(kind="*"), Q(account=account) | Q(account="")))
    else:
        rows = [row for row in known if row.kind in (kind, "*") and row.account in (account, "")]
    narrowest = max((_narrowness(row) for row in rows), default=0)
    equal = [row for row in rows if _narrowness(row) == narrowest]
    return sorted(equal, key=lambda row: (STRICTNESS[Policy.Mode(row.mode)], row.pk))


def _narrowness(row: Policy) -> int:
    return (row.kind != "*") + (row.account != "")


def evaluate(suggestion: Suggestion, *, stage: Stage, at: datetime | None = None) -> Result:
    """What holds for `suggestion` now: the policies of today, and where these are looser, those of when it was made.

    Without any policy everything waits for one person. At the stage "executed" the caller holds the suggestion's row
    lock, inside the transaction that begins the execution.
    """
    return evaluate_many([suggestion], stage=stage, at=at)[0]


def evaluate_many(suggestions: Sequence[Suggestion], *, stage: Stage, at: datetime | None = None) -> list[Result]:
    """`evaluate` for each, in their order. The number of statements must not grow with theirs (a test counts them)."""
    at = at or timezone.now()
    known = list(Policy.objects.all())
    return [strictest(row.policy.get("proposed"), _today(row, stage=stage, at=at, known=known)) for row in suggestions]


def _today(suggestion: Suggestion, *, stage: Stage, at: datetime, known: Sequence[Policy]) -> Result:
    policies = applicable(suggestion.kind, suggestion.account, known)
    if not policies:
        return Result(Policy.Mode.REVIEW, 1, "no policy is set: one person reviews")
    policy = policies[0]
    where = f"policy {policy.kind} · {policy.account or 'all accounts'} v{policy.version}"
    approvals, clause = 1, f"{where}: {policy.mode}"
    if policy.mode == Policy.Mode.AUTO:
        # Automation is switched on by evidence only, and there is none recorded yet: a person looks.
        clause = f"{where}: auto is not earned yet, one person reviews"
    amount, currency = suggestion.amount, suggestion.currency
    limits = [row.two_approvers_over[currency] for row in policies if currency in row.two_approvers_over]
    if amount is not None and limits and exceeds(amount, currency, {currency: min(limits)}):
        approvals = 2
        clause += f"; two approvers over {format_money(min(limits), currency)}"
    mode = Policy.Mode.REVIEW if policy.mode == Policy.Mode.AUTO else Policy.Mode(policy.mode)
    return Result(mode.value, approvals, clause, versions=[[row.pk, row.version] for row in policies])


def strictest(earlier: Mapping[str, Any] | None, now: Result) -> Result:
    """`now`, made as strict as what was stored when the suggestion was made."""
    if not earlier:
        return now
    if earlier.get("approvals", 1) > now.approvals and now.mode not in (Policy.Mode.OFF, Policy.Mode.SHADOW):
        kept = f"{earlier.get('clause', '')} (when it was suggested)"
        mode = Policy.Mode.REVIEW.value if now.mode == Policy.Mode.AUTO else now.mode
        return replace(now, approvals=earlier["approvals"], clause=kept, mode=mode)
    return now
