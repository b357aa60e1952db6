"""What a person said came back of a transfer elsewhere, and not by a reversal: booked against suspense when a suggested
reversal is rejected for that reason (reversals.py), and no more where a reversal in the dashboard brings it after all
(payouts.py): who rejects it as handled there may be faster than Stripe's event. A reversal that we asked for, or that
came with a refund of its own, is about something else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from uuid import UUID

from billingops.actors import Actor
from billingops.stripe.facts import ReversalFacts, TransferFacts
from settlements import books, findings
from settlements.ledger.accounts import Account, Kind
from settlements.ledger.journal import Draft
from settlements.ledger.models import Posting
from settlements.models import Earning


def booked(transfer: str, rows: Mapping[int, Earning]) -> tuple[dict[int, int], dict[int, UUID]]:
    """Of each earning of this transfer what is booked as come back elsewhere (minor units), and the suggestion whose
    rejection said so last. One statement."""
    found = Posting.objects.filter(entry__source=transfer, entry__kind=Kind.CORRECTION, account=Account.SUSPENSE)
    found = found.filter(entry__key__startswith=books.ELSEWHERE).order_by("pk")
    pks = {row.invoice: pk for pk, row in rows.items()}
    amounts: dict[int, int] = {}
    said: dict[int, UUID] = {}
    for invoice, amount, suggestion in found.values_list("invoice", "amount", "entry__suggestion"):
        amounts[pks[invoice]] = amounts.get(pks[invoice], 0) + amount
        if suggestion is not None:
            said[pks[invoice]] = suggestion
    return amounts, said


def after(owed: Mapping[int, int], amounts: Mapping[int, int]) -> dict[int, int]:
    """What a reversal takes first, by earning: what is owed, then what was said to have come elsewhere."""
    return {earning: amount + amounts.get(earning, 0) for earning, amount in owed.items()}


def undone(part: int, owed: int, elsewhere: int) -> int:
    """Of the `part` that a reversal took of an earning, what had been said to have come elsewhere."""
    return min(max(0, part - owed), elsewhere)


def by_a_reversal(row: Earning, amount: int, one: ReversalFacts, transfer: TransferFacts, said: UUID) -> Draft:
    """It came by this reversal, whose own entry says so: that is not booked twice."""
    draft = books.given_back_elsewhere(row, -amount, transfer=transfer.id, at=one.created, suggestion=said)
    return replace(draft, key=f"{draft.key}:{one.id}", text=f"Not elsewhere: transfer {transfer.id} was reversed")


def subject(suggestion: UUID) -> str:
    """Of the finding that asks whether the money has come."""
    return f"{books.ELSEWHERE}{suggestion}"


def close(amounts: Mapping[int, int], said: Mapping[int, UUID], *, account: str, actor: Actor) -> None:
    """The findings of which all came by reversals after all."""
    for suggestion in set(said.values()):
        if not any(amounts[earning] for earning, by in said.items() if by == suggestion):
            reason = "it came by a reversal"
            findings.resolve(subject=subject(suggestion), account=account, actor=actor, reason=reason)
