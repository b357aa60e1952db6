"""Discounts, taxes and totals of an invoice. What is spread over lines adds up to what was spread, to the unit."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from ..errors import Json
from ..store import Scope
from .lines import rounded

if TYPE_CHECKING:
    from ..world import World


def spread(total: int, weights: list[int]) -> list[int]:
    """Divide `total` in proportion to non-negative weights; the largest remainders get the odd units."""
    whole = sum(weights)
    if whole == 0:
        return [0] * len(weights)
    parts = [total * weight // whole for weight in weights]
    rest = total - sum(parts)
    order = sorted(range(len(weights)), key=lambda index: (-(total * weights[index] % whole), index))
    for index in order[:rest]:
        parts[index] += 1
    return parts


def compute(world: World, scope: Scope, invoice: Json, lines: list[Json]) -> None:
    """Fill in the discounts and taxes of each line and the totals of the invoice. Can be repeated."""
    left = {entry["id"]: entry["amount"] for entry in lines}
    for entry in lines:
        entry["discount_amounts"], entry["taxes"] = [], []
    for entry in lines:
        for discount_id in entry["discounts"]:
            _discount(scope, discount_id, [entry], left)
    for discount_id in invoice["discounts"]:
        _discount(scope, discount_id, lines, left)
    for entry in lines:
        _tax(scope, entry, entry["_tax_rates"] or invoice["_default_tax_rates"], left[entry["id"]])
    _sum(invoice, lines)


def _discount(scope: Scope, discount_id: str, lines: list[Json], left: dict[str, int]) -> None:
    discount = scope.find("discount", discount_id)
    coupon = scope.find("coupon", discount["source"]["coupon"]) if discount else None
    if coupon is None:
        return
    products = (coupon["_applies_to"] or {}).get("products")
    matched = [
        entry
        for entry in lines
        if entry["discountable"]
        and left[entry["id"]] > 0
        and (not products or ((entry["pricing"] or {}).get("price_details") or {}).get("product") in products)
    ]
    weights = [left[entry["id"]] for entry in matched]
    if coupon["percent_off"] is not None:
        share = Decimal(str(coupon["percent_off"])) / 100
        parts = [rounded(weight * share) for weight in weights]
    else:
        parts = spread(min(coupon["amount_off"], sum(weights)), weights)
    for entry, part in zip(matched, parts, strict=True):
        left[entry["id"]] -= part
        entry["discount_amounts"].append({"amount": part, "discount": discount_id})


def _tax(scope: Scope, entry: Json, rate_ids: list[str], taxable: int) -> None:
    rates = [rate for rate_id in rate_ids if (rate := scope.find("tax_rate", rate_id))]
    inclusive = sum((Decimal(str(rate["percentage"])) for rate in rates if rate["inclusive"]), Decimal(0)) / 100
    base = taxable - rounded(taxable - taxable / (1 + inclusive)) if inclusive else taxable
    for rate in rates:
        entry["taxes"].append(
            {
                "amount": rounded(base * Decimal(str(rate["percentage"])) / 100),
                "tax_behavior": "inclusive" if rate["inclusive"] else "exclusive",
                "tax_rate_details": {"tax_rate": rate["id"]},
                "taxability_reason": "standard_rated",
                "taxable_amount": base,
                "type": "tax_rate_details",
            }
        )


def _sum(invoice: Json, lines: list[Json]) -> None:
    discounts: dict[str, int] = {}
    taxes: dict[str, Json] = {}
    for entry in lines:
        for applied in entry["discount_amounts"]:
            discounts[applied["discount"]] = discounts.get(applied["discount"], 0) + applied["amount"]
        for tax in entry["taxes"]:
            total = taxes.setdefault(tax["tax_rate_details"]["tax_rate"], {**tax, "amount": 0, "taxable_amount": 0})
            total["amount"] += tax["amount"]
            total["taxable_amount"] += tax["taxable_amount"]
    inclusive = sum(tax["amount"] for tax in taxes.values() if tax["tax_behavior"] == "inclusive")
    exclusive = sum(tax["amount"] for tax in taxes.values() if tax["tax_behavior"] == "exclusive")
    subtotal, discounted = sum(entry["amount"] for entry in lines), sum(discounts.values())
    invoice["subtotal"] = subtotal
    invoice["subtotal_excluding_tax"] = subtotal - inclusive
    invoice["total_discount_amounts"] = [{"amount": a, "discount": d} for d, a in discounts.items()]
    invoice["total_taxes"] = list(taxes.values())
    invoice["total_excluding_tax"] = subtotal - discounted - inclusive
    invoice["total"] = subtotal - discounted + exclusive
    if invoice["status"] == "draft":
        invoice["amount_due"] = max(0, invoice["total"] + invoice["starting_balance"])
        invoice["amount_remaining"] = invoice["amount_due"]
