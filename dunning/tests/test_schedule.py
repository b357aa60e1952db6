"""Paydays and the networks' caps."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dunning import schedule

moments = st.integers(min_value=0, max_value=5 * 365 * 24 * 60).map(
    lambda minutes: datetime(2025, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)
)


@pytest.mark.parametrize(
    ("after", "payday"),
    [
        (datetime(2026, 11, 26, 12, tzinfo=UTC), datetime(2026, 11, 27, 9, tzinfo=UTC)),  # Thursday → Friday
        (datetime(2026, 11, 27, 9, tzinfo=UTC), datetime(2026, 11, 27, 9, tzinfo=UTC)),
        (datetime(2026, 11, 27, 9, 1, tzinfo=UTC), datetime(2026, 12, 1, 9, tzinfo=UTC)),  # past nine → the 1st
        (datetime(2026, 12, 12, 0, tzinfo=UTC), datetime(2026, 12, 15, 9, tzinfo=UTC)),
    ],
)
def test_the_next_payday_is_the_first_the_fifteenth_or_a_friday(after: datetime, payday: datetime) -> None:
    assert schedule.next_payday(after) == payday


@given(moments)
def test_a_payday_is_never_in_the_past_and_at_most_a_week_away(after: datetime) -> None:
    payday = schedule.next_payday(after)
    assert after <= payday <= after + timedelta(days=7, hours=9)
    assert payday.weekday() == 4 or payday.day in (1, 15)
    assert (payday.hour, payday.minute) == (9, 0)


@pytest.mark.parametrize(
    ("brand", "day", "month", "over"),
    [
        ("visa", 14, 14, False),
        ("visa", 0, 15, True),
        ("mastercard", 9, 34, False),
        ("mastercard", 10, 10, True),
        ("mastercard", 0, 35, True),
        ("amex", 14, 14, False),
        ("", 0, 15, True),
    ],
)
def test_caps_per_card(brand: str, day: int, month: int, over: bool) -> None:
    assert bool(schedule.over_cap(brand, last_day=day, last_30_days=month)) is over
