"""What the mirror knows about the objects behind differences: five statements at most, for many of them at once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.apps import apps

from billingops.stripe.models import InvoicePayment, MirroredBalanceTransaction, MirroredObject
from settlements.reconciliation import causes
from settlements.reconciliation.causes import Known
from settlements.reconciliation.components import Member, Verdict

LISTED = 50  # members written out in an item's evidence; the links hold them all


def gather(verdicts: Iterable[Verdict]) -> Known:
    """No statement where there is nothing to ask: each asks what a cause of one of these may be decided by."""
    asked = [verdict for verdict in verdicts if causes.asks(verdict)]
    whole = [verdict for verdict in asked if verdict.transactions and verdict.entries]
    parted = [verdict for verdict in asked if verdict.paired or not (verdict.transactions and verdict.entries)]
    alone = [one for verdict in parted for one in verdict.rest if one.source]
    transactions = {one.pk for verdict in whole for one in verdict.transactions}
    details = MirroredBalanceTransaction.objects.filter(pk__in=transactions)
    rows = list(details.values_list("pk", "fee_details", "exchange_rate")) if transactions else []
    sources = {one.source for one in alone if one.side == "e" or one.family == "refund"}
    objects: dict[str, Any] = {}
    if sources:
        mirrored = MirroredObject.objects.filter(object_id__in=sources)
        objects = {row[0]: row[1:] for row in mirrored.values_list("object_id", "parent_id", "created")}
    parents = {parent for parent, _ in objects.values() if parent.startswith(("ch_", "py_"))}
    made: dict[str, Any] = {}
    if parents:
        made = dict(MirroredObject.objects.filter(object_id__in=parents).values_list("object_id", "created"))
    charges = {one.source for one in alone if one.side == "t" and one.family == "charge"}
    payouts = {one.source for one in alone if one.side == "t" and one.family == "payout"}
    return Known(
        fee_currencies={pk: _currencies(details) for pk, details, _ in rows},
        exchanged=frozenset(pk for pk, _, rate in rows if rate not in (None, 1)),
        with_invoice=frozenset(
            InvoicePayment.objects.filter(charge_id__in=charges).values_list("charge_id", flat=True) if charges else ()
        ),
        mirrored=frozenset(objects),
        paid_at={source: made[parent] for source, (parent, _) in objects.items() if parent in made},
        automatic=_automatic(payouts),
    )


def _currencies(fee_details: Any) -> frozenset[str]:
    listed = fee_details if isinstance(fee_details, list) else []
    return frozenset(str(one.get("currency", "")) for one in listed if isinstance(one, dict) and one.get("currency"))


def _automatic(payouts: set[str]) -> dict[str, bool]:
    if not payouts:
        return {}
    rows = apps.get_model("djstripe", "Payout").objects.filter(id__in=payouts).values_list("id", "stripe_data")
    return {pk: bool((data or {}).get("automatic", True)) for pk, data in rows}


def written(verdict: Verdict) -> dict[str, Any]:
    """For the item: ids, amounts and dates of its members, and of what agrees beside them."""
    return {
        "transactions": [_member(one) for one in verdict.transactions[:LISTED]],
        "entries": [_member(one) for one in verdict.entries[:LISTED]],
        "beside": [_member(one) for one in verdict.agreed[:LISTED]],
        "twice": verdict.doubled,
    }


def _member(one: Member) -> dict[str, Any]:
    return {
        "id": one.txn if one.side == "t" else str(one.pk),
        "names": "" if one.side == "t" else one.txn,
        "source": one.source,
        "what": one.category,
        "net": one.net,
        "fee": one.fee,
        "currency": one.currency,
        "at": one.at.isoformat(),
    }
