"""How often and when one customer is written to."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dunning.contact import pacing
from dunning.contact.pacing import DAY, WEEK, Pace

BERLIN = Pace("Europe/Berlin", "DE", 20, 8, 3)
MONDAY = datetime(2026, 11, 23, 11, 0, tzinfo=UTC)  # noon in Berlin


def test_at_noon_nothing_stands_in_the_way():
    assert pacing.earliest(now=MONDAY, sent=[], pace=BERLIN) == MONDAY
    assert pacing.refused(now=MONDAY, sent=[], pace=BERLIN) == ""


def test_at_night_it_waits_for_the_customers_own_morning():
    night = datetime(2026, 11, 23, 22, 30, tzinfo=UTC)  # 23:30 in Berlin
    assert "quiet" in pacing.refused(now=night, sent=[], pace=BERLIN)
    assert pacing.earliest(now=night, sent=[], pace=BERLIN).astimezone(ZoneInfo("Europe/Berlin")).hour == 8


def test_a_second_message_waits_for_a_day_to_pass_and_another_day_to_begin():
    sent = [MONDAY - timedelta(hours=2)]
    assert "within the day" in pacing.refused(now=MONDAY, sent=sent, pace=BERLIN)
    assert pacing.earliest(now=MONDAY, sent=sent, pace=BERLIN) == sent[0] + DAY


def test_the_day_is_the_customers_own():
    """18:00 and 06:00 UTC are two days in Europe and one in Auckland; 24 hours are awaited in both."""
    sent, now = [datetime(2026, 11, 23, 18, 0, tzinfo=UTC)], datetime(2026, 11, 24, 18, 30, tzinfo=UTC)
    auckland = Pace("Pacific/Auckland", "NZ", 20, 6, 3)
    assert pacing.is_too_soon(now, sent, auckland) is False
    assert pacing.is_too_soon(now - timedelta(hours=8), sent, auckland) is True


def test_after_the_weeks_messages_the_next_waits_until_the_first_is_a_week_old():
    sent = [MONDAY - timedelta(days=days) for days in (5, 4, 2)]
    assert "within a week" in pacing.refused(now=MONDAY, sent=sent, pace=BERLIN)
    assert pacing.earliest(now=MONDAY, sent=sent, pace=BERLIN) == MONDAY + timedelta(days=2)


ZONES = st.sampled_from(
    [
        *(("Europe/Berlin", "DE"), ("America/Los_Angeles", "US"), ("", "US"), ("", ""), ("", "RU"), ("", "JP")),
        *(("Pacific/Apia", "WS"), ("Asia/Kathmandu", "NP"), ("nowhere", "XX"), ("Pacific/Kiritimati", "KI")),
    ]
)
MOMENTS = st.integers(0, 2 * 365 * 24 * 60).map(
    lambda minutes: datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=minutes)
)


@given(
    MOMENTS,
    st.lists(st.integers(0, 9 * 24 * 60), max_size=8),
    ZONES,
    st.integers(16, 23),
    st.integers(5, 11),
    st.integers(1, 5),
)
def test_the_moment_that_is_named_is_one_at_which_nothing_stands_in_the_way(
    now: datetime, minutes: list[int], zone: tuple[str, str], quiet_from: int, quiet_until: int, a_week: int
) -> None:
    sent = [now - timedelta(minutes=one) for one in minutes]
    pace = Pace(*zone, quiet_from, quiet_until, a_week)
    moment = pacing.earliest(now=now, sent=sent, pace=pace)
    assert moment >= now
    assert pacing.refused(now=moment, sent=sent, pace=pace) == ""
    assert moment - now <= 2 * WEEK + 4 * DAY


@given(MOMENTS, ZONES, st.integers(1, 4))
def test_whoever_asks_and_writes_for_a_month_never_breaks_a_limit(
    start: datetime, zone: tuple[str, str], a_week: int
) -> None:
    pace, sent, now = Pace(*zone, 20, 8, a_week), [], start
    while now < start + timedelta(days=30):
        now = pacing.earliest(now=now, sent=sent, pace=pace)
        sent.append(now)
        now += timedelta(hours=1)
    for index, one in enumerate(sent):
        earlier = sent[:index]
        assert all(one - other >= DAY for other in earlier)
        assert sum(one - WEEK < other for other in earlier) < a_week


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York"])
def test_the_day_with_25_hours_gets_one_message(zone: str) -> None:
    place = ZoneInfo(zone)
    day = (
        datetime(2026, 10, 25, 0, 10, tzinfo=place) if "Berlin" in zone else datetime(2026, 11, 1, 0, 10, tzinfo=place)
    )
    pace, sent = Pace(zone, "", 0, 0, 7), [day.astimezone(UTC)]
    moment = pacing.earliest(now=sent[0] + timedelta(hours=23), sent=sent, pace=pace)
    assert moment.astimezone(place).date() > day.date()
