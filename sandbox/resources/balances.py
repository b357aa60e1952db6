"""Balance, balance transactions and payouts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import ledger
from ..errors import Json, invalid, no_such
from ..render import listing, page
from ..shapes import shape
from ..store import Scope
from ..world import Call
from . import base

if TYPE_CHECKING:
    from ..world import World

DAY = 86400
FAILURES = {
    "account_closed": "The bank account has been closed.",
    "could_not_process": "The bank could not process this payout.",
    "insufficient_funds": "Your Stripe account has insufficient funds to cover the payout.",
    "no_account": "The bank account details on file are probably incorrect. No bank account could be located with "
    "those details.",
}


def balance(call: Call) -> Json:
    """GET /v1/balance"""
    return ledger.balance(call.world, call.scope)


def transactions(call: Call) -> Json:
    """GET /v1/balance_transactions"""
    ledger.settle(call.world, call.scope)
    params = call.params
    if params.get("source"):
        wanted = {key: params[key] for key in ("type", "currency", "payout") if params.get(key)}
        found = call.scope.children("balance_transaction", params["source"])[::-1]
        shown = (t for t in found if all(t.get(k, t.get(f"_{k}")) == v for k, v in wanted.items()))
        return page(call, [t for t in shown if not t.get("_hidden")])
    payout = params.get("payout")
    if payout:
        call.scope.get("payout", payout, param="payout")

    def where(entry: Json) -> bool:
        return not entry.get("_hidden") and (not payout or entry["_payout"] == payout)

    return listing(call, "balance_transaction", "currency", "type", where=where)


def transaction(call: Call, id: str) -> Json:
    """GET /v1/balance_transactions/{id}"""
    ledger.settle(call.world, call.scope)
    found = call.scope.get("balance_transaction", id)
    if found.get("_hidden"):
        raise no_such("balance transaction", id)
    return found


# Payouts


def _bank(scope: Scope, account_id: str, currency: str) -> Json | None:
    banks = scope.children("bank_account", account_id)
    return next((bank for bank in banks if bank["currency"] == currency), banks[0] if banks else None)


def pay_out(
    world: World, scope: Scope, *, amount: int, currency: str, automatic: bool = False, metadata: Json | None = None,
    description: str | None = None, statement_descriptor: str | None = None, method: str = "standard",
) -> Json:  # fmt: skip
    """A pending payout that takes `amount` from the available balance."""
    account = world.store.platform.get("account", scope.account_id)
    if not account["payouts_enabled"]:
        raise invalid("Cannot create payouts: this account is restricted.", code="payouts_not_allowed")
    ledger.require(
        world, scope, amount, currency,
        "You have insufficient funds in your Stripe account for this transfer. Your card balance is too low. You can "
        "use the /v1/balance endpoint to view your Stripe balance.",
    )  # fmt: skip
    bank = _bank(scope, scope.account_id, currency)
    now, payout_id = world.clock.now(), world.store.new_id("po")
    taken = ledger.record(
        world, scope, type="payout", reporting_category="payout", amount=-amount, currency=currency, source=payout_id,
        description="STRIPE PAYOUT",
    )  # fmt: skip
    made = scope.add(
        shape(
            "payout",
            id=payout_id,
            amount=amount,
            arrival_date=now + 2 * DAY,
            automatic=automatic,
            balance_transaction=taken["id"],
            created=now,
            currency=currency,
            description=description or ("STRIPE PAYOUT" if automatic else None),
            destination=bank["id"] if bank else None,
            metadata=dict(metadata or {}),
            method=method,
            reconciliation_status="in_progress" if automatic else "not_applicable",
            source_type="card",
            statement_descriptor=statement_descriptor,
            status="pending",
            type="bank_account",
            trace_id={"status": "pending", "value": None},
        )
    )
    if automatic:
        taken["_payout"] = payout_id
    world.emit(scope, "payout.created", made)
    return made


def pay_out_automatically(world: World, scope: Scope, currency: str) -> Json:
    """A control: the daily payout of all that is available; it alone tells which transactions it holds: all since the
    automatic payout before, manual payouts and payouts that came back among them, so that it holds what it is worth."""
    ledger.settle(world, scope)
    held = [
        t
        for t in scope.all("balance_transaction")
        if t["status"] == "available" and t["currency"] == currency and not t["_payout"]
    ]
    amount = sum(t["net"] for t in held)
    if amount <= 0:
        raise invalid("There is nothing to pay out.", code="balance_insufficient")
    made = pay_out(world, scope, amount=amount, currency=currency, automatic=True)
    for held_transaction in held:
        held_transaction["_payout"] = made["id"]
    return made


def create(call: Call) -> Json:
    """POST /v1/payouts"""
    params = call.params
    return pay_out(
        call.world, call.scope, amount=base.positive(params), currency=base.currency(params),
        metadata=params.get("metadata"), description=params.get("description"),
        statement_descriptor=params.get("statement_descriptor"), method=params.get("method") or "standard",
    )  # fmt: skip


def update(call: Call, id: str) -> Json:
    """POST /v1/payouts/{id}: metadata."""
    made = call.scope.get("payout", id)
    with call.world.changes(call.scope, made, "payout.updated"):
        base.merge_metadata(made, call.params)
    return made


def index(call: Call) -> Json:
    """GET /v1/payouts"""
    return listing(call, "payout", "destination", "status")


def cancel(call: Call, id: str) -> Json:
    """POST /v1/payouts/{id}/cancel"""
    made = call.scope.get("payout", id)
    if made["status"] != "pending":
        raise invalid(f"Payouts can only be canceled while they are pending; this one is {made['status']}.")
    _give_back(call.world, call.scope, made, type="payout_cancel")
    made["status"] = "canceled"
    call.emit("payout.canceled", made)
    return made


def _give_back(world: World, scope: Scope, made: Json, *, type: str) -> Json:
    return ledger.record(
        world, scope, type=type, reporting_category="payout_reversal", amount=made["amount"],
        currency=made["currency"], source=made["id"],
    )  # fmt: skip


def mark_paid(world: World, scope: Scope, made: Json) -> Json:
    """A control: the bank has it (and may still send it back)."""
    made["status"] = "paid"
    made["trace_id"] = {"status": "supported", "value": made["id"][-12:].upper()}
    world.emit(scope, "payout.paid", made)
    return made


def mark_failed(world: World, scope: Scope, made: Json, failure_code: str = "account_closed") -> Json:
    """A control: the bank refused it, possibly after `paid`; the money is back on the balance."""
    returned = _give_back(world, scope, made, type="payout_failure")
    made.update(
        status="failed", failure_code=failure_code, failure_message=FAILURES.get(failure_code, "The payout failed."),
        failure_balance_transaction=returned["id"],
    )  # fmt: skip
    world.emit(scope, "payout.failed", made)
    return made


def mark_reconciled(world: World, scope: Scope, made: Json) -> Json:
    """A control: the list of what an automatic payout holds is complete."""
    made["reconciliation_status"] = "completed"
    world.emit(scope, "payout.reconciliation_completed", made)
    return made
