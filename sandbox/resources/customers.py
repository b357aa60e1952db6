"""Customers: the person or firm that pays; their balance, tax ids and own discount."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .. import payments
from ..billing import discounts as discounting
from ..billing import subscriptions
from ..errors import Json, invalid, no_such
from ..render import embedded_list, listing, page, virtual
from ..shapes import shape
from ..store import Scope
from ..world import Call
from . import base
from .payment_methods import attach_to

if TYPE_CHECKING:
    from ..world import World

FIELDS = ("address", "description", "email", "name", "phone", "shipping", "tax_exempt", "preferred_locales")


def create(call: Call) -> Json:
    """POST /v1/customers"""
    params = call.params
    customer_id = params.pop("id", None) or call.store.new_id("cus", 14)
    if call.scope.find("customer", customer_id):
        raise invalid("Customer already exists.", code="resource_already_exists", param="id")
    customer = shape(
        "customer",
        id=customer_id,
        created=call.now,
        invoice_prefix=params.get("invoice_prefix") or call.store.new_id("x", 8)[2:].upper(),
        invoice_settings={"default_payment_method": None},
        next_invoice_sequence=1,
        preferred_locales=[],
        tax_exempt="none",
        metadata={},
        balance=0,
        delinquent=False,
        _discount=None,
    )
    if params.get("payment_method"):
        token = params["payment_method"]
        method = attach_to(call.world, call.scope, token, customer)
        settings = params.get("invoice_settings") or {}
        if settings.get("default_payment_method") == token:
            settings["default_payment_method"] = method["id"]
    _change(call, customer)
    call.scope.add(customer)
    for entry in params.get("tax_id_data") or []:
        _add_tax_id(call, customer, entry)
    call.emit("customer.created", customer)
    return customer


def _change(call: Call, customer: Json) -> None:
    params = call.params
    base.assign(customer, params, FIELDS)
    if customer["tax_exempt"] is None:
        customer["tax_exempt"] = "none"
    settings = params.get("invoice_settings") or {}
    default = settings.get("default_payment_method")
    if default:
        found = payments.require_payment_method(
            call.world, call.scope, default, param="invoice_settings[default_payment_method]"
        )
        if found["customer"] != customer["id"]:
            raise invalid(
                f"The customer does not have a payment method with the ID {default}. The payment method must be "
                "attached to the customer.",
                param="invoice_settings[default_payment_method]",
                code="resource_missing",
            )
        settings["default_payment_method"] = found["id"]
    base.merge(customer["invoice_settings"], settings)
    if "balance" in params:
        customer["balance"] = params["balance"]


def retrieve(call: Call, id: str) -> Json:
    """GET /v1/customers/{id}; a deleted one is answered as `deleted`."""
    gone = call.scope.find("deleted_customer", id)
    if gone is not None:
        return {"id": id, "object": "customer", "deleted": True}
    return call.scope.get("customer", id)


def update(call: Call, id: str) -> Json:
    """POST /v1/customers/{id}"""
    customer = call.scope.get("customer", id)
    with call.world.changes(call.scope, customer, "customer.updated"):
        _change(call, customer)
    return customer


def delete(call: Call, id: str) -> Json:
    """DELETE /v1/customers/{id}: subscriptions end at once; what was billed stays."""
    customer = call.scope.get("customer", id)
    for subscription in call.scope.all("subscription"):
        if subscription["customer"] == id and subscription["status"] in subscriptions.LIVE:
            subscriptions.cancel(call.world, call.scope, subscription)
    call.scope.remove(customer)
    call.scope.add({"id": id, "object": "deleted_customer"})
    for method in call.scope.all("payment_method"):
        if method["customer"] == id:
            method["customer"] = None
    call.emit("customer.deleted", customer)
    return base.deleted(customer)


def index(call: Call) -> Json:
    """GET /v1/customers"""
    return listing(call, "customer", "email")


def delete_discount(call: Call, id: str) -> Json:
    """DELETE /v1/customers/{id}/discount"""
    customer = call.scope.get("customer", id)
    discount = call.scope.find("discount", customer["_discount"])
    if discount is None:
        raise no_such("discount", id)
    with call.world.changes(call.scope, customer, "customer.updated"):
        customer["_discount"] = None
    call.emit("customer.discount.deleted", discount)
    return base.deleted(discount)


def set_discount(world: World, scope: Scope, customer: Json, coupon_id: str) -> Json:
    """Put a coupon on a customer (today's API has no parameter for it; promotion codes and the dashboard do it)."""
    with world.changes(scope, customer, "customer.updated"):
        discount = discounting.redeem(world, scope, coupon_id, param="coupon", customer=customer["id"])
        customer["_discount"] = discount["id"]
    world.emit(scope, "customer.discount.created", discount)
    return discount


def create_balance_transaction(call: Call, id: str) -> Json:
    """POST /v1/customers/{id}/balance_transactions"""
    customer = call.scope.get("customer", id)
    with call.world.changes(call.scope, customer, "customer.updated"):
        customer["balance"] += call.params["amount"]
        customer["currency"] = customer["currency"] or base.currency(call.params)
    return call.scope.add(
        shape(
            "customer_balance_transaction",
            id=call.store.new_id("cbtxn"),
            amount=call.params["amount"],
            created=call.now,
            currency=base.currency(call.params),
            customer=id,
            ending_balance=customer["balance"],
            description=call.params.get("description"),
            metadata=call.params.get("metadata") or {},
            type="adjustment",
        )
    )


def balance_transactions(call: Call, id: str) -> Json:
    """GET /v1/customers/{id}/balance_transactions"""
    call.scope.get("customer", id)
    return page(call, call.scope.children("customer_balance_transaction", id)[::-1])


def balance_transaction(call: Call, id: str, transaction: str) -> Json:
    """GET /v1/customers/{id}/balance_transactions/{transaction}"""
    return call.scope.get("customer_balance_transaction", transaction)


def sources(call: Call, id: str) -> Json:
    """GET /v1/customers/{id}/sources: legacy sources are not made here, so the list is empty."""
    call.scope.get("customer", id)
    return page(call, [])


# Tax ids


def _add_tax_id(call: Call, customer: Json, entry: Json) -> Json:
    made = call.scope.add(
        shape(
            "tax_id",
            id=call.store.new_id("txi"),
            country=entry["type"][:2].upper(),
            created=call.now,
            customer=customer["id"],
            type=entry["type"],
            value=entry["value"],
            owner={"type": "customer", "customer": customer["id"]},
            verification={"status": "pending", "verified_address": None, "verified_name": None},
        )
    )
    call.emit("customer.tax_id.created", made)
    return made


def create_tax_id(call: Call, id: str) -> Json:
    """POST /v1/customers/{id}/tax_ids"""
    return _add_tax_id(call, call.scope.get("customer", id), call.params)


def tax_ids(call: Call, id: str) -> Json:
    """GET /v1/customers/{id}/tax_ids"""
    call.scope.get("customer", id)
    return page(call, call.scope.children("tax_id", id)[::-1])


def tax_id(call: Call, id: str, tax: str) -> Json:
    """GET /v1/customers/{id}/tax_ids/{tax}"""
    return call.scope.get("tax_id", tax)


def delete_tax_id(call: Call, id: str, tax: str) -> Json:
    """DELETE /v1/customers/{id}/tax_ids/{tax}"""
    found = call.scope.get("tax_id", tax)
    call.scope.remove(found)
    call.emit("customer.tax_id.deleted", found)
    return base.deleted(found)


@virtual("customer", "discount")
def _discount(world: World, scope: Scope, customer: Json) -> Json | None:
    found = discounting.customer_discount(world, scope, customer)
    return scope.find("discount", found[0]) if found else None


@virtual("customer", "tax_ids")
def _tax_ids(world: World, scope: Scope, customer: Json) -> Json:
    url = f"/v1/customers/{customer['id']}/tax_ids"
    return embedded_list(scope.children("tax_id", customer["id"])[::-1], url)


@virtual("customer", "sources")
def _sources(world: World, scope: Scope, customer: Json) -> Json:
    return embedded_list([], f"/v1/customers/{customer['id']}/sources")


@virtual("customer", "subscriptions")
def _subscriptions(world: World, scope: Scope, customer: Json) -> Json:
    found = [
        item
        for item in scope.newest("subscription")
        if item["customer"] == customer["id"] and item["status"] in subscriptions.LIVE
    ]
    return embedded_list(found, f"/v1/customers/{customer['id']}/subscriptions")


@virtual("customer", "tax")
def _tax(world: World, scope: Scope, customer: Json) -> Json:
    country = (customer["address"] or {}).get("country")
    if not country:
        return {"automatic_tax": "unrecognized_location", "ip_address": None, "location": None, "provider": "stripe"}
    location = {"country": country, "source": "billing_address", "state": customer["address"].get("state")}
    return {"automatic_tax": "supported", "ip_address": None, "location": location, "provider": "stripe"}


@virtual("customer", "cash_balance")
def _cash_balance(world: World, scope: Scope, customer: Json) -> None:
    return None


@virtual("customer", "invoice_credit_balance")
def _credit_balance(world: World, scope: Scope, customer: Json) -> Json:
    return {customer["currency"]: customer["balance"]} if customer["currency"] and customer["balance"] else {}
