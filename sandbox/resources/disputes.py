"""Disputes: opened by the bank (a control, or a test card), answered with evidence, closed, won or lost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import ledger
from ..errors import Json, bad_parameter, invalid
from ..render import listing, virtual
from ..shapes import shape
from ..store import Scope
from ..world import Call
from . import base

if TYPE_CHECKING:
    from ..world import World

FEE = 1500
DAYS_TO_ANSWER = 7
EVIDENCE_LIMIT = 150_000
NETWORK_REASONS = {
    "fraudulent": "10.4", "product_not_received": "13.1", "product_unacceptable": "13.3", "duplicate": "12.6",
    "subscription_canceled": "13.2", "credit_not_processed": "13.6", "general": "10.4", "unrecognized": "10.4",
}  # fmt: skip


def open_dispute(world: World, scope: Scope, charge: Json, *, reason: str = "fraudulent", amount: int | None = None,
                 days: int = DAYS_TO_ANSWER) -> Json:  # fmt: skip
    """The bank disputes a charge. Reason `inquiry` asks first: no money moves."""
    if charge["status"] != "succeeded":
        raise invalid("Only a charge that succeeded can be disputed.", param="charge")
    if charge["disputed"]:
        raise invalid(f"Charge {charge['id']} is disputed already.", param="charge")
    inquiry = reason == "inquiry"
    reason = "general" if inquiry else reason
    amount = amount or charge["amount"] - charge["amount_refunded"]
    now, brand = world.clock.now(), ((charge["payment_method_details"] or {}).get("card") or {}).get("brand", "visa")
    made = shape(
        "dispute",
        id=world.store.new_id("du"),
        amount=amount,
        charge=charge["id"],
        created=now,
        currency=charge["currency"],
        evidence={"customer_email_address": charge["billing_details"]["email"],
                  "customer_name": charge["billing_details"]["name"], "enhanced_evidence": {}},
        evidence_details={"due_by": now + days * 86400, "has_evidence": False, "past_due": False,
                          "submission_count": 0, "enhanced_eligibility": {}},
        is_charge_refundable=inquiry,
        metadata={},
        payment_intent=charge["payment_intent"],
        payment_method_details={"type": "card", "card": {
            "brand": brand, "case_type": "inquiry" if inquiry else "chargeback", "network": brand,
            "network_reason_code": NETWORK_REASONS.get(reason, "10.4")}},
        network_reason_code=NETWORK_REASONS.get(reason, "10.4"),
        reason=reason,
        status="warning_needs_response" if inquiry else "needs_response",
        enhanced_eligibility_types=[],
    )  # fmt: skip
    scope.add(made)
    charge["disputed"], charge["_refundable"] = True, inquiry
    if not inquiry:
        _book(world, scope, made, -amount, fee=FEE, category="dispute")
    world.emit(scope, "charge.dispute.created", made)
    if not inquiry:
        world.emit(scope, "charge.dispute.funds_withdrawn", made)
    return made


def _book(world: World, scope: Scope, made: Json, amount: int, *, fee: int, category: str) -> None:
    fees = [{"amount": fee, "application": None, "currency": made["currency"], "description": "Dispute fee",
             "type": "stripe_fee"}] if fee else []  # fmt: skip
    ledger.record(
        world, scope, type="adjustment", reporting_category=category, amount=amount, currency=made["currency"],
        source=made["id"], fee_details=fees,
        description=f"Chargeback {'withdrawal' if amount < 0 else 'reversal'} for {made['charge']}",
    )  # fmt: skip


def settle(world: World, scope: Scope, made: Json, *, won: bool) -> Json:
    """A control, and what `close` does: the bank decides."""
    if made["status"] in ("won", "lost", "warning_closed"):
        raise invalid(f"This dispute is closed already: {made['status']}.")
    inquiry = made["status"].startswith("warning")
    previous = {"status": made["status"]}
    if won and not inquiry:
        _book(world, scope, made, made["amount"], fee=0, category="dispute_reversal")
    made["status"] = "warning_closed" if inquiry else "won" if won else "lost"
    if won and not inquiry:
        world.emit(scope, "charge.dispute.funds_reinstated", made)
    world.emit(scope, "charge.dispute.closed", made, previous)
    return made


def update(call: Call, id: str) -> Json:
    """POST /v1/disputes/{id}: evidence. `submit` defaults to true, and then the bank has it: once."""
    made = call.scope.get("dispute", id)
    params = call.params
    evidence = {key: value for key, value in (params.get("evidence") or {}).items() if key != "enhanced_evidence"}
    if sum(len(str(value)) for value in evidence.values() if value) > EVIDENCE_LIMIT:
        raise bad_parameter(f"Evidence text is limited to {EVIDENCE_LIMIT} characters in all.", param="evidence")
    if "evidence" in params:
        _require_open(call, made)
    with call.world.changes(call.scope, made, "charge.dispute.updated"):
        base.merge_metadata(made, params)
        if "evidence" in params:
            made["evidence"].update(evidence)
            details = made["evidence_details"]
            details["has_evidence"] = any(v for k, v in made["evidence"].items() if k != "enhanced_evidence")
            if params.get("submit", True):
                details["submission_count"] += 1
                made["status"] = "warning_under_review" if made["status"].startswith("warning") else "under_review"
    return made


def _require_open(call: Call, made: Json) -> None:
    due_by = made["evidence_details"]["due_by"]
    if made["status"] not in ("needs_response", "warning_needs_response"):
        raise invalid("This dispute's evidence has been submitted or the dispute is closed; it can't be updated.",
                      param="evidence")  # fmt: skip
    if not due_by or due_by < call.now:
        raise invalid("The deadline for evidence on this dispute has passed.", param="evidence")


def close(call: Call, id: str) -> Json:
    """POST /v1/disputes/{id}/close: accept the loss."""
    return settle(call.world, call.scope, call.scope.get("dispute", id), won=False)


def index(call: Call) -> Json:
    """GET /v1/disputes"""
    return listing(call, "dispute", "charge", "payment_intent")


@virtual("dispute", "balance_transactions")
def _transactions(world: World, scope: Scope, made: Json) -> list[Json]:
    return [entry for entry in scope.children("balance_transaction", made["id"]) if not entry.get("_hidden")]
