"""What the gate may carry out for settlements: paying a seller, and taking a payout back. The only importer of the
gateway."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

from django.db.models import Q

from approvals import fence
from approvals.models import Decision, Execution, Suggestion
from approvals.registry import Kind, Outcome, Preview
from billingops.money import format_money
from billingops.stripe import gateway
from billingops.stripe.errors import Ambiguous, Refused
from billingops.stripe.models import MirroredObject
from settlements import (
    backtest,
    bank_changes,
    cases,
    dry_run,
    evidence,
    lookups,
    payouts,
    periods,
    reversals,
    services,
    spoiling,
)
from settlements import facts as sealed
from settlements.models import Earning, PayoutRecord, Seller

BACKFILL_BATCH = 500
LookUp = Callable[[Suggestion, Execution], Outcome | None]

logger = logging.getLogger(__name__)


def _metadata(suggestion: Suggestion, **more: str) -> dict[str, str]:
    """What is written on every object made: the suggestion, the event behind it, and who approved (user ids, no
    names)."""
    approvals = (
        suggestion.decisions.filter(verdict=Decision.Verdict.APPROVE).order_by("id").values_list("actor", flat=True)
    )
    approvers = [str(pk) if pk is not None else "policy" for pk in approvals]
    return {
        lookups.SUGGESTION_KEY: str(suggestion.pk),
        "billingops_event": suggestion.event_id,
        "billingops_approved_by": ",".join(dict.fromkeys(approvers)),
        "invoice": str(suggestion.facts.get("invoice", "") or suggestion.params.get("invoice", "")),
        **more,
    }


def _amount(suggestion: Suggestion) -> int:
    assert suggestion.amount is not None  # `propose` refuses a money kind without one
    return suggestion.amount


def _before_sending(look: LookUp, suggestion: Suggestion, execution: Execution) -> Outcome | None:
    """The look-up before the call. Without an answer nothing was sent, so this attempt has failed for certain."""
    try:
        return look(suggestion, execution)
    except Ambiguous as problem:
        raise Refused(
            f"Stripe did not say whether this was done already: {problem} Nothing was sent.", code=problem.code
        )


# -- seller_payout -----------------------------------------------------------------------------------------------------


def _payout_facts(suggestion: Suggestion) -> dict[str, Any]:
    if periods.is_of_a_period(suggestion):
        return periods.current_facts(suggestion)
    gone = sealed.payout_facts(None, None, None, seller=suggestion.account, obstacle="")
    case = cases.load(suggestion.subject, live=True, but=suggestion.account)
    record = PayoutRecord.objects.filter(suggestion=suggestion).first()
    if case is None or case.happened is None or record is None:
        return gone
    rows = list(Earning.objects.filter(invoice=suggestion.subject))
    own = next((row for row in rows if row.account == suggestion.account), None)
    if own is None:
        return gone
    others = list(Earning.objects.filter(items__record=record).exclude(pk=own.pk))
    return services.facts_of(case, own, rows, others)


def _payout_preview(suggestion: Suggestion) -> Preview:
    params = suggestion.params
    seller = Seller.objects.filter(account=suggestion.account).first()
    return Preview(
        sentence=(
            f"Transfers {suggestion.money} to {seller.name if seller else 'a seller'} ({params['destination']}) "
            + (
                f"from charge {params['source_transaction']}; available to the seller together with the charge's funds."
                if params["source_transaction"]
                else "out of the platform's available balance; refused by Stripe while that is less."
            )
        ),
        call=(
            ("POST", "/v1/transfers"),
            ("amount", str(_amount(suggestion))),
            ("currency", suggestion.currency),
            ("destination", params["destination"]),
            *((("source_transaction", params["source_transaction"]),) if params["source_transaction"] else ()),
            ("transfer_group", params["transfer_group"]),
            ("description", params["description"]),
            *((f"metadata[{key}]", value) for key, value in _metadata(suggestion).items()),
        ),
    )


def _pay(suggestion: Suggestion, execution: Execution) -> Outcome:
    # Before the first attempt, too: a restored backup knows neither the transfer nor the key it was made with.
    if found := _before_sending(_find_payout, suggestion, execution):
        return found
    params = suggestion.params
    fence.check(execution)
    answer = gateway.create_transfer(
        amount=_amount(suggestion),
        currency=suggestion.currency,
        destination=params["destination"],
        source_transaction=params["source_transaction"],
        transfer_group=params["transfer_group"],
        description=params["description"],
        metadata=_metadata(suggestion),
        idempotency_key=execution.idempotency_key,
    )
    summary = f"transfer {answer.object_id} of {suggestion.money} to {params['destination']}"
    return Outcome(answer.object_id, answer.request_id, summary, {"replayed": answer.replayed})


def _find_payout(suggestion: Suggestion, execution: Execution) -> Outcome | None:
    transfer = lookups.transfer_of(suggestion)
    if transfer is None:
        return None
    return Outcome(transfer.id, summary=f"looked up: transfer {transfer.id} exists")


def _backfill(since: datetime | None) -> Iterator[tuple[str, bool]]:
    """Settle the paid invoices of the mirror, oldest first, from the mirror alone. Memory does not grow with their
    number, and no cursor stays open while each is settled."""
    rows = MirroredObject.objects.filter(object_type="invoice", status="paid", account="")
    rows = rows.order_by("created", "object_id")
    if since is not None:
        rows = rows.filter(created__gte=since)
    after = Q()
    while batch := list(rows.filter(after).values_list("created", "object_id")[:BACKFILL_BATCH]):
        ids = [invoice_id for _, invoice_id in batch]
        try:
            for invoice_id, settled in services.settle_many(invoice_ids=ids, actor=services.ACTOR):
                yield invoice_id, bool(settled and settled.proposed)
        except Exception:  # one broken invoice must not keep the others of its batch from theirs
            logger.exception("a batch of invoices could not be shared out; each is tried alone")
            yield from _one_by_one(ids)
        created, last = batch[-1]
        after = Q(created__gt=created) | Q(created=created, object_id__gt=last)


def _one_by_one(ids: list[str]) -> Iterator[tuple[str, bool]]:
    for invoice_id in ids:
        try:
            settled = services.settle_invoice(invoice_id=invoice_id, actor=services.ACTOR)
        except Exception:  # the next run tries it again
            logger.exception("invoice %s could not be shared out", invoice_id)
            yield invoice_id, False
        else:
            yield invoice_id, bool(settled.proposed)


# -- transfer_reversal -------------------------------------------------------------------------------------------------


def _reversal_preview(suggestion: Suggestion) -> Preview:
    transfer = suggestion.params["transfer"]
    return Preview(
        sentence=(
            f"Takes {suggestion.money} of transfer {transfer} "
            f"({format_money(suggestion.facts['amount'], suggestion.currency)}) "
            f"back from {suggestion.account}, out of that account's balance."
        ),
        call=(
            ("POST", f"/v1/transfers/{transfer}/reversals"),
            ("amount", str(_amount(suggestion))),
            *((f"metadata[{key}]", value) for key, value in _metadata(suggestion).items()),
        ),
    )


def _reverse(suggestion: Suggestion, execution: Execution) -> Outcome:
    if found := _before_sending(_find_reversal, suggestion, execution):
        return found
    fence.check(execution)
    answer = gateway.reverse_transfer(
        transfer_id=suggestion.params["transfer"],
        amount=_amount(suggestion),
        metadata=_metadata(suggestion),
        idempotency_key=execution.idempotency_key,
    )
    summary = f"reversal {answer.object_id} of {suggestion.money} from {suggestion.account}"
    return Outcome(answer.object_id, answer.request_id, summary, {"replayed": answer.replayed})


def _find_reversal(suggestion: Suggestion, execution: Execution) -> Outcome | None:
    found = lookups.reversal_of(suggestion)
    return Outcome(found, summary=f"looked up: reversal {found} exists") if found else None


KINDS = (
    Kind(
        name=payouts.KIND,
        label="Payout",
        params_schema={"destination": str, "source_transaction": str, "transfer_group": str, "description": str},
        moves_money=True,
        rebuild_facts=_payout_facts,
        preview=_payout_preview,
        execute=_pay,
        look_up=_find_payout,
        confirmed_by=("transfer.created",),
        evidence_template="settlements/evidence.html",
        evidence_context=evidence.payout,
        destination_changed_at=bank_changes.last_changed,
        spoil=spoiling.payout,
        backfill=_backfill,
        replay=backtest.replay,
        dry_run=dry_run.rehearse,
    ),
    Kind(
        name=reversals.KIND,
        label="Transfer reversal",
        params_schema={"transfer": str, "charge": str, "invoice": str},
        moves_money=True,
        rebuild_facts=reversals.current_facts,
        preview=_reversal_preview,
        execute=_reverse,
        look_up=_find_reversal,
        confirmed_by=("transfer.reversed",),
        evidence_template="settlements/reversal_evidence.html",
        evidence_context=evidence.reversal,
    ),
)
