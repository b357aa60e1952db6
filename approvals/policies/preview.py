"""What a change of a policy would do to what waits, before anybody saves it. Writes nothing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from django.utils import timezone

from approvals.models import Execution, Policy, Suggestion
from approvals.policies.evaluation import Book, evaluate
from approvals.policies.results import is_stricter
from approvals.states import WAITING_FOR_A_PERSON, State
from billingops.money import sum_by_currency

LOOKED_AT = 5000  # suggestions; more are counted as "at least"


@dataclass(frozen=True)
class Group:
    """Some suggestions: how many, and their sums per currency in minor units."""

    count: int = 0
    sums: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Effect:
    """looked_at  how many waiting or approved suggestions fall under the policy (at most LOOKED_AT)
    waiting    of those that wait for a person: what gets stricter
    approved   of those approved and not yet carried out: what gets stricter
    refused    of both: what could not happen at all any more
    held       how many are held by policy now, and are looked at again once the change is saved
    """

    looked_at: int
    waiting: Group
    approved: Group
    refused: Group
    held: int

    @property
    def is_capped(self) -> bool:
        return self.looked_at >= LOOKED_AT


def effect(row: Policy) -> Effect:
    """`row`: the policy as it would be, unsaved. Six statements or so, however many suggestions wait."""
    rows = Suggestion.objects.filter(state__in=[*WAITING_FOR_A_PERSON, State.APPROVED])
    held = Execution.objects.filter(state=Execution.State.QUEUED).exclude(held="")
    if row.kind != "*":
        rows, held = rows.filter(kind=row.kind), held.filter(suggestion__kind=row.kind)
    if row.account:
        rows, held = rows.filter(account=row.account), held.filter(suggestion__account=row.account)
    found = list(rows.order_by("-pk")[:LOOKED_AT])
    now = list(Policy.objects.all())
    then = [one for one in now if (one.kind, one.account) != (row.kind, row.account)] + [row]
    at = timezone.now()
    books = [Book(found, at=at, policies=policies, evidence=False) for policies in (now, then)]
    groups: dict[str, list[Suggestion]] = {"waiting": [], "approved": [], "refused": []}
    for suggestion in found:
        before, after = (evaluate(suggestion, stage="approved", book=book) for book in books)
        if not is_stricter(after, before):
            continue
        groups["approved" if suggestion.state == State.APPROVED else "waiting"].append(suggestion)
        if after.denied and not before.denied:
            groups["refused"].append(suggestion)
    return Effect(looked_at=len(found), held=held.count(), **{name: _group(some) for name, some in groups.items()})


def _group(suggestions: list[Suggestion]) -> Group:
    sums: Any = sum_by_currency((one.amount, one.currency) for one in suggestions if one.amount is not None)
    return Group(len(suggestions), sums)
