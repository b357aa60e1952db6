"""Payment methods (cards) and setup intents; Stripe's test tokens stand for cards."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from .. import debits, payments
from ..cards import BY_NUMBER, TestCard, by_token
from ..errors import Json, card_error, invalid, missing_parameter
from ..render import listing, page
from ..shapes import shape
from ..store import Scope
from ..world import Call
from . import base

if TYPE_CHECKING:
    from ..world import World

EMPTY_ADDRESS = dict.fromkeys(("city", "country", "line1", "line2", "postal_code", "state"))


def make(
    world: World, scope: Scope, card: TestCard, *, billing_details: Json | None = None, metadata: Json | None = None,
    exp_month: int = 8, exp_year: int = 2034,
) -> Json:  # fmt: skip
    """A stored payment method of a test card, not attached to anybody."""
    pm_id = world.store.new_id("pm")
    world.cards.issue(pm_id, card)
    details = {"address": dict(EMPTY_ADDRESS), "email": None, "name": None, "phone": None, "tax_id": None}
    return scope.add(
        shape(
            "payment_method",
            id=pm_id,
            allow_redisplay="unspecified",
            billing_details=base.merge(details, billing_details),
            created=world.clock.now(),
            customer=None,
            metadata=dict(metadata or {}),
            type="card",
            card={
                "brand": card.brand,
                "checks": {"address_line1_check": None, "address_postal_code_check": None, "cvc_check": "pass"},
                "country": card.country,
                "display_brand": card.brand,
                "exp_month": exp_month,
                "exp_year": exp_year,
                "fingerprint": hashlib.sha256(card.number.encode()).hexdigest()[:16],
                "funding": card.funding,
                "last4": card.number[-4:],
                "networks": {"available": [card.brand], "preferred": None},
                "three_d_secure_usage": {"supported": True},
                "regulated_status": "unregulated",
            },
        )
    )


def make_debit(world: World, scope: Scope, account: debits.Account, *, billing_details: Json | None = None) -> Json:
    """A stored payment method of a test bank account, not attached to anybody."""
    pm_id = world.store.new_id("pm")
    world.accounts[pm_id] = account
    address = {"address": dict(EMPTY_ADDRESS), "email": None, "name": None, "phone": None, "tax_id": None}
    return scope.add(
        shape(
            "payment_method",
            id=pm_id,
            allow_redisplay="unspecified",
            billing_details=base.merge(address, billing_details),
            created=world.clock.now(),
            customer=None,
            metadata={},
            type=account.type,
            **{account.type: debits.details(account)},
        )
    )


def renew_card(
    world: World, scope: Scope, pm_id: str, *, token: str | None = None, exp_month: int | None = None,
    exp_year: int | None = None,
) -> Json:  # fmt: skip
    """The card network tells Stripe of the card that came in the place of this one: another number (`token`), or a
    later expiry. The id stays. https://docs.stripe.com/api/events/types#event_types-payment_method.automatically_updated"""
    method = scope.get("payment_method", pm_id)
    with world.changes(scope, method, "payment_method.automatically_updated"):
        if token:
            card = by_token(token)
            if card is None:
                raise invalid(f"No such card token: {token}", param="token")
            world.cards.issue(pm_id, card)
            world.cards.forget(pm_id)
            fresh = make(world, scope, card)
            scope.remove(fresh)
            method["card"] = fresh["card"]
        method["card"]["exp_month"] = exp_month or method["card"]["exp_month"]
        method["card"]["exp_year"] = exp_year or method["card"]["exp_year"]
    return method


def from_token(world: World, scope: Scope, token: str) -> Json | None:
    """A new payment method for `pm_card_…` or `pm_usBankAccount_…`, or None."""
    if token in debits.ACCOUNTS:
        return make_debit(world, scope, debits.ACCOUNTS[token])
    card = by_token(token)
    return make(world, scope, card) if card else None


def create(call: Call) -> Json:
    """POST /v1/payment_methods"""
    params = call.params
    kind = params.get("type", "card")
    if kind in debits.TYPES:
        given = params.get(kind) or {}
        account = debits.BY_NUMBER.get((given.get("iban") or given.get("account_number") or "").replace(" ", ""))
        if account is None or account.type != kind:
            raise invalid("The sandbox knows Stripe's test accounts only.", param=kind)
        return make_debit(call.world, call.scope, account, billing_details=params.get("billing_details"))
    if kind != "card":
        raise invalid("The sandbox makes cards, SEPA and ACH debits only.", param="type")
    given = params.get("card")
    if not given:
        raise missing_parameter("card")
    number, token = given.get("number"), given.get("token")
    card = by_token(token) if token else BY_NUMBER.get(number or "")
    if card is None:
        raise card_error("Your card number is incorrect.", code="incorrect_number", param="number")
    return make(
        call.world, call.scope, card, billing_details=params.get("billing_details"), metadata=params.get("metadata"),
        exp_month=given.get("exp_month", 8), exp_year=given.get("exp_year", 2034),
    )  # fmt: skip


def retrieve(call: Call, id: str) -> Json:
    """GET /v1/payment_methods/{id}; a test token gives a new one, as with Stripe."""
    return payments.require_payment_method(call.world, call.scope, id, param="id")


def update(call: Call, id: str) -> Json:
    """POST /v1/payment_methods/{id}"""
    method = call.scope.get("payment_method", id)
    with call.world.changes(call.scope, method, "payment_method.updated"):
        base.merge(method["billing_details"], call.params.get("billing_details"))
        if method["type"] == "card":
            given = call.params.get("card") or {}
            base.merge(method["card"], {k: v for k, v in given.items() if k.startswith("exp_")})
        base.assign(method, call.params, ("allow_redisplay",))
    return method


def index(call: Call) -> Json:
    """GET /v1/payment_methods"""
    return listing(call, "payment_method", "customer", "type")


def of_customer(call: Call, id: str) -> Json:
    """GET /v1/customers/{id}/payment_methods"""
    call.scope.get("customer", id)
    return page(call, (item for item in call.scope.newest("payment_method") if item["customer"] == id))


def one_of_customer(call: Call, id: str, method: str) -> Json:
    """GET /v1/customers/{id}/payment_methods/{method}"""
    call.scope.get("customer", id)
    return call.scope.get("payment_method", method)


def attach_to(world: World, scope: Scope, pm_id: str, customer: Json) -> Json:
    """Attach; cards that decline refuse here already, except the one made for charges that fail later."""
    method = payments.require_payment_method(world, scope, pm_id)
    if method["customer"] not in (None, customer["id"]):
        raise invalid("The payment method you provided has already been attached to a customer.",
                      code="payment_method_already_attached")  # fmt: skip
    card = world.cards.card(method["id"])
    if card.decline and not card.attaches and method["type"] == "card":
        scope.remove(method)
        raise card_error(card.decline.message, code=card.decline.code, decline_code=card.decline.decline_code)
    method["customer"] = customer["id"]
    if debits.is_debit(method):
        debits.mandate_of(world, scope, method)
    world.emit(scope, "payment_method.attached", method)
    return method


def attach(call: Call, id: str) -> Json:
    """POST /v1/payment_methods/{id}/attach"""
    customer = call.scope.get("customer", call.params.get("customer"), param="customer")
    return attach_to(call.world, call.scope, id, customer)


def detach(call: Call, id: str) -> Json:
    """POST /v1/payment_methods/{id}/detach"""
    method = call.scope.get("payment_method", id)
    if method["customer"] is None:
        raise invalid("The payment method you provided is not attached to a customer so detachment is impossible.")
    customer = call.scope.find("customer", method["customer"])
    before = method["customer"]
    method["customer"] = None
    call.world.emit(call.scope, "payment_method.detached", method, {"customer": before})
    if customer and customer["invoice_settings"]["default_payment_method"] == id:
        with call.world.changes(call.scope, customer, "customer.updated"):
            customer["invoice_settings"]["default_payment_method"] = None
    return method


# Setup intents: enough to save a card.


def create_setup_intent(call: Call) -> Json:
    """POST /v1/setup_intents"""
    params = call.params
    intent_id = call.store.new_id("seti")
    intent = shape(
        "setup_intent", id=intent_id, created=call.now, client_secret=f"{intent_id}_secret_x", usage="off_session",
        customer=params.get("customer"), metadata={}, payment_method_types=["card"], status="requires_payment_method",
    )  # fmt: skip
    base.assign(intent, params, ("usage", "description"))
    call.scope.add(intent)
    call.emit("setup_intent.created", intent)
    if params.get("payment_method"):
        method = payments.require_payment_method(call.world, call.scope, params["payment_method"])
        intent["payment_method"], intent["status"] = method["id"], "requires_confirmation"
        if params.get("confirm"):
            return _confirm_setup(call, intent)
    return intent


def confirm_setup_intent(call: Call, id: str) -> Json:
    """POST /v1/setup_intents/{id}/confirm"""
    intent = call.scope.get("setup_intent", id)
    if call.params.get("payment_method"):
        method = payments.require_payment_method(call.world, call.scope, call.params["payment_method"])
        intent["payment_method"] = method["id"]
    return _confirm_setup(call, intent)


def _confirm_setup(call: Call, intent: Json) -> Json:
    if not intent["payment_method"]:
        raise missing_parameter("payment_method")
    if intent["customer"]:
        customer = call.scope.get("customer", intent["customer"], param="customer")
        attach_to(call.world, call.scope, intent["payment_method"], customer)
    intent["status"] = "succeeded"
    call.emit("setup_intent.succeeded", intent)
    return intent
