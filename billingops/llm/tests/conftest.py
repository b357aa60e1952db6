"""A model's server on loopback, and the smallest question to put to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal

import pytest
from pydantic import BaseModel, Field

from billingops.llm import agents, client, registry
from billingops.llm.models import AgentSetting
from billingops.llm.registry import Agent, Task
from tests.support.fake_openai import MODEL, FakeOpenAI


class Choice(BaseModel):
    """What the dunning agent asks for, in small."""

    action: Literal["retry_payment", "notify_customer", "escalate"]
    explanation: str = Field(max_length=300)


class Memo(BaseModel):
    memo: str


GOOD = {"action": "retry_payment", "explanation": "The bank had a passing problem."}
PERMITTED = ("retry_payment", "notify_customer")


@pytest.fixture
def server(settings: Any) -> Iterator[FakeOpenAI]:
    with FakeOpenAI() as fake:
        settings.OPENAI_BASE_URL = fake.base_url
        settings.OPENAI_API_KEY = "sk-fake"
        settings.OPENAI_MODEL = MODEL
        settings.OPENAI_TIMEOUT_SECONDS = 10
        settings.LLM_DAILY_TOKENS = 1_000_000
        yield fake
        client.reset()


@pytest.fixture
def ask() -> Iterator[Callable[..., agents.Run[Any]]]:
    """`agents.ask` with everything filled in, by an agent that is registered for the test; keywords replace what
    matters to it. Its tasks: `decide`, and `write` a memo."""
    decide = Task(
        name="decide",
        sentence="Decides.",
        prompt="dunning-choose-v2",
        schema=Choice,
        decision_field="action",
        actions=("retry_payment", "notify_customer", "escalate"),
        customer_text=True,
    )
    write = Task(name="write", sentence="Writes.", prompt="settlement-memo-v1", schema=Memo)
    for name in ("tester", "other"):
        registry.register(
            Agent(
                name=name,
                label=name.title(),
                version=3,
                sentence="Tests.",
                rules="rules test v1",
                tasks=(decide, write),
            )
        )

    def put(**changes: Any) -> agents.Run[Any]:
        question: dict[str, Any] = {
            "agent": "tester",
            "purpose": "decide",
            "prompt": "dunning-choose-v2",
            "facts": {"decline_code": "processing_error", "attempt_count": 2, "permitted": list(PERMITTED)},
            "schema": Choice,
            "subject": "in_1",
            "permitted": PERMITTED,
        }
        return agents.ask(**{**question, **changes})

    yield put
    for name in ("tester", "other"):
        registry.unregister(name)


@pytest.fixture
def reads_customers(db: None) -> None:
    """The testing agent may be sent text from customers."""
    AgentSetting.objects.create(agent="tester", customer_text=True)
