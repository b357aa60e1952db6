"""Questions to Stripe that settle an unknown result: which transfers and reversals are what a suggestion asked for.

It must carry the suggestion's id *and* be what was approved: metadata is other people's to write. Read now, never from
the mirror; outside transactions. Raises billingops.stripe.errors.*: no answer proves nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from approvals.models import Suggestion
from billingops.money import format_money
from billingops.stripe import reader, sync
from billingops.stripe.errors import Ambiguous
from billingops.stripe.facts import TransferFacts

SUGGESTION_KEY = "billingops_suggestion"


class Reversal(NamedTuple):
    """One reversal (trr_…) of a transfer. `suggestion`: the id it carries, "" when none."""

    id: str
    transfer: str
    amount: int
    currency: str
    suggestion: str


def transfer_of(suggestion: Suggestion) -> TransferFacts | None:
    """The transfer that this suggestion asked for, if Stripe has it."""
    params = suggestion.params
    listed = sync.list_objects("transfer", transfer_group=params["transfer_group"], destination=params["destination"])
    return next((found for found in map(reader.read_transfer, listed) if is_transfer_of(found, suggestion)), None)


def is_transfer_of(transfer: TransferFacts, suggestion: Suggestion) -> bool:
    return transfer.metadata.get(SUGGESTION_KEY) == str(suggestion.pk) and not transfer_differs(transfer, suggestion)


def reversal_of(suggestion: Suggestion) -> str:
    """The id of the reversal that this suggestion asked for, "" when Stripe has none."""
    data = sync.fetch("transfer", suggestion.params["transfer"])
    if data is None:  # it was there when this was approved; that we cannot see it proves nothing
        raise Ambiguous("Stripe does not show the transfer; whether it was reversed cannot be seen.", code="gone")
    for found in reversals_in(data):
        if found.suggestion == str(suggestion.pk) and not reversal_differs(found, suggestion):
            return found.id
    return ""


def reversals_in(transfer: dict[str, Any]) -> Iterator[Reversal]:
    """The reversals in a transfer's payload."""
    facts = reader.read_transfer(transfer)
    for item in facts.reversals:
        yield Reversal(
            id=item.id,
            transfer=facts.id,
            amount=item.amount,
            currency=item.currency,
            suggestion=item.metadata.get(SUGGESTION_KEY, ""),
        )


def transfer_differs(transfer: TransferFacts, suggestion: Suggestion) -> str:
    """ "" when the transfer is what was approved, else what is not."""
    params = suggestion.params
    if (transfer.amount, transfer.currency) != (suggestion.amount, suggestion.currency):
        return f"it is over {format_money(transfer.amount, transfer.currency)}, approved was {suggestion.money}"
    if transfer.destination != params["destination"]:
        return f"it went to {transfer.destination}, approved was {params['destination']}"
    if transfer.source_transaction != params["source_transaction"]:
        return f"it came from {transfer.source_transaction or 'no charge'}, approved was {params['source_transaction']}"
    if transfer.transfer_group != params["transfer_group"]:
        return f"its group is {transfer.transfer_group or 'empty'}, approved was {params['transfer_group']}"
    return ""


def reversal_differs(reversal: Reversal, suggestion: Suggestion) -> str:
    """ "" when the reversal is what was approved, else what is not."""
    if reversal.transfer != suggestion.params["transfer"]:
        return f"it is of {reversal.transfer}, approved was one of {suggestion.params['transfer']}"
    if (reversal.amount, reversal.currency) != (suggestion.amount, suggestion.currency):
        return f"it is over {format_money(reversal.amount, reversal.currency)}, approved was {suggestion.money}"
    return ""
