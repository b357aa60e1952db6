"""Invoices, their lines and payments, and invoice items, as the API shows them; the work is in billing/."""

from __future__ import annotations

from decimal import Decimal

from .. import payments
from ..billing import collection, subscriptions
from ..billing import discounts as discounting
from ..billing import invoices as billing
from ..billing.lines import item_line, price_amount, rounded
from ..billing.totals import compute
from ..errors import Json, bad_parameter, invalid
from ..render import listing, page
from ..world import Call
from . import base
from .catalog import price_for

FIELDS = (
    "auto_advance", "custom_fields", "days_until_due", "default_payment_method", "description", "due_date",
    "effective_at", "footer", "statement_descriptor",
)  # fmt: skip


def create(call: Call) -> Json:
    """POST /v1/invoices: a draft; with a subscription it takes that subscription's pending items."""
    params = call.params
    subscription = None
    if params.get("subscription"):
        subscription = call.scope.get("subscription", params["subscription"], param="subscription")
    customer_id = params.get("customer") or (subscription or {}).get("customer")
    if not customer_id:
        raise bad_parameter("You must supply a customer.", param="customer", code="parameter_missing")
    customer = call.scope.get("customer", customer_id, param="customer")
    currency = base.currency(params) if params.get("currency") else customer["currency"] or "usd"
    behavior = params.get("pending_invoice_items_behavior")
    take = behavior == "include" or (subscription is not None and behavior != "exclude")
    waiting: list[Json] = []
    if take:
        waiting = billing.pending_items(call.scope, customer["id"], None, (subscription or {}).get("id"))
        if waiting and not params.get("currency"):
            currency = waiting[0]["currency"]
        waiting = [item for item in waiting if item["currency"] == currency]
    if params.get("default_payment_method"):
        call.scope.get("payment_method", params["default_payment_method"], param="default_payment_method")
    days = params.get("days_until_due")
    if "discounts" in params:
        discounts = discounting.from_params(call.world, call.scope, params["discounts"], customer=customer["id"])
    elif subscription:
        discounts = subscriptions.discounts_for(call.world, call.scope, subscription)
    else:
        discounts = discounting.customer_discount(call.world, call.scope, customer)
    invoice = billing.create(
        call.world, call.scope, lines=billing.claim_items(call.world, call.scope, waiting), customer=customer,
        currency=currency, billing_reason="manual" if subscription is None else "subscription_update",
        subscription=subscription, collection_method=params.get("collection_method"),
        auto_advance=bool(params.get("auto_advance")), discounts=discounts,
        due_date=params.get("due_date") or (call.now + days * 86400 if days is not None else None),
        metadata=params.get("metadata"), default_tax_rates=params.get("default_tax_rates"),
        transfer_data=params.get("transfer_data"), application_fee_amount=params.get("application_fee_amount"),
        on_behalf_of=params.get("on_behalf_of"), automatic_tax=billing.automatic_tax(params),
        **{name: params.get(name) for name in FIELDS if name not in ("auto_advance", "due_date", "days_until_due")},
    )  # fmt: skip
    for item in waiting:
        item["invoice"] = invoice["id"]
    return invoice


def update(call: Call, id: str) -> Json:
    """POST /v1/invoices/{id}"""
    invoice, params = call.scope.get("invoice", id), call.params
    editable = {"metadata", "description", "auto_advance", "default_payment_method", "expand", "due_date", "footer"}
    if invoice["status"] != "draft" and set(params) - editable:
        raise invalid("Finalized invoices can't be updated in this way.", code="invoice_not_editable")
    with call.world.changes(call.scope, invoice, "invoice.updated"):
        base.assign(invoice, params, [name for name in FIELDS if name != "days_until_due"])
        if "auto_advance" in params and invoice["status"] == "open":
            _advance(call, invoice)
        if "discounts" in params:
            invoice["discounts"] = discounting.from_params(
                call.world, call.scope, params["discounts"], invoice=invoice["id"]
            )
        if "default_tax_rates" in params:
            invoice["_default_tax_rates"] = params["default_tax_rates"] or []
        if invoice["status"] == "draft":
            compute(call.world, call.scope, invoice, billing.lines_of(call.scope, invoice))
    return invoice


def _advance(call: Call, invoice: Json) -> None:
    """Without automatic collection nothing is scheduled; with it, again."""
    by_hand = invoice["collection_method"] == "send_invoice"
    tries = invoice["attempt_count"]
    if not invoice["auto_advance"] or by_hand or tries > len(collection.RETRY_DAYS):
        invoice["next_payment_attempt"] = None
    elif invoice["next_payment_attempt"] is None:
        days = collection.RETRY_DAYS[tries - 1] if tries else 0
        invoice["next_payment_attempt"] = call.now + (days * collection.DAY or 3600)


def delete(call: Call, id: str) -> Json:
    """DELETE /v1/invoices/{id}: drafts only."""
    invoice = call.scope.get("invoice", id)
    if invoice["status"] != "draft":
        raise invalid("You can only delete draft invoices.", code="invoice_not_editable")
    for entry in billing.lines_of(call.scope, invoice):
        call.scope.remove(entry)
    call.scope.remove(invoice)
    call.emit("invoice.deleted", invoice)
    return base.deleted(invoice)


def finalize(call: Call, id: str) -> Json:
    """POST /v1/invoices/{id}/finalize; an invoice with `auto_advance` that charges automatically is tried at once."""
    invoice = call.scope.get("invoice", id)
    if call.params.get("auto_advance") is not None:
        invoice["auto_advance"] = call.params["auto_advance"]
    collection.finalize(call.world, call.scope, invoice)
    if invoice["auto_advance"] and invoice["status"] == "open" and not _by_hand(invoice):
        collection.collect(call.world, call.scope, invoice, automatic=True)
    return invoice


def _by_hand(invoice: Json) -> bool:
    return bool(invoice["collection_method"] == "send_invoice")


def pay(call: Call, id: str) -> Json:
    """POST /v1/invoices/{id}/pay"""
    invoice, params = call.scope.get("invoice", id), call.params
    if invoice["status"] == "draft":
        collection.finalize(call.world, call.scope, invoice)
        if invoice["status"] == "paid":
            return invoice
    if invoice["status"] == "paid":
        raise invalid("Invoice is already paid")
    if invoice["status"] == "void":
        raise invalid("You can't pay a void invoice.", code="invoice_not_editable")
    if params.get("paid_out_of_band"):
        collection.pay_out_of_band(call.world, call.scope, invoice)
        return invoice
    method = None
    if params.get("payment_method"):
        method = payments.require_payment_method(call.world, call.scope, params["payment_method"])["id"]
    base.raise_if(collection.collect(call.world, call.scope, invoice, payment_method=method, automatic=False))
    return invoice


def attach_payment(call: Call, id: str) -> Json:
    """POST /v1/invoices/{id}/attach_payment: a payment made elsewhere pays it, or a part of it."""
    invoice = call.scope.get("invoice", id)
    intent = call.scope.get("payment_intent", call.params.get("payment_intent") or "", param="payment_intent")
    collection.attach(call.world, call.scope, invoice, intent)
    return invoice


def send(call: Call, id: str) -> Json:
    """POST /v1/invoices/{id}/send: finalizes a draft; no mail leaves the sandbox."""
    invoice = call.scope.get("invoice", id)
    if invoice["status"] == "draft":
        collection.finalize(call.world, call.scope, invoice)
    call.emit("invoice.sent", invoice)
    return invoice


def void(call: Call, id: str) -> Json:
    """POST /v1/invoices/{id}/void"""
    invoice = call.scope.get("invoice", id)
    collection.void(call.world, call.scope, invoice)
    return invoice


def mark_uncollectible(call: Call, id: str) -> Json:
    """POST /v1/invoices/{id}/mark_uncollectible"""
    invoice = call.scope.get("invoice", id)
    collection.mark_uncollectible(call.world, call.scope, invoice)
    return invoice


def index(call: Call) -> Json:
    """GET /v1/invoices"""
    wanted = call.params.get("subscription")

    def where(invoice: Json) -> bool:
        details = (invoice["parent"] or {}).get("subscription_details") or {}
        return not wanted or details.get("subscription") == wanted

    return listing(call, "invoice", "customer", "status", "collection_method", where=where)


def lines(call: Call, id: str) -> Json:
    """GET /v1/invoices/{id}/lines: in the invoice's order."""
    return page(call, billing.lines_of(call.scope, call.scope.get("invoice", id)))


def update_line(call: Call, id: str, line: str) -> Json:
    """POST /v1/invoices/{id}/lines/{line}: description and metadata."""
    call.scope.get("invoice", id)
    entry = call.scope.get("line_item", line)
    base.assign(entry, call.params, ("description",))
    return entry


def invoice_payments(call: Call) -> Json:
    """GET /v1/invoice_payments"""
    payment = call.params.get("payment") or {}

    def where(item: Json) -> bool:
        return not payment or all(item["payment"].get(key) == value for key, value in payment.items())

    return listing(call, "invoice_payment", "invoice", "status", where=where)


def preview(call: Call) -> Json:
    """POST /v1/invoices/create_preview: what the next invoice would be; nothing is kept."""
    params = call.params
    subscription = None
    if params.get("subscription"):
        subscription = call.scope.get("subscription", params["subscription"], param="subscription")
    customer_id = params.get("customer") or (subscription or {}).get("customer")
    customer = call.scope.get("customer", customer_id, param="customer")
    if subscription is None:
        live = (s for s in call.scope.newest("subscription") if s["customer"] == customer["id"])
        subscription = next((s for s in live if s["status"] in subscriptions.LIVE), None)
    entries: list[Json] = []
    currency = base.currency(params) if params.get("currency") else customer["currency"] or "usd"
    start = end = call.now
    if subscription is not None:
        currency = subscription["currency"]
        items = subscriptions.items_of(call.scope, subscription)
        start, end = items[0]["current_period_start"], items[0]["current_period_end"]
        for item in items:
            recurring = call.scope.get("price", item["_price"])["recurring"]
            after = subscriptions.add_interval(
                item["current_period_end"], recurring["interval"], recurring["interval_count"],
                anchor=subscription["billing_cycle_anchor"],
            )  # fmt: skip
            entries.append(
                subscriptions.subscription_line(
                    call.world, call.scope, subscription, item, item["current_period_end"], after
                )
            )
    waiting = billing.pending_items(call.scope, customer["id"], currency, (subscription or {}).get("id"))
    entries += billing.claim_items(call.world, call.scope, waiting)
    if not entries:
        raise invalid("Nothing to invoice for customer", code="invoice_no_customer_line_items", status=404)
    discounts = (
        subscriptions.discounts_for(call.world, call.scope, subscription)
        if subscription
        else discounting.customer_discount(call.world, call.scope, customer)
    )
    invoice = billing.build(
        call.world, call.scope, customer=customer, currency=currency, lines=entries, billing_reason="upcoming",
        subscription=subscription, discounts=discounts, auto_advance=True,
    )  # fmt: skip
    invoice.update(id=call.store.new_id("upcoming_in"), period_start=start, period_end=end, _lines=entries)
    return invoice


# Invoice items


def create_item(call: Call) -> Json:
    """POST /v1/invoiceitems: on a draft, or waiting for the next invoice."""
    params = call.params
    customer = call.scope.get("customer", params.get("customer"), param="customer")
    invoice = None
    if params.get("invoice"):
        invoice = call.scope.get("invoice", params["invoice"], param="invoice")
        if invoice["status"] != "draft":
            raise invalid("This invoice is no longer editable", code="invoice_not_editable", param="invoice")
    named = (params.get("pricing") or {}).get("price")
    price = price_for(call, {"price": named} if named else params, param="pricing[price]")
    quantity = params["quantity"] if params.get("quantity") is not None else 1
    unit: str | None = None
    if price is not None:
        amount, currency = price_amount(price, quantity), price["currency"]
    elif params.get("unit_amount_decimal") is not None:
        unit, currency = params["unit_amount_decimal"], base.currency(params)
        amount = rounded(Decimal(unit) * quantity)
    elif params.get("amount") is not None:
        amount, currency = params["amount"], base.currency(params)
        unit, quantity = str(amount), 1
    else:
        raise bad_parameter("You must provide one of amount, unit_amount_decimal or pricing.", param="amount",
                            code="parameter_missing")  # fmt: skip
    period = params.get("period") or {"start": call.now, "end": call.now}
    item = subscriptions.new_invoice_item(
        call.world, call.scope, customer=customer["id"], amount=amount, currency=currency, start=period["start"],
        end=period["end"], description=params.get("description"), price=price, quantity=quantity,
        discountable=params.get("discountable", True), subscription=params.get("subscription"),
        tax_rates=params.get("tax_rates"), metadata=params.get("metadata"), unit_amount_decimal=unit,
        discounts=discounting.from_params(call.world, call.scope, params.get("discounts")),
        invoice=invoice["id"] if invoice else None,
    )  # fmt: skip
    if invoice is not None:
        entry = item_line(call.world, call.scope, item)
        entry["invoice"] = invoice["id"]
        call.scope.add(entry)
        compute(call.world, call.scope, invoice, billing.lines_of(call.scope, invoice))
    return item


def _item_is_editable(call: Call, item: Json) -> Json | None:
    invoice = call.scope.find("invoice", item["invoice"])
    if invoice is not None and invoice["status"] != "draft":
        raise invalid("You can't change an invoice item that belongs to a finalized invoice.",
                      code="invoice_not_editable")  # fmt: skip
    return invoice


def _line_of(call: Call, invoice: Json, item: Json) -> Json | None:
    for entry in billing.lines_of(call.scope, invoice):
        details = entry["parent"]["invoice_item_details"] or entry["parent"]["subscription_item_details"] or {}
        if details.get("invoice_item") == item["id"]:
            return entry
    return None


def update_item(call: Call, id: str) -> Json:
    """POST /v1/invoiceitems/{id}"""
    item, params = call.scope.get("invoiceitem", id), call.params
    invoice = _item_is_editable(call, item)
    base.assign(item, params, ("description", "discountable"))
    if params.get("amount") is not None:
        item["amount"] = item["net_amount"] = params["amount"]
    elif params.get("quantity") is not None and item["pricing"]:
        item["quantity"], item["quantity_decimal"] = params["quantity"], str(params["quantity"])
        item["amount"] = rounded(Decimal(item["pricing"]["unit_amount_decimal"]) * params["quantity"])
        item["net_amount"] = item["amount"]
    if invoice is not None and (entry := _line_of(call, invoice, item)):
        for name in ("amount", "description", "discountable", "quantity"):
            entry[name] = item[name]
        entry["subtotal"] = item["amount"]
        compute(call.world, call.scope, invoice, billing.lines_of(call.scope, invoice))
    return item


def delete_item(call: Call, id: str) -> Json:
    """DELETE /v1/invoiceitems/{id}"""
    item = call.scope.get("invoiceitem", id)
    invoice = _item_is_editable(call, item)
    if invoice is not None and (entry := _line_of(call, invoice, item)):
        call.scope.remove(entry)
        compute(call.world, call.scope, invoice, billing.lines_of(call.scope, invoice))
    call.scope.remove(item)
    call.emit("invoiceitem.deleted", item)
    return base.deleted(item)


def items(call: Call) -> Json:
    """GET /v1/invoiceitems"""
    pending = call.params.get("pending")
    return listing(
        call, "invoiceitem", "customer", "invoice",
        where=lambda item: pending is None or (item["invoice"] is None) == pending,
    )  # fmt: skip
