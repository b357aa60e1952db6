"""What a line costs: tiers, coupons in today's shape, tax rates."""

from __future__ import annotations

from typing import Any

import pytest
import stripe

from .build import Shop


@pytest.mark.parametrize(
    ("coupon", "total"), [({"percent_off": 25}, 7500), ({"amount_off": 1, "currency": "usd"}, 9999)]
)
def test_coupons_discount_lines_in_todays_shape(shop: Shop, coupon: Any, total: int) -> None:
    made = shop.v1.coupons.create({**coupon, "duration": "forever"})
    subscription = shop.subscription(
        quantity=2, discounts=[{"coupon": made.id}], expand=["discounts", "latest_invoice.discounts"]
    )
    discount = subscription.discounts[0]
    assert (discount.source.type, discount.source.coupon) == ("coupon", made.id)
    invoice = subscription.latest_invoice
    assert (invoice.subtotal, invoice.total) == (10000, total)
    assert invoice.lines.data[0].discount_amounts[0].amount == 10000 - total
    assert invoice.total_discount_amounts[0].discount == discount.id
    assert invoice.discounts[0].id == discount.id


def test_an_amount_off_is_spread_over_the_lines_to_the_unit(shop: Shop) -> None:
    coupon = shop.v1.coupons.create({"amount_off": 100, "currency": "usd", "duration": "forever"})
    prices = [shop.price(amount) for amount in (1000, 1000, 1000)]
    subscription = shop.v1.subscriptions.create(
        {
            "customer": shop.customer().id,
            "items": [{"price": price.id} for price in prices],
            "discounts": [{"coupon": coupon.id}],
            "expand": ["latest_invoice"],
        }
    )
    parts = [line.discount_amounts[0].amount for line in subscription.latest_invoice.lines.data]
    assert (sorted(parts), sum(parts)) == ([33, 33, 34], 100)
    assert subscription.latest_invoice.total == 2900


def test_a_once_coupon_ends_after_one_invoice(shop: Shop) -> None:
    coupon = shop.v1.coupons.create({"percent_off": 50, "duration": "once"})
    subscription = shop.subscription(discounts=[{"coupon": coupon.id}])
    renewed: Any = shop.server.bill_subscription(subscription.id)
    assert renewed["total"] == 5000


@pytest.mark.parametrize(("inclusive", "total", "excluding"), [(False, 6000, 5000), (True, 5000, 4167)])
def test_tax_rates_apply_to_lines(shop: Shop, inclusive: bool, total: int, excluding: int) -> None:
    rate = shop.v1.tax_rates.create({"display_name": "VAT", "percentage": 20, "inclusive": inclusive})
    subscription = shop.subscription(default_tax_rates=[rate.id], expand=["latest_invoice"])
    invoice = subscription.latest_invoice
    assert (invoice.total, invoice.total_excluding_tax) == (total, excluding)
    assert invoice.total_taxes[0].tax_rate_details.tax_rate == rate.id
    assert invoice.lines.data[0].taxes[0].amount == total - excluding


def test_tiered_prices_cost_what_their_tiers_say(shop: Shop) -> None:
    product = shop.v1.products.create({"name": "Calls"})
    price = shop.v1.prices.create(
        {
            "product": product.id,
            "currency": "usd",
            "recurring": {"interval": "month"},
            "billing_scheme": "tiered",
            "tiers_mode": "graduated",
            "tiers": [{"up_to": 5, "unit_amount": 500}, {"up_to": "inf", "unit_amount": 400}],
        }
    )
    subscription = shop.subscription(price=price, quantity=7, expand=["latest_invoice"])
    assert subscription.latest_invoice.total == 5 * 500 + 2 * 400


def test_a_deleted_coupon_is_gone_and_its_discounts_hold(shop: Shop) -> None:
    coupon = shop.v1.coupons.create({"percent_off": 50, "duration": "forever"})
    subscription = shop.subscription(discounts=[{"coupon": coupon.id}])
    shop.v1.coupons.delete(coupon.id)
    with pytest.raises(stripe.InvalidRequestError, match="No such coupon"):
        shop.v1.coupons.retrieve(coupon.id)
    renewed: Any = shop.server.bill_subscription(subscription.id)
    assert renewed["total"] == 2500
