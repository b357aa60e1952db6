"""What is sold: products, prices (and the legacy plan view of a price), coupons, promotion codes, tax rates."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

from ..errors import Json, bad_parameter, invalid, missing_parameter, no_such
from ..render import listing, page, virtual
from ..shapes import shape
from ..store import Scope
from ..world import Call
from . import base

if TYPE_CHECKING:
    from ..world import World

PRODUCT_FIELDS = (
    "active", "default_price", "description", "images", "marketing_features", "name", "package_dimensions",
    "shippable", "statement_descriptor", "tax_code", "unit_label", "url",
)  # fmt: skip


# Products


def create_product(call: Call) -> Json:
    """POST /v1/products"""
    params = call.params
    product_id = params.pop("id", None) or call.store.new_id("prod", 14)
    if call.scope.find("product", product_id):
        raise invalid(f"Product already exists: {product_id}", code="resource_already_exists", param="id")
    product = shape(
        "product", id=product_id, active=True, created=call.now, updated=call.now, images=[], marketing_features=[],
        metadata={}, type=params.get("type") or "service",
    )  # fmt: skip
    base.assign(product, params, PRODUCT_FIELDS)
    call.scope.add(product)
    if params.get("default_price_data"):
        price = make_price(call, {**params["default_price_data"], "product": product_id})
        product["default_price"] = price["id"]
    call.emit("product.created", product)
    return product


def update_product(call: Call, id: str) -> Json:
    """POST /v1/products/{id}"""
    product = call.scope.get("product", id)
    with call.world.changes(call.scope, product, "product.updated"):
        base.assign(product, call.params, PRODUCT_FIELDS)
        product["updated"] = call.now
    return product


def delete_product(call: Call, id: str) -> Json:
    """DELETE /v1/products/{id}"""
    product = call.scope.get("product", id)
    if any(price["product"] == id for price in call.scope.all("price")):
        raise invalid("This product cannot be deleted because it has one or more user-created prices.")
    call.scope.remove(product)
    call.emit("product.deleted", product)
    return base.deleted(product)


def products(call: Call) -> Json:
    """GET /v1/products"""
    ids = call.params.get("ids")
    return listing(call, "product", "active", "url", where=lambda item: not ids or item["id"] in ids)


def features(call: Call, id: str) -> Json:
    """GET /v1/products/{id}/features: none are made here."""
    call.scope.get("product", id)
    return page(call, [])


# Prices


def _unit_amounts(params: Json) -> tuple[int | None, str | None]:
    """`unit_amount` and `unit_amount_decimal` from whichever was given."""
    if params.get("unit_amount_decimal") is not None:
        exact = Decimal(params["unit_amount_decimal"])
        return (int(exact) if exact == int(exact) else None), format(exact.normalize(), "f")
    if params.get("unit_amount") is not None:
        return params["unit_amount"], str(params["unit_amount"])
    return None, None


def make_price(call: Call, params: Json) -> Json:
    """A stored price from `price` or `price_data` parameters."""
    product_id = params.get("product")
    if not product_id and params.get("product_data"):
        data = params["product_data"]
        product = shape(
            "product", id=data.get("id") or call.store.new_id("prod", 14), active=True, created=call.now, images=[],
            updated=call.now, marketing_features=[], metadata=data.get("metadata") or {}, name=data["name"],
            type="service",
        )  # fmt: skip
        product_id = call.scope.add(product)["id"]
        call.emit("product.created", product)
    if not product_id:
        raise missing_parameter("product")
    call.scope.get("product", product_id, param="product")
    amount, exact = _unit_amounts(params)
    tiered = params.get("billing_scheme") == "tiered"
    if amount is None and exact is None and not tiered and not params.get("custom_unit_amount"):
        raise missing_parameter("unit_amount")
    tiers = []
    for tier in params.get("tiers") or []:
        unit, unit_exact = _unit_amounts(tier)
        up_to = tier["up_to"]
        tiers.append(
            {
                "flat_amount": tier.get("flat_amount"),
                "flat_amount_decimal": None if tier.get("flat_amount") is None else str(tier["flat_amount"]),
                "unit_amount": unit,
                "unit_amount_decimal": unit_exact,
                "up_to": None if up_to == "inf" else int(up_to),
            }
        )
    recurring = params.get("recurring")
    if recurring:
        recurring = {
            "interval": recurring["interval"],
            "interval_count": recurring.get("interval_count") or 1,
            "meter": recurring.get("meter"),
            "trial_period_days": recurring.get("trial_period_days"),
            "usage_type": recurring.get("usage_type") or "licensed",
        }
    lookup_key = params.get("lookup_key")
    if lookup_key and (holder := _by_lookup_key(call.scope, lookup_key)):
        if not params.get("transfer_lookup_key"):
            raise invalid(
                f"A price (`{holder['id']}`) already uses that lookup key.", param="lookup_key",
                code="resource_already_exists",
            )  # fmt: skip
        holder["lookup_key"] = None
    price = shape(
        "price", id=params.get("id") or call.store.new_id("price"), active=params.get("active", True),
        billing_scheme="tiered" if tiered else "per_unit", created=call.now, currency=base.currency(params),
        lookup_key=lookup_key, metadata=params.get("metadata") or {}, nickname=params.get("nickname"),
        product=product_id, recurring=recurring, tax_behavior=params.get("tax_behavior") or "unspecified",
        tiers_mode=params.get("tiers_mode"), transform_quantity=params.get("transform_quantity"),
        type="recurring" if recurring else "one_time", unit_amount=amount, unit_amount_decimal=exact, _tiers=tiers,
    )  # fmt: skip
    call.scope.add(price)
    call.emit("price.created", price)
    if recurring:
        call.emit("plan.created", plan_of(price))
    return price


def _by_lookup_key(scope: Scope, key: str) -> Json | None:
    return next((price for price in scope.all("price") if price["lookup_key"] == key), None)


def create_price(call: Call) -> Json:
    """POST /v1/prices"""
    return make_price(call, call.params)


def price_for(call: Call, entry: Json, *, param: str) -> Json | None:
    """The price an entry names by `price`, `plan` or `price_data`; None if it names none."""
    named = entry.get("price") or entry.get("plan")
    if named:
        return call.scope.get("price", named, param=param)
    return make_price(call, entry["price_data"]) if entry.get("price_data") else None


def update_price(call: Call, id: str) -> Json:
    """POST /v1/prices/{id}"""
    price = call.scope.get("price", id)
    with call.world.changes(call.scope, price, "price.updated"):
        base.assign(price, call.params, ("active", "lookup_key", "nickname", "tax_behavior"))
    return price


def prices(call: Call) -> Json:
    """GET /v1/prices"""
    keys = call.params.get("lookup_keys")
    interval = (call.params.get("recurring") or {}).get("interval")
    return listing(
        call, "price", "active", "currency", "product", "type",
        where=lambda item: (not keys or item["lookup_key"] in keys)
        and (not interval or (item["recurring"] or {}).get("interval") == interval),
    )  # fmt: skip


def plan_of(price: Json) -> Json:
    """The legacy plan that mirrors a recurring price."""
    recurring = price["recurring"]
    return shape(
        "plan", id=price["id"], active=price["active"], amount=price["unit_amount"],
        amount_decimal=price["unit_amount_decimal"], billing_scheme=price["billing_scheme"], created=price["created"],
        currency=price["currency"], interval=recurring["interval"], interval_count=recurring["interval_count"],
        metadata=price["metadata"], nickname=price["nickname"], product=price["product"],
        tiers_mode=price["tiers_mode"], trial_period_days=recurring["trial_period_days"],
        usage_type=recurring["usage_type"], meter=recurring["meter"], _tiers=price["_tiers"],
    )  # fmt: skip


def create_plan(call: Call) -> Json:
    """POST /v1/plans"""
    params = dict(call.params)
    product = params.get("product")
    if isinstance(product, dict):
        params["product_data"], params["product"] = product, None
    params["recurring"] = {
        key: params.get(key) for key in ("interval", "interval_count", "trial_period_days", "usage_type", "meter")
    }
    params["unit_amount"], params["unit_amount_decimal"] = params.get("amount"), params.get("amount_decimal")
    return plan_of(make_price(call, params))


def plan(call: Call, id: str) -> Json:
    """GET /v1/plans/{id}"""
    price = call.scope.find("price", id)
    if price is None or not price["recurring"]:
        return call.scope.get("plan", id)
    return plan_of(price)


def plans(call: Call) -> Json:
    """GET /v1/plans"""
    wanted = {key: call.params[key] for key in ("active", "product") if call.params.get(key) is not None}
    found = (
        plan_of(price)
        for price in call.scope.newest("price")
        if price["recurring"] and all(price[key] == value for key, value in wanted.items())
    )
    return page(call, found)


@virtual("price", "tiers")
@virtual("plan", "tiers")
def _tiers(world: World, scope: Scope, price: Json) -> list[Json] | None:
    return price["_tiers"] or None


@virtual("price", "currency_options")
def _currency_options(world: World, scope: Scope, price: Json) -> Json:
    option = {key: price[key] for key in ("custom_unit_amount", "tax_behavior", "unit_amount", "unit_amount_decimal")}
    return {price["currency"]: option}


# Coupons and promotion codes


def create_coupon(call: Call) -> Json:
    """POST /v1/coupons"""
    params = call.params
    coupon_id = params.get("id") or call.store.new_id("x", 8)[2:]
    if call.scope.find("coupon", coupon_id):
        raise invalid(f"Coupon already exists: {coupon_id}", code="resource_already_exists", param="id")
    if (params.get("percent_off") is None) == (params.get("amount_off") is None):
        raise bad_parameter("You must pass exactly one of percent_off or amount_off.", param="percent_off")
    if params.get("amount_off") is not None and not params.get("currency"):
        raise missing_parameter("currency")
    duration = params.get("duration") or "once"
    if duration == "repeating" and not params.get("duration_in_months"):
        raise missing_parameter("duration_in_months")
    coupon = shape(
        "coupon", id=coupon_id, amount_off=params.get("amount_off"), created=call.now,
        currency=base.currency(params) if params.get("amount_off") is not None else None, duration=duration,
        duration_in_months=params.get("duration_in_months"), max_redemptions=params.get("max_redemptions"),
        metadata=params.get("metadata") or {}, name=params.get("name"), percent_off=params.get("percent_off"),
        redeem_by=params.get("redeem_by"), times_redeemed=0, valid=True, _applies_to=params.get("applies_to"),
    )  # fmt: skip
    call.scope.add(coupon)
    call.emit("coupon.created", coupon)
    return coupon


def update_coupon(call: Call, id: str) -> Json:
    """POST /v1/coupons/{id}"""
    coupon = call.scope.get("coupon", id)
    with call.world.changes(call.scope, coupon, "coupon.updated"):
        base.assign(coupon, call.params, ("name",))
    return coupon


def delete_coupon(call: Call, id: str) -> Json:
    """DELETE /v1/coupons/{id}: it is gone for callers; discounts already given hold."""
    deleted = coupon(call, id)
    deleted.update(valid=False, _deleted=True)
    call.emit("coupon.deleted", deleted)
    return base.deleted(deleted)


def coupon(call: Call, id: str) -> Json:
    """GET /v1/coupons/{id}"""
    found = call.scope.get("coupon", id)
    if found.get("_deleted"):
        raise no_such("coupon", id)
    return found


def coupons(call: Call) -> Json:
    """GET /v1/coupons"""
    return listing(call, "coupon", where=lambda item: not item.get("_deleted"))


@virtual("coupon", "applies_to")
def _applies_to(world: World, scope: Scope, coupon: Json) -> Json | None:
    found: Json | None = coupon["_applies_to"]
    return found


@virtual("coupon", "currency_options")
def _coupon_options(world: World, scope: Scope, coupon: Json) -> Json:
    return {coupon["currency"]: {"amount_off": coupon["amount_off"]}} if coupon["currency"] else {}


def create_promotion_code(call: Call) -> Json:
    """POST /v1/promotion_codes"""
    params = call.params
    coupon = call.scope.get("coupon", params["promotion"].get("coupon"), param="promotion[coupon]")
    made = shape(
        "promotion_code", id=call.store.new_id("promo"), active=params.get("active", True), created=call.now,
        code=params.get("code") or call.store.new_id("x", 8)[2:].upper(), customer=params.get("customer"),
        expires_at=params.get("expires_at"), max_redemptions=params.get("max_redemptions"),
        metadata=params.get("metadata") or {}, promotion={"type": "coupon", "coupon": coupon["id"]},
    )  # fmt: skip
    call.scope.add(made)
    call.emit("promotion_code.created", made)
    return made


# Tax rates

TAX_RATE_FIELDS = ("active", "country", "description", "display_name", "jurisdiction", "state", "tax_type")


def create_tax_rate(call: Call) -> Json:
    """POST /v1/tax_rates"""
    params = call.params
    rate = shape(
        "tax_rate", id=call.store.new_id("txr"), active=True, created=call.now, inclusive=params["inclusive"],
        percentage=params["percentage"], effective_percentage=params["percentage"], metadata={},
        rate_type="percentage",
    )  # fmt: skip
    base.assign(rate, params, TAX_RATE_FIELDS)
    call.scope.add(rate)
    call.emit("tax_rate.created", rate)
    return rate


def update_tax_rate(call: Call, id: str) -> Json:
    """POST /v1/tax_rates/{id}"""
    rate = call.scope.get("tax_rate", id)
    with call.world.changes(call.scope, rate, "tax_rate.updated"):
        base.assign(rate, call.params, TAX_RATE_FIELDS)
    return rate
