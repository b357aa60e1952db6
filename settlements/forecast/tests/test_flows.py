"""Known and expected flows, computed by hand; and that nothing is lost between what is open and what is forecast."""

from __future__ import annotations

from collections import defaultdict
from datetime import date, timedelta
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from settlements.forecast.bands import bands, seed_of
from settlements.forecast.flows import (
    BEYOND,
    CARRIED,
    CLAIMS,
    HELD,
    OUT_KINDS,
    PAUSED,
    Delays,
    Flow,
    Group,
    Position,
    Rate,
    Renewal,
    Split,
    Terms,
    expected,
    known,
)
from settlements.plans import next_payout_day

START = date(2026, 11, 22)  # a Sunday


def found(positions, terms=None, **more):
    options = {"currency": "usd", "start": START, "days": 30} | more
    return known(positions, terms or Terms(), **options)


def test_each_kind_falls_on_its_payout_day():
    made = found(
        [
            Position(START - timedelta(days=9), open=100, label="late"),
            Position(date(2026, 11, 23), open=200, label="on hold"),
            Position(START, open=300, reserve_until=date(2026, 12, 2), reserve_left=40, label="both"),
        ],
        Terms("weekly"),
    )
    assert made.flows == [
        # Due by Sunday the 13th: its Monday was the 16th, so it goes out on the first day.
        Flow(START, "scheduled", 100, "late"),
        Flow(date(2026, 11, 23), "scheduled", 300, "both"),
        Flow(date(2026, 11, 30), "holds", 200, "on hold"),
        Flow(date(2026, 12, 7), "reserves", 40, "both"),
    ]


def test_a_debt_is_netted_and_waits_until_there_is_enough():
    made = found(
        [Position(START, open=-500), Position(date(2026, 11, 25), open=300), Position(date(2026, 11, 27), open=400)]
    )
    assert [(flow.day, flow.kind, flow.amount) for flow in made.flows] == [
        (date(2026, 11, 27), "debts", -500),
        (date(2026, 11, 27), "holds", 300),
        (date(2026, 11, 27), "holds", 400),
    ]
    assert found([Position(START, open=-500), Position(START, open=500)]).apart[CARRIED] == 0
    assert found([Position(START, open=-500), Position(START, open=400)]).apart[CARRIED] == -100


def test_less_than_the_minimum_is_carried_forward():
    terms = Terms(minimum={"usd": 500, "eur": 1})
    made = found([Position(START, open=300), Position(date(2026, 11, 24), open=199)], terms)
    assert (made.flows, made.apart[CARRIED]) == ([], 499)
    made = found([Position(START, open=300), Position(date(2026, 11, 24), open=200)], terms)
    assert {flow.day for flow in made.flows} == {date(2026, 11, 24)}
    assert found([Position(START, open=300)], terms, currency="eur").flows


def test_what_is_held_and_what_belongs_to_an_inactive_seller_is_not_counted():
    made = found([Position(START, open=100, held=70)], Terms(active=False))
    assert (made.flows, made.apart[HELD], made.apart[PAUSED]) == ([], 70, 100)


def test_a_claim_is_less_out_and_people_take_their_time():
    made = found([Position(START, open=100, claimed=30)], approval_days=2)
    assert made.flows == [Flow(date(2026, 11, 24), "claims", -30), Flow(date(2026, 11, 24), "scheduled", 100)]


def test_a_destination_charge_waits_for_no_schedule_and_no_person():
    made = found([Position(START, open=100, moved_by_stripe=True)], Terms("monthly"), approval_days=3)
    assert made.flows == [Flow(START, "scheduled", 100)]


def test_what_stripe_moved_too_much_of_is_netted_against_no_payout():
    moved = Position(START, open=-700, moved_by_stripe=True)
    made = found([moved, Position(START, open=1_000)])
    assert made.flows == [Flow(START, "scheduled", 1_000)]
    assert made.apart[CARRIED] == -700


positions = st.lists(
    st.builds(
        Position,
        due_on=st.dates(START - timedelta(days=40), START + timedelta(days=60)),
        open=st.integers(-10_000, 50_000),
        reserve_until=st.none() | st.dates(START - timedelta(days=5), START + timedelta(days=150)),
        reserve_left=st.integers(0, 5_000),
        held=st.integers(0, 900),
        claimed=st.integers(0, 900),
        moved_by_stripe=st.booleans(),
    ),
    max_size=25,
)
schedules = st.sampled_from(["per_invoice", "daily", "weekly", "monthly"])


@given(positions, schedules, st.sampled_from([0, 1, 2_500]), st.sampled_from([30, 60, 90]), st.integers(0, 4))
def test_all_that_is_open_and_in_reserve_is_forecast_or_stands_apart(rows, schedule, minimum, days, lag):
    made = found(rows, Terms(schedule, minimum={"usd": minimum}), days=days, approval_days=lag)
    out = sum(flow.amount for flow in made.flows if flow.kind in OUT_KINDS and flow.kind != CLAIMS)
    assert out + made.apart[CARRIED] + made.apart[BEYOND] == sum(one.open + one.reserve_left for one in rows)
    assert all(START <= flow.day < START + timedelta(days=days) for flow in made.flows)
    by_day = defaultdict(int)
    for flow in made.flows:
        by_day[flow.day] += flow.amount if flow.kind != CLAIMS else 0
    claimed = sum(flow.amount for flow in made.flows if flow.kind == CLAIMS)
    assert claimed == -sum(one.claimed for one in rows)
    by_day = {day: amount for day, amount in by_day.items() if amount}
    assert all(amount > 0 for amount in by_day.values())  # a payout is never negative


@given(
    st.lists(st.tuples(st.dates(START, START + timedelta(days=120)), st.integers(1, 9_999), st.integers(0, 999))),
    schedules,
)
def test_without_debts_and_minimum_the_days_hold_exactly_what_falls_in_the_horizon(rows, schedule):
    made = found([Position(due, open=a, reserve_until=due, reserve_left=b) for due, a, b in rows], Terms(schedule))
    falls_in = [a + b for due, a, b in rows if next_payout_day(schedule, due) < START + timedelta(days=30)]
    assert sum(flow.amount for flow in made.flows) == sum(falls_in)


# -- expected ----------------------------------------------------------------------------------------------------------


def test_a_renewal_comes_in_later_and_is_shared_on_the_sellers_schedule():
    group = expected(
        Renewal(date(2026, 11, 25), "acct_1", {1_000: 3, 500: 2}),
        rate=Rate(17, 19),  # (17 + ½) ÷ 20 = 0.875
        terms=Terms("weekly", hold_days=3, reserve_days=30),
        split=Split(Fraction(63, 100), Fraction(7, 100)),
        delays=Delays(pay=1, settlement=2, approval=0),
        fee=Fraction(3, 100),
    )
    # Paid on the 26th, there on the 28th; due on the 29th, a Sunday; the reserve due on 26 December, a Saturday.
    assert group.flows() == [
        Flow(date(2026, 11, 28), "renewals", 3_395, "acct_1"),  # 4,000 × 0.875 × 0.97
        Flow(date(2026, 11, 30), "shares", 2_205, "acct_1"),  # × 0.63
        Flow(date(2026, 12, 28), "shares", 245, "acct_1"),  # × 0.07
    ]


def test_nobody_is_paid_of_the_platforms_own_or_while_the_seller_is_not_active():
    for account, terms in (("", None), ("acct_1", Terms(active=False)), ("acct_1", None)):
        group = expected(Renewal(START, account, {100: 1}), rate=Rate(), terms=terms, split=Split(), delays=Delays())
        assert group.outs == ()


def test_a_rate_never_says_never_or_always():
    assert Rate().mean == Fraction(1, 2)
    assert Rate(0, 99).mean == Fraction(1, 200)
    assert Rate(99, 99).mean == Fraction(199, 200)


# -- the band ----------------------------------------------------------------------------------------------------------


def group(day=START, amounts=None, rate=None, outs=()):
    return Group("acct_1", amounts or {1_000: 50}, rate or Rate(90, 100), day, Fraction(1), outs)


def band(groups, seed=1, known_out=0):
    return bands(groups, start=START, known_in=[0] * 10, known_out=[known_out] * 10, seed=seed)


def test_the_same_seed_draws_the_same_band_in_whatever_order_the_groups_come():
    groups = [group(), group(START + timedelta(days=3), {700: 10}), group(START + timedelta(days=1))]
    assert band(groups) == band(list(reversed(groups)))
    assert band(groups) != band(groups, seed=2)
    assert seed_of("1", START, "usd", "") == seed_of("1", START, "usd", "") != seed_of("1", START, "eur", "")


def test_the_band_lies_around_what_is_expected():
    low, high = band([group()]).inflow[0]
    assert low < 50_000 * 0.9 < high
    assert low > 40_000
    assert high < 50_001


def test_the_band_is_as_wide_as_the_binomial_says_when_the_rate_is_sure():
    """1,000 invoices of 1.00 at 0.9: 900 ± 1.2816 × √90 = 888 to 912."""
    low, high = band([group(amounts={100: 1_000}, rate=Rate(9_000_000, 10_000_000))]).inflow[0]
    assert abs(low - 88_800) <= 200
    assert abs(high - 91_200) <= 200


def test_many_different_amounts_have_the_band_that_drawing_each_would_give():
    rate = Rate(900_000, 1_000_000)
    each = band([group(amounts={amount: 40}, rate=rate) for amount in range(1_000, 1_030)]).inflow[0]
    together = band([group(amounts=dict.fromkeys(range(1_000, 1_030), 40), rate=rate)]).inflow[0]
    assert abs(each[0] - together[0]) < 2_500
    assert abs(each[1] - together[1]) < 2_500


def test_few_invoices_make_a_wide_band_and_many_a_narrow_one():
    def width(rate):
        low, high = band([group(amounts={10: 100_000}, rate=rate)]).inflow[0]
        return high - low

    assert width(Rate(9, 10)) > 5 * width(Rate(900, 1_000))


def test_known_payouts_have_no_width_and_the_shares_of_renewals_have():
    made = band([group(outs=((START + timedelta(days=1), Fraction(7, 10)),))], known_out=300)
    assert made.outflow[0] == (300, 300)
    assert made.outflow[1][0] < 300 + 31_500 < made.outflow[1][1]
    assert made.running[0][0] == made.inflow[0][0] - 300


def test_without_anything_uncertain_the_band_is_a_line():
    made = band([], known_out=5)
    assert made.running == [(-5 * n, -5 * n) for n in range(1, 11)]
