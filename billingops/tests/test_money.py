from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billingops import money
from billingops.exceptions import InvalidInput


@pytest.mark.parametrize(
    ("amount", "currency", "text"),
    [
        (13303, "usd", "USD 133.03"),
        (50000, "jpy", "JPY 50,000"),
        (1234567, "kwd", "KWD 1,234.567"),
        (-1234567, "eur", "EUR -12,345.67"),
        (0, "usd", "USD 0.00"),
        (5, "usd", "USD 0.05"),
        (-5, "bhd", "BHD -0.005"),
        (500, "UGX", "UGX 5.00"),
    ],
)
def test_an_amount_reads_in_the_digits_of_its_currency(amount, currency, text):
    assert money.format_money(amount, currency) == text


@pytest.mark.parametrize("currency", ["", "us", "usdx", "u5d", "€€€", None])
def test_what_is_no_currency_is_refused(currency):
    with pytest.raises(InvalidInput):
        money.normalise_currency(currency)


@pytest.mark.parametrize(
    ("value", "rounded"),
    [(Fraction(1, 2), 0), (Fraction(3, 2), 2), (Fraction(5, 2), 2), (Fraction(-1, 2), 0), (Decimal("2.51"), 3)],
)
def test_ties_round_to_even(value, rounded):
    assert money.round_half_even(value) == rounded


@given(st.integers(-(10**15), 10**15), st.lists(st.integers(0, 10**6), min_size=1, max_size=12).filter(any))
def test_what_is_split_adds_up_to_what_was_split(amount, weights):
    parts = money.allocate(amount, weights)
    assert sum(parts) == amount
    for part, weight in zip(parts, weights, strict=True):
        exact = Fraction(amount) * weight / sum(weights)
        assert abs(part - exact) < 1


@pytest.mark.parametrize("weights", [[], [0, 0], [1, -1]])
def test_impossible_weights_are_refused(weights):
    with pytest.raises(InvalidInput):
        money.allocate(100, weights)


def test_sums_are_never_mixed_across_currencies():
    assert money.sum_by_currency([(5, "usd"), (7, "eur"), (-2, "usd")]) == {"eur": 7, "usd": 3}


@pytest.mark.parametrize("value", [0.7, 70.0, True, "NaN", "101", "-1", "seventy", None])
def test_a_percentage_is_exact_and_within_bounds(value):
    with pytest.raises(InvalidInput):
        money.parse_percent(value, "seller")


def test_a_percentage_is_read_from_text():
    assert money.parse_percent("2.5", "seller") == Decimal("2.5")
    assert money.percent_of(999, "33.3") == Fraction(332667, 1000)


def test_a_limit_of_another_currency_says_nothing():
    assert money.exceeds(11, "usd", {"usd": 10})
    assert not money.exceeds(10, "usd", {"usd": 10})
    assert not money.exceeds(11, "eur", {"usd": 10})
    assert not money.exceeds(11, "eur", None)
