"""Who gets what: order of precedence, every kind of share, and why somebody gets nothing."""

from __future__ import annotations

import random
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billingops.money import THREE_DECIMAL, ZERO_DECIMAL
from billingops.stripe.facts import TransferFacts
from settlements import rules
from settlements.tests.build import BAKERY, PAID, STUDIO, charge, flat, invoice, line, rule, terms

METADATA = {"seller_account": STUDIO}


def settle(made, known, charged=None, **more):
    sellers = more.pop("sellers", terms())
    return rules.settle(made, charged or charge(made), rules=known, sellers=sellers, **more)


def codes(settlement, seller=BAKERY):
    return [problem.code for problem in settlement.problems if problem.seller == seller]


# -- whose line it is --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("made", "known", "expected"),
    [
        (line(price_id="price_1", price_metadata=METADATA), [rule(match_type="price", match_value="price_1")], BAKERY),
        (
            line(product_id="prod_1", price_metadata=METADATA),
            [rule(match_type="product", match_value="prod_1")],
            BAKERY,
        ),
        (line(price_metadata=METADATA, product_metadata={"seller_account": "acct_x"}), [rule()], STUDIO),
        (line(product_metadata=METADATA), [rule()], STUDIO),
        (line(), [rule()], BAKERY),  # the invoice's own metadata
        (line(price_metadata={"seller_account": "  "}), [], BAKERY),
    ],
)
def test_the_seller_of_a_line_is_found_in_the_order_of_the_design(made, known, expected):
    assert rules.seller_of(made, invoice(made), rules.in_force(known, date(2026, 11, 10))) == expected


def test_a_subscription_names_the_seller_before_the_invoice_does():
    made = invoice(line(), subscription_metadata=METADATA)
    assert rules.seller_of(made.lines[0], made, []) == STUDIO


@pytest.mark.parametrize("field", ["transfer_destination", "on_behalf_of"])
def test_without_metadata_stripes_own_destination_names_the_seller(field):
    made = invoice(line(), metadata={}, **{field: STUDIO})
    assert rules.seller_of(made.lines[0], made, []) == STUDIO


def test_a_line_without_a_seller_is_the_platforms_own_revenue():
    made = invoice(line(), metadata={})
    found = settle(made, [rule(seller="")])
    assert (found.proposals, found.problems, found.own) == ((), (), ("il_1",))


# -- which rule counts -------------------------------------------------------------------------------------------------

PRICE = rule("by-price", percent="1", match_type="price", match_value="price_1")
PRODUCT = rule("by-product", percent="2", match_type="product", match_value="prod_1")
SELLER = rule("by-seller", percent="3")
DEFAULT = rule("default", seller="", percent="4")


@pytest.mark.parametrize("dropped", range(4))
def test_the_most_specific_rule_wins_whatever_the_order(dropped):
    known = [PRICE, PRODUCT, SELLER, DEFAULT][dropped:]
    made = line(price_id="price_1", product_id="prod_1")
    for _ in range(5):
        shuffled = random.sample(known, len(known))
        assert rules.rule_for(made, BAKERY, rules.in_force(shuffled, date(2026, 11, 10))) == known[0]


def test_among_equals_the_later_valid_from_wins():
    later = rule("z", percent="80", valid_from=date(2026, 6, 1))
    assert rules.rule_for(line(), BAKERY, rules.in_force([later, SELLER], date(2026, 11, 10))) == later


@pytest.mark.parametrize(
    ("day", "expected"),
    [
        (date(2025, 12, 31), None),
        (date(2026, 1, 1), 1),
        (date(2026, 5, 31), 1),  # the second version does not reach back behind its first day
        (date(2026, 6, 1), 2),
        (date(2026, 8, 31), 2),
        (date(2026, 9, 1), None),  # the version that replaced the first one has ended; the first does not come back
    ],
)
def test_of_a_rules_versions_the_highest_that_has_begun_counts_until_it_ends(day, expected):
    versions = [rule(), rule(version=2, percent="80", valid_from=date(2026, 6, 1), valid_until=date(2026, 9, 1))]
    found = rules.in_force(versions, day)
    assert [row.version for row in found] == ([expected] if expected else [])


def test_a_rule_by_product_of_another_seller_is_not_used():
    made = line(price_id="price_1", product_id="prod_1")
    known = [PRICE, rule("theirs", seller=STUDIO, match_type="product", match_value="prod_1", percent="9")]
    found = settle(invoice(made), known)
    assert found.proposals[0].lines[0].rule == PRICE


# -- shares ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("known", "made", "fee", "share"),
    [
        (rule(percent="70"), line(amount=19_004), 5_701, 13_303),
        (rule(percent="70"), line(amount=10_000, discount=1_000, tax_inclusive=500, tax_exclusive=800), 2_550, 5_950),
        (rule(percent="50"), line(amount=5), 2, 3),  # half-even: 2.5 → 2
        (rule(percent="50"), line(amount=7), 4, 3),  # half-even: 3.5 → 4
        (rule(percent="50"), line(amount=-5), -2, -3),
        (rule(percent="33.3333"), line(amount=3), 2, 1),
        (rule(percent="0"), line(amount=10), 10, 0),
        (rule(percent="100"), line(amount=10), 0, 10),
        (flat(500, per_unit=True), line(amount=10_000, quantity=3), 1_500, 8_500),
        (flat(500, per_unit=True), line(amount=1_000, quantity=3), 1_000, 0),  # never more than the base
        (flat(500, per_unit=True), line(amount=-4_000, quantity=1), -500, -3_500),
        (flat(500, per_unit=True), line(amount=10_000, quantity=0), 0, 10_000),
        (flat(1_000), line(amount=10_000, quantity=3), 1_000, 9_000),
        (flat(1_000), line(amount=-300), -300, 0),
        (flat(800, "jpy"), line(amount=50_000, currency="jpy"), 800, 49_200),
        (rule(percent="70"), line(amount=9_990, currency="kwd"), 3_000, 6_990),  # 2997 + what cannot be moved
        (rule(percent="70"), line(amount=9_900, currency="isk"), 3_000, 6_900),
    ],
)
def test_the_share_of_a_line(known, made, fee, share):
    amount = rules.fee_of(made.base, made.quantity, known, made.currency)
    assert (amount, made.base - amount) == (fee, share)


CURRENCIES = ["usd", "eur", "huf", *sorted(ZERO_DECIMAL)[:3], *sorted(THREE_DECIMAL)[:2], "isk", "ugx"]


@st.composite
def cases(draw):
    currency = draw(st.sampled_from(CURRENCIES))
    sellers = draw(st.lists(st.sampled_from(["", BAKERY, STUDIO]), min_size=1, max_size=8))
    lines = []
    for index, seller in enumerate(sellers):
        amount = draw(st.integers(-(10**6), 10**9))
        lines.append(
            line(
                f"il_{index}",
                amount,
                currency,
                discount=draw(st.integers(0, max(amount, 0))),
                tax_exclusive=draw(st.integers(0, 10**5)),
                quantity=draw(st.integers(0, 50)),
                price_metadata={"seller_account": seller} if seller else {},
            )
        )
    known = []
    for seller in (BAKERY, STUDIO):
        fee = draw(st.integers(0, 10**6))
        percent = str(draw(st.decimals(0, 100, places=4)))
        known.append(
            draw(
                st.sampled_from(
                    [
                        rule(f"p-{seller}", seller, percent),
                        flat(fee, currency, name=f"f-{seller}", seller=seller),
                        flat(fee, currency, per_unit=True, name=f"u-{seller}", seller=seller),
                    ]
                )
            )
        )
    return invoice(*lines, currency=currency, metadata={}), known


@given(cases(), st.randoms())
def test_fees_and_shares_add_up_to_the_bases_in_every_currency(case, shuffle):
    made, known = case
    found = settle(made, known)
    step = rules.smallest_step(made.currency)
    for proposal in found.proposals:
        theirs = [item.base for item in made.lines if item.price_metadata.get("seller_account") == proposal.seller]
        assert proposal.amount + proposal.fee == sum(theirs) == proposal.base
        assert proposal.amount > 0
        assert proposal.amount % step == 0
        for share in proposal.lines:
            assert share.base == share.fee + share.share
            assert abs(share.share) <= abs(share.base)
    paid = sum(proposal.amount for proposal in found.proposals)
    assert paid <= max(0, rules.shareable(made, charge(made)))
    assert {problem.seller for problem in found.problems}.isdisjoint(item.seller for item in found.proposals)
    if "over_charge" not in {problem.code for problem in found.problems}:
        assert list(found.proposals) == [one for one in found.earned if one.amount > 0]
    for earned in found.earned:
        assert earned.base == earned.fee + earned.share
    lines, shuffled = list(made.lines), list(known)
    shuffle.shuffle(lines)
    shuffle.shuffle(shuffled)
    again = settle(invoice(*lines, currency=made.currency, metadata={}), shuffled)
    assert {p.seller: (p.amount, p.fee) for p in again.proposals} == {
        p.seller: (p.amount, p.fee) for p in found.proposals
    }
    assert sorted((p.code, p.seller) for p in again.problems) == sorted((p.code, p.seller) for p in found.problems)


@given(st.integers(-(10**12), 10**12), st.decimals(0, 100, places=6), st.sampled_from(["usd", "jpy"]))
def test_a_percentage_is_within_half_a_unit_of_the_exact_one(base, percent, currency):
    fee = rules.fee_of(base, 1, rule(percent=str(percent)), currency)
    assert abs(Decimal(fee) * 100 - base * (100 - percent)) <= 50


# -- why nothing is paid -----------------------------------------------------------------------------------------------


def test_a_seller_without_a_rule_is_not_paid_and_the_finding_says_what_is_missing():
    made = invoice(line("il_1", product_id="prod_1"), line("il_2", product_id="prod_2"))
    found = settle(made, [rule(match_type="product", match_value="prod_1")])
    assert found.proposals == ()  # not even the line that has a rule
    assert codes(found) == ["missing_rule"]
    assert found.problems[0].lines == ("il_2",)
    assert "prod_2" in found.problems[0].text
    assert "Add a rule" in found.problems[0].text


def test_one_sellers_missing_rule_does_not_hold_another_up():
    made = invoice(line("il_1"), line("il_2", price_metadata=METADATA))
    found = settle(made, [rule()])
    assert [item.seller for item in found.proposals] == [BAKERY]
    assert codes(found, STUDIO) == ["missing_rule"]


@pytest.mark.parametrize(
    ("invoice_more", "charge_more", "expected"),
    [
        ({"status": "open"}, {}, "no_charge"),
        ({}, {"status": "pending"}, "no_charge"),
        ({}, {"amount": 0}, "no_charge"),
        ({"paid_out_of_band": True}, {"amount": 0}, "no_charge"),
        ({}, {"currency": "eur"}, "wrong_currency"),
        ({}, {"amount": 6_999}, "over_charge"),
    ],
)
def test_nothing_is_earned_from_a_charge_that_cannot_be_shared(invoice_more, charge_more, expected):
    made = invoice(line(), **invoice_more)
    found = settle(made, [rule()], charge(made, **charge_more))
    assert (found.earned, found.proposals, codes(found)) == ((), (), [expected])
    assert "Nothing was paid out." in found.problems[0].text


def test_an_invoice_without_any_charge_is_a_finding():
    made = invoice(line(), charge_id="")
    found = rules.settle(made, None, rules=[rule()], sellers=terms())
    assert (found.earned, found.proposals, codes(found)) == ((), (), ["no_charge"])


def test_a_refund_changes_nothing_of_what_was_earned():
    made = invoice(line())
    found = settle(made, [rule()], charge(made, amount_refunded=5_000))
    assert (found.proposal(BAKERY).amount, found.problems) == (7_000, ())


def test_a_disputed_share_is_earned_and_not_paid_out():
    made = invoice(line())
    found = settle(made, [rule()], charge(made, disputed=True))
    assert (found.proposals, codes(found)) == ((), ["charge_disputed"])
    assert found.earning(BAKERY).amount == 7_000
    assert "Nothing was paid out." in found.problems[0].text


@pytest.mark.parametrize(
    ("lines", "known", "amount"),
    [
        ([line(amount=-100)], [rule()], -70),
        ([line(amount=0)], [rule()], 0),
        ([line("il_1", 100), line("il_2", -100)], [rule()], 0),
        ([line(amount=100)], [rule(percent="0")], 0),
    ],
)
def test_a_share_of_nothing_or_less_is_earned_and_not_paid(lines, known, amount):
    theirs = [line(item.id, item.amount, price_metadata={"seller_account": BAKERY}) for item in lines]
    found = settle(invoice(*theirs, line("own", 50_000), metadata={}), known)
    assert (found.proposals, found.problems, found.earning(BAKERY).amount) == ((), (), amount)


def test_a_negative_line_lowers_what_the_seller_gets():
    made = invoice(line("il_1", 10_000), line("il_2", -4_000, proration=True))
    found = settle(made, [rule()])
    assert (found.proposals[0].amount, found.proposals[0].fee) == (4_200, 1_800)


def test_a_flat_fee_in_another_currency_is_never_converted():
    made = invoice(line(currency="eur"), currency="eur")
    found = settle(made, [flat(500, "usd")])
    assert codes(found) == ["wrong_currency"]
    assert "USD" in found.problems[0].text
    assert "EUR" in found.problems[0].text


def test_a_payment_that_stripe_converted_is_settled_by_hand_whoever_bears_its_fee():
    made = invoice(line(currency="eur"), currency="eur")
    arrived = charge(made, fee=320, balance_currency="usd")
    for bearing in (terms(), terms(stripe_fees="seller")):
        found = rules.settle(made, arrived, rules=[rule()], sellers=bearing)
        assert found.earned == ()
        (problem,) = found.problems
        assert problem.code == "wrong_currency"
        assert "took its fee in USD" in problem.text
        in_euros = charge(made, fee=320, balance_currency="eur")
        assert rules.settle(made, in_euros, rules=[rule()], sellers=bearing).proposal(BAKERY).amount == 7_000


def test_what_stripe_moved_itself_and_converted_is_earned_unless_the_seller_bears_the_fee():
    made = invoice(line(currency="eur"), currency="eur", transfer_destination=BAKERY)
    arrived = charge(made, fee=320, balance_currency="usd")
    assert [one.amount for one in rules.settle(made, arrived, rules=[rule()], sellers=terms()).earned] == [7_000]
    assert rules.settle(made, arrived, rules=[rule()], sellers=terms(stripe_fees="seller")).earned == ()


@pytest.mark.parametrize(
    ("sellers", "expected"),
    [
        ({}, "unknown_seller"),
        (terms(active=False), "unknown_seller"),
        (terms(obstacle="Stripe restricts the account (rejected.fraud)"), "account_restricted"),
    ],
)
def test_money_goes_only_where_the_configuration_and_stripe_allow_it(sellers, expected):
    found = settle(invoice(line()), [rule()], sellers=sellers)
    assert (found.proposals, codes(found)) == ((), [expected])
    # A restricted account still earns; who is not in the config does not.
    assert [one.amount for one in found.earned] == ([7_000] if expected == "account_restricted" else [])


def test_money_that_somebody_sent_by_hand_holds_the_payout_but_not_the_earning():
    made = invoice(line())
    sent = TransferFacts("tr_1", "", 500, "usd", BAKERY, PAID, source_transaction="ch_1")
    found = settle(made, [rule()], foreign=[sent])
    assert (found.proposals, codes(found), found.earning(BAKERY).amount) == ((), ["already_transferred"], 7_000)


def test_a_destination_charge_is_not_paid_twice():
    made = invoice(line("il_1"), line("il_2", 100, price_metadata=METADATA), transfer_destination=BAKERY)
    found = settle(made, [rule(), rule("s", seller=STUDIO)])
    assert found.proposals == ()
    assert [(one.seller, one.amount, one.moved_by_stripe) for one in found.earned] == [(BAKERY, 7_000, True)]
    assert BAKERY in found.notes[0]
    assert (codes(found), codes(found, STUDIO)) == ([], ["no_charge"])


def test_tax_is_not_shared_out_even_when_the_payment_would_cover_it():
    theirs = line("il_1", 10_000, tax_exclusive=1_900, price_metadata={"seller_account": BAKERY})
    made = invoice(theirs, line("own", -3_500), metadata={})
    found = settle(made, [rule()])  # paid 8,400, of which 1,900 is tax; the share would be 7,000
    assert (codes(found), found.earned) == (["over_charge"], ())


def test_what_others_already_got_counts_against_the_charge():
    made = invoice(line("il_1"), line("il_2", price_metadata=METADATA))
    known = [rule(), rule("s", seller=STUDIO)]
    assert len(settle(made, known).proposals) == 2
    found = settle(made, known, committed={STUDIO: 13_001})  # paid under an older rule
    assert (found.proposals, codes(found), codes(found, STUDIO)) == ((), ["over_charge"], [])
