"""Charging a card: the charge with its outcome, the balance transaction, and the payment intent around it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import connect, debits, ledger
from .cards import Decline
from .errors import Json, StripeError, card_error, invalid, no_such
from .render import embedded_list, virtual
from .shapes import shape
from .store import Scope

if TYPE_CHECKING:
    from .world import World

CONFIRMABLE = ("requires_payment_method", "requires_confirmation", "requires_action")


def card_details(payment_method: Json) -> Json:
    """`payment_method_details` of a charge made with this payment method."""
    card = payment_method["card"]
    return {
        "type": "card",
        "card": {
            "brand": card["brand"],
            "checks": {"address_line1_check": None, "address_postal_code_check": None, "cvc_check": "pass"},
            "country": card["country"],
            "exp_month": card["exp_month"],
            "exp_year": card["exp_year"],
            "fingerprint": card["fingerprint"],
            "funding": card["funding"],
            "last4": card["last4"],
            "network": card["brand"],
        },
    }


def outcome(decline: Decline | None, risk_level: str) -> Json:
    """`outcome` of a charge."""
    if decline is None:
        values: Json = {
            "network_status": "approved_by_network",
            "seller_message": "Payment complete.",
            "type": "authorized",
        }
    elif decline.blocked:
        values = {
            "network_status": "not_sent_to_network",
            "reason": "highest_risk_level",
            "seller_message": "Stripe blocked this payment as too risky.",
            "type": "blocked",
        }
    else:
        values = {
            "advice_code": decline.advice_code,
            "network_advice_code": decline.network_advice_code,
            "network_decline_code": decline.network_decline_code,
            "network_status": "declined_by_network",
            "reason": decline.decline_code,
            "seller_message": "The bank did not return any further details with this decline."
            if decline.decline_code in ("generic_decline", "do_not_honor")
            else f"The bank returned the decline code `{decline.decline_code}`.",
            "type": "issuer_declined",
        }
    score = {"normal": 32, "elevated": 66, "highest": 92}[risk_level]
    return {"reason": None, "risk_level": risk_level, "risk_score": score, **values}


def charge(world: World, scope: Scope, intent: Json, payment_method: Json) -> Json:
    """One attempt to charge `intent` to the card: a charge that succeeded or failed, with all that follows."""
    now = world.clock.now()
    pm_id, amount, currency = payment_method["id"], intent["amount"], intent["currency"]
    card, decline = world.cards.card(pm_id), world.cards.draw(pm_id)
    charge_id = world.store.new_id("ch")
    captured = intent["capture_method"] != "manual"
    made = shape(
        "charge",
        id=charge_id,
        amount=amount,
        amount_captured=amount if decline is None and captured else 0,
        application_fee_amount=intent["application_fee_amount"],
        billing_details=payment_method["billing_details"],
        calculated_statement_descriptor="SANDBOX",
        captured=decline is None and captured,
        created=now,
        currency=currency,
        customer=intent["customer"],
        description=intent["description"],
        failure_code=decline.code if decline else None,
        failure_message=decline.message if decline else None,
        fraud_details={},
        metadata=dict(intent["metadata"]),
        on_behalf_of=intent["on_behalf_of"],
        outcome=outcome(decline, card.risk_level),
        paid=decline is None,
        payment_intent=intent["id"],
        payment_method=pm_id,
        payment_method_details=card_details(payment_method),
        receipt_email=intent["receipt_email"],
        receipt_url=f"https://pay.stripe.com/receipts/payment/{charge_id}" if decline is None else None,
        shipping=intent["shipping"],
        statement_descriptor=intent["statement_descriptor"],
        statement_descriptor_suffix=intent["statement_descriptor_suffix"],
        status="failed" if decline else "succeeded",
        transfer_data=intent["transfer_data"],
        transfer_group=intent["transfer_group"],
        _decline=decline and {"decline_code": decline.decline_code, "advice_code": decline.advice_code,
                              "network_decline_code": decline.network_decline_code,
                              "network_advice_code": decline.network_advice_code},
    )  # fmt: skip
    scope.add(made)
    if decline is None and captured:
        capture(world, scope, made)
    world.emit(scope, "charge.failed" if decline else "charge.succeeded", made)
    return made


def capture(world: World, scope: Scope, made: Json) -> None:
    """Book a successful charge, share it out to a destination, and let the bank dispute it if the card says so."""
    card = world.cards.card(made["payment_method"] or "")
    now, amount, currency = world.clock.now(), made["amount_captured"], made["currency"]
    fees = [ledger.stripe_fee(amount, currency)]
    direct_fee = made["application_fee_amount"] if not scope.is_platform else None
    if direct_fee:
        fees.append(ledger.application_fee(direct_fee, currency, connect.APPLICATION))
    booked = ledger.record(
        world, scope, type="charge", reporting_category="charge", amount=amount, currency=currency, source=made["id"],
        description=made["description"], fee_details=fees,
        available_on=now if card.bypass_pending else now + ledger.SETTLEMENT_SECONDS,
    )  # fmt: skip
    made["balance_transaction"] = booked["id"]
    if direct_fee:
        fee = connect.collect_fee(
            world, account=scope.account_id, charge=made["id"], amount=direct_fee, currency=currency, original=None
        )
        made["application_fee"], made["application"] = fee["id"], connect.APPLICATION
    if made["transfer_data"]:
        _share_with_destination(world, scope, made)
    if card.dispute:
        from .resources.disputes import open_dispute

        open_dispute(world, scope, made, reason=card.dispute)


def _share_with_destination(world: World, scope: Scope, made: Json) -> None:
    data, fee_amount = made["transfer_data"], made["application_fee_amount"] or 0
    amount = made["amount_captured"] if data.get("amount") is None else data["amount"]
    sent = connect.transfer(
        world, scope, amount=amount, currency=made["currency"], destination=data["destination"], source=made,
        fee=fee_amount,
    )  # fmt: skip
    made["transfer"] = sent["id"]
    if fee_amount:
        fee = connect.collect_fee(
            world, account=data["destination"], charge=sent["destination_payment"], amount=fee_amount,
            currency=made["currency"], original=made["id"],
        )  # fmt: skip
        made["application_fee"], made["application"] = fee["id"], connect.APPLICATION
        target = world.store.scope(data["destination"])
        if target is not None:
            target.get("charge", sent["destination_payment"])["application_fee"] = fee["id"]


def new_intent(world: World, scope: Scope, **values: Any) -> Json:
    """A payment intent; `values` are its fields."""
    intent_id = world.store.new_id("pi")
    destination = (values.get("transfer_data") or {}).get("destination")
    if destination:
        connect.destination_scope(world, destination, param="transfer_data[destination]")
    defaults: Json = {
        "capture_method": "automatic",
        "client_secret": f"{intent_id}_secret_{world.store.new_id('x')[2:]}",
        "confirmation_method": "automatic",
        "created": world.clock.now(),
        "metadata": {},
        "payment_method_options": {"card": {"request_three_d_secure": "automatic"}},
        "payment_method_types": ["card"],
        "status": "requires_confirmation" if values.get("payment_method") else "requires_payment_method",
        "amount_details": {"tip": {}},
        "transfer_group": f"group_{intent_id}" if destination else None,
        "_invoice": None,
    }
    given = {key: value for key, value in values.items() if value is not None}
    intent = shape("payment_intent", id=intent_id, **{**defaults, **given})
    scope.add(intent)
    world.emit(scope, "payment_intent.created", intent)
    return intent


def confirm(world: World, scope: Scope, intent: Json, *, off_session: bool = False) -> StripeError | None:
    """Try to take the money. The intent, its charge and their events are updated; a decline is returned, not raised,
    so that callers can finish their own books first."""
    if intent["status"] not in CONFIRMABLE:
        raise invalid(
            f"This PaymentIntent's status is {intent['status']}; it can't be confirmed.",
            code="payment_intent_unexpected_state",
        )
    if not intent["payment_method"]:
        raise invalid(
            "You cannot confirm this PaymentIntent because it's missing a payment method. You can either update the "
            "PaymentIntent with a payment method and then confirm it again, or confirm it again directly with a "
            "payment method.",
            code="payment_intent_unexpected_state",
        )
    payment_method = scope.get("payment_method", intent["payment_method"], param="payment_method")
    if world.cards.card(payment_method["id"]).authentication and not off_session:
        intent["status"] = "requires_action"
        intent["next_action"] = {"type": "use_stripe_sdk", "use_stripe_sdk": {"type": "three_d_secure_redirect"}}
        world.emit(scope, "payment_intent.requires_action", intent)
        return None
    if debits.is_debit(payment_method):
        debits.start(world, scope, intent, payment_method)
        return None
    made = charge(world, scope, intent, payment_method)
    intent["latest_charge"] = made["id"]
    intent["next_action"] = None
    if made["status"] == "failed":
        return _declined(world, scope, intent, made, payment_method)
    intent["last_payment_error"] = None
    if made["captured"]:
        intent["status"], intent["amount_received"] = "succeeded", made["amount_captured"]
        world.emit(scope, "payment_intent.succeeded", intent)
    else:
        intent["status"], intent["amount_capturable"] = "requires_capture", made["amount"]
        world.emit(scope, "payment_intent.amount_capturable_updated", intent)
    return None


def _declined(world: World, scope: Scope, intent: Json, made: Json, payment_method: Json) -> StripeError:
    codes = {key: value for key, value in made["_decline"].items() if value is not None}
    code, message = made["failure_code"], made["failure_message"]
    intent["status"] = "requires_payment_method"
    intent["payment_method"] = None
    intent["last_payment_error"] = {
        "charge": made["id"],
        "code": code,
        **codes,
        "doc_url": f"https://stripe.com/docs/error-codes/{code.replace('_', '-')}",
        "message": message,
        "payment_method": world.snapshot(scope, payment_method),
        "type": "card_error",
    }
    world.emit(scope, "payment_intent.payment_failed", intent)
    return card_error(
        message, code=code, charge=made["id"], payment_intent=world.snapshot(scope, intent),
        payment_method=world.snapshot(scope, payment_method), **codes,
    )  # fmt: skip


def require_payment_method(world: World, scope: Scope, pm_id: str, *, param: str = "payment_method") -> Json:
    """The payment method of that id; Stripe's test tokens (`pm_card_visa`) make a new one."""
    from .resources.payment_methods import from_token

    found = scope.find("payment_method", pm_id) or from_token(world, scope, pm_id)
    if found is None:
        raise no_such("PaymentMethod", pm_id, param=param)
    return found


@virtual("charge", "refunds")
def _refunds(world: World, scope: Scope, made: Json) -> Json:
    found = scope.children("refund", made["id"])[::-1]
    return embedded_list(found, f"/v1/charges/{made['id']}/refunds")
