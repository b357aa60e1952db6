"""Tiers by volume, limits, splits, promotions, currencies and customer tiers; by example and by property."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billingops.money import THREE_DECIMAL, ZERO_DECIMAL, round_half_even
from settlements import fees, rules
from settlements.rules import MARGINAL, TIERED, WHOLE, Terms, Tier
from settlements.tests.build import BAKERY, STUDIO, charge, flat, invoice, line, rule, terms

DAY = date(2026, 11, 10)
CURRENCIES = ["usd", "eur", "huf", *sorted(ZERO_DECIMAL)[:2], *sorted(THREE_DECIMAL)[:2], "isk", "ugx"]
SPLIT = ((BAKERY, 2), (STUDIO, 1))


def tiered(*tiers, mode=MARGINAL, period="month", currency="usd", **more):
    """Tiers as (up_to, seller's percent)."""
    made = tuple(Tier(up_to, Decimal(percent)) for up_to, percent in tiers)
    return rule(share_type=TIERED, tiers=made, mode=mode, period=period, currency=currency, **more)


def settle(made, known, charged=None, **more):
    return rules.settle(made, charged or charge(made), rules=known, sellers=more.pop("sellers", terms()), **more)


# -- tiers -------------------------------------------------------------------------------------------------------------

STEPS = ((1_000_000, "70"), (None, "80"))


@pytest.mark.parametrize(
    ("mode", "volume", "fee"),
    [
        (MARGINAL, 0, 0),
        (MARGINAL, 1_000_000, 300_000),
        (MARGINAL, 1_000_001, 300_000),  # + 0.2
        (MARGINAL, 1_500_000, 400_000),
        (MARGINAL, -100, -30),
        (WHOLE, 1_000_000, 300_000),  # up to and including
        (WHOLE, 1_000_001, 200_000),
        (WHOLE, 1_500_000, 300_000),
        (WHOLE, -100, -30),
    ],
)
def test_the_fee_of_a_volume(mode, volume, fee):
    assert fees.retained(volume, tiered(*STEPS, mode=mode), "usd") == fee


def test_an_invoice_pays_the_difference_that_it_makes_to_its_month():
    known = tiered(*STEPS)
    made = invoice(line(amount=200_000))
    found = settle(made, [known], volumes={(BAKERY, "r", 1, "2026-11"): 900_000}).earned[0]
    assert (found.base, found.fee, found.amount) == (200_000, 30_000 + 20_000, 150_000)
    assert found.adjustment == 0
    assert found.volume == (("r", 1, "2026-11", 200_000),)


def test_a_whole_volume_tier_pays_for_the_earlier_invoices_of_the_period_too():
    known = tiered(*STEPS, mode=WHOLE)
    made = invoice(line(amount=200_000))
    found = settle(made, [known], volumes={(BAKERY, "r", 1, "2026-11"): 900_000}).earned[0]
    assert (found.lines[0].fee, found.lines[0].share) == (40_000, 160_000)  # the reached tier's rate on its own base
    assert found.adjustment == 90_000  # 10 % more of the 900,000 before
    assert found.amount == 250_000
    other = line("il_2", 900_000, price_metadata={"seller_account": STUDIO})
    made = invoice(line(amount=-200_000), other)
    settled = settle(made, [known, rule("s", STUDIO)], volumes={(BAKERY, "r", 1, "2026-11"): 1_100_000})
    back = settled.earning(BAKERY)
    assert (back.share, back.adjustment, back.amount) == (-140_000, -110_000, -250_000)


def test_the_volume_of_another_period_version_or_seller_does_not_count():
    made = invoice(line(amount=200_000))
    others = {
        (BAKERY, "r", 1, "2026-10"): 10**9,
        (BAKERY, "r", 2, "2026-11"): 10**9,
        (STUDIO, "r", 1, "2026-11"): 10**9,
        (BAKERY, "q", 1, "2026-11"): 10**9,
    }
    assert settle(made, [tiered(*STEPS)], volumes=others).earned[0].fee == 60_000


@pytest.mark.parametrize(
    ("period", "day", "name"),
    [
        ("month", date(2026, 1, 31), "2026-01"),
        ("quarter", date(2026, 3, 31), "2026-Q1"),
        ("quarter", date(2026, 4, 1), "2026-Q2"),
        ("quarter", date(2026, 12, 31), "2026-Q4"),
        ("year", date(2026, 12, 31), "2026"),
    ],
)
def test_the_period_is_that_of_the_day_of_the_payment(period, day, name):
    assert rules.period_of(day, period) == name
    paid = datetime(day.year, day.month, day.day, 23, 59, tzinfo=UTC)
    made = invoice(line(), paid_at=paid)
    known = [tiered(*STEPS, period=period)]
    assert rules.tier_keys(made, charge(made), known) == {(BAKERY, "r", 1, name)}
    assert settle(made, known).earned[0].volume == (("r", 1, name, 10_000),)


def test_tiers_in_another_currency_are_never_converted():
    made = invoice(line(currency="eur"), currency="eur")
    found = settle(made, [tiered(*STEPS)])
    assert (found.earned, [problem.code for problem in found.problems]) == ((), ["wrong_currency"])


@st.composite
def tier_rules(draw, currency):
    bounds = sorted(draw(st.sets(st.integers(1, 10**6), max_size=4)))
    percents = [str(draw(st.decimals(0, 100, places=3))) for _ in range(len(bounds) + 1)]
    mode = draw(st.sampled_from([MARGINAL, WHOLE]))
    return tiered(*zip([*bounds, None], percents, strict=True), mode=mode, currency=currency)


@st.composite
def histories(draw):
    currency = draw(st.sampled_from(CURRENCIES))
    bases = draw(st.lists(st.lists(st.integers(-(10**5), 10**6), min_size=1, max_size=3), min_size=1, max_size=8))
    return currency, draw(tier_rules(currency)), bases


@given(histories(), st.randoms())
def test_the_fees_of_a_period_add_up_to_the_fee_of_its_volume_whatever_the_order(history, shuffle):
    currency, known, invoices = history
    step = rules.smallest_step(currency)
    order = list(invoices)
    for _ in range(2):
        volume, kept = 0, 0
        for bases in order:
            lines, adjustment = fees.tiered_fees(volume, bases, known, currency)
            kept += sum(lines) - adjustment
            assert all((base - fee) % step == 0 for base, fee in zip(bases, lines, strict=True))
            assert adjustment % step == 0
            volume += sum(bases)
        assert kept == fees.retained(volume, known, currency)
        assert abs(kept - fees.exact_fee(volume, known)) < step + Fraction(1, 2)
        shuffle.shuffle(order)


@given(histories())
def test_settling_invoice_by_invoice_keeps_what_the_volume_says(history):
    currency, known, invoices = history
    volumes: dict[tuple[str, str, int, str], int] = {}
    kept = 0
    for index, bases in enumerate(invoices):
        lines = [line(f"il_{index}_{number}", base, currency) for number, base in enumerate(bases)]
        made = invoice(*lines, currency=currency)
        charged = charge(made, amount=10**12)
        assert rules.tier_keys(made, charged, [known]) == {(BAKERY, "r", 1, "2026-11")}
        (earned,) = settle(made, [known], charged, volumes=volumes).earned
        assert earned.base == earned.fee + earned.share == sum(bases)
        assert earned.amount == earned.share + earned.adjustment
        kept += earned.fee - earned.adjustment
        for name, version, period, base in earned.volume:
            key = (BAKERY, name, version, period)
            volumes[key] = volumes.get(key, 0) + base
    assert kept == fees.retained(sum(volumes.values()), known, currency)


@given(histories())
def test_below_its_first_bound_a_tiered_rule_is_a_percentage_of_the_volume(history):
    currency, known, _ = history
    volume = min(known.tiers[0].up_to or 10**6, 10**6)
    percent = rule(percent=str(known.tiers[0].percent))
    assert fees.retained(volume, known, currency) == rules.fee_of(volume, 1, percent, currency)


# -- limits ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("base", "minimum", "maximum", "fee"),
    [
        (1_000, 500, None, 500),
        (10_000, 500, None, 3_000),
        (10_000, None, 2_000, 2_000),
        (10_000, 500, 2_000, 2_000),
        (300, 500, None, 300),  # never more than the base
        (0, 500, None, 0),
        (-1_000, 500, None, -500),  # given back by the same rule
        (-10_000, None, 2_000, -2_000),
    ],
)
def test_a_fee_stays_within_its_limits(base, minimum, maximum, fee):
    known = rule(minimum_fee=minimum, maximum_fee=maximum, currency="usd")
    assert rules.fee_of(base, 1, known, "usd") == fee


@given(
    st.integers(-(10**9), 10**9),
    st.integers(0, 50),
    st.sampled_from(CURRENCIES),
    st.integers(0, 10**6),
    st.integers(0, 10**6),
    st.decimals(0, 100, places=4),
    st.booleans(),
)
def test_limits_hold_up_to_the_base_and_to_what_can_be_moved(base, quantity, currency, low, more, percent, per_unit):
    high, step = low + more, rules.smallest_step(currency)
    limits = {"minimum_fee": low, "maximum_fee": high, "currency": currency}
    known = replace(flat(700, per_unit=True), **limits) if per_unit else rule(percent=str(percent), **limits)
    fee = rules.fee_of(base, quantity, known, currency)
    assert min(low, abs(base)) <= abs(fee) < min(high, abs(base)) + step
    assert (base - fee) % step == 0
    assert base * fee >= 0
    assert abs(fee) <= abs(base)


def test_limits_in_another_currency_are_never_converted():
    made = invoice(line(currency="eur"), currency="eur")
    found = settle(made, [rule(minimum_fee=5, currency="usd")])
    assert [problem.code for problem in found.problems] == ["wrong_currency"]


# -- several sellers of one line ---------------------------------------------------------------------------------------


def test_a_rule_that_splits_a_line_names_its_sellers():
    made = invoice(line(amount=10_000, price_id="price_1"), metadata={})
    known = [rule(seller="", match_type="price", match_value="price_1", split=SPLIT)]
    found = settle(made, known)
    assert rules.sellers_of(made, charge(made), known) == {BAKERY, STUDIO}
    assert {one.seller: (one.base, one.fee, one.amount) for one in found.proposals} == {
        BAKERY: (6_667, 2_000, 4_667),
        STUDIO: (3_333, 1_000, 2_333),
    }


def test_a_sellers_own_rule_may_share_its_lines_with_others():
    made = invoice(line(amount=900))
    found = settle(made, [rule(split=SPLIT)])
    assert [(one.seller, one.amount) for one in found.proposals] == [(BAKERY, 420), (STUDIO, 210)]


def test_a_promotion_of_any_seller_changes_the_fee_of_a_shared_line_not_who_shares_it():
    made = invoice(line(amount=900, price_id="price_1"), metadata={})
    known = [
        rule("duo", "", match_type="price", match_value="price_1", split=SPLIT),
        rule("promo", "", "100", match_type="price", match_value="price_1", promotion=True),
        rule("other-duo", "", match_type="product", match_value="prod_1", split=((STUDIO, 1), (BAKERY, 1))),
    ]
    found = settle(made, known)
    assert [(one.seller, one.amount) for one in found.proposals] == [(BAKERY, 600), (STUDIO, 300)]
    assert {share.rule.name for one in found.proposals for share in one.lines} == {"promo"}


def test_a_seller_that_may_not_earn_leaves_the_other_part_of_the_line_alone():
    made = invoice(line(amount=900, price_id="price_1"), metadata={})
    known = [rule(seller="", match_type="price", match_value="price_1", split=SPLIT)]
    found = settle(made, known, sellers=terms(BAKERY))
    assert [(one.seller, one.amount) for one in found.earned] == [(BAKERY, 420)]
    assert [(problem.code, problem.seller) for problem in found.problems] == [("unknown_seller", STUDIO)]


def test_each_seller_of_a_tiered_split_counts_its_own_volume():
    made = invoice(line(amount=900, price_id="price_1"), metadata={})
    known = [tiered((500, "70"), (None, "90"), seller="", match_type="price", match_value="price_1", split=SPLIT)]
    assert rules.tier_keys(made, charge(made), known) == {
        (BAKERY, "r", 1, "2026-11"),
        (STUDIO, "r", 1, "2026-11"),
    }
    found = settle(made, known, volumes={(STUDIO, "r", 1, "2026-11"): 500})
    assert {one.seller: (one.fee, one.volume[0][3]) for one in found.earned} == {BAKERY: (160, 600), STUDIO: (30, 300)}


@given(
    st.integers(-(10**9), 10**9),
    st.integers(0, 50),
    st.lists(st.integers(1, 10**6), min_size=2, max_size=6),
    st.sampled_from(CURRENCIES),
    st.decimals(0, 100, places=4),
    st.integers(0, 10**5),
)
def test_what_is_split_adds_up_to_the_line_and_every_part_can_be_moved(base, quantity, weights, currency, percent, fee):
    accounts = [f"acct_{index}" for index in range(len(weights))]
    more = {"seller": "", "match_type": "price", "match_value": "price_1"}
    split = tuple(zip(accounts, weights, strict=True))
    for known in (
        rule(percent=str(percent), split=split, **more),
        flat(fee, currency, per_unit=True, split=split, **more),
    ):
        sold = line(amount=base, currency=currency, price_id="price_1", quantity=quantity)
        made = invoice(sold, currency=currency, metadata={})
        agreed = {account: Terms(account, account) for account in accounts}
        found = settle(made, [known], charge(made, amount=10**12), sellers=agreed)
        assert [one.seller for one in found.earned] == sorted(accounts)
        kept = rules.fee_of(base, quantity, known, currency)
        assert sum(one.base for one in found.earned) == base
        assert sum(one.fee for one in found.earned) == kept
        step = rules.smallest_step(currency)
        for one in found.earned:
            assert one.base == one.fee + one.share
            assert one.share % step == 0
            exact = Fraction((base - kept) * split[accounts.index(one.seller)][1], sum(weights))
            assert abs(one.share - exact) < step


# -- which rule --------------------------------------------------------------------------------------------------------

GOLD = {"match_tier": "gold"}
USD = {"match_currency": "usd"}
PROMOTION = {"promotion": True}
PRICE = {"match_type": "price", "match_value": "price_1"}


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        (PRICE, {**GOLD, **USD, **PROMOTION}),  # what it names comes before for whom
        ({**PRICE, **PROMOTION}, PRICE),
        (GOLD, {**USD, **PROMOTION}),
        ({**GOLD, **USD}, {**GOLD, **PROMOTION}),
        (USD, PROMOTION),
        ({**USD, **PROMOTION}, USD),
        (PROMOTION, {"valid_from": date(2026, 11, 1)}),
        (GOLD, {}),
    ],
)
def test_the_more_specific_rule_wins_then_the_promotion_then_the_later_day(better, worse):
    made = line(price_id="price_1")
    known = [rule("a-worse", **worse), rule("b-better", **better)]
    for order in (known, known[::-1]):
        assert rules.rule_for(made, BAKERY, rules.in_force(order, DAY), "gold") == known[1]


@pytest.mark.parametrize("tier", ["", "silver"])
def test_a_rule_for_a_tier_is_for_customers_of_that_tier_alone(tier):
    known = [rule("all"), rule("gold", percent="90", **GOLD)]
    assert settle(invoice(line()), known, tier=tier).proposals[0].amount == 7_000
    assert settle(invoice(line()), known, tier="gold").proposals[0].amount == 9_000


def test_a_rule_for_a_currency_is_for_invoices_in_that_currency_alone():
    known = [rule("all"), rule("euro", percent="90", match_currency="eur")]
    assert settle(invoice(line()), known).proposals[0].amount == 7_000
    assert settle(invoice(line(currency="eur"), currency="eur"), known).proposals[0].amount == 9_000


@pytest.mark.parametrize(("day", "name"), [(9, "always"), (10, "promo"), (11, "promo"), (12, "always")])
def test_a_promotion_holds_from_its_first_day_to_the_day_before_its_end(day, name):
    known = [
        rule("always"),
        rule("promo", valid_from=date(2026, 11, 10), valid_until=date(2026, 11, 12), promotion=True),
    ]
    made = invoice(line(), paid_at=datetime(2026, 11, day, 23, 59, tzinfo=UTC))
    assert settle(made, known).proposals[0].lines[0].rule.name == name


def test_a_shortened_promotion_does_not_come_back_in_its_older_version():
    promo = rule("promo", valid_until=date(2026, 12, 31), promotion=True)
    shortened = replace(promo, version=2, valid_until=date(2026, 11, 5))
    assert [one.name for one in rules.in_force([promo, shortened, rule("always")], DAY)] == ["always"]


def test_a_rule_by_price_for_a_tier_names_the_seller_of_that_tiers_lines_alone():
    known = [rule("gold", STUDIO, **PRICE, **GOLD)]
    made = invoice(line(price_id="price_1"))
    assert rules.sellers_of(made, charge(made), known, "gold") == {STUDIO}
    assert rules.sellers_of(made, charge(made), known) == {BAKERY}


# -- what is agreed ----------------------------------------------------------------------------------------------------


def test_the_snapshot_of_the_terms_is_plain_json():
    agreed = Terms(
        BAKERY,
        "Bakery",
        minimum={"usd": 100},
        schedule="weekly",
        hold_days=7,
        reserve_percent=Decimal("10.500000"),
        reserve_days=90,
        negative_limit={"usd": 5, "eur": 4},
    )
    assert agreed.snapshot() == {
        "schedule": "weekly",
        "hold_days": 7,
        "minimum_payout": {"usd": 100},
        "reserve_percent": "10.5",
        "reserve_days": 90,
        "tax_withholding_percent": "0",
        "stripe_fees": "platform",
        "recovery": "reversal",
        "negative_limit": {"eur": 4, "usd": 5},
    }


def test_what_a_whole_volume_tier_adjusts_does_not_count_against_the_charge():
    known = tiered((100, "0"), (None, "100"), mode=WHOLE)
    made = invoice(line(amount=100))
    found = settle(made, [known], volumes={(BAKERY, "r", 1, "2026-11"): 100})
    assert (found.problems, found.earned[0].share, found.earned[0].amount) == ((), 100, 200)


def test_rounding_is_half_even_like_everywhere():
    known = tiered((None, "50"))
    assert [fees.retained(volume, known, "usd") for volume in (1, 3, 5, 7)] == [
        round_half_even(Fraction(volume, 2)) for volume in (1, 3, 5, 7)
    ]
