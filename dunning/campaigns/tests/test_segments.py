"""Who a campaign is meant for, and which one wins: pure, by example and by property."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dunning.campaigns import content
from dunning.campaigns.segments import (
    FAMILIES,
    Candidate,
    CaseProfile,
    Range,
    Segment,
    family_of,
    match,
    overlap,
    winner,
)

PROFILE = CaseProfile(
    account="acct_1",
    customer="cus_1",
    amount=7900,
    currency="eur",
    price="price_pro",
    product="prod_pro",
    country="DE",
    tier="enterprise",
    category="later",
    family="card",
)


def test_a_segment_that_names_nothing_takes_every_case():
    assert match(Segment(), PROFILE)
    assert match(Segment(), CaseProfile())


@pytest.mark.parametrize(
    ("segment", "inside"),
    [
        (Segment(amount={"eur": Range(7900)}), True),
        (Segment(amount={"eur": Range(7901)}), False),
        (Segment(amount={"eur": Range(0, 7900)}), False),
        (Segment(amount={"eur": Range(0, 7901)}), True),
        (Segment(amount={"usd": Range(0)}), False),  # a currency that is not named is outside
        (Segment(prices=frozenset({"price_pro"})), True),
        (Segment(prices=frozenset({"price_basic"})), False),
        (Segment(products=frozenset({"prod_pro", "prod_x"})), True),
        (Segment(countries=frozenset({"AT"})), False),
        (Segment(tiers=frozenset({"enterprise"})), True),
        (Segment(categories=frozenset({"hard", "fraud"})), False),
        (Segment(families=frozenset({"card"})), True),
        (Segment(countries=frozenset({"DE"}), tiers=frozenset({"free"})), False),  # all of them must hold
    ],
)
def test_each_condition_narrows(segment, inside):
    assert match(segment, PROFILE) is inside


def candidate(name, priority=0, account="", **conditions):
    return Candidate(name, account, priority, Segment(**conditions))


def test_priority_wins_then_the_own_account_then_what_names_more():
    wide, own = candidate("wide"), candidate("own", account="acct_1")
    narrow = candidate("narrow", countries=frozenset({"DE"}), tiers=frozenset({"enterprise"}))
    first = candidate("first", priority=5)
    assert winner([wide, narrow, own, first], PROFILE).name == "first"
    assert winner([wide, narrow, own], PROFILE).name == "own"
    assert winner([wide, narrow], PROFILE).name == "narrow"
    assert winner([wide, narrow, own], replace(PROFILE, account="acct_2", country="FR")).name == "wide"
    assert winner([own], replace(PROFILE, account="acct_2")) is None


def test_a_price_is_narrower_than_a_product():
    product = candidate("product", products=frozenset({"prod_pro"}))
    price = candidate("price", prices=frozenset({"price_pro"}))
    assert winner([product, price], PROFILE).name == "price"


def test_equals_that_could_meet_are_rivals_and_others_are_not():
    germany, austria = (candidate(name, countries=frozenset({name})) for name in ("DE", "AT"))
    both = candidate("both", countries=frozenset({"AT", "DE"}))
    assert not germany.rivals(austria)
    assert germany.rivals(both)
    assert not germany.rivals(replace(both, priority=1))
    assert not germany.rivals(replace(both, account="acct_1"))
    small, large = candidate("s", amount={"eur": Range(0, 100)}), candidate("l", amount={"eur": Range(100)})
    assert not small.rivals(large)
    assert small.rivals(candidate("m", amount={"eur": Range(99, 101)}))
    # A price may belong to the product: their weights differ, so the price wins; among equals they would be rivals.
    assert overlap(Segment(prices=frozenset({"price_1"})), Segment(products=frozenset({"prod_9"})))


def test_payment_methods_fall_into_families():
    assert [family_of(one) for one in ("card", "link", "sepa_debit", "us_bank_account", "", "klarna")] == [
        "card", "wallet", "bank_debit", "bank_debit", "other", "other",
    ]  # fmt: skip


some = st.sampled_from
amounts = st.integers(0, 50)
ranges = st.builds(
    lambda low, width: Range(low, None if width is None else low + width), amounts, st.none() | st.integers(1, 30)
)
segments = st.builds(
    Segment,
    amount=st.dictionaries(some(["eur", "usd"]), ranges, max_size=2),
    prices=st.frozensets(some(["price_1", "price_2"])),
    products=st.frozensets(some(["prod_1", "prod_2"])),
    countries=st.frozensets(some(["DE", "AT", "US"])),
    tiers=st.frozensets(some(["free", "enterprise"])),
    categories=st.frozensets(some(["later", "hard"])),
    families=st.frozensets(some(FAMILIES)),
)
profiles = st.builds(
    CaseProfile,
    account=some(["", "acct_1", "acct_2"]),
    amount=amounts,
    currency=some(["eur", "usd", "jpy"]),
    price=some(["", "price_1", "price_2"]),
    product=some(["", "prod_1", "prod_2"]),
    country=some(["", "DE", "AT", "US"]),
    tier=some(["", "free", "enterprise"]),
    category=some(["later", "hard", "soon"]),
    family=some(FAMILIES),
)


@given(segments, segments, profiles)
def test_what_is_in_both_segments_shows_that_they_overlap(one, other, profile):
    if match(one, profile) and match(other, profile):
        assert overlap(one, other)
        assert overlap(other, one)


@given(
    st.lists(
        st.builds(
            lambda account, rank, segment: (account, rank, segment), some(["", "acct_1"]), st.integers(0, 2), segments
        ),
        max_size=6,
    ),
    profiles,
    st.randoms(),
)
def test_the_winner_matches_outranks_all_that_match_and_does_not_depend_on_their_order(given_, profile, random):
    candidates = [Candidate(f"c{n}", account, rank, segment) for n, (account, rank, segment) in enumerate(given_)]
    found = winner(candidates, profile)
    matching = [one for one in candidates if one.applies(profile)]
    assert (found is None) == (not matching)
    if found:
        assert found in matching
        assert all(found.rank >= other.rank for other in matching)
        # Only what activation would have refused can be equal.
        assert all(found.rank > other.rank or other is found or found.rivals(other) for other in matching)
    shuffled = list(candidates)
    random.shuffle(shuffled)
    assert winner(shuffled, profile) == found


@given(segments)
def test_a_segment_survives_being_kept_as_json(segment):
    assert content.read_segment(content.segment_json(segment)) == segment
