"""Which arm a customer is in: always the same one, and as many of them as the weights say."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dunning.campaigns.arms import Arm, assign

HALVES = (Arm("a", 1), Arm("b", 2))


def test_these_customers_are_in_these_arms_for_good():
    """Were the function to change, customers of running tests would move: this test says so."""
    found = "".join(assign(HALVES, seed=7, account="", customer=f"cus_{n}").name for n in range(24))
    assert found == "babaabbbabbaabaaabababaa"


@pytest.mark.parametrize("weights", [(1, 1), (3, 1), (1, 1, 2), (1, 99)])
@pytest.mark.parametrize("seed", [0, 1, 2**40])
def test_arms_get_their_part_of_the_customers(weights, seed):
    arms = [Arm(f"arm{n}", n, weight) for n, weight in enumerate(weights)]
    total, each = 20_000, sum(weights)
    counts = Counter(assign(arms, seed=seed, account="acct_1", customer=f"cus_{n}").name for n in range(total))
    for arm in arms:
        share = arm.weight / each
        deviation = (share * (1 - share) * total) ** 0.5
        assert abs(counts[arm.name] - share * total) < 4 * deviation


@given(st.integers(0, 2**62), st.text(max_size=20), st.text(max_size=20))
def test_the_same_customer_is_always_in_the_same_arm(seed, account, customer):
    assert len({assign(HALVES, seed=seed, account=account, customer=customer) for _ in range(3)}) == 1


def test_another_seed_mixes_the_customers_anew():
    ids = [f"cus_{n}" for n in range(2000)]
    one, other = ([assign(HALVES, seed=seed, account="", customer=who).name for who in ids] for seed in (1, 2))
    assert 800 < sum(a == b for a, b in zip(one, other, strict=True)) < 1200


@pytest.mark.parametrize("arms", [(), (Arm("a", 1, 0),), (Arm("a", 1), Arm("b", 2, -1))])
def test_arms_without_weight_are_refused(arms):
    with pytest.raises(ValueError, match="weight above zero"):
        assign(arms, seed=1, account="", customer="cus_1")
