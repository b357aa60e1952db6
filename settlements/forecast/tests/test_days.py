"""When a seller is paid, and when a subscription renews: the calendar's edges."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from settlements.forecast.days import add_months, renewals
from settlements.plans import next_payout_day


@pytest.mark.parametrize(
    ("schedule", "due", "paid"),
    [
        ("per_invoice", date(2026, 11, 22), date(2026, 11, 22)),
        ("daily", date(2026, 11, 22), date(2026, 11, 23)),
        ("daily", date(2026, 12, 31), date(2027, 1, 1)),
        ("daily", date(2028, 2, 28), date(2028, 2, 29)),
        ("daily", date(2027, 2, 28), date(2027, 3, 1)),
        ("weekly", date(2026, 11, 22), date(2026, 11, 23)),  # Sunday: its week ends with it
        ("weekly", date(2026, 11, 23), date(2026, 11, 30)),  # Monday: the whole week first
        ("weekly", date(2026, 12, 31), date(2027, 1, 4)),
        ("monthly", date(2026, 11, 1), date(2026, 12, 1)),
        ("monthly", date(2026, 11, 30), date(2026, 12, 1)),
        ("monthly", date(2026, 12, 31), date(2027, 1, 1)),
        ("monthly", date(2028, 2, 29), date(2028, 3, 1)),
    ],
)
def test_what_is_due_is_paid_on_the_day_after_its_period(schedule, due, paid):
    assert next_payout_day(schedule, due) == paid


@given(st.dates(date(2000, 1, 1), date(2090, 1, 1)), st.sampled_from(["per_invoice", "daily", "weekly", "monthly"]))
def test_nothing_is_paid_before_it_is_due_and_no_later_than_a_month_after(due, schedule):
    paid = next_payout_day(schedule, due)
    assert 0 <= (paid - due).days <= {"per_invoice": 0, "daily": 1, "weekly": 7, "monthly": 31}[schedule]
    assert schedule != "weekly" or paid.weekday() == 0
    assert schedule != "monthly" or paid.day == 1


def test_a_short_month_has_its_last_day():
    assert add_months(date(2026, 1, 31), 1) == date(2026, 2, 28)
    assert add_months(date(2028, 1, 31), 1) == date(2028, 2, 29)
    assert add_months(date(2026, 2, 28), 1, anchor=31) == date(2026, 3, 31)
    assert add_months(date(2026, 1, 15), -1) == date(2025, 12, 15)


def days(period_end, interval="month", count=1, start=date(2027, 1, 1), end=date(2027, 4, 1), anchor=None):
    return list(renewals(period_end=period_end, interval=interval, count=count, start=start, end=end, anchor=anchor))


def test_the_31st_comes_back_after_february():
    found = days(date(2027, 1, 31), anchor=date(2026, 8, 31))
    assert found == [date(2027, 1, 31), date(2027, 2, 28), date(2027, 3, 31)]
    assert days(date(2027, 2, 28), anchor=date(2026, 8, 31)) == found
    assert days(date(2027, 2, 28), anchor=date(2026, 8, 28))[-1] == date(2027, 3, 28)


def test_a_yearly_renewal_on_29_february_falls_on_the_28th_three_years_of_four():
    found = days(date(2028, 2, 29), "year", start=date(2028, 1, 1), end=date(2033, 1, 1), anchor=date(2024, 2, 29))
    assert [(day.month, day.day) for day in found] == [(2, 29), (2, 28), (2, 28), (2, 28), (2, 29)]


def test_weeks_days_and_quarters():
    assert days(date(2027, 1, 4), "week", 2, end=date(2027, 2, 4)) == [
        date(2027, 1, 4),
        date(2027, 1, 18),
        date(2027, 2, 1),
    ]
    assert len(days(date(2026, 12, 1), "day")) == 90
    assert days(date(2026, 11, 15), "month", 3) == [date(2027, 2, 15)]


def test_the_past_is_found_from_the_present_period():
    """A back test asks for days before the period that the mirror knows."""
    assert days(date(2027, 6, 15)) == [date(2027, 1, 15), date(2027, 2, 15), date(2027, 3, 15)]


def test_an_interval_nobody_knows_renews_once():
    assert days(date(2027, 2, 1), "fortnight") == [date(2027, 2, 1)]
    assert days(date(2027, 5, 1), "fortnight") == []


@given(
    st.dates(date(2020, 1, 1), date(2032, 12, 31)),
    st.sampled_from(["day", "week", "month", "year"]),
    st.integers(1, 6),
)
def test_renewals_lie_in_the_range_in_order_and_once(period_end, interval, count):
    found = days(period_end, interval, count, end=date(2028, 1, 1))
    assert found == sorted(set(found))
    assert all(date(2027, 1, 1) <= day < date(2028, 1, 1) for day in found)
    if date(2027, 1, 1) <= period_end < date(2028, 1, 1):
        assert period_end in found
