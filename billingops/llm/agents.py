"""The only door to a model: ask a question, get a checked answer, or a reason why the built-in rules must answer.

A model chooses among permitted actions and writes words. It never decides an amount, a currency or a recipient: callers
take those from their rules, whatever is answered here. Nothing personal is sent (redaction.py), each question leaves
one `AgentRun`, and no failure of the model or its server raises.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, timedelta
from typing import Any, Generic, TypeVar

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from pydantic import BaseModel, ValidationError

from billingops.exceptions import InvalidInput
from billingops.llm import client, prices, prompts
from billingops.llm.client import Meter, NoAnswer
from billingops.llm.models import AgentRun
from billingops.llm.redaction import Redactions, allowed, clean_free_text, values_under

Answer = TypeVar("Answer", bound=BaseModel)
Outcome = AgentRun.Outcome

# After so many failures in a row the server is left alone for a while: a queue of a thousand events must not wait
# thirty seconds on each. One question then tries again.
REST_AFTER_FAILURES = 3
REST = timedelta(seconds=60)
_FAILURES = frozenset({Outcome.TIMEOUT, Outcome.ERROR})
_STORED_OUTPUT_LIMIT = 20_000


@dataclass(frozen=True)
class Run(Generic[Answer]):
    """answer: validated, placeholders put back; None: the caller uses its rules, and `why_not` says why.
    author: who to name when the answer is used ("model gpt-…, prompt dunning-choose-v1"); "" without an answer.
    run_id: the AgentRun's id; None when no model is configured."""

    answer: Answer | None
    why_not: str
    author: str = ""
    run_id: uuid.UUID | None = None


@dataclass
class _Question:
    """What one `ask` works on, and what its record will say."""

    prompt: prompts.Prompt
    facts: str
    redactions: Redactions
    schema: type[BaseModel]
    validate: Callable[[Any], str | None] | None
    max_tokens: int
    deadline: float
    meter: Meter = field(default_factory=Meter)
    output: str = ""
    check_output: str = ""

    def messages(self, customer_text: str) -> list[dict[str, str]]:
        return self.prompt.messages(facts=self.facts, customer_text=customer_text)

    def put(self, messages: list[dict[str, str]], *, check: bool = False) -> BaseModel:
        """Ask, and read the answer. Raises NoAnswer."""
        name = "check_output" if check else "output"
        try:
            text = client.complete(
                messages=messages,
                schema=self.schema,
                max_tokens=self.max_tokens,
                deadline=self.deadline,
                meter=self.meter,
            )
        except NoAnswer as problem:
            setattr(self, name, problem.text)
            raise
        setattr(self, name, text)
        return self._read(text)

    def _read(self, text: str) -> BaseModel:
        try:
            data = json.loads(text)
        except (ValueError, RecursionError):
            raise NoAnswer(Outcome.INVALID, "not valid: no JSON", text)
        if stranger := self.redactions.foreign(data):
            raise NoAnswer(
                Outcome.INVALID, f"not valid: {stranger[1:-1]} stands for nothing that may be put back", text
            )
        try:
            answer = self.schema.model_validate_json(json.dumps(self.redactions.restore(data)))
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            where = ".".join(str(part) for part in first["loc"])
            raise NoAnswer(Outcome.INVALID, f"not valid: {where + ': ' if where else ''}{first['msg']}", text)
        if self.validate and (objection := self.validate(answer)):
            raise NoAnswer(Outcome.INVALID, f"not valid: {objection}", text)
        return answer


def ask(
    *,
    agent: str,
    purpose: str,
    prompt: str,
    facts: Mapping[str, Any],
    schema: type[Answer],
    subject: str,
    free_text: Mapping[str, str] | None = None,
    validate: Callable[[Answer], str | None] | None = None,
    secrets: Redactions | None = None,
    decision_field: str = "",
    account: str = "",
    max_tokens: int | None = None,
) -> Run[Answer]:
    """Put one question to the model and check what it says.

    agent, purpose   who asks, and what for: "dunning", "choose_action"; the token budget is per agent and UTC day
    prompt           label of a prompt file ("dunning-choose-v1"), whose front matter lists the facts that may be sent
    facts            text, whole numbers, booleans, dates, Decimals, and lists and dicts of them; a float is refused
    schema           the pydantic model of the answer; extra constraints are checked here, not by the server
    subject          what it is about (in_…, a row's id); recorded, never sent. `account`: its connected account
    free_text        texts made by a customer, by what they are ("dispute note"); sent masked, cut short, marked as data
    validate         (answer, placeholders put back) → why it must not be used, or None
    secrets          more known names, addresses… behind the facts; what has a shape (e-mail, phone, card, Stripe id) is
                     found without being named
    decision_field   the field of the answer that decides; with `free_text` the question is asked again without it, and
                     an answer that moves is not used
    max_tokens       at most settings.OPENAI_MAX_TOKENS

    Takes at most settings.OPENAI_TIMEOUT_SECONDS in all, repeats included. Raises InvalidInput for a mistake of the
    caller (unknown prompt, a fact of a wrong type), and RuntimeError inside a transaction: none may be held across the
    network.
    """
    _refuse_open_transaction()
    loaded = prompts.load(prompt)
    if decision_field and decision_field not in schema.model_fields:
        raise InvalidInput(f"{schema.__name__} has no field {decision_field!r}.", field="decision_field")
    if why_not := client.not_configured():
        return Run(answer=None, why_not=why_not)

    redactions = secrets if secrets is not None else Redactions()
    kept, left_out = allowed(facts, loaded.facts)
    for name in values_under(kept, loaded.names):
        redactions.hide("NAME", name)
    question = _Question(
        prompt=loaded,
        facts=json.dumps(redactions.mask_value(kept), ensure_ascii=False, indent=1, sort_keys=True),
        redactions=redactions,
        schema=schema,
        validate=validate,
        max_tokens=min(max_tokens or settings.OPENAI_MAX_TOKENS, settings.OPENAI_MAX_TOKENS),
        deadline=time.monotonic() + settings.OPENAI_TIMEOUT_SECONDS,
    )
    texts = _customer_text(free_text or {}, redactions)
    messages = question.messages(texts or _NO_TEXT)
    run = AgentRun(
        agent=agent,
        purpose=purpose,
        subject=subject,
        account=account,
        prompt=loaded.label,
        prompt_version=loaded.version,
        prompt_sha256=loaded.sha256,
        model=settings.OPENAI_MODEL[:120],
        input={"messages": messages, "left_out": left_out},
    )
    started = time.monotonic()
    answer: BaseModel | None = None
    try:
        _check_budget(agent, messages, question.max_tokens, twice=bool(texts and decision_field))
        _check_server_is_not_resting()
        answer = question.put(messages)
        if texts and decision_field:
            without = question.put(question.messages(_NO_TEXT), check=True)
            if getattr(answer, decision_field) != getattr(without, decision_field):
                answer = None
                raise NoAnswer(Outcome.INVALID, "the answer moves when free text is removed")
        run.outcome = Outcome.ANSWERED
    except NoAnswer as problem:
        answer = None
        run.outcome = problem.outcome
        run.reason = redactions.mask(problem.reason, answer=True)[:500]
    run.latency_ms = round((time.monotonic() - started) * 1000)
    _record(run, question)
    author = f"model {run.model[:60]}, prompt {loaded.label}" if answer is not None else ""
    return Run(answer=answer, why_not=run.reason, author=author, run_id=run.pk)  # type: ignore[arg-type]


_NO_TEXT = "There is no text from the customer."


def _customer_text(free_text: Mapping[str, str], redactions: Redactions) -> str:
    """The customer's texts between their delimiters, or "" when nothing is left of them."""
    blocks = []
    for name, text in free_text.items():
        if cleaned := clean_free_text(text or "", redactions):
            label = "".join(character for character in name if character.isalnum() or character in " _-")[:40]
            blocks.append(f'<customer_text about="{label}">\n{cleaned}\n</customer_text>')
    return "\n".join(blocks)


def _refuse_open_transaction() -> None:
    blocks = transaction.get_connection().atomic_blocks
    if any(not getattr(block, "_from_testcase", False) for block in blocks):
        raise RuntimeError("A model was to be asked inside a transaction; ask first, then open the transaction.")


def _check_budget(agent: str, messages: list[dict[str, str]], max_tokens: int, *, twice: bool) -> None:
    """Three characters a token is on the safe side of English and JSON. Workers may overshoot by a question each."""
    midnight = timezone.now().astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    expected = (sum(len(message["content"]) for message in messages) // 3 + max_tokens) * (2 if twice else 1)
    if AgentRun.objects.tokens_since(agent, midnight) + expected > settings.LLM_DAILY_TOKENS:
        raise NoAnswer(Outcome.OVER_BUDGET, "budget used up")


def _check_server_is_not_resting() -> None:
    now = timezone.now()
    last = AgentRun.objects.last_asked(now - 10 * REST, REST_AFTER_FAILURES)
    failing = len(last) == REST_AFTER_FAILURES and all(outcome in _FAILURES for outcome, _at in last)
    if failing and last[0][1] > now - REST:
        raise NoAnswer(
            Outcome.RESTING, f"the model's server failed {REST_AFTER_FAILURES} times in a row and is left alone"
        )


def _record(run: AgentRun, question: _Question) -> None:
    meter = question.meter
    run.model = meter.model or run.model
    run.calls = meter.calls
    run.tokens_in, run.tokens_cached, run.tokens_out = meter.tokens_in, meter.tokens_cached, meter.tokens_out
    # A model may invent or repeat what looks personal: what is kept of its words is masked as well.
    run.output = question.redactions.mask(question.output, answer=True)[:_STORED_OUTPUT_LIMIT]
    run.check_output = question.redactions.mask(question.check_output, answer=True)[:_STORED_OUTPUT_LIMIT]
    run.price_table = prices.table()["version"]
    if meter.tokens_in is not None:
        run.cost_micro = prices.cost_micro(
            run.model,
            tokens_in=meter.tokens_in,
            tokens_cached=meter.tokens_cached or 0,
            tokens_out=meter.tokens_out or 0,
        )
    run.save(force_insert=True)
