"""Coupons put to use: discounts on customers, subscriptions, items and invoices, in the `source` shape."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import Json, invalid
from ..shapes import shape
from ..store import Scope
from .periods import add_interval

if TYPE_CHECKING:
    from ..world import World


def redeem(world: World, scope: Scope, coupon_id: str, *, param: str, **on: str | None) -> Json:
    """A new discount from a coupon; `on` names its customer, subscription, invoice…"""
    coupon = scope.get("coupon", coupon_id, param=param)
    if not coupon["valid"]:
        raise invalid(f"Coupon expired: {coupon_id}", param=param, code="coupon_expired")
    now = world.clock.now()
    end = None
    if coupon["duration"] == "repeating":
        end = add_interval(now, "month", coupon["duration_in_months"])
    coupon["times_redeemed"] += 1
    if coupon["max_redemptions"] and coupon["times_redeemed"] >= coupon["max_redemptions"]:
        coupon["valid"] = False
    return scope.add(
        shape(
            "discount",
            id=world.store.new_id("di"),
            source={"type": "coupon", "coupon": coupon_id},
            start=now,
            end=end,
            **on,
        )
    )


def from_params(world: World, scope: Scope, entries: list[Json] | None, **on: str | None) -> list[str]:
    """Discount ids of a `discounts` parameter: by coupon, promotion code or existing discount."""
    found: list[str] = []
    for index, entry in enumerate(entries or []):
        if entry.get("discount"):
            found.append(scope.get("discount", entry["discount"], param=f"discounts[{index}][discount]")["id"])
        elif entry.get("promotion_code"):
            promotion = scope.get("promotion_code", entry["promotion_code"], param=f"discounts[{index}]")
            made = redeem(world, scope, promotion["promotion"]["coupon"], param=f"discounts[{index}]", **on)
            made["promotion_code"] = promotion["id"]
            found.append(made["id"])
        elif entry.get("coupon"):
            found.append(redeem(world, scope, entry["coupon"], param=f"discounts[{index}][coupon]", **on)["id"])
    return found


def active(world: World, scope: Scope, discount_ids: list[str]) -> list[str]:
    """Those that have not ended."""
    now = world.clock.now()
    kept = []
    for discount_id in discount_ids:
        discount = scope.find("discount", discount_id)
        if discount and (discount["end"] is None or discount["end"] > now):
            kept.append(discount_id)
    return kept


def use_up(world: World, scope: Scope, discount_ids: list[str]) -> None:
    """After an invoice: discounts of `once` coupons end."""
    for discount_id in discount_ids:
        discount = scope.find("discount", discount_id)
        coupon = scope.find("coupon", discount["source"]["coupon"]) if discount else None
        if discount and coupon and coupon["duration"] == "once":
            discount["end"] = world.clock.now()


def customer_discount(world: World, scope: Scope, customer: Json) -> list[str]:
    """The customer's own discount, where it still holds."""
    return active(world, scope, [customer["_discount"]]) if customer.get("_discount") else []
