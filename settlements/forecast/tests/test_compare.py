"""Errors against what happened, by hand, and beside the naive forecasts."""

from __future__ import annotations

from datetime import date, timedelta
from fractions import Fraction

import pytest

from settlements.forecast.compare import Errors, Said, judge, naive_mean, naive_week

MADE = date(2026, 11, 2)  # a Monday


def test_errors_are_in_units_and_as_a_share_of_what_moved():
    one = Errors.of([(100, 80), (0, 10), (300, 330)])
    assert (one.off, one.moved, one.mae, one.wape, one.percent) == (60, 400, 20, Fraction(15, 100), "15 %")
    nothing = Errors.of([(0, 5)])
    assert (nothing.wape, nothing.percent) == (None, "—")


@pytest.mark.parametrize(
    ("ahead", "looked_at"),
    [(0, -7), (1, -6), (6, -1), (7, -7), (8, -6), (13, -1), (14, -7), (30, -5)],
)
def test_the_naive_week_looks_at_the_last_same_weekday_that_was_known(ahead, looked_at):
    day = MADE + timedelta(days=ahead)
    assert naive_week({MADE + timedelta(days=looked_at): 77}, MADE, day) == 77
    assert (day - (MADE + timedelta(days=looked_at))).days % 7 == 0


def test_the_naive_mean_takes_28_days_and_not_the_day_itself():
    history = {MADE - timedelta(days=n): 28 for n in range(0, 40)}
    assert naive_mean(history, MADE) == 28
    assert naive_mean({MADE: 100, MADE - timedelta(days=29): 100}, MADE) == 0
    assert naive_mean({MADE - timedelta(days=28): 28}, MADE) == 1


def said(days, expected, width=5):
    rows = [MADE + timedelta(days=n) for n in range(1, days + 1)]
    return [Said(MADE, day, expected - width, expected, expected + width) for day in rows]


def test_few_days_are_not_judged():
    actual = {MADE + timedelta(days=n): 100 for n in range(-30, 30)}
    one = judge(said(6, 100), actual)
    assert (one.days, one.enough, one.beats, one.words) == (6, False, None, "Not enough days yet: 6 of 14.")
    assert judge([], actual).words == "Nothing to compare yet: 0 of 14 days."


def test_a_better_forecast_is_said_to_be_nearer_and_a_worse_one_not():
    actual = {MADE + timedelta(days=n): 100 if n <= 0 else 200 for n in range(-30, 30)}
    good = judge(said(14, 197), actual)
    assert (good.beats, good.words) == (True, "Nearer than both naive forecasts.")
    assert (good.ours.mae, good.week.mae, good.mean.mae, good.coverage_percent) == (3, 100, 100, "100 %")
    bad = judge(said(14, 500), actual)
    assert (bad.beats, bad.words, bad.coverage) == (False, "The naive forecasts were nearer.", 0)


def test_the_band_is_judged_by_how_often_it_held():
    actual = {MADE + timedelta(days=n): 100 + n for n in range(1, 21)}
    assert judge(said(20, 100), actual).coverage == Fraction(5, 20)
