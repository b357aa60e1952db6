"""From the queue to a batch: which rows were chosen, in which version; what happens then stands on the batch's page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest

from approvals.models import Batch
from approvals.querysets import SuggestionQuerySet
from approvals.services import batches
from approvals.services.deciding import Ask
from billingops.actors import Actor

RIGHT = "approvals.approve_suggestion"


@dataclass(frozen=True)
class BulkAction:
    """A button above the queue."""

    name: str
    button: str
    danger: bool = False


APPROVE = BulkAction("approve", "Approve")
REJECT = BulkAction("reject", "Reject", danger=True)


def has_right(request: HttpRequest) -> bool:
    return request.user.has_perm(RIGHT)  # type: ignore[union-attr]


def freeze(
    request: HttpRequest, action: BulkAction, chosen: SuggestionQuerySet, *, seen: Mapping[str, str], came_from: str
) -> Batch:
    """`chosen`: within what the person may see. `seen`: primary key → version on the page; what is missing there was
    chosen unseen ("all that match") and counts as it is now. Raises InvalidInput for none or too many."""
    rows = chosen.order_by("rank_at", "pk").values_list("pk", "version")[: batches.MAX_ROWS + 1]
    asks = [Ask(pk, _version(seen.get(str(pk), ""), version)) for pk, version in rows]
    return batches.freeze(verb=action.name, asks=asks, actor=Actor.person(request.user), came_from=came_from)


def _version(seen: Any, now: int) -> int:
    return int(seen) if seen.isdecimal() and len(seen) < 10 else now
