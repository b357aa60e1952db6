"""What was paid out and is not due any more: it comes back by a reversal, or out of later earnings, and whoever decides
sees it."""

from __future__ import annotations

import pytest

from settlements.models import Earning
from settlements.tests.conftest import CONFIG

pytestmark = pytest.mark.django_db

WHOLE_VOLUME = CONFIG.replace(
    'share: {type: percent, seller: "70"}',
    "share: {type: tiered, period: month, mode: whole, currency: usd,"
    ' tiers: [{up_to: 10000, seller: "70"}, {seller: "80"}]}',
)


# -- adjustments of whole-volume tiers ---------------------------------------------------------------------------------


def sold_past_the_tier(life):
    """Two sales of 10,000; the second reaches 80 %, and brings 1,000 more for the first."""
    life.market.import_config(WHOLE_VOLUME)
    life.market.run_jobs()
    one, two = life.sold(10_000), life.sold(10_000)
    assert (life.earning(one).share, life.earning(two).share, life.earning(two).adjustment) == (7_000, 8_000, 1_000)
    return one, two


def test_a_refund_takes_the_adjustment_that_came_with_the_invoice(life):
    life.funds()
    one, two = sold_past_the_tier(life)
    life.say_yes()
    life.hour()
    life.say_yes()
    assert sum(life.amounts()) == 16_000
    life.refund(two, 5_000)
    assert life.earning(two).taken == 4_500
    life.refund(two)
    assert (life.earning(two).taken, life.earning(two).claimed + life.earning(two).open) == (9_000, 9_000)
    life.refund(one)
    life.say_yes("transfer_reversal")
    life.hour()
    life.say_yes("transfer_reversal")
    assert sum(one.amount - one.amount_reversed for one in life.market.transfers()) == 0
    assert set(Earning.objects.values_list("paid", "open", "claimed")) == {(0, 0, 0)}
    life.prove()


def test_a_dispute_holds_the_adjustment_that_came_with_the_invoice(life):
    _, two = sold_past_the_tier(life)
    life.market.sandbox.create_dispute(life.market.charge_of(two))
    life.hear()
    assert (life.earning(two).held, life.earning(two).open) == (9_000, 0)
