"""Invoices as drafts: made of lines, with totals; what belongs to them; and what their answers embed.

From finalizing on, collection.py has them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import Json
from ..render import embedded_list, virtual
from ..shapes import shape
from ..store import Scope
from .lines import item_line
from .totals import compute

if TYPE_CHECKING:
    from ..world import World


def build(
    world: World,
    scope: Scope,
    *,
    customer: Json,
    currency: str,
    lines: list[Json],
    billing_reason: str,
    subscription: Json | None = None,
    **values: Any,
) -> Json:
    """A draft with its lines and totals, not stored: previews stop here, `create` goes on."""
    now = world.clock.now()
    account = scope_account(world, scope)
    sub = subscription or {}
    invoice = shape(
        "invoice",
        id=world.store.new_id("in"),
        account_country=account["country"],
        account_name=account["settings"]["dashboard"]["display_name"],
        billing_reason=billing_reason,
        collection_method=values.pop("collection_method", None) or sub.get("collection_method", "charge_automatically"),
        created=now,
        currency=currency,
        customer=customer["id"],
        customer_address=customer["address"],
        customer_email=customer["email"],
        customer_name=customer["name"],
        customer_phone=customer["phone"],
        customer_shipping=customer["shipping"],
        customer_tax_exempt=customer["tax_exempt"],
        customer_tax_ids=[
            {"type": tax_id["type"], "value": tax_id["value"]} for tax_id in scope.children("tax_id", customer["id"])
        ],
        automatic_tax=values.pop("automatic_tax", None)
        or {"enabled": bool((sub.get("automatic_tax") or {}).get("enabled"))},
        issuer={"type": "self"},
        metadata={},
        parent=subscription
        and {
            "type": "subscription_details",
            "quote_details": None,
            "subscription_details": {
                "metadata": dict(subscription["metadata"]),
                "subscription": subscription["id"],
                "subscription_proration_date": None,
            },
        },
        period_start=now,
        period_end=now,
        starting_balance=customer["balance"],
        status="draft",
        on_behalf_of=sub.get("on_behalf_of"),
        _default_tax_rates=values.pop("default_tax_rates", None) or sub.get("_default_tax_rates") or [],
        _transfer_data=values.pop("transfer_data", None) or _share_of(sub),
        _application_fee_amount=values.pop("application_fee_amount", None),
        _application_fee_percent=sub.get("application_fee_percent"),
    )
    invoice["automatic_tax"]["status"] = None
    for name, value in values.items():
        if value is not None:
            invoice[name] = value
    for entry in lines:
        entry["invoice"] = invoice["id"]
    compute(world, scope, invoice, lines)
    return invoice


def automatic_tax(params: Json) -> Json:
    """`automatic_tax[enabled]` of a request, as an invoice or a subscription shows it."""
    return {"enabled": bool((params.get("automatic_tax") or {}).get("enabled"))}


def _share_of(subscription: Json) -> Json | None:
    return dict(subscription["transfer_data"]) if subscription.get("transfer_data") else None


def scope_account(world: World, scope: Scope) -> Json:
    """The account whose books these are."""
    return world.store.platform.get("account", scope.account_id)


def create(world: World, scope: Scope, *, lines: list[Json], **values: Any) -> Json:
    """A stored draft."""
    invoice = build(world, scope, lines=lines, **values)
    for entry in lines:
        scope.add(entry)
    scope.add(invoice)
    world.emit(scope, "invoice.created", invoice)
    return invoice


def lines_of(scope: Scope, invoice: Json) -> list[Json]:
    """The invoice's lines, oldest first."""
    return scope.children("line_item", invoice["id"])


def pending_items(scope: Scope, customer_id: str, currency: str | None, subscription_id: str | None) -> list[Json]:
    """Invoice items that wait for an invoice: the customer's general ones and this subscription's."""
    found = []
    for item in scope.children("invoiceitem", customer_id):
        if item["invoice"] or (currency and item["currency"] != currency):
            continue
        details = (item["parent"] or {}).get("subscription_details") or {}
        if not details.get("subscription") or details["subscription"] == subscription_id:
            found.append(item)
    return found


def claim_items(world: World, scope: Scope, invoice_items: list[Json]) -> list[Json]:
    """The lines of pending invoice items."""
    return [item_line(world, scope, item) for item in invoice_items]


def payment_of(scope: Scope, invoice: Json) -> Json | None:
    """The invoice's default payment."""
    return next((item for item in scope.children("invoice_payment", invoice["id"]) if item["is_default"]), None)


def subscription_of(scope: Scope, invoice: Json) -> Json | None:
    """The subscription an invoice bills."""
    details = (invoice["parent"] or {}).get("subscription_details")
    return scope.find("subscription", details["subscription"]) if details else None


@virtual("invoice", "lines")
def _lines(world: World, scope: Scope, invoice: Json) -> Json:
    found = invoice["_lines"] if "_lines" in invoice else lines_of(scope, invoice)
    return embedded_list(found, f"/v1/invoices/{invoice['id']}/lines")


@virtual("invoice", "payments")
def _payments(world: World, scope: Scope, invoice: Json) -> Json:
    found = scope.children("invoice_payment", invoice["id"])[::-1]
    return embedded_list(found, "/v1/invoice_payments")


@virtual("invoice", "default_tax_rates")
def _tax_rates(world: World, scope: Scope, invoice: Json) -> list[Json]:
    return [rate for rate_id in invoice["_default_tax_rates"] if (rate := scope.find("tax_rate", rate_id))]


@virtual("invoice", "confirmation_secret")
def _secret(world: World, scope: Scope, invoice: Json) -> Json | None:
    payment = payment_of(scope, invoice)
    intent = scope.find("payment_intent", payment["payment"]["payment_intent"]) if payment else None
    return {"client_secret": intent["client_secret"], "type": "payment_intent"} if intent else None
