"""What a payout is decided on, as the JSON that is sealed. Pure. The same function serves the proposal and the check
right before its execution, so the two differ exactly when the world (or the configuration) has moved."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from billingops.stripe.facts import ChargeFacts, InvoiceFacts, TransferFacts
from settlements.rules import Settlement, paid_day


def payout_facts(
    invoice: InvoiceFacts | None,
    charge: ChargeFacts | None,
    settlement: Settlement | None,
    *,
    seller: str,
    obstacle: str,
    extra: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Flat, so that a difference names itself. `problems` and an amount of None: there is nothing to pay any more.

    `extra`: what else the decision rests on, by key (JSON); it goes above what is here.
    """
    if invoice is None or settlement is None:
        return {"invoice_status": "gone", "destination": seller, "amount": None, **(extra or {})}
    proposal = settlement.proposal(seller)
    return {
        "invoice": invoice.id,
        "invoice_status": invoice.status,
        "currency": invoice.currency,
        "paid_on": paid_day(invoice, charge).isoformat(),
        "charge": charge.id if charge else "",
        "charge_status": charge.status if charge else "",
        "charge_amount": charge.amount if charge else 0,
        "charge_refunded": charge.amount_refunded if charge else 0,
        "charge_disputed": charge.disputed if charge else False,
        "destination": seller,
        "destination_obstacle": obstacle,
        "amount": proposal.amount if proposal else None,
        "fee": proposal.fee if proposal else None,
        "lines": [
            {
                "line": share.line.id,
                "quantity": share.line.quantity,
                "rule": share.rule.name,
                "rule_version": share.rule.version,
                "base": share.base,
                "fee": share.fee,
                "share": share.share,
            }
            for share in (proposal.lines if proposal else ())
        ],
        "problems": sorted({problem.code for problem in settlement.problems if problem.seller == seller}),
        **(extra or {}),
    }


def reversal_facts(
    transfer: TransferFacts | None, charge: ChargeFacts | None, *, lost: int, owed: int
) -> dict[str, Any]:
    """What taking back a part of a transfer is decided on. Minor units: `lost`: what a lost dispute took; `owed`: what
    is owed of all that the transfer paid."""
    if transfer is None:
        return {"transfer": "", "amount": None}
    return {
        "transfer": transfer.id,
        "currency": transfer.currency,
        "amount": transfer.amount,
        "amount_reversed": transfer.amount_reversed,
        "charge": charge.id if charge else "",
        "charge_amount": charge.amount if charge else 0,
        "charge_refunded": charge.amount_refunded if charge else 0,
        "dispute_lost": lost,
        "owed": owed,
    }
