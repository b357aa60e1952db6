"""What a reviewer is asked to look at twice."""

from __future__ import annotations

import pytest

from settlements.flags import payout_flags

OVER = {"usd": 500_000}


@pytest.mark.parametrize(
    ("amount", "currency", "flagged"), [(500_000, "usd", 0), (500_001, "usd", 1), (10**9, "jpy", 0)]
)
def test_an_amount_over_the_threshold_of_its_currency_is_flagged(amount, currency, flagged):
    found = payout_flags(amount=amount, currency=currency, over=OVER, usual=[])
    assert len(found) == flagged
    if flagged:
        assert found[0]["text"] == "USD 5,000.01 is over the threshold of USD 5,000.00"


@pytest.mark.parametrize(
    ("usual", "amount", "text"),
    [
        ([3_100] * 5, 13_020, "4.2× the seller's usual USD 31.00 (median of the last 5)"),
        ([3_100] * 5, 9_301, "3.0× the seller's usual USD 31.00 (median of the last 5)"),
        ([100, 200, 300, 400, 500, 10_000], 3_500, "10.0× the seller's usual USD 3.50 (median of the last 6)"),
        ([3_100] * 5, 9_300, None),  # exactly three times is not far
        ([3_100] * 4, 10**6, None),  # four payouts are no history
    ],
)
def test_an_amount_far_from_the_sellers_own_history_is_flagged_with_its_figure(usual, amount, text):
    found = payout_flags(amount=amount, currency="usd", over={}, usual=usual)
    assert [flag["text"] for flag in found] == ([text] if text else [])
