"""Invoice lines: what a price costs, lines for subscription periods and for invoice items. Nothing is stored here."""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal
from typing import TYPE_CHECKING

from ..errors import Json
from ..shapes import shape
from ..store import Scope

if TYPE_CHECKING:
    from ..world import World


def rounded(amount: Decimal) -> int:
    """Half away from zero, to a minor unit."""
    return int(amount.quantize(Decimal(1), rounding=ROUND_HALF_UP))


def price_amount(price: Json, quantity: int) -> int:
    """What `quantity` of a price costs, in minor units: per unit, packages, graduated or volume tiers."""
    if price["transform_quantity"]:
        transform = price["transform_quantity"]
        whole, rest = divmod(quantity, transform["divide_by"])
        quantity = whole + (1 if rest and transform["round"] == "up" else 0)
    if price["billing_scheme"] != "tiered":
        return rounded(Decimal(price["unit_amount_decimal"] or 0) * quantity)
    total, counted = Decimal(0), 0
    for tier in price["_tiers"]:
        up_to = tier["up_to"]
        if price["tiers_mode"] == "volume":
            if up_to is None or quantity <= up_to:
                return rounded(Decimal(tier["unit_amount_decimal"] or 0) * quantity + (tier["flat_amount"] or 0))
            continue
        units = (quantity if up_to is None else min(quantity, up_to)) - counted
        if units > 0:
            total += Decimal(tier["unit_amount_decimal"] or 0) * units + (tier["flat_amount"] or 0)
            counted += units
    return rounded(total)


def pricing(price: Json | None, unit_amount_decimal: str | None = None) -> Json | None:
    """The `pricing` of a line or an invoice item."""
    if price is None and unit_amount_decimal is None:
        return None
    return {
        "price_details": {"price": price["id"], "product": price["product"]} if price else None,
        "type": "price_details",
        "unit_amount_decimal": unit_amount_decimal or (price and price["unit_amount_decimal"]),
    }


def line(
    world: World,
    *,
    amount: int,
    currency: str,
    description: str | None,
    start: int,
    end: int,
    parent: Json,
    price: Json | None,
    quantity: int = 1,
    discountable: bool = True,
    discounts: list[str] | None = None,
    metadata: Json | None = None,
    tax_rates: list[str] | None = None,
    subscription: str | None = None,
    unit_amount_decimal: str | None = None,
) -> Json:
    """One line, before discounts and taxes (totals.py)."""
    return shape(
        "line_item",
        id=world.store.new_id("il"),
        amount=amount,
        currency=currency,
        description=description,
        discount_amounts=[],
        discountable=discountable,
        discounts=list(discounts or []),
        metadata=dict(metadata or {}),
        parent=parent,
        period={"start": start, "end": end},
        pretax_credit_amounts=[],
        pricing=pricing(price, unit_amount_decimal),
        quantity=quantity,
        quantity_decimal=str(quantity),
        subscription=subscription,
        subtotal=amount,
        taxes=[],
        _tax_rates=list(tax_rates or []),
    )


# https://docs.stripe.com/currencies#zero-decimal
ZERO_DECIMAL = frozenset("bif clp djf gnf jpy kmf krw mga pyg rwf vnd vuv xaf xof xpf".split())  # noqa: SIM905


def _unit(price: Json) -> str:
    """`$79.00`, `¥4,800`, `CHF 5.00`: as Stripe words a line."""
    symbol = {"usd": "$", "eur": "€", "gbp": "£", "jpy": "¥"}.get(price["currency"], price["currency"].upper() + " ")
    digits = 0 if price["currency"] in ZERO_DECIMAL else 2
    return f"{symbol}{Decimal(price['unit_amount'] or 0).scaleb(-digits):,.{digits}f}"


def subscription_line(world: World, scope: Scope, subscription: Json, item: Json, start: int, end: int) -> Json:
    """The line of a subscription item for one period."""
    price = scope.get("price", item["_price"])
    product = scope.find("product", price["product"])
    metered = price["recurring"]["usage_type"] == "metered"
    quantity = 0 if metered else (1 if item["quantity"] is None else item["quantity"])
    amount = price_amount(price, quantity)
    in_trial = bool(subscription["trial_end"] and start < subscription["trial_end"])
    name = product["name"] if product else price["product"]
    interval, count = price["recurring"]["interval"], price["recurring"]["interval_count"]
    every = interval if count == 1 else f"{count} {interval}s"
    description = f"Trial period for {name}" if in_trial else f"{quantity} × {name} (at {_unit(price)} / {every})"
    return line(
        world,
        amount=0 if in_trial else amount,
        currency=price["currency"],
        description=description,
        start=start,
        end=end,
        parent={
            "type": "subscription_item_details",
            "subscription_item_details": {
                "invoice_item": None,
                "proration": False,
                "proration_details": {"credited_items": None},
                "subscription": subscription["id"],
                "subscription_item": item["id"],
            },
            "invoice_item_details": None,
        },
        price=price,
        quantity=quantity,
        discounts=item["discounts"],
        metadata={**subscription["metadata"], **item["metadata"]},
        tax_rates=item["_tax_rates"],
        subscription=subscription["id"],
    )


def item_line(world: World, scope: Scope, invoice_item: Json) -> Json:
    """The line that an invoice item becomes."""
    details = (invoice_item["parent"] or {}).get("subscription_details") or {}
    price = None
    if invoice_item["pricing"] and invoice_item["pricing"]["price_details"]:
        price = scope.find("price", invoice_item["pricing"]["price_details"]["price"])
    credited = None
    proration_details = invoice_item["proration_details"] or {}
    if proration_details.get("credited_items"):
        credited = proration_details["credited_items"].get("invoice_line_item_details")
    if invoice_item["proration"] and details.get("subscription_item"):
        parent: Json = {
            "type": "subscription_item_details",
            "subscription_item_details": {
                "invoice_item": invoice_item["id"],
                "proration": True,
                "proration_details": {"credited_items": credited},
                "subscription": details.get("subscription"),
                "subscription_item": details["subscription_item"],
            },
            "invoice_item_details": None,
        }
    else:
        parent = {
            "type": "invoice_item_details",
            "invoice_item_details": {
                "invoice_item": invoice_item["id"],
                "proration": invoice_item["proration"],
                "proration_details": {"credited_items": credited},
                "subscription": details.get("subscription"),
            },
            "subscription_item_details": None,
        }
    unit = (invoice_item["pricing"] or {}).get("unit_amount_decimal")
    return line(
        world,
        amount=invoice_item["amount"],
        currency=invoice_item["currency"],
        description=invoice_item["description"],
        start=invoice_item["period"]["start"],
        end=invoice_item["period"]["end"],
        parent=parent,
        price=price,
        quantity=invoice_item["quantity"],
        discountable=invoice_item["discountable"],
        discounts=invoice_item["discounts"],
        metadata=invoice_item["metadata"],
        tax_rates=invoice_item["_tax_rates"],
        subscription=details.get("subscription"),
        unit_amount_decimal=unit,
    )
