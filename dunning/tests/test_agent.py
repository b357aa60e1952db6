"""A model chooses among what the rules permit and words a message inside its frame; nothing else of it is used."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from billingops.llm import client
from billingops.llm.models import AgentRun
from dunning import agent
from dunning.agent import MessageDraft
from dunning.plan.steps import ESCALATE, NOTIFY, RETRY
from dunning.tests.conftest import Debtor, waiting
from tests.support.fake_openai import MODEL, FakeOpenAI

pytestmark = pytest.mark.django_db
BODY = (
    "Hello,\n\nthe payment of {amount} for {invoice} did not go through. Please open {link} by {deadline}.\n\nThank you"
)


@pytest.fixture
def model(settings: Any) -> Iterator[FakeOpenAI]:
    with FakeOpenAI() as fake:
        settings.OPENAI_BASE_URL, settings.OPENAI_API_KEY, settings.OPENAI_MODEL = fake.base_url, "sk-fake", MODEL
        yield fake
        client.reset()


def choice(action: str, reason_code: str, explanation: str = "A person should call.") -> dict[str, str]:
    return {"action": action, "reason_code": reason_code, "explanation": explanation}


def test_the_models_choice_is_used_and_named(
    model: FakeOpenAI, debtor: Debtor, deliver: Callable[..., Any], no_stripe_retries: None
) -> None:
    model.answer(choice(ESCALATE, "unclear"))
    debtor.fail("insufficient_funds")
    deliver()
    (suggestion,) = waiting()
    assert suggestion.kind == ESCALATE
    assert suggestion.suggested_by == f"model {MODEL}, prompt dunning-choose-v2"
    assert suggestion.rationale.startswith("A person should call.")
    assert "The rules alone would choose: retry payment" in suggestion.rationale
    assert "EUR 79.00" in suggestion.params["title"]  # from the invoice, not from the model


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        (choice("refund", "unclear"), "not among the permitted actions"),
        (choice(RETRY, "because"), "is no reason for retry_payment"),
        (choice(RETRY, "no_funds_now", "Charge 5000 today."), "not in the facts"),
        (choice(RETRY, "no_funds_now", " "), "explanation is empty"),
        ("nonsense", "not valid"),
    ],
)
def test_an_answer_outside_the_frame_leaves_the_rules_in_charge(
    model: FakeOpenAI,
    debtor: Debtor,
    deliver: Callable[..., Any],
    no_stripe_retries: None,
    answer: Any,
    why: str,
) -> None:
    model.answer(answer)
    debtor.fail("insufficient_funds")
    deliver()
    (suggestion,) = waiting()
    assert (suggestion.kind, suggestion.suggested_by) == (RETRY, "rules dunning v2")
    assert "The model was asked and did not help" in suggestion.rationale
    run = AgentRun.objects.get()
    assert (run.outcome, run.subject) == ("invalid", suggestion.subject)
    assert why in run.reason


def test_a_model_that_is_down_is_named_in_the_rationale(
    model: FakeOpenAI, debtor: Debtor, deliver: Callable[..., Any], no_stripe_retries: None
) -> None:
    model.fail(500, times=4)
    debtor.fail("insufficient_funds")
    deliver()
    (suggestion,) = waiting()
    assert suggestion.kind == RETRY
    assert "500" in suggestion.rationale


def test_the_models_words_are_filled_by_code(model: FakeOpenAI, debtor: Debtor, deliver: Callable[..., Any]) -> None:
    model.answer(
        choice(NOTIFY, "customer_must_act", "The card has expired."),
        {"subject": "Your card needs a look", "body": BODY},
    )
    debtor.fail("expired_card")
    deliver()
    (suggestion,) = waiting()
    assert suggestion.params["subject"] == "Your card needs a look"
    assert "the payment of EUR 79.00 for " in suggestion.params["body"]
    assert "{link}" in suggestion.params["body"]
    assert "{deadline}" not in suggestion.params["body"]
    assert suggestion.suggested_by == f"model {MODEL}, prompt dunning-choose-v2, dunning-message-v2"


def test_nothing_personal_reaches_the_model(model: FakeOpenAI, debtor: Debtor, deliver: Callable[..., Any]) -> None:
    debtor.fail("expired_card")
    deliver()
    told = "\n".join(request.text for request in model.requests)
    assert len(model.requests) == 2
    for secret in ("debtor@example.com", "Dora", debtor.customer, debtor.method, debtor.subscription):
        assert secret not in told


@pytest.mark.parametrize(
    ("subject", "body", "problem"),
    [
        ("Hello", BODY, None),
        ("Pay 50 now", BODY, "figure"),
        ("Hello\nBcc: x", BODY, "more than one line"),
        ("Hello {link}", BODY, "no field"),
        ("Hello", BODY.replace("{link}", "https://evil.example"), "missing"),
        ("Hello", BODY + " Or go to https://evil.example", "link or an address"),
        ("Hello", BODY + " You owe fifty dollars more.", None),
        ("Hello", BODY + " Your card was stolen.", "must not read"),
        ("Hello", BODY + " We suspect fraud.", "must not read"),
        ("Hello", BODY.replace("{amount}", "EUR 99"), "missing"),
        ("Hello", BODY + "x" * 1500, "longer"),
    ],
)
def test_a_drafted_message_keeps_to_its_frame(subject: str, body: str, problem: str | None) -> None:
    found = agent.message_problem(MessageDraft(subject=subject, body=body))
    assert found is None if problem is None else problem in (found or "")
