"""Bank debits (SEPA, ACH): a charge is pending for days, then goes through or comes back with the bank's return code.

Test accounts: https://docs.stripe.com/testing#non-card-payments, https://docs.stripe.com/payments/ach-direct-debit#test,
https://docs.stripe.com/payments/sepa-debit/accept-a-payment#test-integration. Stripe's test mode answers within
minutes; here a debit stays `processing` until the clock has moved on by `RESULT_DAYS`, or `settle` is told so.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import ledger
from .cards import Decline
from .errors import Json, invalid
from .shapes import shape
from .store import Scope

if TYPE_CHECKING:
    from .world import World

TYPES = ("sepa_debit", "us_bank_account")
RESULT_DAYS = {"sepa_debit": 6, "us_bank_account": 4}
DAY = 86400


@dataclass(frozen=True)
class Account:
    """A test bank account. `failure`: Stripe's failure code of its debits, "" when they go through; `network`: the
    bank's own return code."""

    type: str
    number: str
    failure: str = ""
    network: str = ""
    country: str = "US"


ACCOUNTS: dict[str, Account] = {
    "pm_usBankAccount_success": Account("us_bank_account", "000123456789"),
    "pm_usBankAccount_accountClosed": Account("us_bank_account", "000111111113", "account_closed", "R02"),
    "pm_usBankAccount_noAccount": Account("us_bank_account", "000111111116", "no_account", "R03"),
    "pm_usBankAccount_insufficientFunds": Account("us_bank_account", "000222222227", "insufficient_funds", "R01"),
    "pm_usBankAccount_debitNotAuthorized": Account("us_bank_account", "000333333335", "debit_not_authorized", "R10"),
    "DE89370400440532013000": Account("sepa_debit", "DE89370400440532013000", country="DE"),
    "DE62370400440532013001": Account(
        "sepa_debit", "DE62370400440532013001", "insufficient_funds", "AM04", country="DE"
    ),
}
BY_NUMBER = {account.number: account for account in ACCOUNTS.values()}


def details(account: Account) -> Json:
    """The part of a payment method that its type names."""
    fingerprint = hashlib.sha256(account.number.encode()).hexdigest()[:16]
    if account.type == "sepa_debit":
        return {
            "bank_code": account.number[4:12],
            "branch_code": "",
            "country": account.country,
            "fingerprint": fingerprint,
            "generated_from": {"charge": None, "setup_attempt": None},
            "last4": account.number[-4:],
        }
    return {
        "account_holder_type": "individual",
        "account_type": "checking",
        "bank_name": "STRIPE TEST BANK",
        "financial_connections_account": None,
        "fingerprint": fingerprint,
        "last4": account.number[-4:],
        "networks": {"preferred": "ach", "supported": ["ach"]},
        "routing_number": "110000000",
        "status_details": {},
    }


def is_debit(payment_method: Json) -> bool:
    return payment_method["type"] in TYPES


def mandate_of(world: World, scope: Scope, payment_method: Json) -> Json:
    """The customer's permission to debit this account; made when it is first needed."""
    for found in scope.all("mandate"):
        if found["payment_method"] == payment_method["id"]:
            return found
    kind = payment_method["type"]
    specific: Json = (
        {"reference": "SANDBOX1", "url": "https://hooks.stripe.com/mandate"} if kind == "sepa_debit" else {}
    )
    return scope.add(
        shape(
            "mandate",
            id=world.store.new_id("mandate"),
            customer_acceptance={"accepted_at": world.clock.now(), "type": "online"},
            multi_use={},
            payment_method=payment_method["id"],
            payment_method_details={"type": kind, kind: specific},
            status="active",
            type="multi_use",
        )
    )


def set_mandate(world: World, scope: Scope, payment_method: Json, status: str) -> Json:
    """The customer (or the bank) takes the permission back: `inactive`; or gives it again: `active`."""
    found = mandate_of(world, scope, payment_method)
    with world.changes(scope, found, "mandate.updated"):
        found["status"] = status
    return found


def start(world: World, scope: Scope, intent: Json, payment_method: Json) -> Json:
    """Send the debit to the bank: a pending charge, the intent `processing`."""
    mandate = mandate_of(world, scope, payment_method)
    if mandate["status"] != "active":
        raise invalid("The mandate of this payment method is inactive.", code="payment_method_invalid_parameter")
    kind = payment_method["type"]
    made = shape(
        "charge",
        id=world.store.new_id("py"),
        amount=intent["amount"],
        billing_details=payment_method["billing_details"],
        captured=True,
        created=world.clock.now(),
        currency=intent["currency"],
        customer=intent["customer"],
        description=intent["description"],
        fraud_details={},
        metadata=dict(intent["metadata"]),
        outcome={
            "network_status": "approved_by_network",
            "reason": None,
            "risk_level": "not_assessed",
            "seller_message": "Payment complete.",
            "type": "authorized",
        },
        payment_intent=intent["id"],
        payment_method=payment_method["id"],
        payment_method_details={"type": kind, kind: {**_of_charge(payment_method[kind]), "mandate": mandate["id"]}},
        status="pending",
        transfer_data=intent["transfer_data"],
        transfer_group=intent["transfer_group"],
        _due=world.clock.now() + RESULT_DAYS[kind] * DAY,
    )
    scope.add(made)
    intent["latest_charge"], intent["status"], intent["next_action"] = made["id"], "processing", None
    intent["last_payment_error"] = None
    world.emit(scope, "charge.pending", made)
    world.emit(scope, "payment_intent.processing", intent)
    return made


def _of_charge(given: Json) -> Json:
    names = ("bank_code", "bank_name", "branch_code", "country", "fingerprint", "last4", "routing_number")
    return {name: given[name] for name in names if name in given}


def settle(world: World, scope: Scope, made: Json, *, failure: str | None = None, network: str | None = None) -> Json:
    """The bank answers. `failure` and `network`: how it comes back; None: as the account is made for; "": it pays."""
    if made["status"] != "pending":
        raise invalid(f"This debit is {made['status']} already.")
    method = scope.get("payment_method", made["payment_method"])
    account = world.accounts.get(method["id"])
    failure = (account.failure if account else "") if failure is None else failure
    network = (account.network if account else "") if network is None else network
    intent = scope.get("payment_intent", made["payment_intent"])
    made["_due"] = None
    if failure:
        _came_back(world, scope, made, intent, Decline(failure, failure, network_decline_code=network or None))
    else:
        _went_through(world, scope, made, intent)
    return made


def _went_through(world: World, scope: Scope, made: Json, intent: Json) -> None:
    from .billing import collection

    made.update(status="succeeded", paid=True, amount_captured=made["amount"])
    now = world.clock.now()
    booked = ledger.record(
        world, scope, type="payment", reporting_category="charge", amount=made["amount"], currency=made["currency"],
        source=made["id"], description=made["description"],
        fee_details=[ledger.stripe_fee(made["amount"], made["currency"])], available_on=now + ledger.SETTLEMENT_SECONDS,
    )  # fmt: skip
    made["balance_transaction"] = booked["id"]
    intent["status"], intent["amount_received"] = "succeeded", made["amount"]
    world.emit(scope, "charge.succeeded", made)
    world.emit(scope, "payment_intent.succeeded", intent)
    if intent["_invoice"]:
        collection.collected(world, scope, scope.get("invoice", intent["_invoice"]), intent, automatic=False)


def _came_back(world: World, scope: Scope, made: Json, intent: Json, decline: Decline) -> None:
    from .billing import collection

    message = "The customer's bank has returned the debit."
    made.update(status="failed", paid=False, failure_code=decline.code, failure_message=message)
    made["outcome"] = {
        **made["outcome"],
        "network_decline_code": decline.network_decline_code,
        "network_status": "declined_by_network",
        "reason": decline.code,
        "seller_message": message,
        "type": "issuer_declined",
    }
    intent["status"] = "requires_payment_method"
    intent["payment_method"] = None
    error: Json = {
        "charge": made["id"],
        "code": decline.code,
        "message": message,
        "payment_method": world.snapshot(scope, scope.get("payment_method", made["payment_method"])),
        "type": "invalid_request_error",
    }
    if decline.network_decline_code:
        error["network_decline_code"] = decline.network_decline_code
    intent["last_payment_error"] = error
    world.emit(scope, "charge.failed", made)
    world.emit(scope, "payment_intent.payment_failed", intent)
    if intent["_invoice"]:
        collection.came_back(world, scope, scope.get("invoice", intent["_invoice"]))


def settle_due(world: World, scope: Scope) -> None:
    """The clock has moved on: the banks have answered what was due."""
    now = world.clock.now()
    for made in list(scope.all("charge")):
        if made["status"] == "pending" and (made.get("_due") or now + 1) <= now:
            settle(world, scope, made)


def pending_of(scope: Scope, object_id: str) -> Json:
    """The pending charge of an invoice, a payment intent, or by its own id."""
    for made in scope.all("charge"):
        intent: Any = scope.find("payment_intent", made["payment_intent"]) or {}
        if made["status"] == "pending" and object_id in (made["id"], made["payment_intent"], intent.get("_invoice")):
            return made
    raise LookupError(f"no debit is on its way for {object_id}")
