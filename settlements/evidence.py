"""What the reviewer of a payout or a reversal is shown beside the verdict. A fixed number of statements; no network."""

from __future__ import annotations

from typing import Any

from approvals import seeds
from approvals.models import Suggestion
from settlements import breakdown
from settlements.flags import median
from settlements.models import Finding, PayoutRecord

EARLIER = 5
MOST_ITEMS = 100


def payout(suggestion: Suggestion, user: Any) -> dict[str, Any]:
    """`record` (None when it was never made), its `lines`, the seller's `usual` figures, open findings."""
    record = PayoutRecord.objects.filter(suggestion=suggestion).select_related("seller", "suggestion").first()
    if record is None and suggestion.is_seeded:
        record = _of_its_source(suggestion)
    if record is None:
        return {"record": None}
    usual = PayoutRecord.objects.usual(seller_id=record.seller_id, currency=record.currency)
    return {
        "record": record,
        **computation(record),
        "usual_count": len(usual),
        "usual_median": round(median(usual)) if usual else None,
        "findings": list(
            Finding.objects.open()
            .visible_to(user)
            .filter(subject=record.invoice or suggestion.subject, account=record.account)
        ),
        "facts": suggestion.facts,
    }


def computation(record: PayoutRecord) -> dict[str, Any]:
    """`lines` (of an invoice's payout) with their sums `together`, the `steps` from share to payout, and the `items`,
    at most MOST_ITEMS, with the number and sum of the others. Three or four statements."""
    lines = list(record.lines.select_related("rule")) if record.invoice else []
    rows = record.items.select_related("earning").order_by("earning__paid_at", "pk")
    items = list(rows[: MOST_ITEMS + 1])
    left: dict[str, Any] = {}
    if len(items) > MOST_ITEMS:
        items = items[:MOST_ITEMS]
        left["items_left"] = record.items.count() - MOST_ITEMS
        left["items_left_amount"] = record.amount - sum(item.amount for item in items)
    facts = record.suggestion.facts if record.suggestion is not None else {}
    return {
        "lines": lines,
        "together": breakdown.together(lines),
        "steps": breakdown.steps_of(facts),
        "items": items,
        **left,
    }


def _of_its_source(suggestion: Suggestion) -> PayoutRecord | None:
    """A seeded check has no record of its own, and must not be known by that: the real one's, as it stood then."""
    return (
        PayoutRecord.objects.filter(suggestion__in=seeds.source_of(suggestion))
        .select_related("seller", "suggestion")
        .first()
    )


def reversal(suggestion: Suggestion, user: Any) -> dict[str, Any]:
    """The payout that is to be taken back, in part or whole, and earlier reversals of the same transfer."""
    record = PayoutRecord.objects.filter(transfer=suggestion.subject).select_related("seller").first()
    earlier = Suggestion.objects.visible_to(user).filter(kind=suggestion.kind, subject=suggestion.subject)
    earlier = earlier.filter(is_seeded=False)
    if suggestion.is_seeded:
        earlier = earlier.exclude(pk__in=seeds.source_of(suggestion))
    return {
        "record": record,
        "facts": suggestion.facts,
        "left": record.amount - record.amount_reversed if record else None,
        "earlier": list(earlier.exclude(pk=suggestion.pk).order_by("-id")[:EARLIER]),
    }
