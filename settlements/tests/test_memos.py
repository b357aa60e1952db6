"""What a memo says of a payout's parts, and which words of a model are refused."""

from __future__ import annotations

from typing import Any

import pytest

from billingops.llm import client as llm_client
from billingops.llm.models import AgentRun
from settlements import memos, rules
from settlements.rules import settle
from settlements.tests import build
from tests.support.fake_openai import MODEL, FakeOpenAI

DEDUCTIONS = {
    "stripe_fee": 320,
    "withheld": 700,
    "reserve": 0,
    "refunded": 0,
    "held": 0,
    "earlier_debts": 150,
}
PERIOD: dict[str, Any] = {
    "account": "acct_bakery",
    "seller_name": "Bakery Supplies",
    "period": "2026-W47",
    "currency": "usd",
    "invoices": 12,
    "sums": {"share": 140_000, "stripe_fee": 2_970, "refunded": 7_000, "reserve_released": 3_000},
    "amount": 133_030,
}


@pytest.fixture
def case():
    """An invoice over USD 100.00 of which the seller has 70 %."""
    invoice = build.invoice(build.line())
    found = settle(invoice, build.charge(invoice), rules=[build.rule()], sellers=build.terms())
    return invoice, found.proposals[0]


def facts(case, **more):
    return memos.memo_facts(*case, seller_name="Bakery", paid_on="2026-11-10", **more)


def test_a_memo_tells_each_part_that_is_not_nothing(case):
    text = memos.built_in(facts(case, deductions=DEDUCTIONS, amount=5_830))
    assert text.endswith(
        "The platform keeps USD 30.00 (70 % to the seller). Your share is USD 70.00. Taken off: USD 3.20 Stripe's fee, "
        "USD 7.00 tax withheld, USD 1.50 owed from earlier payouts. Your payout is USD 58.30."
    )
    assert "reserve" not in text


def test_a_memo_without_parts_reads_as_before(case):
    assert memos.built_in(facts(case)).endswith("(70 % to the seller). Your payout is USD 70.00.")
    assert memos.built_in(facts(case, deductions=dict.fromkeys(DEDUCTIONS, 0))).endswith("Your payout is USD 70.00.")


def test_the_memo_of_a_period_tells_what_it_is_made_of():
    assert memos.built_in_period(memos.period_facts(PERIOD)) == (
        "Payout for the week 2026-W47: 12 invoices. Your share is USD 1,400.00. Taken off: USD 29.70 Stripe's fee, "
        "USD 70.00 given back by refunds and disputes. Added: USD 30.00 reserve released. Your payout is USD 1,330.30."
    )


@pytest.mark.parametrize(("period", "said"), [("2026-11-22", "the day 2026-11-22"), ("2026-11", "the month 2026-11")])
def test_a_period_is_named_for_what_it_is(period, said):
    assert f"Payout for {said}: " in memos.built_in_period(memos.period_facts({**PERIOD, "period": period}))


def test_amounts_follow_the_currency():
    text = memos.built_in_period(memos.period_facts({**PERIOD, "currency": "jpy", "invoices": 1}))
    assert "1 invoice." in text
    assert "JPY 133,030" in text


@pytest.mark.parametrize("deductions", [{"gift": 1}, {"withheld": -1}])
def test_a_part_that_no_memo_could_tell_is_refused(case, deductions):
    with pytest.raises(ValueError, match=next(iter(deductions))):
        facts(case, deductions=deductions)


GOOD = "Your share of the week is USD 1,400.00; after Stripe's fee of USD 29.70 the payout is USD 1,330.30."


def test_a_text_that_keeps_to_the_facts_is_used():
    assert memos.objection(GOOD, memos.period_facts(PERIOD)) is None


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("USD 1,330.31 is your payout, USD 1,330.30.", "1,330.31"),  # a cent more
        ("Your payout is USD 1,330.30 from thirteen invoices.", "thirteen"),
        ("Your payout is USD 1,330.30 from Twelve hundred sales.", "hundred"),
        ("Your payout is USD 1,330.30, that is 1.330,30 in words.", "1.330,30"),
        ("Your payout is USD 1,330.3 and USD 1,330.30.", "USD 1,330.3"),
        ("Your payout is USD 1,330.30 or $1,330.30.", "$1,330.30"),
        ("Your payout is USD 1,330.30, 133030 cents.", "133030"),
        ("Your payout is USD 1,330.30 and EUR 1,330.30.", "EUR 1,330.30"),
        ("Your payout is USD 1,330.30, we kept 12 %.", "12 %"),  # 12 invoices are no 12 %
        ("Your payout is USD 1,330.30, we kept 70 percent.", "70 percent"),
        ("Your payout is USD 1,330.30, half of the sales.", "half"),
        ("Your payout is USD 1,330.30, a dozen sales.", "dozen"),
        ("Your payout is USD 1,330.30, twice the last one.", "twice"),
        ("Your payout is USD 1,330.30, ½ of the sales.", "½"),
        ("Your payout is USD 1,330.30 from １２ invoices.", "１"),
        ("Your payout is USD 1,330.30 in 2 days.", "2"),
        ("Your payout is USD 1,330.30, seventy of it kept back.", "seventy"),  # of USD 70.00
        ("Your payout is USD 1,330.30 from 47 invoices.", "47"),  # the week's number
        ("Your payout is USD 1 330.30.", "1"),
        ("Thank you for selling with us.", "payout"),
    ],
)
def test_a_number_that_is_not_in_the_facts_refuses_the_text(text, named):
    found = memos.objection(text, memos.period_facts(PERIOD))
    assert found is not None
    assert named in found


@pytest.mark.parametrize(
    "text",
    [
        "Your payout is USD 29.70 and Stripe's fee is USD 1,330.30.",
        "Ihre Auszahlung ist USD 1,330.30 aus dreizehn Rechnungen.",
    ],
)
def test_the_limits_of_the_check_are_as_documented(text):
    """What it cannot tell: a number of the facts under another's name, number words of other languages."""
    assert memos.objection(text, memos.period_facts(PERIOD)) is None


@pytest.fixture
def model(settings, db):
    with FakeOpenAI() as fake:
        settings.OPENAI_BASE_URL, settings.OPENAI_API_KEY, settings.OPENAI_MODEL = fake.base_url, "sk-fake", MODEL
        yield fake
        llm_client.reset()


def test_a_model_words_the_memo_of_a_period(model):
    model.answer({"memo": GOOD})
    memo = memos.write_period(PERIOD)
    assert (memo.text, memo.author) == (GOOD, f"model {MODEL}, prompt settlement-period-v1")
    asked = model.requests[0].text
    assert "USD 29.70" in asked
    assert "Bakery Supplies" not in asked  # the seller may be a person
    assert AgentRun.objects.get().purpose == "period_memo"


def test_a_model_that_invents_a_part_is_replaced_by_the_rules(model, case):
    model.answer({"memo": "The payout is USD 58.30 after Stripe's fee of USD 3.50."})
    memo = memos.write(*case, seller_name="Bakery", paid_on="2026-11-10", deductions=DEDUCTIONS, amount=5_830)
    assert memo.author == rules.VERSION
    assert "USD 3.20 Stripe's fee" in memo.text
    assert AgentRun.objects.get().outcome == "invalid"
