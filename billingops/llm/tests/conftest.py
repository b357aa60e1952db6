"""A model's server on loopback, and the smallest question to put to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal

import pytest
from pydantic import BaseModel, Field

from billingops.llm import agents, client
from tests.support.fake_openai import MODEL, FakeOpenAI


class Choice(BaseModel):
    """What the dunning agent asks for, in small."""

    action: Literal["retry_payment", "notify_customer", "escalate"]
    explanation: str = Field(max_length=300)


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
def ask() -> Callable[..., agents.Run[Any]]:
    """`agents.ask` with everything filled in; keywords replace what matters to a test."""

    def permitted(choice: Choice) -> str | None:
        return None if choice.action in PERMITTED else f"{choice.action} is not permitted"

    def put(**changes: Any) -> agents.Run[Any]:
        question: dict[str, Any] = {
            "agent": "dunning",
            "purpose": "choose_action",
            "prompt": "dunning-choose-v1",
            "facts": {"decline_code": "processing_error", "attempt_count": 2, "permitted": list(PERMITTED)},
            "schema": Choice,
            "subject": "in_1",
            "validate": permitted,
        }
        return agents.ask(**{**question, **changes})

    return put
