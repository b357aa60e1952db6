"""One question over real HTTP: what is accepted, what is not, what the record says, and that time is bounded."""

from __future__ import annotations

import json
import time
from datetime import timedelta
from typing import Any, Literal

import pytest
from django.db import transaction
from django.utils import timezone
from pydantic import BaseModel

from billingops.exceptions import InvalidInput
from billingops.llm import client, prompts
from billingops.llm.models import AgentRun
from billingops.llm.redaction import Redactions
from billingops.llm.tests.conftest import GOOD, Memo
from tests.support.fake_openai import Reply, smallest_answer

pytestmark = pytest.mark.django_db


def test_an_answer_that_fits_schema_and_rules_is_used_and_names_its_author(server: Any, ask: Any) -> None:
    server.answer(GOOD)
    run = ask(account="acct_1")

    assert run.answer.action == "retry_payment"
    assert run.why_not == ""
    assert run.author == "model fake-model, prompt dunning-choose-v2"
    row = AgentRun.objects.get()
    assert row.pk == run.run_id
    assert (row.agent, row.purpose, row.subject, row.account) == ("tester", "decide", "in_1", "acct_1")
    assert (row.outcome, row.reason, row.calls) == ("answered", "", 1)
    assert (row.tokens_in, row.tokens_cached, row.tokens_out) == (100, 40, 20)
    assert (row.prompt, row.prompt_version) == ("dunning-choose-v2", 2)
    assert row.prompt_sha256 == prompts.load("dunning-choose-v2").sha256
    assert row.cost_micro is None  # no price list knows this model
    assert "passing problem" in row.output


def test_the_request_asks_for_strict_json_bounded_and_without_chance(server: Any, ask: Any, settings: Any) -> None:
    ask()
    sent = server.requests[0].json

    assert sent["model"] == "fake-model"
    assert sent["temperature"] == 0
    assert sent["max_tokens"] == settings.OPENAI_MAX_TOKENS
    schema = sent["response_format"]["json_schema"]
    assert schema["strict"] is True
    assert schema["schema"]["additionalProperties"] is False
    assert schema["schema"]["required"] == ["action", "explanation"]
    assert "maxLength" not in schema["schema"]["properties"]["explanation"]
    assert [message["role"] for message in sent["messages"]] == ["system", "user"]
    assert '"decline_code": "processing_error"' in sent["messages"][1]["content"]


def test_a_field_that_is_called_like_a_keyword_stays_in_the_schema() -> None:
    class Memo(BaseModel):
        title: str
        format: str

    assert set(client.json_schema(Memo)["properties"]) == {"title", "format"}


@pytest.mark.parametrize(
    "missing",
    [
        {"OPENAI_API_KEY": "", "OPENAI_BASE_URL": ""},
        {"OPENAI_MODEL": ""},
    ],
)
def test_without_a_model_the_rules_answer_at_once_and_nothing_is_recorded(
    server: Any, ask: Any, settings: Any, missing: dict[str, str]
) -> None:
    for name, value in missing.items():
        setattr(settings, name, value)
    run = ask()

    assert (run.answer, run.why_not, run.author, run.run_id) == (None, "no model configured", "", None)
    assert server.requests == []
    assert not AgentRun.objects.exists()


def test_a_server_without_a_key_is_enough(server: Any, ask: Any, settings: Any) -> None:
    settings.OPENAI_API_KEY = ""
    server.answer(GOOD)
    assert ask().answer is not None


@pytest.mark.parametrize(
    ("reply", "outcome", "why_not"),
    [
        (Reply(refusal="I cannot."), "refused", "refused"),
        (Reply(content="", finish_reason="content_filter"), "refused", "refused: content filter"),
        (Reply(content='{"action": "retry', finish_reason="length"), "truncated", "truncated"),
        (Reply(content="Sure! Here is what I think."), "invalid", "not valid: no JSON"),
        (Reply(content=""), "invalid", "not valid: the answer is empty"),
        (Reply(content=None), "invalid", "not valid: the answer is empty"),
        (Reply(content="[1, 2]"), "invalid", "not valid: Input should be an object"),
        (Reply(content='{"explanation": "because"}'), "invalid", "not valid: action: Field required"),
        (
            Reply(content='{"action": "refund", "explanation": "x"}'),
            "invalid",
            "not valid: action: Input should be 'retry_payment', 'notify_customer' or 'escalate'",
        ),
        (
            Reply(content='{"action": "escalate", "explanation": "x"}'),
            "invalid",
            "not valid: 'escalate' is not among the permitted actions",
        ),
        (
            Reply(content='{"action": "retry_payment", "explanation": "%s"}' % ("x" * 301)),
            "invalid",
            "not valid: explanation: String should have at most 300 characters",
        ),
        (Reply(content="[" * 100_000), "invalid", "not valid: no JSON"),
        (
            Reply(content="{}", finish_reason="tool_calls"),
            "invalid",
            "not valid: the model ended otherwise (tool_calls)",
        ),
        (Reply(raw=b"<html>welcome</html>"), "error", "error: the server's answer is no chat completion"),
        (Reply(raw=b'{"choices": []}'), "error", "error: the server's answer is no chat completion"),
        (Reply(raw=b"[" * 100_000), "error", "error: the server's answer is no chat completion"),
        (Reply(raw=b" " * (2 << 20)), "error", "error: the answer is larger than 1 MiB"),
        (Reply(status=401, raw=b"{}"), "error", "error: the model's server answered 401"),
        (Reply(status=404, raw=b"no such path"), "error", "error: the model's server answered 404"),
        (
            Reply(status=307, raw=b"", headers={"Location": "http://127.0.0.1:1/elsewhere"}),
            "error",
            "error: the model's server answered 307",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_not_a_good_answer_leaves_it_to_the_rules_and_the_record_says_why(
    server: Any, ask: Any, reply: Reply, outcome: str, why_not: str
) -> None:
    server.reply(reply)
    run = ask()

    assert (run.answer, run.author) == (None, "")
    assert run.why_not.startswith(why_not)
    row = AgentRun.objects.get()
    assert (row.outcome, row.reason, row.calls) == (outcome, run.why_not, 1)
    assert len(server.requests) == 1  # none of these is worth asking again


def test_a_refusal_and_a_cut_off_answer_still_count_their_tokens(server: Any, ask: Any) -> None:
    server.refuse()
    server.truncate()
    ask()
    ask()
    assert list(AgentRun.objects.values_list("tokens_in", "tokens_out")) == [(100, 20), (100, 20)]


@pytest.mark.parametrize("status", [500, 503, 429, 408])
def test_a_passing_failure_is_tried_once_more(server: Any, ask: Any, status: int) -> None:
    server.fail(status)
    server.answer(GOOD)
    run = ask()
    assert run.answer.action == "retry_payment"
    assert AgentRun.objects.get().calls == 2


def test_a_connection_lost_once_is_tried_once_more(server: Any, ask: Any) -> None:
    server.drop()
    server.answer(GOOD)
    assert ask().answer is not None
    assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("fault", "why_not"),
    [
        (lambda server: server.fail(500, times=3), "error: the model's server answered 500"),
        (
            lambda server: server.fail(429, code="insufficient_quota", times=3),
            "error: the model's server answered 429 (insufficient_quota)",
        ),
        (lambda server: server.drop(times=3), "error: no connection to the model's server"),
    ],
    ids=["500", "429", "drop"],
)
def test_a_failure_that_stays_is_given_up_after_two_tries(server: Any, ask: Any, fault: Any, why_not: str) -> None:
    fault(server)
    run = ask()
    assert run.answer is None
    assert run.why_not.startswith(why_not)
    row = AgentRun.objects.get()
    assert (row.outcome, row.reason, row.calls) == ("error", run.why_not, 2)
    assert row.tokens_in is None
    assert len(server.requests) == 2


def test_nobody_listening_is_an_error_that_says_so(server: Any, ask: Any, settings: Any) -> None:
    settings.OPENAI_BASE_URL = "http://127.0.0.1:9/v1"
    run = ask()
    assert run.why_not == "error: no connection to the model's server (ConnectError)"


def test_a_slow_server_is_left_at_the_time_limit(server: Any, ask: Any, settings: Any) -> None:
    settings.OPENAI_TIMEOUT_SECONDS = 0.4
    server.slow(30, GOOD)
    started = time.monotonic()
    run = ask()
    assert time.monotonic() - started < 2
    assert (run.answer, run.why_not) == (None, "time-out")
    row = AgentRun.objects.get()
    assert (row.outcome, row.calls) == ("timeout", 1)
    assert 300 < row.latency_ms < 2000


def test_a_server_that_dribbles_is_left_at_the_time_limit(server: Any, ask: Any, settings: Any) -> None:
    settings.OPENAI_TIMEOUT_SECONDS = 0.5
    server.dribble(0.05, GOOD)
    started = time.monotonic()
    run = ask()
    assert time.monotonic() - started < 2
    assert run.why_not == "time-out"


def test_a_server_that_asks_for_a_long_pause_is_not_waited_for(server: Any, ask: Any) -> None:
    server.fail(429, retry_after="3600")
    started = time.monotonic()
    run = ask()
    assert time.monotonic() - started < 2
    assert run.why_not == "error: the model's server answered 429"
    assert len(server.requests) == 1


def test_the_two_tries_share_one_time_limit(server: Any, ask: Any, settings: Any) -> None:
    settings.OPENAI_TIMEOUT_SECONDS = 1.2
    server.fail(500)
    server.slow(30, GOOD)
    started = time.monotonic()
    assert ask().why_not == "time-out"
    assert time.monotonic() - started < 2.5


def test_a_model_that_refuses_our_parameters_is_asked_the_way_it_wants(server: Any, ask: Any) -> None:
    def reasoning_model(request: dict[str, Any]) -> Any:
        for name in ("max_tokens", "temperature"):
            if name in request:
                error = f'{{"error": {{"message": "no {name}", "code": "unsupported_parameter", "param": "{name}"}}}}'
                return Reply(status=400, raw=error.encode())
        return GOOD

    server.by_default(reasoning_model)
    assert ask().answer is not None
    assert AgentRun.objects.get().calls == 3
    assert server.requests[-1].json["max_completion_tokens"] > 0
    assert ask().answer is not None
    assert len(server.requests) == 4  # remembered


def test_a_server_that_failed_three_times_is_left_alone_for_a_minute_then_tried_again(server: Any, ask: Any) -> None:
    server.fail(401, times=3)
    for _ in range(3):
        ask()
    run = ask()
    assert run.why_not == "the model's server failed 3 times in a row and is left alone"
    assert AgentRun.objects.get(pk=run.run_id).outcome == "resting"
    assert len(server.requests) == 3

    AgentRun.objects.update(created_at=timezone.now() - timedelta(seconds=61))
    assert ask().answer is not None


def test_an_answer_between_failures_keeps_the_server_in_use(server: Any, ask: Any) -> None:
    server.fail(401, times=2)
    server.answer(GOOD)
    server.fail(401, times=2)
    server.answer(GOOD)
    runs = [ask() for _ in range(6)]
    assert [run.answer is not None for run in runs] == [False, False, True, False, False, True]


def test_a_used_up_daily_budget_leaves_it_to_the_rules_for_this_agent_only(
    server: Any, ask: Any, settings: Any
) -> None:
    settings.LLM_DAILY_TOKENS = 10_000
    server.answer(GOOD)
    assert ask().answer is not None
    AgentRun.objects.update(counted_tokens=9_000)

    run = ask()
    assert run.why_not == "budget used up"
    assert AgentRun.objects.get(pk=run.run_id).outcome == "over_budget"
    assert len(server.requests) == 1
    assert ask(agent="other").answer is not None

    AgentRun.objects.filter(agent="tester").update(created_at=timezone.now() - timedelta(days=1))
    assert ask().answer is not None


def test_a_question_that_may_exceed_what_is_left_is_not_put(server: Any, ask: Any, settings: Any) -> None:
    settings.LLM_DAILY_TOKENS = 500
    assert ask().why_not == "budget used up"
    assert server.requests == []


def test_cost_is_counted_in_millionths_from_the_dated_table(server: Any, ask: Any) -> None:
    server.model = "gpt-5.4-mini-2026-03-17"
    server.answer(GOOD)
    run = ask()
    row = AgentRun.objects.get()
    # 60 fresh × 0.75 + 40 cached × 0.075 + 20 out × 4.50
    assert row.cost_micro == 45 + 3 + 90
    assert row.price_table == "2026-06"
    assert run.author == "model gpt-5.4-mini-2026-03-17, prompt dunning-choose-v2"


def test_an_answer_without_usage_is_used_and_its_cost_left_open(server: Any, ask: Any) -> None:
    server.answer(GOOD, usage=None)
    assert ask().answer is not None
    row = AgentRun.objects.get()
    assert (row.tokens_in, row.tokens_out, row.cost_micro) == (None, None, None)


def test_placeholders_are_put_back_before_the_answer_is_checked(server: Any, ask: Any) -> None:
    server.answer({"action": "retry_payment", "explanation": "[NAME_1] always pays; see [ID_1]."})
    seen: list[str] = []
    run = ask(
        facts={"reason": "Anna Smith, cus_9x", "permitted": []},
        secrets=Redactions(names=["Anna Smith"]),
        validate=lambda choice: seen.append(choice.explanation),
    )
    assert run.answer.explanation == "Anna Smith always pays; see cus_9x."
    assert seen == [run.answer.explanation]
    row = AgentRun.objects.get()
    assert "[NAME_1] always pays" in row.output
    assert "Anna" not in f"{row.output}{row.input}"


def test_an_invented_placeholder_is_refused(server: Any, ask: Any) -> None:
    server.answer({"action": "retry_payment", "explanation": "[NAME_7] always pays."})
    assert ask().why_not == "not valid: NAME_7 stands for nothing that may be put back"


def test_card_digits_are_never_put_back(server: Any, ask: Any, reads_customers: None) -> None:
    server.answer({"action": "retry_payment", "explanation": "Use [DIGITS_1]."})
    run = ask(free_text={"note": "my card is 4242 4242 4242 4242"})
    assert run.answer is None
    assert "DIGITS_1 stands for nothing that may be put back" in run.why_not


def test_what_a_model_invents_is_masked_in_the_record(server: Any, ask: Any) -> None:
    server.answer({"action": "retry_payment", "explanation": "Write to bob@example.com."})
    assert ask().answer is not None
    assert "bob@example.com" not in AgentRun.objects.get().output


def test_facts_outside_the_prompts_list_are_left_out_and_named(server: Any, ask: Any) -> None:
    server.answer(GOOD)
    ask(facts={"attempt_count": 2, "receipt_email": "x@y.org", "permitted": [{"days": 5, "customer_address": "Rue"}]})
    assert "receipt_email" not in server.requests[0].text
    assert "Rue" not in server.requests[0].text
    assert AgentRun.objects.get().input["left_out"] == ["customer_address", "receipt_email"]


def test_a_fact_that_is_a_name_is_sent_as_a_placeholder_without_being_declared(server: Any, ask: Any) -> None:
    server.answer({"memo": "[NAME_1] is paid USD 5.00."})
    facts = {"seller_name": "Bakery 54 Supplies", "payout": "USD 5.00", "lines": [{"rule": "bakery 54 supplies, 70 %"}]}
    run = ask(purpose="write", prompt="settlement-memo-v1", schema=Memo, permitted=(), facts=facts)
    assert run.answer.memo == "Bakery 54 Supplies is paid USD 5.00."
    assert "bakery" not in server.requests[0].text.lower()
    assert '"payout": "USD 5.00"' in server.requests[0].text


def test_a_model_file_is_named_without_its_path(server: Any, ask: Any) -> None:
    server.model = "/srv/models/small.gguf"
    server.answer(GOOD)
    assert ask().author == "model small.gguf, prompt dunning-choose-v2"


def test_asking_inside_a_transaction_is_refused(server: Any, ask: Any) -> None:
    with transaction.atomic(), pytest.raises(RuntimeError, match="inside a transaction"):
        ask()
    assert server.requests == []


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"prompt": "dunning-choose-v99"}, "There is no prompt"),
        ({"prompt": "../../settings-v1"}, "There is no prompt"),
        ({"facts": {"amount": 1.5}}, "must be text"),
    ],
)
def test_a_mistake_of_the_caller_is_named(server: Any, ask: Any, change: dict[str, Any], error: str) -> None:
    with pytest.raises(InvalidInput, match=error):
        ask(**change)
    assert server.requests == []


def test_any_schema_gets_the_smallest_answer_from_the_stand_in() -> None:
    class Line(BaseModel):
        text: str

    class Letter(BaseModel):
        kind: Literal["letter"]
        lines: list[Line]
        note: str | None
        head: Line

    request = {"response_format": {"json_schema": {"schema": client.json_schema(Letter)}}}
    answer = Letter.model_validate(smallest_answer(request))
    assert (answer.kind, answer.lines, answer.head.text) == ("letter", [], "A text.")


# -- other people's servers --------------------------------------------------------------------------------------------


def completion(message: dict[str, Any], **changes: Any) -> bytes:
    body = {"id": "x", "object": "chat.completion", "model": "m", "choices": [{"index": 0, "message": message}]}
    return json.dumps({**body, **changes}).encode()


def test_what_a_reasoning_model_returns_besides_is_left_alone(server: Any, ask: Any) -> None:
    message = {
        "role": "assistant",
        "content": json.dumps(GOOD),
        "reasoning_content": "Anna Smith should pay at https://evil.example",
        "reasoning": {"effort": "high"},
        "tool_calls": None,
        "annotations": [],
    }
    usage = {
        "prompt_tokens": 50,
        "completion_tokens": 400,
        "completion_tokens_details": {"reasoning_tokens": 380},
        "prompt_tokens_details": None,
    }
    server.reply(Reply(raw=completion(message, usage=usage, system_fingerprint=None, service_tier="default")))
    assert ask().answer is not None
    row = AgentRun.objects.get()
    assert (row.tokens_in, row.tokens_cached, row.tokens_out) == (50, 0, 400)
    assert "evil" not in row.output


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, {"error": {"message": "json_schema is not supported", "param": "response_format", "code": None}}),
        (400, {"detail": "Unknown field: response_format"}),
        (422, {"detail": [{"loc": ["body", "response_format"], "msg": "extra fields not permitted"}]}),
        (501, {"error": "not implemented"}),
    ],
)
def test_a_server_without_json_schema_is_a_clear_error_and_the_rules_answer(
    server: Any, ask: Any, status: int, body: dict[str, Any]
) -> None:
    server.by_default(lambda request: Reply(status=status, raw=json.dumps(body).encode()))
    run = ask()
    row = AgentRun.objects.get()
    assert (run.answer, row.outcome) == (None, "error")
    assert run.why_not.startswith(f"error: the model's server answered {status}")
    assert ("response_format" in run.why_not) == (status == 400 and "error" in body)


def test_a_server_that_ignores_the_schema_and_chats_is_not_used(server: Any, ask: Any) -> None:
    server.say('Certainly! ```json\n{"action": "retry_payment"}\n``` Hope this helps.')
    assert ask().answer is None
    assert AgentRun.objects.get().verdict == "no_json"


@pytest.mark.parametrize(
    "raw",
    [
        b'data: {"choices": [{"delta": {"content": "{"}}]}\n\ndata: [DONE]\n\n',
        completion({"role": "assistant"}, choices=[{"index": 0, "delta": {"content": json.dumps(GOOD)}}]),
        completion({"role": "assistant", "content": [{"type": "text", "text": json.dumps(GOOD)}]}),
    ],
    ids=["event stream", "delta", "parts"],
)
def test_an_answer_in_pieces_is_refused(server: Any, ask: Any, raw: bytes) -> None:
    """Nothing asks for a stream; a server that sends one all the same is not understood, and says so."""
    server.reply(Reply(raw=raw))
    run = ask()
    assert run.why_not == "error: the server's answer is no chat completion"
    assert server.requests[0].json.get("stream") in (None, False)


@pytest.mark.parametrize(
    ("usage", "tokens"),
    [
        ({"prompt_tokens": 10}, (10, 0)),
        ({"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15, "cost": 0.1}, (10, 5)),
        ({}, (0, 0)),
    ],
)
def test_a_thin_usage_block_is_read_as_far_as_it_goes(
    server: Any, ask: Any, usage: dict[str, Any], tokens: tuple[int, int]
) -> None:
    server.answer(GOOD, usage=usage)
    assert ask().answer is not None
    row = AgentRun.objects.get()
    assert (row.tokens_in, row.tokens_out) == tokens


def test_a_code_that_is_no_word_is_not_repeated(server: Any, ask: Any) -> None:
    error = {"error": {"message": "no", "code": "pay https://evil.example now", "param": None}}
    server.reply(Reply(status=401, raw=json.dumps(error).encode()))
    assert ask().why_not == "error: the model's server answered 401"
