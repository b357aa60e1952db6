"""What a subscription will bill next: the part of reader.py that the forecast needs. Pure: JSON in, frozen facts out.

Since API 2025-03-31 the period stands on the items; before, on the subscription. A price of tiers or of usage has no
`unit_amount`: its items then have None, and whoever reads falls back on what was billed last.
Source: https://docs.stripe.com/api/subscriptions/object and /subscription_items/object.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from billingops.stripe.shapes import (
    Json,
    created_of,
    currency_of,
    dig,
    expanded,
    ident,
    items_of,
    metadata_of,
    plain,
    text,
    when,
    whole,
)


@dataclass(frozen=True, slots=True)
class RenewalItem:
    """`unit_amount`: minor units, None where Stripe names none. `interval`: day, week, month or year."""

    price_id: str
    product_id: str
    unit_amount: int | None
    quantity: int
    interval: str
    interval_count: int
    period_end: datetime | None
    seller: str = ""  # metadata.seller_account of the price


@dataclass(frozen=True, slots=True)
class RenewalFacts:
    """`ends_at`: from then on nothing is billed any more, as far as Stripe knows today."""

    id: str
    status: str
    currency: str
    created: datetime
    anchor: datetime | None
    ends_at: datetime | None
    paused: bool
    latest_invoice_id: str
    seller: str  # metadata.seller_account of the subscription, or where its transfers go
    items: tuple[RenewalItem, ...] = field(default_factory=tuple)


def read_renewal(data: Any) -> RenewalFacts:
    subscription = plain(data)
    own_end = when(subscription.get("current_period_end"))
    items = tuple(_item(item, own_end) for item in items_of(subscription.get("items")))
    ends_at = when(subscription.get("ended_at")) or when(subscription.get("cancel_at"))
    if ends_at is None and subscription.get("cancel_at_period_end"):
        ends_at = min((item.period_end for item in items if item.period_end), default=own_end)
    metadata = metadata_of(subscription.get("metadata"))
    return RenewalFacts(
        id=text(subscription.get("id")),
        status=text(subscription.get("status")),
        currency=currency_of(subscription),
        created=created_of(subscription),
        anchor=when(subscription.get("billing_cycle_anchor")),
        ends_at=ends_at,
        paused=bool(subscription.get("pause_collection")),
        latest_invoice_id=ident(subscription.get("latest_invoice")),
        seller=metadata.get("seller_account", "") or ident(dig(subscription, "transfer_data", "destination")),
        items=items,
    )


def _item(item: Json, own_end: datetime | None) -> RenewalItem:
    reference = item.get("price") or item.get("plan")
    price = expanded(reference)
    recurring = price.get("recurring") or price  # a plan names its interval itself
    amount = price.get("unit_amount", price.get("amount"))
    metered = text(recurring.get("usage_type")) == "metered"
    return RenewalItem(
        price_id=ident(reference),
        product_id=ident(price.get("product")),
        unit_amount=None if amount is None or metered else whole(amount),
        quantity=1 if item.get("quantity") is None else whole(item.get("quantity")),
        interval=text(recurring.get("interval")),
        interval_count=whole(recurring.get("interval_count")) or 1,
        period_end=when(item.get("current_period_end")) or own_end,
        seller=metadata_of(price.get("metadata")).get("seller_account", ""),
    )
