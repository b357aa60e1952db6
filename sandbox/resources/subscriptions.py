"""Subscriptions and their items, as the API shows them; the work is in billing/subscriptions.py."""

from __future__ import annotations

from .. import connect, payments
from ..billing import discounts as discounting
from ..billing import invoices
from ..billing import subscriptions as service
from ..billing.lines import price_amount
from ..billing.periods import add_interval
from ..errors import Json, bad_parameter, invalid, missing_parameter
from ..render import listing, page
from ..shapes import shape
from ..world import Call
from . import base
from .catalog import price_for

FIELDS = (
    "application_fee_percent", "collection_method", "days_until_due", "default_payment_method", "description",
    "on_behalf_of",
)  # fmt: skip


def create(call: Call) -> Json:
    """POST /v1/subscriptions: makes, finalizes and pays the first invoice, unless `payment_behavior` says otherwise."""
    params, world, scope = call.params, call.world, call.scope
    customer = scope.get("customer", params.get("customer"), param="customer")
    entries = params.get("items") or []
    if not entries:
        raise missing_parameter("items")
    prices = []
    for index, entry in enumerate(entries):
        price = price_for(call, entry, param=f"items[{index}][price]")
        if price is None:
            raise missing_parameter(f"items[{index}][price]")
        if not price["recurring"]:
            raise invalid("The price specified is set to `type=one_time` but this field only accepts prices with "
                          "`type=recurring`.", param=f"items[{index}][price]")  # fmt: skip
        prices.append(price)
    if len({price["currency"] for price in prices}) > 1:
        raise invalid("All prices on a subscription must have the same currency.", param="items")
    by_hand = params.get("collection_method") == "send_invoice"
    method = _method(call, params.get("default_payment_method"))
    in_trial, trial_end = _trial(call, params)
    behavior = params.get("payment_behavior") or "allow_incomplete"
    if not by_hand and not in_trial and behavior in ("allow_incomplete", "error_if_incomplete"):
        due = sum(price_amount(p, e.get("quantity", 1)) for p, e in zip(prices, entries, strict=True))
        if due > 0 and not (method or customer["invoice_settings"]["default_payment_method"]):
            raise invalid("This customer has no attached payment source or default payment method. Please consider "
                          "adding a default payment method.", code="resource_missing")  # fmt: skip
    if behavior == "error_if_incomplete" and not in_trial:
        _try_first(call, customer, method)
    transfer = params.get("transfer_data")
    if transfer:
        connect.destination_scope(world, transfer["destination"], param="transfer_data[destination]")
    now = call.now
    subscription = shape(
        "subscription", id=call.store.new_id("sub"), automatic_tax=invoices.automatic_tax(params), created=now,
        start_date=now,
        billing_cycle_anchor=trial_end if in_trial else params.get("billing_cycle_anchor") or now,
        billing_mode={"type": "flexible", "flexible": {"proration_discounts": "included"}}, metadata={},
        collection_method="charge_automatically", currency=prices[0]["currency"], customer=customer["id"],
        invoice_settings={"issuer": {"type": "self"}},
        payment_settings={"save_default_payment_method": "off"},
        transfer_data=transfer and {"amount_percent": None, **transfer},
        trial_settings={"end_behavior": {"missing_payment_method": "create_invoice"}},
        cancel_at_period_end=bool(params.get("cancel_at_period_end")), cancel_at=params.get("cancel_at"),
        cancellation_details={"comment": None, "feedback": None, "reason": None},
        trial_start=now if in_trial else None, trial_end=trial_end if in_trial else None, status="incomplete",
        _default_tax_rates=params.get("default_tax_rates") or [],
    )  # fmt: skip
    base.assign(subscription, params, FIELDS)
    if method:
        subscription["default_payment_method"] = method
    subscription["discounts"] = discounting.from_params(
        world, scope, params.get("discounts"), subscription=subscription["id"]
    )
    scope.add(subscription)
    for price, entry in zip(prices, entries, strict=True):
        service.add_item(
            world, scope, subscription, price=price, quantity=entry.get("quantity"), metadata=entry.get("metadata"),
            discounts=discounting.from_params(world, scope, entry.get("discounts")),
            tax_rates=entry.get("tax_rates"), start=now,
            end=trial_end if in_trial else params.get("billing_cycle_anchor")
            or add_interval(now, price["recurring"]["interval"], price["recurring"]["interval_count"]),
        )  # fmt: skip
    customer["currency"] = customer["currency"] or subscription["currency"]
    _extra_items(call, subscription, params)
    refusal = service.start(world, scope, subscription, payment_behavior=behavior)
    if behavior == "error_if_incomplete":
        base.raise_if(refusal)
    return subscription


def _method(call: Call, pm_id: str | None) -> str | None:
    return payments.require_payment_method(
        call.world, call.scope, pm_id, param="default_payment_method"
    )["id"] if pm_id else None  # fmt: skip


def _trial(call: Call, params: Json) -> tuple[bool, int]:
    end = params.get("trial_end")
    if end == "now":
        return False, 0
    if end is None and params.get("trial_period_days"):
        end = call.now + params["trial_period_days"] * 86400
    end = int(end or 0)
    return end > call.now, end


def _try_first(call: Call, customer: Json, method: str | None) -> None:
    """`error_if_incomplete`: a card known to decline is refused before anything is made."""
    from ..errors import card_error

    chosen = method or customer["invoice_settings"]["default_payment_method"]
    outcome = call.world.cards.peek(chosen) if chosen else None
    if outcome is not None:
        raise card_error(outcome.message, code=outcome.code, decline_code=outcome.decline_code)


def _extra_items(call: Call, subscription: Json, params: Json) -> None:
    for entry in params.get("add_invoice_items") or []:
        price = price_for(call, entry, param="add_invoice_items")
        if price is None:
            raise missing_parameter("add_invoice_items[0][price]")
        quantity = entry.get("quantity", 1)
        service.new_invoice_item(
            call.world, call.scope, customer=subscription["customer"], amount=price_amount(price, quantity),
            currency=price["currency"], start=call.now, end=call.now, price=price, quantity=quantity,
            subscription=subscription["id"], tax_rates=entry.get("tax_rates"), metadata=entry.get("metadata"),
        )  # fmt: skip


def update(call: Call, id: str) -> Json:
    """POST /v1/subscriptions/{id}"""
    world, scope, params = call.world, call.scope, call.params
    subscription = scope.get("subscription", id)
    if subscription["status"] in ("canceled", "incomplete_expired") and set(params) - {
        "metadata",
        "expand",
        "cancellation_details",
    }:
        raise invalid("A canceled subscription can only update its cancellation_details and metadata.")
    changes = [_change(call, subscription, index, entry) for index, entry in enumerate(params.get("items") or [])]
    if params.get("default_payment_method"):
        params["default_payment_method"] = _method(call, params["default_payment_method"])
    proration = params.get("proration_behavior") or "create_prorations"
    restarted = False
    with world.changes(scope, subscription, "customer.subscription.updated"):
        base.assign(subscription, params, FIELDS)
        if "discounts" in params:
            subscription["discounts"] = discounting.from_params(world, scope, params["discounts"], subscription=id)
        if "default_tax_rates" in params:
            subscription["_default_tax_rates"] = params["default_tax_rates"] or []
        if "pause_collection" in params:
            subscription["pause_collection"] = params["pause_collection"] and {
                "resumes_at": None, **params["pause_collection"],
            }  # fmt: skip
        if "transfer_data" in params:
            given = params["transfer_data"]
            subscription["transfer_data"] = given and {"amount_percent": None, **given}
        _set_cancellation(call, subscription)
        _extra_items(call, subscription, params)
        if changes:
            restarted = service.change_items(
                world, scope, subscription, changes, proration=proration, moment=params.get("proration_date")
            )
        restarted = _move_anchor(call, subscription) or restarted
    if restarted:
        service.bill(world, scope, subscription, reason="subscription_update")
    elif proration == "always_invoice" and changes:
        service.bill(world, scope, subscription, reason="subscription_update", lines=[])
    return subscription


def _change(call: Call, subscription: Json, index: int, entry: Json) -> Json:
    """One entry of `items[]`, with its item and price found."""
    item = None
    if entry.get("id"):
        item = call.scope.get("subscription_item", entry["id"], param=f"items[{index}][id]")
        if item["subscription"] != subscription["id"]:
            raise invalid("The subscription item is not on this subscription.", param=f"items[{index}][id]")
    price = price_for(call, entry, param=f"items[{index}][price]")
    discounts = None
    if "discounts" in entry:
        discounts = discounting.from_params(call.world, call.scope, entry["discounts"])
    return {**entry, "item": item, "price": price, "discounts": discounts}


def _set_cancellation(call: Call, subscription: Json) -> None:
    params = call.params
    if params.get("cancel_at_period_end") is not None:
        wanted = subscription["cancel_at_period_end"] = params["cancel_at_period_end"]
        items = service.items_of(call.scope, subscription)
        subscription["cancel_at"] = items[0]["current_period_end"] if wanted else None
        subscription["canceled_at"] = call.now if wanted else None
        reason = "cancellation_requested" if wanted else None
        subscription["cancellation_details"] = {**subscription["cancellation_details"], "reason": reason}
    if "cancel_at" in params:
        subscription["cancel_at"] = params["cancel_at"]
        subscription["canceled_at"] = call.now if params["cancel_at"] else None
    if params.get("cancellation_details"):
        subscription["cancellation_details"] = {
            **subscription["cancellation_details"], **params["cancellation_details"],
        }  # fmt: skip


def _move_anchor(call: Call, subscription: Json) -> bool:
    """`trial_end=now`, `billing_cycle_anchor=now`: the period begins anew and is billed. A later trial end moves it."""
    params = call.params
    ends = params.get("trial_end")
    if isinstance(ends, int):
        subscription.update(trial_end=ends, status="trialing" if ends > call.now else subscription["status"])
        for item in service.items_of(call.scope, subscription):
            item["current_period_end"] = ends
        return False
    if ends != "now" and params.get("billing_cycle_anchor") != "now":
        return False
    if ends == "now":
        subscription["trial_end"] = call.now
        if subscription["status"] == "trialing":
            subscription["status"] = "active"
    subscription["billing_cycle_anchor"] = call.now
    for item in service.items_of(call.scope, subscription):
        recurring = call.scope.get("price", item["_price"])["recurring"]
        item["current_period_start"] = call.now
        item["current_period_end"] = add_interval(call.now, recurring["interval"], recurring["interval_count"])
    return True


def cancel(call: Call, id: str) -> Json:
    """DELETE /v1/subscriptions/{id}"""
    subscription, params = call.scope.get("subscription", id), call.params
    if subscription["status"] in ("canceled", "incomplete_expired"):
        raise invalid(f"No such subscription: '{id}'", code="resource_missing", param="id", status=404)
    if params.get("prorate"):
        for item in service.items_of(call.scope, subscription):
            service._proration(
                call.world, call.scope, subscription, item, call.scope.get("price", item["_price"]),
                item["quantity"] or 0, moment=call.now, sign=-1,
            )  # fmt: skip
    service.cancel(call.world, call.scope, subscription, details=params.get("cancellation_details"))
    if params.get("invoice_now"):
        service.bill(call.world, call.scope, subscription, reason="subscription_update", lines=[])
    return subscription


def resume(call: Call, id: str) -> Json:
    """POST /v1/subscriptions/{id}/resume"""
    subscription = call.scope.get("subscription", id)
    if subscription["status"] != "paused":
        raise invalid("Only paused subscriptions can be resumed.")
    subscription["status"] = "active"
    call.emit("customer.subscription.resumed", subscription)
    return subscription


def index(call: Call) -> Json:
    """GET /v1/subscriptions: canceled ones only with status=canceled or all."""
    status, price = call.params.get("status"), call.params.get("price")

    def where(subscription: Json) -> bool:
        if price and not any(i["_price"] == price for i in service.items_of(call.scope, subscription)):
            return False
        if status in (None, "all"):
            return status == "all" or subscription["status"] not in ("canceled", "incomplete_expired")
        if status == "ended":
            return subscription["status"] in ("canceled", "incomplete_expired")
        return bool(subscription["status"] == status)

    return listing(call, "subscription", "customer", "collection_method", where=where)


# Subscription items


def create_item(call: Call) -> Json:
    """POST /v1/subscription_items"""
    subscription = call.scope.get("subscription", call.params["subscription"], param="subscription")
    names = ("price", "price_data", "quantity", "metadata", "tax_rates", "discounts")
    entry: Json = {name: call.params[name] for name in names if name in call.params}
    _apply(call, subscription, entry)
    return service.items_of(call.scope, subscription)[-1]


def update_item(call: Call, id: str) -> Json:
    """POST /v1/subscription_items/{id}"""
    item = call.scope.get("subscription_item", id)
    merged = dict(call.params)
    if "metadata" in merged:
        holder = {"metadata": item["metadata"]}
        base.merge_metadata(holder, merged)
        merged["metadata"] = holder["metadata"]
    _apply(call, call.scope.get("subscription", item["subscription"]), {**merged, "id": id})
    return item


def delete_item(call: Call, id: str) -> Json:
    """DELETE /v1/subscription_items/{id}"""
    item = call.scope.get("subscription_item", id)
    subscription = call.scope.get("subscription", item["subscription"])
    if len(service.items_of(call.scope, subscription)) == 1:
        raise invalid("A subscription must have at least one active plan.")
    _apply(call, subscription, {"id": id, "deleted": True})
    return base.deleted(item)


def _apply(call: Call, subscription: Json, entry: Json) -> None:
    proration = call.params.get("proration_behavior") or "create_prorations"
    change = _change(call, subscription, 0, entry)
    with call.world.changes(call.scope, subscription, "customer.subscription.updated"):
        restarted = service.change_items(
            call.world, call.scope, subscription, [change], proration=proration,
            moment=call.params.get("proration_date"),
        )  # fmt: skip
    if restarted:
        service.bill(call.world, call.scope, subscription, reason="subscription_update")
    elif proration == "always_invoice":
        service.bill(call.world, call.scope, subscription, reason="subscription_update", lines=[])


def items(call: Call) -> Json:
    """GET /v1/subscription_items?subscription=…"""
    if not call.params.get("subscription"):
        raise bad_parameter("Missing required param: subscription.", param="subscription", code="parameter_missing")
    call.scope.get("subscription", call.params["subscription"], param="subscription")
    return page(call, call.scope.children("subscription_item", call.params["subscription"]))
