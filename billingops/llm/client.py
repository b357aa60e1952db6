"""One request to an OpenAI-compatible server, bounded in time, tokens and repeats. Knows nothing of prompts or rows.

`chat.completions` with a JSON schema is what every compatible server has. The SDK's own parsing is not used: it raises
on a refusal or a cut-off answer and loses the usage with it. Its repeats are not used either: it would sleep for up to
a minute when the server says so, in a worker whose tasks end after two.
"""

from __future__ import annotations

import json
import re
import time
from dataclasses import dataclass
from typing import Any

import httpx2
import openai
from django.conf import settings
from pydantic import BaseModel, ConfigDict, Field, ValidationError

PAUSE_SECONDS = 0.5
MAX_RESPONSE_BYTES = 1024 * 1024
# Constraints that strict mode refuses on some servers, or turns into huge grammars; pydantic checks them afterwards.
_NOT_FOR_THE_SERVER = frozenset(
    (
        *("default", "examples", "format", "title", "pattern", "patternProperties", "multipleOf", "uniqueItems"),
        *("minimum", "minItems", "minLength", "minProperties", "exclusiveMinimum"),
        *("maximum", "maxItems", "maxLength", "maxProperties", "exclusiveMaximum"),
    )
)
# Which of our parameters a model refuses (`max_tokens`, `temperature`), learnt from its 400 and kept for the process.
_refused_parameters: dict[tuple[str, str], set[str]] = {}
_clients: dict[tuple[str, str], openai.OpenAI] = {}


class NoAnswer(Exception):
    """The server gave nothing to use. `outcome` is one of AgentRun.Outcome; `reason` a phrase without personal data."""

    def __init__(self, outcome: str, reason: str, text: str = "") -> None:
        super().__init__(reason)
        self.outcome = outcome
        self.reason = reason
        self.text = text


@dataclass
class Meter:
    """What the requests of one question add up to. Tokens are None until a server names them."""

    calls: int = 0
    tokens_in: int | None = None
    tokens_cached: int | None = None
    tokens_out: int | None = None
    model: str = ""

    def add(self, usage: _Usage | None) -> None:
        if usage is None:
            return
        cached = usage.prompt_tokens_details.cached_tokens if usage.prompt_tokens_details else 0
        self.tokens_in = (self.tokens_in or 0) + usage.prompt_tokens
        self.tokens_cached = (self.tokens_cached or 0) + (cached or 0)
        self.tokens_out = (self.tokens_out or 0) + usage.completion_tokens


class _Lenient(BaseModel):
    model_config = ConfigDict(extra="ignore")


class _CachedTokens(_Lenient):
    cached_tokens: int | None = Field(default=0, ge=0, le=2**31 - 1)


class _Usage(_Lenient):
    prompt_tokens: int = Field(default=0, ge=0, le=2**30)
    completion_tokens: int = Field(default=0, ge=0, le=2**30)
    prompt_tokens_details: _CachedTokens | None = None


class _Message(_Lenient):
    content: str | None = None
    refusal: str | None = None


class _Choice(_Lenient):
    message: _Message
    finish_reason: str | None = None


class _Completion(_Lenient):
    choices: list[_Choice] = Field(min_length=1)
    model: str | None = None
    usage: _Usage | None = None


def not_configured() -> str:
    """Why there is no model to ask, or ""."""
    if not (settings.OPENAI_API_KEY or settings.OPENAI_BASE_URL) or not settings.OPENAI_MODEL:
        return "no model configured"
    return ""


def _sdk(key: str, base_url: str) -> openai.OpenAI:
    """One client, and so one pool of connections, per server and process."""
    if (key, base_url) not in _clients:
        _clients[key, base_url] = _new_sdk(key, base_url)
    return _clients[key, base_url]


def reset() -> None:
    """Close the connections and forget what was learnt of servers (tests bring a server of their own)."""
    while _clients:
        _clients.popitem()[1].close()
    _refused_parameters.clear()


def _new_sdk(key: str, base_url: str) -> openai.OpenAI:
    return openai.OpenAI(
        api_key=key or "none",  # a server on this machine asks for none, the SDK insists on one
        base_url=base_url or "https://api.openai.com/v1",
        max_retries=0,
        # A redirect would carry billing facts to a place nobody configured.
        http_client=openai.DefaultHttpxClient(follow_redirects=False),
    )


def json_schema(schema: type[BaseModel]) -> dict[str, Any]:
    """The strict JSON schema of `schema`, without the constraints that servers do not agree on."""
    strict = openai.pydantic_function_tool(schema)["function"]["parameters"]
    return _without_constraints(strict)


def _without_constraints(node: Any, *, names: bool = False) -> Any:
    """`names`: the keys of this level are the names of fields, not keywords."""
    if isinstance(node, dict):
        return {
            key: _without_constraints(value, names=not names and key in {"properties", "$defs"})
            for key, value in node.items()
            if names or key not in _NOT_FOR_THE_SERVER
        }
    if isinstance(node, list):
        return [_without_constraints(item) for item in node]
    return node


def complete(
    *, messages: list[dict[str, str]], schema: type[BaseModel], max_tokens: int, deadline: float, meter: Meter
) -> str:
    """The text of the model's answer. `deadline` is a reading of time.monotonic() that covers the one repeat as well.

    A server that answers too late, or dribbles, is left at the deadline; one that stalls in the middle of a body may
    hold us for one more such period. Raises NoAnswer; `meter` counts what was used either way.
    """
    repeats = 1
    while True:
        try:
            completion = _request(messages, schema, max_tokens, deadline, meter)
        except _Passing as problem:
            pause = problem.pause
            if repeats == 0 or time.monotonic() + pause >= deadline:
                raise NoAnswer("error", problem.reason)
            repeats -= 1
            time.sleep(pause)
            continue
        return _text_of(completion)


class _Passing(Exception):
    """A failure that a second try may not meet."""

    def __init__(self, reason: str, pause: float = PAUSE_SECONDS) -> None:
        super().__init__(reason)
        self.reason = reason
        self.pause = pause


def _request(
    messages: list[dict[str, str]], schema: type[BaseModel], max_tokens: int, deadline: float, meter: Meter
) -> _Completion:
    model = settings.OPENAI_MODEL
    refused = _refused_parameters.setdefault((settings.OPENAI_BASE_URL, model), set())
    parameters: dict[str, Any] = {
        "model": model,
        "messages": messages,
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": schema.__name__[:64], "strict": True, "schema": json_schema(schema)},
        },
        # Reasoning models of OpenAI refuse `max_tokens`; older compatible servers know nothing else.
        "max_completion_tokens" if "max_tokens" in refused else "max_tokens": max_tokens,
    }
    if "temperature" not in refused:
        parameters["temperature"] = 0
    remaining = deadline - time.monotonic()
    if remaining <= 0:
        raise NoAnswer("timeout", "time-out")
    meter.calls += 1
    sdk = _sdk(settings.OPENAI_API_KEY, settings.OPENAI_BASE_URL)
    try:
        with sdk.chat.completions.with_streaming_response.create(**parameters, timeout=remaining) as response:
            body = bytearray()
            for chunk in response.iter_bytes():
                body += chunk
                if time.monotonic() > deadline:
                    raise NoAnswer("timeout", "time-out")
                if len(body) > MAX_RESPONSE_BYTES:
                    raise NoAnswer("error", "error: the answer is larger than 1 MiB")
    except (openai.APITimeoutError, httpx2.TimeoutException):
        raise NoAnswer("timeout", "time-out")
    except openai.APIStatusError as error:
        if error.status_code == 400 and error.param in {"max_tokens", "temperature"} and error.param not in refused:
            refused.add(error.param)
            return _request(messages, schema, max_tokens, deadline, meter)
        # The server's own message may quote what was sent; its status and code are enough to act on.
        reason = f"error: the model's server answered {error.status_code}" + (_code(error.code) or _code(error.param))
        if error.status_code in {408, 409, 429} or error.status_code >= 500:
            raise _Passing(reason[:200], _pause(error.response))
        raise NoAnswer("error", reason[:200])
    except (openai.APIConnectionError, httpx2.TransportError) as error:
        cause = error.__cause__ if isinstance(error, openai.APIConnectionError) and error.__cause__ else error
        raise _Passing(f"error: no connection to the model's server ({type(cause).__name__})")
    return _read(bytes(body), meter)


def _code(code: object) -> str:
    """A code is a word; whatever else a server puts there is not repeated on our pages."""
    return f" ({code})" if isinstance(code, str) and re.fullmatch(r"[A-Za-z0-9_.-]{1,60}", code) else ""


def _pause(response: httpx2.Response) -> float:
    try:
        return max(float(response.headers.get("retry-after", "")), PAUSE_SECONDS)
    except ValueError:
        return PAUSE_SECONDS


def _read(body: bytes, meter: Meter) -> _Completion:
    try:
        completion = _Completion.model_validate(json.loads(body))
    except (ValueError, ValidationError, RecursionError):
        raise NoAnswer("error", "error: the server's answer is no chat completion")
    meter.add(completion.usage)
    # A local server may name the file it has loaded, with its whole path.
    named = (completion.model or "").rpartition("/")[2] if (completion.model or "")[:1] == "/" else completion.model
    if named and named.isprintable() and len(named) <= 60:
        meter.model = named
    return completion


def _text_of(completion: _Completion) -> str:
    choice = completion.choices[0]
    text = choice.message.content or ""
    if choice.message.refusal:
        raise NoAnswer("refused", "refused", choice.message.refusal)
    if choice.finish_reason == "content_filter":
        raise NoAnswer("refused", "refused: content filter", text)
    if choice.finish_reason == "length":
        raise NoAnswer("truncated", "truncated", text)
    if choice.finish_reason not in {"stop", None}:
        raise NoAnswer("invalid", f"not valid: the model ended otherwise{_code(choice.finish_reason)}", text)
    if not text.strip():
        raise NoAnswer("invalid", "not valid: the answer is empty", text)
    return text
