"""Questions to Stripe that settle an unknown result: which transfers and reversals carry a suggestion's id.

Read now, never from the mirror; outside transactions. Raises billingops.stripe.errors.*: no answer proves nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from billingops.stripe import reader, sync
from billingops.stripe.facts import TransferFacts

SUGGESTION_KEY = "billingops_suggestion"


def transfer_of(suggestion_id: str, *, transfer_group: str, destination: str) -> TransferFacts | None:
    """The transfer that carries this suggestion's id; `transfer_group` and `destination` narrow the search."""
    for data in sync.list_objects("transfer", transfer_group=transfer_group, destination=destination):
        found = reader.read_transfer(data)
        if found.metadata.get(SUGGESTION_KEY) == suggestion_id:
            return found
    return None


def reversal_of(suggestion_id: str, *, transfer_id: str) -> str:
    """The id of the reversal (trr_…) that carries this suggestion's id, "" when there is none."""
    data = sync.fetch("transfer", transfer_id) or {}
    return next((found for found, named in reversals_in(data) if named == suggestion_id), "")


def reversals_in(transfer: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """(reversal id, suggestion id it carries or "") of a transfer's payload."""
    for item in (transfer.get("reversals") or {}).get("data") or ():
        yield str(item.get("id", "")), str((item.get("metadata") or {}).get(SUGGESTION_KEY, ""))
