"""Credit notes: less to pay on an open invoice; on a paid one a refund, credit, or money paid back elsewhere."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from ..billing import collection
from ..billing import invoices as billing
from ..billing.lines import rounded
from ..errors import Json, bad_parameter, invalid
from ..render import embedded_list, listing, page, virtual
from ..shapes import shape
from ..store import Scope
from ..world import Call
from . import base
from .refunds import refund

if TYPE_CHECKING:
    from ..world import World


SUMMED = {"amount", "taxable_amount"}


def create(call: Call) -> Json:
    """POST /v1/credit_notes"""
    params, world, scope = call.params, call.world, call.scope
    invoice = scope.get("invoice", params["invoice"], param="invoice")
    if invoice["status"] not in ("open", "paid"):
        raise invalid("Credit notes can only be created for open or paid invoices.", param="invoice")
    entries = _lines(call, invoice)
    amount = sum(_credited(entry) for entry in entries) or params.get("amount") or sum(
        params.get(name) or 0 for name in ("refund_amount", "credit_amount", "out_of_band_amount")
    )  # fmt: skip
    if not amount:
        raise bad_parameter("You must provide amount, lines, refund_amount, credit_amount or out_of_band_amount.",
                            param="amount", code="parameter_missing")  # fmt: skip
    credited = sum(note["amount"] for note in scope.children("credit_note", invoice["id"]) if note["status"] != "void")
    if amount + credited > invoice["total"]:
        raise invalid("The sum of credit note amounts cannot exceed the total of the invoice.", param="amount")
    customer = scope.get("customer", invoice["customer"])
    before_payment = invoice["status"] == "open"
    refunds = [] if before_payment else _refunds(call, invoice, amount)
    number = len(scope.children("credit_note", invoice["id"])) + 1
    taxes = sum(tax["amount"] for entry in entries for tax in entry["taxes"])
    note = shape(
        "credit_note", id=call.store.new_id("cn"), amount=amount, created=call.now, currency=invoice["currency"],
        customer=customer["id"], discount_amounts=_summed(entries, "discount_amounts", "discount"),
        effective_at=params.get("effective_at") or call.now,
        invoice=invoice["id"], memo=params.get("memo"), metadata=params.get("metadata") or {},
        number=f"{invoice['number']}-CN-{number:02d}", out_of_band_amount=params.get("out_of_band_amount"),
        pdf=f"https://pay.stripe.com/credit_notes/{scope.account_id}/pdf", reason=params.get("reason"),
        refunds=refunds, status="issued", subtotal=sum(entry["amount"] for entry in entries) or amount,
        subtotal_excluding_tax=amount - taxes, total=amount, total_excluding_tax=amount - taxes,
        total_taxes=_summed(entries, "taxes", "tax_rate_details"), pretax_credit_amounts=[],
        type="pre_payment" if before_payment else "post_payment",
        pre_payment_amount=amount if before_payment else 0, post_payment_amount=0 if before_payment else amount,
    )  # fmt: skip
    with world.changes(scope, invoice, "invoice.updated"):
        if before_payment:
            _lower_due(world, scope, invoice, amount)
        else:
            invoice["post_payment_credit_notes_amount"] += amount
    if params.get("credit_amount"):
        with world.changes(scope, customer, "customer.updated"):
            customer["balance"] -= params["credit_amount"]
        note["customer_balance_transaction"] = scope.add(
            shape(
                "customer_balance_transaction",
                id=call.store.new_id("cbtxn"),
                amount=-params["credit_amount"],
                created=call.now,
                credit_note=note["id"],
                currency=invoice["currency"],
                customer=customer["id"],
                ending_balance=customer["balance"],
                metadata={},
                type="credit_note",
            )
        )["id"]
    for entry in entries:
        entry["_credit_note"] = note["id"]
        scope.add(entry)
    scope.add(note)
    call.emit("credit_note.created", note)
    return note


def _lines(call: Call, invoice: Json) -> list[Json]:
    """Of a line of the invoice its discounts and taxes are credited in proportion."""
    made = []
    for index, entry in enumerate(call.params.get("lines") or []):
        amount, description, line_id = entry.get("amount"), entry.get("description"), entry.get("invoice_line_item")
        discounts: list[Json] = []
        taxes: list[Json] = []
        if line_id:
            line = call.scope.get("line_item", line_id, param=f"lines[{index}][invoice_line_item]")
            description = description or line["description"]
            if amount is None:  # so many of its units
                of = entry.get("quantity") or line["quantity"] or 1
                amount = rounded(Decimal(line["amount"]) * of / (line["quantity"] or 1))
            part = Decimal(amount) / line["amount"] if line["amount"] else Decimal(0)
            discounts = [{**one, "amount": rounded(one["amount"] * part)} for one in line["discount_amounts"]]
            taxes = [
                {
                    **one,
                    "amount": rounded(one["amount"] * part),
                    "taxable_amount": rounded(one["taxable_amount"] * part),
                }
                for one in line["taxes"]
            ]
        elif amount is None:
            amount = (entry.get("unit_amount") or 0) * (entry.get("quantity") or 1)
        made.append(
            shape(
                "credit_note_line_item",
                id=call.store.new_id("cnli"),
                amount=amount,
                description=description,
                discount_amount=sum(one["amount"] for one in discounts),
                discount_amounts=discounts,
                invoice_line_item=line_id,
                quantity=entry.get("quantity"),
                tax_rates=[],
                taxes=taxes,
                type="invoice_line_item" if line_id else "custom_line_item",
                unit_amount=entry.get("unit_amount"),
            )
        )
    return made


def _credited(entry: Json) -> int:
    """What the customer gets of it: less its discounts, with the tax on top."""
    exclusive = sum(tax["amount"] for tax in entry["taxes"] if tax["tax_behavior"] == "exclusive")
    return int(entry["amount"] - sum(one["amount"] for one in entry["discount_amounts"]) + exclusive)


def _summed(entries: list[Json], of: str, by: str) -> list[Json]:
    """The discounts or taxes of all lines, one for each discount or rate."""
    found: dict[str, Json] = {}
    for one in (one for entry in entries for one in entry[of]):
        total = found.setdefault(str(one[by]), {**one, **dict.fromkeys(one.keys() & SUMMED, 0)})
        for name in one.keys() & SUMMED:
            total[name] += one[name]
    return list(found.values())


def _refunds(call: Call, invoice: Json, amount: int) -> list[Json]:
    """`refunds[]` of the note: those given, or a new one for `refund_amount`; the parts must add up."""
    params, linked = call.params, []
    for entry in params.get("refunds") or []:
        found = call.scope.get("refund", entry["refund"], param="refunds[refund]")
        linked.append({"amount_refunded": entry.get("amount_refunded") or found["amount"], "refund": found["id"]})
    parts = sum(entry["amount_refunded"] for entry in linked) + sum(
        params.get(name) or 0 for name in ("refund_amount", "credit_amount", "out_of_band_amount")
    )
    if parts != amount:
        raise invalid(
            f"The sum of credit amount, refund amount and out of band amount ({parts}) must equal the credit note "
            f"amount ({amount}).",
            param="amount",
        )  # fmt: skip
    if params.get("refund_amount"):
        payment = billing.payment_of(call.scope, invoice)
        intent = call.scope.find("payment_intent", payment["payment"]["payment_intent"]) if payment else None
        if intent is None or not intent["latest_charge"]:
            raise invalid("This invoice has no charge to refund.", param="refund_amount")
        charge = call.scope.get("charge", intent["latest_charge"])
        made = refund(call.world, call.scope, charge, amount=params["refund_amount"])
        linked.append({"amount_refunded": made["amount"], "refund": made["id"]})
    return [{**entry, "type": "refund", "payment_record_refund": None} for entry in linked]


def _lower_due(world: World, scope: Scope, invoice: Json, amount: int) -> None:
    invoice["pre_payment_credit_notes_amount"] += amount
    invoice["amount_due"] -= amount
    invoice["amount_remaining"] -= amount
    collection.keep_in_step(scope, invoice)
    if invoice["amount_remaining"] == 0:
        collection.settle_without_payment(world, scope, invoice)


def update(call: Call, id: str) -> Json:
    """POST /v1/credit_notes/{id}"""
    note = call.scope.get("credit_note", id)
    with call.world.changes(call.scope, note, "credit_note.updated"):
        base.assign(note, call.params, ("memo",))
    return note


def void(call: Call, id: str) -> Json:
    """POST /v1/credit_notes/{id}/void: only before payment."""
    note = call.scope.get("credit_note", id)
    invoice = call.scope.get("invoice", note["invoice"])
    if note["status"] == "void" or invoice["status"] != "open":
        raise invalid("This credit note cannot be voided.")
    note.update(status="void", voided_at=call.now)
    _lower_due(call.world, call.scope, invoice, -note["amount"])
    call.emit("credit_note.voided", note)
    return note


def index(call: Call) -> Json:
    """GET /v1/credit_notes"""
    return listing(call, "credit_note", "customer", "invoice")


def lines(call: Call, id: str) -> Json:
    """GET /v1/credit_notes/{id}/lines"""
    call.scope.get("credit_note", id)
    return page(call, call.scope.children("credit_note_line_item", id))


@virtual("credit_note", "lines")
def _note_lines(world: World, scope: Scope, note: Json) -> Json:
    return embedded_list(scope.children("credit_note_line_item", note["id"]), f"/v1/credit_notes/{note['id']}/lines")
