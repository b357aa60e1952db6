"""Payment intents and charges as the API shows them; the work is done in payments.py."""

from __future__ import annotations

from .. import payments
from ..errors import Json, StripeError, card_error, invalid
from ..render import listing
from ..world import Call
from . import base
from .payment_methods import attach_to

UPDATABLE = (
    "description", "receipt_email", "shipping", "statement_descriptor", "statement_descriptor_suffix",
    "transfer_group", "setup_future_usage",
)  # fmt: skip


def create(call: Call) -> Json:
    """POST /v1/payment_intents"""
    params = call.params
    amount = base.positive(params)
    customer = params.get("customer")
    if customer:
        call.scope.get("customer", customer, param="customer")
    method = params.get("payment_method")
    if method:
        method = payments.require_payment_method(call.world, call.scope, method)["id"]
    intent = payments.new_intent(
        call.world, call.scope, amount=amount, currency=base.currency(params), customer=customer,
        payment_method=method, application_fee_amount=params.get("application_fee_amount"),
        capture_method=params.get("capture_method"), confirmation_method=params.get("confirmation_method"),
        metadata=params.get("metadata"), on_behalf_of=params.get("on_behalf_of"),
        transfer_data=params.get("transfer_data") and {"amount": None, **params["transfer_data"]},
        **{name: params.get(name) for name in UPDATABLE},
    )  # fmt: skip
    if params.get("confirm"):
        _confirm(
            call, intent, off_session=bool(params.get("off_session")), drop=bool(params.get("error_on_requires_action"))
        )
    return intent


def _confirm(call: Call, intent: Json, *, off_session: bool, drop: bool = False) -> None:
    if intent["setup_future_usage"] and intent["customer"] and intent["payment_method"]:
        method = call.scope.get("payment_method", intent["payment_method"])
        if method["customer"] is None:
            attach_to(call.world, call.scope, method["id"], call.scope.get("customer", intent["customer"]))
    base.raise_if(payments.confirm(call.world, call.scope, intent, off_session=off_session))
    if drop and intent["status"] == "requires_action":
        raise card_error("This payment required an authentication action to complete, but `error_on_requires_action` "
                         "was set.", code="authentication_required")  # fmt: skip


def update(call: Call, id: str) -> Json:
    """POST /v1/payment_intents/{id}"""
    intent = call.scope.get("payment_intent", id)
    params = call.params
    if intent["status"] in ("succeeded", "canceled") and set(params) - {"metadata", "description", "expand"}:
        raise _unexpected(intent, "update")
    if params.get("amount") is not None:
        intent["amount"] = base.positive(params)
    if params.get("payment_method"):
        method = payments.require_payment_method(call.world, call.scope, params["payment_method"])
        intent["payment_method"] = method["id"]
        if intent["status"] == "requires_payment_method":
            intent["status"] = "requires_confirmation"
    base.assign(intent, params, (*UPDATABLE, "customer", "application_fee_amount"))
    return intent


def confirm(call: Call, id: str) -> Json:
    """POST /v1/payment_intents/{id}/confirm"""
    intent = call.scope.get("payment_intent", id)
    if call.params.get("payment_method"):
        method = payments.require_payment_method(call.world, call.scope, call.params["payment_method"])
        intent["payment_method"] = method["id"]
    _confirm(call, intent, off_session=bool(call.params.get("off_session")))
    return intent


def capture(call: Call, id: str) -> Json:
    """POST /v1/payment_intents/{id}/capture"""
    intent = call.scope.get("payment_intent", id)
    if intent["status"] != "requires_capture":
        raise _unexpected(intent, "capture")
    made = call.scope.get("charge", intent["latest_charge"])
    amount = call.params.get("amount_to_capture") or made["amount"]
    if amount > made["amount"]:
        raise invalid("amount_to_capture is greater than the authorised amount", param="amount_to_capture",
                      code="amount_too_large")  # fmt: skip
    made.update(captured=True, amount_captured=amount)
    payments.capture(call.world, call.scope, made)
    call.emit("charge.captured", made)
    intent.update(status="succeeded", amount_received=amount, amount_capturable=0)
    call.emit("payment_intent.succeeded", intent)
    return intent


def cancel(call: Call, id: str) -> Json:
    """POST /v1/payment_intents/{id}/cancel"""
    intent = call.scope.get("payment_intent", id)
    if intent["_invoice"]:
        raise invalid("You cannot cancel this PaymentIntent because it belongs to an invoice: void that instead.",
                      code="payment_intent_unexpected_state")  # fmt: skip
    if intent["status"] in ("succeeded", "canceled"):
        raise _unexpected(intent, "cancel")
    intent.update(
        status="canceled", canceled_at=call.now, cancellation_reason=call.params.get("cancellation_reason"),
        amount_capturable=0,
    )  # fmt: skip
    call.emit("payment_intent.canceled", intent)
    return intent


def _unexpected(intent: Json, verb: str) -> StripeError:
    return invalid(
        f"You cannot {verb} this PaymentIntent because it has a status of {intent['status']}.",
        code="payment_intent_unexpected_state",
    )


def index(call: Call) -> Json:
    """GET /v1/payment_intents"""
    return listing(call, "payment_intent", "customer")


# Charges


def update_charge(call: Call, id: str) -> Json:
    """POST /v1/charges/{id}"""
    made = call.scope.get("charge", id)
    with call.world.changes(call.scope, made, "charge.updated"):
        base.assign(made, call.params, ("description", "receipt_email", "shipping", "customer", "transfer_group"))
        if call.params.get("fraud_details"):
            made["fraud_details"] = call.params["fraud_details"]
    return made


def charges(call: Call) -> Json:
    """GET /v1/charges"""
    return listing(call, "charge", "customer", "payment_intent", "transfer_group")
