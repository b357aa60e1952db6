"""A model's summary of a month: it is given every part, and may not say that all ties while a part does not."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest
from django.urls import reverse

from billingops.llm import client as llm_client
from settlements.ledger import journal
from settlements.ledger.accounts import Account, Kind
from settlements.ledger.journal import Draft, Line
from settlements.models import Seller
from settlements.reconciliation import causes, memos
from settlements.reconciliation.tests.books import ACTOR, movement, post, store_transactions
from tests.support.fake_openai import MODEL, FakeOpenAI

OCTOBER = datetime(2026, 10, 10, tzinfo=UTC)
FACTS: dict[str, Any] = {
    "month": "2026-10",
    "ties": False,
    "open_items": 0,
    "parts": [
        {"part": "Payable, USD", "currency": "USD", "ties": "it ties", "open_items": 0, "lines": []},
        {
            "part": "At Stripe, USD", "currency": "USD", "open_items": 0, "lines": [], "unexplained": "USD 999.00",
            "ties": "USD 999.00 more in the ledger than at Stripe, unexplained",
        },
    ],
}  # fmt: skip
HONEST = "Payable, USD ties. At Stripe, USD does not tie: USD 999.00 more is in the ledger, unexplained."


@pytest.mark.parametrize(
    "text",
    [
        "It ties: the month is complete and nothing is left to explain.",
        "Payable, USD ties, and USD 999.00 came in at Stripe. It ties.",
        "Of At Stripe, USD the sum is USD 999.00, and everything adds up.",
        "Payable, USD ties. At Stripe, USD does not.",
        "At Stripe, USD does not tie by USD 999.00, but there are no open differences.",
        "At Stripe, USD does not tie by USD 998.00, and USD 999.00 is another figure.",
    ],
)
def test_a_text_that_hides_a_part_that_does_not_tie_is_refused(text):
    assert memos.summary_objection(text, FACTS) is not None


def test_a_text_that_names_what_does_not_tie_is_taken():
    assert memos.summary_objection(HONEST, FACTS) is None


def test_a_report_that_ties_may_be_told_as_tying_unless_differences_are_open():
    text = "It ties, and nothing is left to explain."
    whole = {**FACTS, "ties": True, "parts": FACTS["parts"][:1]}
    assert memos.summary_objection(text, whole) is None
    assert memos.summary_objection(text, {**whole, "open_items": 1}) is not None
    assert memos.summary_objection("It ties but for 1 open difference.", {**whole, "open_items": 1}) is None


@pytest.fixture
def model(settings: Any, db: None) -> Any:
    with FakeOpenAI() as fake:
        settings.OPENAI_BASE_URL, settings.OPENAI_API_KEY, settings.OPENAI_MODEL = fake.base_url, "sk-fake", MODEL
        yield fake
        llm_client.reset()


@pytest.fixture
def unexplained() -> None:
    """A month in which the payable part ties, and USD 999.00 of Stripe's is in nobody's books."""
    Seller.objects.create(account="acct_b", name="Bakery")
    lines = (Line(Account.SELLER_PAYABLE, 100, "acct_b"), Line(Account.DISPUTE, -100, "acct_b"))
    held = Draft(key="k1", kind=Kind.HELD, currency="usd", occurred_at=OCTOBER, seller="acct_b", lines=lines)
    journal.post([held], actor=ACTOR)
    agreed = movement(Kind.PAYOUT, account="acct_b", gross=-5, at=OCTOBER)
    post(agreed.entry)
    store_transactions(agreed.txn, movement(Kind.PAYOUT, account="acct_b", gross=-99_900, at=OCTOBER).txn)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("text", [HONEST, "It ties: the month is complete and nothing is left to explain."])
def test_the_model_is_given_every_part_and_its_words_stand_only_where_they_are_true(
    model, unexplained, lead, client, drawn, text
):
    model.answer({"text": text})
    client.force_login(lead)
    answer = client.post(reverse("admin:reconciliation_report", args=["2026-10", "acct_b"]))
    assert answer["Content-Type"] == "application/pdf"
    sent = model.requests[0].text
    for said in ("Payable, USD", "At Stripe, USD", "USD 999.00", "unexplained"):
        assert said in sent
    in_short = drawn[0].sections[0]
    taken = text == HONEST
    assert in_short.text.startswith(text) == taken
    assert "USD 999.00 more in the ledger" in in_short.text or taken
    assert (in_short.note == f"by {causes.VERSION}") != taken
    assert "list of this balance was not read" in in_short.text
