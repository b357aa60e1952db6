"""The life of a subscription: start, change with proration, renew, cancel. Each invoice goes through invoices.py."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

from ..errors import Json, StripeError, invalid
from ..render import embedded_list, virtual
from ..shapes import shape
from ..store import Scope
from . import collection, invoices
from . import discounts as discounting
from .lines import price_amount, pricing, rounded, subscription_line
from .periods import add_interval, day

if TYPE_CHECKING:
    from ..world import World

LIVE = ("active", "trialing", "past_due", "incomplete", "unpaid", "paused")


def items_of(scope: Scope, subscription: Json) -> list[Json]:
    """The items, oldest first."""
    return scope.children("subscription_item", subscription["id"])


def add_item(world: World, scope: Scope, subscription: Json, *, price: Json, quantity: int | None = None,
             metadata: Json | None = None, discounts: list[str] | None = None, tax_rates: list[str] | None = None,
             start: int | None = None, end: int | None = None) -> Json:  # fmt: skip
    """A new item; its period is the subscription's unless told."""
    others = items_of(scope, subscription)
    start = start if start is not None else (others[0]["current_period_start"] if others else world.clock.now())
    if end is None:
        if others:
            end = others[0]["current_period_end"]
        else:
            recurring = price["recurring"]
            end = add_interval(start, recurring["interval"], recurring["interval_count"])
    metered = price["recurring"]["usage_type"] == "metered"
    return scope.add(
        shape(
            "subscription_item",
            id=world.store.new_id("si", 14),
            created=world.clock.now(),
            current_period_end=end,
            current_period_start=start,
            metadata=dict(metadata or {}),
            subscription=subscription["id"],
            quantity=None if metered else (1 if quantity is None else quantity),
            discounts=discounts or [],
            _price=price["id"],
            _tax_rates=tax_rates or [],
        )
    )


def discounts_for(world: World, scope: Scope, subscription: Json) -> list[str]:
    """What an invoice of this subscription is discounted by: its own discounts, else the customer's."""
    own = discounting.active(world, scope, subscription["discounts"])
    return own or discounting.customer_discount(world, scope, scope.get("customer", subscription["customer"]))


def period_lines(world: World, scope: Scope, subscription: Json) -> list[Json]:
    """Lines of all items for their current periods."""
    return [
        subscription_line(world, scope, subscription, item, item["current_period_start"], item["current_period_end"])
        for item in items_of(scope, subscription)
    ]


def bill(
    world: World, scope: Scope, subscription: Json, *, reason: str, lines: list[Json] | None = None,
    collect: bool = True, period: tuple[int, int] | None = None,
) -> tuple[Json, StripeError | None]:  # fmt: skip
    """Make, finalize and (unless told otherwise) try to collect an invoice of this subscription. `period`: what it
    looks back on, the past one on a renewal."""
    customer = scope.get("customer", subscription["customer"])
    waiting = invoices.pending_items(scope, customer["id"], subscription["currency"], subscription["id"])
    charged = (period_lines(world, scope, subscription) if lines is None else lines) + invoices.claim_items(
        world, scope, waiting
    )
    invoice = invoices.create(
        world, scope, lines=charged, customer=customer, currency=subscription["currency"], billing_reason=reason,
        subscription=subscription, discounts=discounts_for(world, scope, subscription), auto_advance=True,
        due_date=_due_date(world, subscription),
        period_start=period[0] if period else None, period_end=period[1] if period else None,
    )  # fmt: skip
    for item in waiting:
        item["invoice"] = invoice["id"]
    subscription["latest_invoice"] = invoice["id"]
    resume_due(world, scope, only=subscription)
    pause = subscription["pause_collection"]
    if pause and pause["behavior"] == "keep_as_draft":
        invoice["auto_advance"] = False
        return invoice, None
    try:
        collection.finalize(world, scope, invoice)
    except StripeError as refusal:  # it stays a draft with its last_finalization_error, and an event has told so
        return invoice, refusal
    if pause and invoice["status"] == "open":
        (collection.void if pause["behavior"] == "void" else collection.mark_uncollectible)(world, scope, invoice)
        return invoice, None
    if not collect or invoice["status"] != "open" or invoice["collection_method"] != "charge_automatically":
        return invoice, None
    return invoice, collection.collect(world, scope, invoice, automatic=True)


def resume_due(world: World, scope: Scope, *, only: Json | None = None) -> None:
    """Collection goes on by itself once `resumes_at` has come."""
    now = world.clock.now()
    for subscription in [only] if only else list(scope.all("subscription")):
        pause = subscription["pause_collection"]
        if pause and pause["resumes_at"] and pause["resumes_at"] <= now:
            with world.changes(scope, subscription, "customer.subscription.updated"):
                subscription["pause_collection"] = None


def _due_date(world: World, subscription: Json) -> int | None:
    if subscription["collection_method"] != "send_invoice":
        return None
    return world.clock.now() + (subscription["days_until_due"] or 0) * 86400


def start(world: World, scope: Scope, subscription: Json, *, payment_behavior: str) -> StripeError | None:
    """The first invoice. The subscription is stored with its items already and emits its `created` here."""
    trialing = bool(subscription["trial_end"] and subscription["trial_end"] > world.clock.now())
    subscription["status"] = "trialing" if trialing else "incomplete"
    wait = payment_behavior == "default_incomplete"
    by_hand = subscription["collection_method"] == "send_invoice"
    if by_hand and not trialing:
        subscription["status"] = "active"
    world.emit(scope, "customer.subscription.created", subscription)
    invoice, refusal = bill(world, scope, subscription, reason="subscription_create", collect=not wait)
    if invoice["status"] == "paid" and not trialing and subscription["status"] == "incomplete":
        subscription["status"] = "active"
    return refusal


def renew(world: World, scope: Scope, subscription: Json) -> Json | None:
    """The next period begins: items move on and its invoice is made. None if the subscription ends here instead."""
    if subscription["status"] in ("canceled", "incomplete_expired", "incomplete"):
        raise invalid(f"A subscription with status {subscription['status']} does not renew.")
    items = items_of(scope, subscription)
    end = min(item["current_period_end"] for item in items)
    if subscription["cancel_at_period_end"] or (subscription["cancel_at"] and subscription["cancel_at"] <= end):
        cancel(world, scope, subscription, reason="cancellation_requested")
        return None
    past = (min(item["current_period_start"] for item in items), end)
    with world.changes(scope, subscription, "customer.subscription.updated"):
        if subscription["status"] == "trialing":
            subscription["status"] = "active"
            subscription["billing_cycle_anchor"] = end
        renewed = [item for item in items if item["current_period_end"] == end]
        for item in renewed:
            recurring = scope.get("price", item["_price"])["recurring"]
            item["current_period_start"] = end
            item["current_period_end"] = add_interval(
                end, recurring["interval"], recurring["interval_count"], anchor=subscription["billing_cycle_anchor"]
            )
        subscription["discounts"] = discounting.active(world, scope, subscription["discounts"])
    lines = [
        subscription_line(world, scope, subscription, item, item["current_period_start"], item["current_period_end"])
        for item in renewed
    ]
    invoice, _ = bill(world, scope, subscription, reason="subscription_cycle", lines=lines, period=past)
    return invoice


def cancel(world: World, scope: Scope, subscription: Json, *, reason: str = "cancellation_requested",
           details: Json | None = None) -> None:  # fmt: skip
    """End it now."""
    now = world.clock.now()
    subscription.update(status="canceled", canceled_at=subscription["canceled_at"] or now, ended_at=now)
    subscription["cancellation_details"] = {
        "comment": None, "feedback": None, "reason": reason, **(details or {}),
    }  # fmt: skip
    latest = scope.find("invoice", subscription["latest_invoice"])
    if latest is not None and latest["status"] == "open":
        with world.changes(scope, latest, "invoice.updated"):  # Stripe no longer collects it by itself
            latest.update(auto_advance=False, next_payment_attempt=None)
    world.emit(scope, "customer.subscription.deleted", subscription)


def _proration(
    world: World, scope: Scope, subscription: Json, item: Json, price: Json, quantity: int, *, moment: int, sign: int,
) -> Json | None:  # fmt: skip
    """A pending invoice item for the rest of the item's period: credit (sign −1) or charge (+1)."""
    begin, end = item["current_period_start"], item["current_period_end"]
    moment = min(max(moment, begin), end)
    full = Decimal(price_amount(price, quantity))
    for discount_id in discounts_for(world, scope, subscription):
        coupon = scope.find("coupon", scope.get("discount", discount_id)["source"]["coupon"])
        if coupon and coupon["percent_off"] is not None:
            full *= 1 - Decimal(str(coupon["percent_off"])) / 100
    amount = rounded(full * (end - moment) / (end - begin)) * sign
    product = scope.find("product", price["product"])
    name = f"{quantity} × {product['name'] if product else price['product']}"
    text = f"Unused time on {name} after {day(moment)}" if sign < 0 else f"Remaining time on {name} after {day(moment)}"
    return new_invoice_item(
        world, scope, customer=subscription["customer"], amount=amount, currency=price["currency"], description=text,
        start=moment, end=end, price=price, quantity=quantity, proration=True, discountable=False,
        subscription=subscription["id"], subscription_item=item["id"], tax_rates=item["_tax_rates"],
        metadata=subscription["metadata"],
        credited=_credited(scope, subscription, item) if sign < 0 else None,
    )  # fmt: skip


def _credited(scope: Scope, subscription: Json, item: Json) -> Json | None:
    """Which line of which invoice a proration credit gives back."""
    for invoice in scope.newest("invoice"):
        if invoices.subscription_of(scope, invoice) is not subscription or invoice["status"] == "void":
            continue
        for entry in invoices.lines_of(scope, invoice):
            details = entry["parent"]["subscription_item_details"]
            if details and details["subscription_item"] == item["id"] and entry["amount"] > 0:
                return {"invoice": invoice["id"], "invoice_line_items": [entry["id"]]}
    return None


def new_invoice_item(world: World, scope: Scope, *, customer: str, amount: int, currency: str, start: int, end: int,
                     description: str | None = None, price: Json | None = None, quantity: int = 1,
                     proration: bool = False, discountable: bool = True, subscription: str | None = None,
                     subscription_item: str | None = None, tax_rates: list[str] | None = None,
                     metadata: Json | None = None, discounts: list[str] | None = None, invoice: str | None = None,
                     unit_amount_decimal: str | None = None, credited: Json | None = None) -> Json:  # fmt: skip
    """A stored invoice item; pending unless `invoice` names one."""
    made = shape(
        "invoiceitem",
        id=world.store.new_id("ii"),
        amount=amount,
        currency=currency,
        customer=customer,
        date=world.clock.now(),
        description=description,
        discountable=discountable,
        discounts=discounts or [],
        invoice=invoice,
        metadata=dict(metadata or {}),
        net_amount=amount,
        parent=subscription
        and {
            "type": "subscription_details",
            "subscription_details": {"subscription": subscription, "subscription_item": subscription_item},
        },
        period={"start": start, "end": end},
        pricing=pricing(price, unit_amount_decimal),
        proration=proration,
        proration_details={
            "credited_items": credited
            and {"type": "invoice_line_items", "invoice_item": None, "invoice_line_item_details": credited},
            "discount_amounts": [],
        }
        if proration
        else None,
        quantity=quantity,
        quantity_decimal=str(quantity),
        _tax_rates=list(tax_rates or []),
    )
    scope.add(made)
    world.emit(scope, "invoiceitem.created", made)
    return made


def change_items(
    world: World, scope: Scope, subscription: Json, changes: list[Json], *, proration: str, moment: int | None = None,
) -> bool:  # fmt: skip
    """Apply `items[]` of an update. Prorates unless `none`; True if the billing period began anew (interval change).

    Each change: {"item": Json|None, "price": Json|None, "quantity", "deleted", "metadata", "discounts", "tax_rates"}.
    """
    now = world.clock.now()
    moment = now if moment is None else moment
    prorate = proration != "none" and subscription["status"] != "trialing"
    restarted = False
    for wanted in changes:
        item: Json | None = wanted.get("item")
        new_price: Json | None = wanted.get("price")
        if item is None:
            if new_price is None:
                raise invalid("Missing required param: items[price].", param="items", code="parameter_missing")
            item = add_item(world, scope, subscription, price=new_price, **_given(wanted))
            if prorate:
                _proration(world, scope, subscription, item, new_price, item["quantity"] or 0, moment=moment, sign=1)
            continue
        old_price = scope.get("price", item["_price"])
        old_quantity = item["quantity"] or 0
        if wanted.get("deleted"):
            if prorate:
                _proration(world, scope, subscription, item, old_price, old_quantity, moment=moment, sign=-1)
            scope.remove(item)
            continue
        price = new_price or old_price
        quantity = old_quantity if wanted.get("quantity") is None else wanted["quantity"]
        if (price["id"], quantity) != (old_price["id"], old_quantity):
            same_cycle = _cycle(price) == _cycle(old_price)
            if prorate:
                _proration(world, scope, subscription, item, old_price, old_quantity, moment=moment, sign=-1)
            item["_price"], item["quantity"] = price["id"], quantity
            if not same_cycle:
                restarted = True
                item["current_period_start"] = now
                item["current_period_end"] = add_interval(now, *_cycle(price))
                subscription["billing_cycle_anchor"] = now
            elif prorate:
                _proration(world, scope, subscription, item, price, quantity, moment=moment, sign=1)
        for name, key in (("metadata", "metadata"), ("discounts", "discounts"), ("tax_rates", "_tax_rates")):
            if wanted.get(name) is not None:
                item[key] = wanted[name]
    if not items_of(scope, subscription):
        raise invalid("A subscription must have at least one active plan.", param="items")
    return restarted


def _cycle(price: Json) -> tuple[str, int]:
    return price["recurring"]["interval"], price["recurring"]["interval_count"]


def _given(wanted: Json) -> Any:
    return {key: wanted[key] for key in ("quantity", "metadata", "discounts", "tax_rates") if wanted.get(key)}


@virtual("subscription", "items")
def _items(world: World, scope: Scope, subscription: Json) -> Json:
    return embedded_list(
        items_of(scope, subscription), f"/v1/subscription_items?subscription={subscription['id']}", limit=20
    )


@virtual("subscription_item", "price")
def _price(world: World, scope: Scope, item: Json) -> Json:
    return scope.get("price", item["_price"])


@virtual("subscription_item", "plan")
def _plan(world: World, scope: Scope, item: Json) -> Json:
    from ..resources.catalog import plan_of

    return plan_of(scope.get("price", item["_price"]))


@virtual("subscription_item", "tax_rates")
@virtual("invoiceitem", "tax_rates")
def _item_rates(world: World, scope: Scope, item: Json) -> list[Json]:
    return [rate for rate_id in item["_tax_rates"] if (rate := scope.find("tax_rate", rate_id))]


@virtual("subscription", "default_tax_rates")
def _default_rates(world: World, scope: Scope, subscription: Json) -> list[Json]:
    return [rate for rate_id in subscription["_default_tax_rates"] if (rate := scope.find("tax_rate", rate_id))]
