"""What the reviewer of a payout or a reversal is shown beside the verdict. A fixed number of statements; no network."""

from __future__ import annotations

from typing import Any

from approvals import seeds
from approvals.models import Suggestion
from settlements.flags import median
from settlements.models import Finding, PayoutRecord

EARLIER = 5


def payout(suggestion: Suggestion, user: Any) -> dict[str, Any]:
    """`record` (None when it was never made), its `lines`, the seller's `usual` figures, open findings."""
    record = PayoutRecord.objects.filter(suggestion=suggestion).select_related("seller").first()
    if record is None and suggestion.is_seeded:
        record = _of_its_source(suggestion)
    if record is None:
        return {"record": None}
    usual = PayoutRecord.objects.usual(seller_id=record.seller_id, currency=record.currency)
    return {
        "record": record,
        "lines": list(record.lines.select_related("rule")),
        "usual_count": len(usual),
        "usual_median": round(median(usual)) if usual else None,
        "findings": list(
            Finding.objects.open().visible_to(user).filter(subject=record.invoice, account=record.account)
        ),
        "facts": suggestion.facts,
    }


def _of_its_source(suggestion: Suggestion) -> PayoutRecord | None:
    """A seeded check has no record of its own, and must not be known by that: the real one's, as it stood then."""
    return PayoutRecord.objects.filter(suggestion__in=seeds.source_of(suggestion)).select_related("seller").first()


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
