"""The only door to a model: ask a question, get a checked answer, or a reason why the built-in rules must answer.

A model chooses among permitted actions and writes words. It never decides an amount, a currency or a recipient: callers
take those from their rules, whatever is answered here. Nothing personal is sent (redaction.py), each question leaves
one `AgentRun`, and no failure of the model or its server raises. Who may ask what stands in registry.py.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Generic, TypeVar

from django.conf import settings
from django.db import transaction
from django.utils import timezone
from pydantic import BaseModel, ValidationError

from billingops.llm import budgets, client, prices, prompts, registry
from billingops.llm.client import Meter, NoAnswer
from billingops.llm.models import AgentRun
from billingops.llm.redaction import Redactions, allowed, clean_free_text, values_under

Answer = TypeVar("Answer", bound=BaseModel)
Outcome = AgentRun.Outcome
Verdict = AgentRun.Verdict

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
    run_id: the AgentRun's id; None when no model is configured, or the agent is switched off.
    words: why_not for a page that people decide on: it quotes nothing that a model or its server has said.
    moved: the model decided otherwise because of the customer's text: the rules answer, and a person should see it.
    read_text: the answer is used, and the model had text from the customer before it."""

    answer: Answer | None
    why_not: str
    author: str = ""
    run_id: uuid.UUID | None = None
    words: str = ""
    moved: bool = False
    read_text: bool = False


@dataclass
class _Question:
    """What one `ask` works on, and what its record will say."""

    prompt: prompts.Prompt
    facts: str
    redactions: Redactions
    schema: type[BaseModel]
    validate: Callable[[Any], str | None] | None
    decision_field: str
    permitted: frozenset[str]
    max_tokens: int
    deadline: float
    meter: Meter = field(default_factory=Meter)
    output: str = ""
    check_output: str = ""
    verdict: str = ""

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

    def decision(self, answer: BaseModel) -> str:
        return str(getattr(answer, self.decision_field)) if self.decision_field else ""

    def _refuse(self, verdict: Verdict, why: str, text: str) -> NoAnswer:
        self.verdict = verdict
        return NoAnswer(Outcome.INVALID, f"not valid: {why}", text)

    def _read(self, text: str) -> BaseModel:
        try:
            data = json.loads(text)
        except (ValueError, RecursionError):
            raise self._refuse(Verdict.NO_JSON, "no JSON", text)
        if stranger := self.redactions.foreign(data):
            why = f"{stranger[1:-1]} stands for nothing that may be put back"
            raise self._refuse(Verdict.PLACEHOLDER, why, text)
        try:
            answer = self.schema.model_validate_json(json.dumps(self.redactions.restore(data)))
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            where = ".".join(str(part) for part in first["loc"])
            raise self._refuse(Verdict.SCHEMA, f"{where + ': ' if where else ''}{first['msg']}", text)
        if self.decision_field and self.decision(answer) not in self.permitted:
            raise self._refuse(
                Verdict.ACTION, f"{self.decision(answer)[:40]!r} is not among the permitted actions", text
            )
        if self.validate and (objection := self.validate(answer)):
            raise self._refuse(Verdict.OBJECTION, objection, text)
        self.verdict = Verdict.PASSED
        return answer


def ask(
    *,
    agent: str,
    purpose: str,
    prompt: str,
    facts: Mapping[str, Any],
    schema: type[Answer],
    subject: str,
    permitted: Collection[str] = (),
    baseline: str = "",
    free_text: Mapping[str, str] | None = None,
    validate: Callable[[Answer], str | None] | None = None,
    secrets: Redactions | None = None,
    account: str = "",
    max_tokens: int | None = None,
) -> Run[Answer]:
    """Put one question to the model and check what it says.

    agent, purpose   who asks, and which of its tasks: "dunning", "choose_action". Both are registered (registry.py),
                     and with them the prompt, the schema, the field that decides and all it may ever say
    prompt           label of a prompt file ("dunning-choose-v2"), whose front matter lists the facts that may be sent
    facts            text, whole numbers, booleans, dates, Decimals, and lists and dicts of them; a float is refused
    schema           the pydantic model of the answer; extra constraints are checked here, not by the server
    subject          what it is about (in_…, a row's id); recorded, never sent. `account`: its connected account
    permitted        what may be decided this time: a part of the task's actions
    baseline         what the rules alone would decide; recorded, never sent
    free_text        texts made by a customer, by what they are ("dispute note"); sent masked, cut short, marked as
                     data, and only where the agent's setting allows customer text: otherwise they are dropped. The
                     question is then asked again without them, and a decision that moves is not used
    validate         (answer, placeholders put back) → why it must not be used, or None
    secrets          more known names, addresses… behind the facts, for this one question; what has a shape (e-mail,
                     phone, card, Stripe id) is found without being named
    max_tokens       at most settings.OPENAI_MAX_TOKENS

    Takes at most settings.OPENAI_TIMEOUT_SECONDS in all, repeats included. Raises NotPermitted or InvalidInput for a
    mistake of the caller (an agent, prompt or action that is not registered, a fact of a wrong type), and RuntimeError
    inside a transaction: none may be held across the network.
    """
    _refuse_open_transaction()
    asker, task, loaded = registry.permit(
        agent=agent,
        task=purpose,
        prompt=prompt,
        schema=schema,
        permitted=permitted,
        has_free_text=bool(free_text),
    )
    if why_not := client.not_configured():
        return Run(answer=None, why_not=why_not)
    budget = budgets.one(agent)
    if not budget.enabled:
        return Run(answer=None, why_not=SWITCHED_OFF)

    redactions = secrets if secrets is not None else Redactions()
    redactions.use_once()
    kept, left_out = allowed(facts, loaded.facts)
    for name in values_under(kept, loaded.names):
        redactions.hide("NAME", name)
    redactions.keep_codes([*task.actions, *values_under(kept, loaded.codes)])
    question = _Question(
        prompt=loaded,
        facts=json.dumps(redactions.mask_value(kept), ensure_ascii=False, indent=1, sort_keys=True),
        redactions=redactions,
        schema=schema,
        validate=validate,
        decision_field=task.decision_field,
        permitted=frozenset(permitted),
        max_tokens=min(max_tokens or settings.OPENAI_MAX_TOKENS, settings.OPENAI_MAX_TOKENS),
        deadline=time.monotonic() + settings.OPENAI_TIMEOUT_SECONDS,
    )
    texts = _customer_text(free_text or {}, redactions) if budget.customer_text else ""
    messages = question.messages(texts or _NO_TEXT)
    twice = bool(texts and task.decision_field)
    run = AgentRun(
        agent=agent,
        agent_version=asker.version_label,
        rules_version=asker.rules,
        purpose=purpose,
        subject=subject,
        account=account,
        prompt=loaded.label,
        prompt_version=loaded.version,
        prompt_sha256=loaded.sha256,
        model=settings.OPENAI_MODEL[:120],
        baseline=baseline,
        input={"messages": messages, "left_out": left_out},
    )
    started = time.monotonic()
    answer: Answer | None = None
    try:
        _check_budget(budget, messages, question.max_tokens, twice=twice)
        _check_server_is_not_resting()
        answer = _answer(question, messages, twice=twice)  # type: ignore[assignment]
        run.outcome = Outcome.ANSWERED
        run.decision = question.decision(answer)[:64] if answer is not None else ""
    except NoAnswer as problem:
        run.outcome = problem.outcome
        run.reason = redactions.mask(problem.reason, answer=True)[:500]
    run.latency_ms = round((time.monotonic() - started) * 1000)
    _record(run, question, messages)
    return Run(
        answer=answer,
        why_not=run.reason,
        author=f"model {run.model[:60]}, prompt {loaded.label}" if answer is not None else "",
        run_id=run.pk,
        words=_words(run),
        moved=run.verdict == Verdict.MOVED,
        read_text=bool(texts) and answer is not None,
    )


def is_asked(agent: str) -> bool:
    """Whether a question of this agent would be put to a model now. One statement where a model is configured."""
    return not client.not_configured() and budgets.one(agent).enabled


def _words(run: AgentRun) -> str:
    if run.verdict == Verdict.MOVED:
        return "its answer moved with the customer's text"
    if run.verdict not in ("", Verdict.PASSED):
        return f"its answer was not valid: {Verdict(run.verdict).label}"
    return run.reason


SWITCHED_OFF = "the agent is switched off"
MOVED = "the answer moves when free text is removed"


def _answer(question: _Question, messages: list[dict[str, str]], *, twice: bool) -> BaseModel:
    """The model's answer. `twice`: asked again without the customer's text; a decision that moves, or that only the
    text makes unusable, raises NoAnswer with the verdict MOVED."""
    broken: NoAnswer | None = None
    answer: BaseModel | None = None
    try:
        answer = question.put(messages)
    except NoAnswer as problem:
        if not (twice and question.verdict):
            raise
        broken = problem
    if not twice:
        assert answer is not None
        return answer
    verdict = question.verdict
    try:
        without = question.put(question.messages(_NO_TEXT), check=True)
    except NoAnswer:
        if broken is None:
            raise
        question.verdict = verdict  # bad with the text and without it: that is no movement
        raise broken
    if broken is not None:
        question.verdict = Verdict.MOVED
        raise NoAnswer(Outcome.INVALID, f"{MOVED} (with it: {broken.reason})")
    assert answer is not None
    if question.decision(answer) != question.decision(without):
        question.verdict = Verdict.MOVED
        raise NoAnswer(Outcome.INVALID, MOVED)
    return answer


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


def _check_budget(budget: budgets.Budget, messages: list[dict[str, str]], max_tokens: int, *, twice: bool) -> None:
    """Workers that ask at the same moment may overshoot by a question each."""
    tokens, cost = budgets.expected(
        settings.OPENAI_MODEL, characters=_characters(messages), max_tokens=max_tokens, times=2 if twice else 1
    )
    if why_not := budget.exceeded_by(tokens, cost):
        raise NoAnswer(Outcome.OVER_BUDGET, why_not)


def _characters(messages: list[dict[str, str]]) -> int:
    return sum(len(message["content"]) for message in messages)


def _check_server_is_not_resting() -> None:
    now = timezone.now()
    last = AgentRun.objects.last_asked(now - 10 * REST, REST_AFTER_FAILURES)
    failing = len(last) == REST_AFTER_FAILURES and all(outcome in _FAILURES for outcome, _at in last)
    if failing and last[0][1] > now - REST:
        raise NoAnswer(
            Outcome.RESTING, f"the model's server failed {REST_AFTER_FAILURES} times in a row and is left alone"
        )


def _record(run: AgentRun, question: _Question, messages: list[dict[str, str]]) -> None:
    meter = question.meter
    run.verdict = question.verdict
    run.model = meter.model or run.model
    run.calls = meter.calls
    run.tokens_in, run.tokens_cached, run.tokens_out = meter.tokens_in, meter.tokens_cached, meter.tokens_out
    # A model may invent or repeat what looks personal: what is kept of its words is masked as well.
    run.output = question.redactions.mask(question.output, answer=True)[:_STORED_OUTPUT_LIMIT]
    run.check_output = question.redactions.mask(question.check_output, answer=True)[:_STORED_OUTPUT_LIMIT]
    if meter.tokens_in is not None:
        run.counted_tokens = meter.tokens_in + (meter.tokens_out or 0)
    elif meter.calls:
        # The server names no usage, or gave no answer: what was sent was read all the same.
        sent = _characters(messages) * meter.calls + len(question.output) + len(question.check_output)
        run.counted_tokens = sent // 3
    run.price_table = prices.table()["version"]
    if meter.tokens_in is not None:
        run.cost_micro = prices.cost_micro(
            run.model,
            tokens_in=meter.tokens_in,
            tokens_cached=meter.tokens_cached or 0,
            tokens_out=meter.tokens_out or 0,
        )
    run.save(force_insert=True)
