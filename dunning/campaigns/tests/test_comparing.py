"""What a test has shown: figures from the literature, and that nothing is said too early."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billingops.statistics import newcombe
from dunning.campaigns.arms import Arm, assign
from dunning.campaigns.comparing import Outcome, chi_square_tail, compare, needed

START = datetime(2026, 1, 1, tzinfo=UTC)
WINDOW = timedelta(days=28)
DAY = timedelta(days=1)
HALVES = (Arm("now", 1), Arm("new", 2))


def cases(rates: dict[str, float], number: int, seed: int = 1, arms: tuple[Arm, ...] = HALVES) -> Iterator[Outcome]:
    """One case of a customer an hour; each is paid after ten days with its arm's chance."""
    chance = random.Random(seed)
    for index in range(number):
        customer, opened = f"cus_{index}", START + timedelta(hours=index)
        arm = assign(arms, seed=seed, account="", customer=customer).name
        paid = chance.random() < rates[arm]
        yield Outcome(arm, "", customer, opened, "eur", 1000, 1000 * paid, opened + 10 * DAY if paid else None)


def judge(outcomes, *, now=START + 400 * DAY, arms=HALVES, difference=0.1, **options):
    given = {"baseline": 0.5, "difference": difference, "window": WINDOW, "seed": 1, **options}
    return compare(list(outcomes), arms, now=now, **given)


@pytest.mark.parametrize(
    ("figures", "low", "high"),
    [
        # Newcombe 1998, table II, method 10: cases (a), (c), (d), (g), (h).
        ((56, 70, 48, 80), 0.0524, 0.3339),
        ((6, 7, 2, 7), 0.0582, 0.8062),
        ((5, 56, 0, 29), -0.0381, 0.1926),
        ((10, 10, 0, 20), 0.6791, 1.0000),
        ((10, 10, 0, 10), 0.6075, 1.0000),
    ],
)
def test_the_interval_of_a_difference_is_newcombes(figures, low, high):
    assert newcombe(*figures) == pytest.approx((low, high), abs=0.0001)


@given(st.integers(0, 60), st.integers(1, 60), st.integers(0, 60), st.integers(1, 60))
def test_the_interval_holds_the_difference_and_turns_with_it(one, more, two, others):
    trials, other_trials = one + more, two + others
    low, high = newcombe(one, trials, two, other_trials)
    assert -1 - 1e-9 <= low <= one / trials - two / other_trials <= high <= 1 + 1e-9
    assert newcombe(two, other_trials, one, trials) == pytest.approx((-high, -low))


@pytest.mark.parametrize(
    ("statistic", "degrees", "tail"),
    # Abramowitz and Stegun, table 26.8: percentage points.
    [(3.84146, 1, 0.05), (6.63490, 1, 0.01), (5.99147, 2, 0.05), (7.81473, 3, 0.05), (11.3449, 3, 0.01), (0, 2, 1.0)],
)
def test_the_tail_of_chi_square(statistic, degrees, tail):
    assert chi_square_tail(statistic, degrees) == pytest.approx(tail, abs=1e-5)


def test_the_sample_that_a_difference_takes():
    # (1.959964 + 0.841621)² · (0.25 + 0.24) / 0.1² = 384.6
    assert needed(HALVES, baseline=0.5, difference=0.1) == {"now": 385, "new": 385}
    # Downwards takes more where the baseline lies below a half.
    assert needed(HALVES, baseline=0.6, difference=0.1)["now"] > needed(HALVES, baseline=0.7, difference=0.1)["now"]
    uneven = needed((Arm("now", 1, 3), Arm("new", 2, 1)), baseline=0.5, difference=0.1)
    assert uneven["now"] == pytest.approx(3 * uneven["new"], abs=3)
    assert uneven["new"] < 385 < uneven["now"]
    three = needed((*HALVES, Arm("third", 3)), baseline=0.5, difference=0.1)
    assert min(three.values()) > 385  # two looks share one level


def test_a_clear_difference_is_said_when_the_sample_is_complete():
    found = judge(cases({"now": 0.4, "new": 0.7}, 1500))
    assert found.enough
    assert found.ahead == "new"
    (difference,) = found.differences
    assert 0 < difference.low < difference.points < difference.high
    assert [one.counted >= one.needed == 385 for one in found.arms] == [True, True]
    assert found.outside > 0  # whoever came after the sample was complete


def test_the_first_arm_can_be_the_better_one():
    found = judge(cases({"now": 0.7, "new": 0.4}, 1500))
    assert (found.ahead, found.verdict) == ("now", "“now” recovers more than “new” does.")


def test_without_a_difference_none_is_said():
    found = judge(cases({"now": 0.5, "new": 0.5}, 1500, seed=3))
    assert (found.enough, found.ahead) == (True, "")
    assert "No difference shown" in found.verdict


@pytest.mark.parametrize("number", [0, 1, 20, 600])
def test_with_too_few_customers_nothing_is_said_however_clear_it_looks(number):
    found = judge(cases({"now": 0.0, "new": 1.0}, number))
    assert (found.enough, found.ahead, found.differences) == (False, "", ())
    assert found.verdict == "Not enough data yet."
    assert "More customers are needed" in found.missing


def test_nothing_is_said_before_the_last_case_of_the_sample_had_its_window():
    outcomes = list(cases({"now": 0.0, "new": 1.0}, 1500))
    complete = judge(outcomes).complete_at
    early = judge(outcomes, now=complete + WINDOW - timedelta(seconds=1))
    assert (early.enough, early.ahead) == (False, "")
    assert "full window" in early.missing
    assert judge(outcomes, now=complete + WINDOW).ahead == "new"


def test_looking_again_later_changes_no_verdict():
    outcomes = list(cases({"now": 0.45, "new": 0.55}, 3000, seed=5))
    first = judge(outcomes, now=judge(outcomes).decided_at)
    for days in (1, 10, 100, 1000):
        later = judge(outcomes, now=first.decided_at + days * DAY)
        assert [(one.counted, one.recovered) for one in later.arms] == [
            (one.counted, one.recovered) for one in first.arms
        ]
        assert (later.verdict, later.differences) == (first.verdict, first.differences)


def test_what_is_paid_after_the_window_does_not_count():
    late = [
        Outcome("now" if n % 2 else "new", "", f"cus_{n}", START, "eur", 100, 100, START + WINDOW + DAY)
        for n in range(20)
    ]
    found = judge(late, difference=0.5)
    assert [one.recovered for one in found.arms] == [0, 0]


def test_a_customer_counts_once_with_their_first_case_and_all_their_money():
    outcomes = []
    for n in range(40):
        for month in range(3):
            opened = START + timedelta(days=31 * month, minutes=n)
            paid = opened + DAY if month else None  # the first is never paid, the later ones always
            given = (opened, "eur", 1000, 1000 * bool(month), paid)
            outcomes.append(Outcome("now" if n % 2 else "new", "", f"cus_{n}", *given))
    found = judge(outcomes, difference=0.45, baseline=0.5)
    for one in found.arms:
        assert (one.cases, one.customers, one.recovered) == (60, 20, 0)
        assert one.money[0].share == pytest.approx(2 / 3)


def test_money_is_never_added_across_currencies_and_its_interval_is_the_same_every_time():
    outcomes = []
    for n in range(120):
        paid, amount = n % 5 < 2, 100 + n
        given = ("eur" if n % 3 else "jpy", amount, amount * paid, START + DAY if paid else None)
        outcomes.append(Outcome("now" if n % 2 else "new", "", f"cus_{n}", START, *given))
    one, again = judge(outcomes), judge(outcomes)
    assert one.arms[0].money == again.arms[0].money
    for arm in one.arms:
        assert [money.currency for money in arm.money] == ["eur", "jpy"]
        for money in arm.money:
            assert 0 <= money.low <= money.share <= money.high <= 1
    assert judge(outcomes[:8]).arms[0].money[0].low is None


def test_arms_that_are_not_divided_as_they_should_be_give_no_verdict():
    outcomes = [one for n, one in enumerate(cases({"now": 0.2, "new": 0.8}, 3000)) if one.arm == "new" or n % 3]
    found = judge(outcomes)
    assert found.mismatch is not None
    assert found.mismatch < 0.001
    assert found.ahead == ""
    assert "not divided as they should be" in found.verdict
    assert judge(cases({"now": 0.2, "new": 0.8}, 3000)).mismatch is None


def test_a_test_that_was_stopped_early_says_so():
    found = judge(cases({"now": 0.0, "new": 1.0}, 100), stopped=True)
    assert found.verdict == "Not enough data yet."
    assert "stopped before" in found.missing


def test_of_three_arms_each_is_held_against_the_first():
    arms = (Arm("now", 1), Arm("same", 2), Arm("better", 3))
    found = judge(cases({"now": 0.5, "same": 0.5, "better": 0.75}, 4000, arms=arms), arms=arms)
    assert [one.arm for one in found.differences] == ["same", "better"]
    assert found.ahead == "better"
    assert found.level == pytest.approx(0.975)


def test_equal_arms_are_called_different_about_as_rarely_as_promised():
    """300 tests of two equal arms: 5 % false alarms are promised; more than 8 % would be 2.4 deviations away."""
    alarms = sum(
        bool(judge(cases({"now": 0.5, "new": 0.5}, 190, seed=seed), difference=0.3).ahead) for seed in range(300)
    )
    assert alarms <= 24


def test_the_difference_that_was_asked_for_is_mostly_seen():
    seen = sum(
        judge(cases({"now": 0.5, "new": 0.8}, 190, seed=seed), difference=0.3).ahead == "new" for seed in range(200)
    )
    assert seen >= 140  # 80 % are promised
