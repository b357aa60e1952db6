"""How Stripe's objects hang together: what came expanded inside one, and what must be there before one can be stored.

Pure: JSON in, JSON and keys out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from billingops.stripe.reads import RESOURCES, Key
from billingops.stripe.shapes import dig, expanded, ident, invoice_subscription, items_of, latest_intent

# Stored in this order, so that what is referred to is there first. The few circles (a customer's default payment
# method, a charge's invoice before 2025-03-31) stay open at one end; store.py closes the first, nobody reads the other.
_IN_ORDER = """account coupon product price customer payment_method balance_transaction subscription payment_intent
    invoice charge refund dispute credit_note invoice_payment transfer payout application_fee topup"""
ORDER = {name: rank for rank, name in enumerate(_IN_ORDER.split())}


def collapse(data: dict[str, Any]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """(the object with ids in place of what was expanded in it, the objects that were expanded).

    An invoice's payments come out as objects of their own, their payment intent still in them: it names the charge.
    """
    own, found = dict(data), []
    for key, value in data.items():
        if _is_object(value):
            own[key] = value["id"]
            found.append(value)
    if data.get("object") == "invoice_payment" and _is_object(dig(data, "payment", "payment_intent")):
        own["payment"] = {**data["payment"], "payment_intent": data["payment"]["payment_intent"]["id"]}
        found.append(data["payment"]["payment_intent"])
    if data.get("object") == "dispute":  # always whole in it, and read from it, so they stay there
        found += [dict(item) for item in items_of(data.get("balance_transactions")) if _is_object(item)]
    if data.get("object") == "transfer" and any(
        _is_object(item.get("balance_transaction")) for item in reversals(data)
    ):
        taken_back = [collapse(dict(item)) for item in reversals(data)]
        own["reversals"] = {**data["reversals"], "data": [item for item, _ in taken_back]}
        found += [transaction for _, inner in taken_back for transaction in inner]
    if data.get("object") == "invoice" and items_of(data.get("payments")):
        payments = [collapse(dict(item)) for item in items_of(data["payments"])]
        own["payments"] = {**data["payments"], "data": [item for item, _ in payments]}
        for (_, inner), payment in zip(payments, items_of(data["payments"]), strict=True):
            found += [*inner, {"invoice": data["id"], **payment}]
    everything = []
    for item in found:
        rest, deeper = collapse(item)
        everything += [*deeper, item if item.get("object") == "invoice_payment" else rest]
    return own, everything


def reversals(transfer: Any) -> list[Any]:
    """The reversals in a transfer's payload."""
    return items_of(transfer.get("reversals"))


def required(data: dict[str, Any], account: str = "") -> Iterator[Key]:
    """What must be in the mirror before this object: columns that may not be empty, and what facts are read from."""
    kind = data.get("object")
    wanted: list[tuple[str, Any]] = []
    if account and kind != "account":
        yield ("account", account, "")
    if kind in {"subscription", "invoice", "charge", "payment_intent", "payment_method", "credit_note"}:
        wanted.append(("customer", data.get("customer")))
    if kind == "subscription":
        wanted += [("product", dig(item, "price", "product")) for item in items_of(data.get("items"))]
    elif kind == "invoice":
        wanted.append(("subscription", invoice_subscription(data)))
        wanted += [("price", price_of(line)) for line in items_of(data.get("lines"))]
    elif kind == "charge":
        wanted.append(("payment_intent", data.get("payment_intent")))
    elif kind in {"refund", "dispute"}:
        wanted.append(("charge", data.get("charge")))
    elif kind == "invoice_payment":
        wanted.append(("payment_intent", dig(data, "payment", "payment_intent")))
    elif kind == "price":
        wanted.append(("product", data.get("product")))
    for name, reference in wanted:
        if ident(reference):
            yield (name, ident(reference), account)


def price_of(line: Any) -> Any:
    """The reference to an invoice line's price in either era."""
    return dig(line, "pricing", "price_details", "price") or line.get("price")


Load = Callable[[str, Iterable[str]], dict[str, dict[str, Any]]]


def whole(invoices: Mapping[str, dict[str, Any]], load: Load) -> dict[str, dict[str, Any]]:
    """The invoices with what read_invoice looks behind. `load(type, ids)` is asked once a type, for all of them."""

    def loaded(object_type: str, references: Iterable[Any]) -> dict[str, dict[str, Any]]:
        ids = dict.fromkeys(ident(one) for one in references if one and not expanded(one))
        return load(object_type, [one for one in ids if one]) if any(ids) else {}

    lines = [line for invoice in invoices.values() for line in items_of(invoice.get("lines"))]
    prices = [price_of(line) for line in lines]
    known = loaded("price", prices)
    products = [price.get("product") for price in [*known.values(), *map(expanded, prices)]]
    products += [dig(line, "pricing", "price_details", "product") for line in lines if not price_of(line)]
    known |= loaded("product", products)
    intents: list[Any] = []
    subscriptions: list[Any] = []
    for invoice in invoices.values():
        intent = latest_intent(invoice)
        if not expanded(intent):
            intents += [intent, *(dig(item, "payment", "payment_intent") for item in items_of(invoice.get("payments")))]
        details = dig(invoice, "parent", "subscription_details") or invoice.get("subscription_details") or {}
        if not details.get("metadata"):
            subscriptions.append(invoice_subscription(invoice))
    known |= loaded("payment_intent", intents) | loaded("subscription", subscriptions)
    return {invoice_id: embed(invoice, known) for invoice_id, invoice in invoices.items()}


def embed(invoice: dict[str, Any], known: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The invoice with the objects of `known` (by id) in place of the ids that read_invoice looks behind."""

    def put(reference: Any) -> Any:
        return known.get(ident(reference), reference) if reference and not expanded(reference) else reference

    def line_with(line: Any) -> dict[str, Any]:
        line = dict(line)
        price = put(price_of(line))
        if expanded(price):
            price = {**price, "product": put(price.get("product"))}
        if details := dig(line, "pricing", "price_details"):
            product = put(details.get("product"))
            line["pricing"] = {**line["pricing"], "price_details": {**details, "price": price, "product": product}}
        elif price:
            line["price"] = price
        return line

    def payment_with(payment: Any) -> dict[str, Any]:
        inner = dict(payment.get("payment") or {})
        return {**payment, "payment": {**inner, "payment_intent": put(inner.get("payment_intent"))}}

    full = dict(invoice)
    lines = [line_with(line) for line in items_of(invoice.get("lines"))]
    full["lines"] = {**expanded(invoice.get("lines")), "data": lines}
    if invoice.get("payments") is not None:
        payments = [payment_with(item) for item in items_of(invoice["payments"])]
        full["payments"] = {**expanded(invoice["payments"]), "data": payments}
    if details := dig(invoice, "parent", "subscription_details"):
        details = {**details, "subscription": put(details.get("subscription"))}
        full["parent"] = {**invoice["parent"], "subscription_details": details}
    elif invoice.get("subscription"):
        full["subscription"] = put(invoice["subscription"])
    if invoice.get("payment_intent"):
        full["payment_intent"] = put(invoice["payment_intent"])
    return full


def _is_object(value: Any) -> bool:
    return isinstance(value, dict) and bool(value.get("id")) and value.get("object") in RESOURCES
