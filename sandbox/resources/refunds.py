"""Refunds: money back to the card, with the transfer and the fee where the caller asks for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import connect, ledger
from ..errors import Json, bad_parameter, invalid
from ..render import listing, page
from ..shapes import shape
from ..store import Scope
from ..world import Call
from . import base

if TYPE_CHECKING:
    from ..world import World


def refund(
    world: World, scope: Scope, charge: Json, *, amount: int | None = None, reason: str | None = None,
    metadata: Json | None = None, reverse_transfer: bool = False, refund_application_fee: bool = False,
) -> Json:  # fmt: skip
    """Refund a charge, all that is left of it unless `amount` says less."""
    left = charge["amount_captured"] - charge["amount_refunded"]
    if charge["status"] != "succeeded" or not charge["captured"]:
        raise invalid(f"Charge {charge['id']} can't be refunded: its status is {charge['status']}.", param="charge")
    if charge["disputed"] and not charge.get("_refundable", False):
        raise invalid(
            "This charge has been charged back; it can't be refunded.", code="charge_disputed", param="charge"
        )
    if left == 0:
        raise invalid(
            f"Charge {charge['id']} has already been refunded.", code="charge_already_refunded", param="charge"
        )
    amount = left if amount is None else amount
    if amount > left:
        raise invalid(f"Refund amount ({amount}) is greater than unrefunded amount on charge ({left})", param="amount")
    refund_id, now, currency = world.store.new_id("re"), world.clock.now(), charge["currency"]
    reversal: Json | None = None
    if reverse_transfer:
        if not charge["transfer"]:
            raise invalid("Cannot reverse the transfer of a charge without one.", param="reverse_transfer")
        sent = scope.get("transfer", charge["transfer"])
        share = min(sent["amount"] * amount // charge["amount_captured"], sent["amount"] - sent["amount_reversed"])
        if amount == left:
            share = sent["amount"] - sent["amount_reversed"]
        reversal = connect.reverse(world, scope, sent, amount=share, source_refund=refund_id) if share else None
    booked = scope.get("balance_transaction", charge["balance_transaction"])
    taken = ledger.record(
        world, scope, type="refund", reporting_category="refund", amount=-amount, currency=currency, source=refund_id,
        description="REFUND FOR CHARGE" + (f" ({charge['description']})" if charge["description"] else ""),
        # A charge that is still pending is refunded out of what is pending.
        available_on=max(now, booked["available_on"]),
    )  # fmt: skip
    made = scope.add(
        shape(
            "refund",
            id=refund_id,
            amount=amount,
            balance_transaction=taken["id"],
            charge=charge["id"],
            created=now,
            currency=currency,
            customer=charge["customer"],
            metadata=dict(metadata or {}),
            payment_intent=charge["payment_intent"],
            reason=reason,
            status="succeeded",
            destination_details={
                "type": "card",
                "card": {
                    "reference_status": "pending",
                    "type": "refund",
                    "reference_type": "acquirer_reference_number",
                },
            },
            transfer_reversal=reversal["id"] if reversal else None,
        )
    )
    if refund_application_fee and charge["application_fee"]:
        fee = world.store.platform.get("application_fee", charge["application_fee"])
        connect.refund_fee(world, fee, fee["amount"] * amount // charge["amount_captured"])
    world.emit(scope, "refund.created", made)
    before = charge["amount_refunded"], charge["refunded"]
    charge["amount_refunded"] += amount
    charge["refunded"] = charge["amount_refunded"] == charge["amount_captured"]
    previous = {"amount_refunded": before[0]}
    if charge["refunded"]:
        previous["refunded"] = before[1]
    world.emit(scope, "charge.refunded", charge, previous)
    return made


def fail(world: World, scope: Scope, made: Json, *, reason: str = "lost_or_stolen_card") -> Json:
    """A control: the bank sends a refund back, days later; the money returns to the balance."""
    if made["status"] != "succeeded":
        raise invalid(f"This refund's status is {made['status']}; it can't fail any more.")
    charge = scope.get("charge", made["charge"])
    returned = ledger.record(
        world, scope, type="refund_failure", reporting_category="refund_failure", amount=made["amount"],
        currency=made["currency"], source=made["id"], description="REFUND FAILURE",
    )  # fmt: skip
    with world.changes(scope, made, "refund.updated"):
        made.update(status="failed", failure_reason=reason, failure_balance_transaction=returned["id"])
    world.emit(scope, "refund.failed", made)
    with world.changes(scope, charge, "charge.updated"):
        charge["amount_refunded"] -= made["amount"]
        charge["refunded"] = False
    return made


def create(call: Call) -> Json:
    """POST /v1/refunds"""
    params = call.params
    if params.get("charge"):
        charge = call.scope.get("charge", params["charge"], param="charge")
    elif params.get("payment_intent"):
        intent = call.scope.get("payment_intent", params["payment_intent"], param="payment_intent")
        if not intent["latest_charge"]:
            raise invalid(
                f"This PaymentIntent ({intent['id']}) does not have a successful charge to refund.",
                param="payment_intent",
            )
        charge = call.scope.get("charge", intent["latest_charge"])
    else:
        raise bad_parameter(
            "One of the following params should be provided for this request: payment_intent or charge.",
            param="charge", code="parameter_missing",
        )  # fmt: skip
    return refund(
        call.world, call.scope, charge,
        amount=base.positive(params) if params.get("amount") is not None else None,
        reason=params.get("reason"), metadata=params.get("metadata"),
        reverse_transfer=bool(params.get("reverse_transfer")),
        refund_application_fee=bool(params.get("refund_application_fee")),
    )  # fmt: skip


def update(call: Call, id: str) -> Json:
    """POST /v1/refunds/{id}: metadata."""
    made = call.scope.get("refund", id)
    with call.world.changes(call.scope, made, "refund.updated"):
        base.merge_metadata(made, call.params)
    return made


def index(call: Call) -> Json:
    """GET /v1/refunds"""
    return listing(call, "refund", "charge", "payment_intent")


def of_charge(call: Call, id: str) -> Json:
    """GET /v1/charges/{id}/refunds"""
    call.scope.get("charge", id)
    return page(call, call.scope.children("refund", id)[::-1])


def one_of_charge(call: Call, id: str, refund_id: str) -> Json:
    """GET /v1/charges/{id}/refunds/{refund}"""
    return call.scope.get("refund", refund_id)
