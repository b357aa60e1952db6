"""Where a model may help: choose among the permitted actions and explain it, and word a message inside its frame.

Amounts, currencies, recipients, dates and links are never its own: the rules fix the action's parameters, code fills
the fields. Without a model, or when it gives nothing usable, the rules' first choice and the templates stand. What the
rules alone would do is worked out either way (`baseline`), so that the two can be compared.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import BaseModel

from billingops.llm import agents
from billingops.llm.redaction import Redactions
from billingops.llm.registry import Agent, Task
from billingops.llm.texts import frame_problem, numbers_not_in_facts, prose_problem
from billingops.money import format_money
from dunning import messages, reasons
from dunning.facts import Snapshot
from dunning.loading import Loaded
from dunning.messages import bundle, overrides, shelf, texts
from dunning.plan.facts import PlanFacts
from dunning.plan.steps import ESCALATE, GRACE, NOTIFY, RETRY, TAKE_OVER, VERSION, Step
from dunning.reasons import Category, Verdict

CHOOSE, MESSAGE = "dunning-choose-v2", "dunning-message-v2"
NOT_ASKED = frozenset({"", "no model configured", agents.SWITCHED_OFF})
MAX_TEXTS = 8
MAX_EXPLANATION = 800
MAX_VOICE = 500


class ActionChoice(BaseModel):
    action: str
    reason_code: str
    explanation: str


class MessageDraft(BaseModel):
    subject: str
    body: str


AGENT = Agent(
    name="dunning",
    label="Dunning",
    version=2,
    sentence="Says what to do about a failed payment. What is permitted, how much and when is worked out by the rules.",
    rules=VERSION,
    tasks=(
        Task(
            name="choose_action",
            sentence="Chooses one of the steps that the rules permit for this case, and explains the choice.",
            prompt=CHOOSE,
            schema=ActionChoice,
            decision_field="action",
            actions=(RETRY, TAKE_OVER, NOTIFY, GRACE, ESCALATE),
            customer_text=True,
        ),
        Task(
            name="draft_message",
            sentence="Words a message to the customer around fields; code fills in every amount, date and link.",
            prompt=MESSAGE,
            schema=MessageDraft,
        ),
    ),
)


@dataclass(frozen=True)
class Choice:
    """What to propose. `author` goes into `suggested_by`; `rationale` says why a model that was asked did not help.
    `baseline`: the kind that the rules alone would propose. `run`: the AgentRun whose answer is used, or that failed.
    `flags`: (code, text) of what a reviewer should know of the model's part in it."""

    option: Step
    rationale: str
    author: str
    baseline: str
    run: uuid.UUID | None = None
    flags: tuple[tuple[str, str], ...] = ()


MOVED = (
    "model_moved_by_text",
    "The model's answer moved with the customer's text, so the rules' choice stands. Read what the customer wrote.",
)
READ_TEXT = ("model_read_text", "The model had read text from the customer; its explanation may be coloured by it.")


def by_rules(step: Step) -> Choice:
    """The step as the rules alone propose it."""
    return Choice(step, step.rationale, VERSION, step.kind)


def choose(*, loaded: Loaded, options: Sequence[Step], now: datetime) -> Choice:
    """One of `options`: the model's choice, or the first. `options` is not empty. Network; never in a transaction."""
    first, snapshot = options[0], loaded.snapshot
    if len(options) == 1:
        return by_rules(first)
    facts = choice_facts(loaded, options, now)
    run = agents.ask(
        agent="dunning",
        purpose="choose_action",
        prompt=CHOOSE,
        facts=facts,
        schema=ActionChoice,
        subject=snapshot.invoice.id,
        account=snapshot.invoice.account,
        permitted=[option.kind for option in options],
        baseline=first.kind,
        free_text=customer_texts(snapshot),
        secrets=secrets(snapshot),
        validate=choice_check(options, facts),
    )
    if run.answer is None:
        flags = (MOVED,) if run.moved else ()
        return Choice(
            first, first.rationale + _why_not(run.words or run.why_not), VERSION, first.kind, run.run_id, flags
        )
    chosen = next(option for option in options if option.kind == run.answer.action)
    rationale = run.answer.explanation.strip()
    if chosen.kind != first.kind:
        rationale += f" (The rules alone would choose: {first.kind.replace('_', ' ')} — {first.rationale})"
    flags = (READ_TEXT,) if run.read_text else ()
    return Choice(chosen, rationale, run.author, first.kind, run.run_id, flags)


def customer_texts(snapshot: Snapshot) -> dict[str, str]:
    """What somebody outside may have typed around this invoice. Sent only where the agent's setting says so."""
    invoice, customer, subscription = snapshot.invoice, snapshot.customer, snapshot.subscription
    found = {f"invoice line {index}": line.description for index, line in enumerate(invoice.lines, start=1)}
    for name, metadata in (
        ("invoice", {**invoice.subscription_metadata, **invoice.metadata}),
        ("subscription", subscription.metadata if subscription else {}),
        ("customer", customer.metadata if customer else {}),
    ):
        values = dict.fromkeys(f"{key}: {value}" for key, value in metadata.items() if isinstance(value, str))
        found[f"{name} notes"] = "\n".join(values)
    return dict([(name, text) for name, text in found.items() if text and text.strip()][:MAX_TEXTS])


def secrets(snapshot: Snapshot) -> Redactions:
    """What is known of the customer, and the number of their invoice, which may begin with their name."""
    customer = snapshot.customer
    return Redactions(
        names=[customer.name] if customer else [],
        emails=[customer.email] if customer else [],
        ids=[snapshot.invoice.number, snapshot.invoice.id],
    )


def choice_check(options: Sequence[Step], facts: dict[str, Any]) -> Callable[[ActionChoice], str | None]:
    """Why an answer must not be used: an action or reason that is not permitted, or a figure that the facts lack."""
    permitted = {option.kind: option.reason_code for option in options}

    def check(answer: ActionChoice) -> str | None:
        if answer.action not in permitted:
            return f"{answer.action[:40]!r} is not among the permitted actions"
        if problem := prose_problem(answer.explanation):
            return f"the explanation contains {problem}"
        if answer.reason_code != permitted[answer.action]:
            return f"{answer.reason_code[:40]!r} is no reason for {answer.action}"
        if not answer.explanation.strip() or len(answer.explanation) > MAX_EXPLANATION:
            return f"the explanation is empty or longer than {MAX_EXPLANATION} characters"
        if invented := numbers_not_in_facts(answer.explanation, facts):
            return f"the explanation names {invented[0]}, which is not in the facts"
        return None

    return check


def choice_facts(loaded: Loaded, options: Sequence[Step], now: datetime) -> dict[str, Any]:
    snapshot, known = loaded.snapshot, loaded.facts
    failure, verdict = snapshot.failure, reasons.judge(snapshot.failure)
    months = (now - known.customer_since).days // 30 if known.customer_since else 0
    return {
        "amount": format_money(known.amount_remaining, known.currency),
        "attempt_count": known.attempt_count,
        "failure": verdict.words,
        "decline_code": failure.decline_code or failure.code,
        "advice_code": failure.advice_code,
        "network_advice_code": failure.network_advice_code,
        "card_brand": failure.card_brand,
        "needs_customer": verdict.category in (Category.CUSTOMER, Category.HARD, Category.FRAUD),
        "next_payment_attempt": known.next_payment_attempt,
        "stripe_retries_on": stripe_tries_itself(known, now),
        "subscription_status": known.subscription_status,
        "months_as_customer": months,
        "recovered_before": known.recoveries,
        "previous_actions": len(known.messages),
        "disputes": known.dispute_open,
        "today": now.date(),
        "permitted": [
            {
                "action": option.kind,
                "reason_codes": [option.reason_code],
                "reason": option.rationale,
                "when": option.at or "now",
                "days": option.days,
            }
            for option in options
        ],
        "rule_action": options[0].kind,
        "rule_reason_code": options[0].reason_code,
    }


def stripe_tries_itself(known: PlanFacts, now: datetime) -> bool:
    return known.next_payment_attempt is not None and known.next_payment_attempt > now


def write_message(*, loaded: Loaded, option: Step, now: datetime, ask: bool = True) -> tuple[messages.Draft, str, str]:
    """(draft, author or "" for a text of ours, why the model did not write it). With `ask`: Stripe is asked about the
    other invoices that it speaks of, and a model, where there is one, for the words; never in a transaction."""
    snapshot, known = loaded.snapshot, loaded.facts
    assert option.deadline is not None, f"{option.kind} is no {NOTIFY}"
    invoice, brand = snapshot.invoice, shelf.brand_of(snapshot.invoice.account)
    alone = texts.text_of(option.template).alone
    others = shelf.invoices(known.bundle, invoice.account, live=ask) if known.bundle and not alone else []
    given: dict[str, Any] = {
        "template": option.template,
        "snapshot": snapshot,
        "deadline": option.deadline,
        "bundle": [one for one in others if bundle.is_owed(bundle.Entry.of(one))],
        "brand": brand,
        "tone": option.tone,
        "channel": option.channel or "email",
    }
    ours = messages.draft(**given)
    if not ask or ours.channel != "email":
        return ours, "", ""
    verdict, text = reasons.judge(snapshot.failure), texts.text_of(ours.template)
    required = text.required
    run = agents.ask(
        agent="dunning",
        purpose="draft_message",
        prompt=MESSAGE,
        facts={
            "fields": list(messages.FIELDS),
            "required_fields": list(required),
            "language": ours.language,
            "message_is_about": text.label,
            "tone": ours.tone or "friendly",
            "brand_voice": brand.voice[:MAX_VOICE],
            "several_invoices": len(ours.invoices) > 1,
            "closing_added": text.toned and ours.tone in ("firm", "final"),
            "message_number": len(known.messages) + 1,
            "first_message": not known.messages,
            "needs_customer": not verdict.may_retry,
            "reason_for_customer": reason_for_customer(verdict),
            "what_to_do": "confirm the payment on the page behind the link, or choose another payment method there"
            if text.to_hosted
            else "open the billing portal and check or replace the payment method",
            "will_retry": stripe_tries_itself(known, now) and verdict.may_retry,
        },
        schema=MessageDraft,
        subject=invoice.id,
        account=invoice.account,
        validate=lambda answer: message_problem(answer, language=ours.language, required=required),
        secrets=secrets(snapshot),
    )
    if run.answer is None:
        return ours, "", run.words or run.why_not
    return messages.draft(**given, words=(run.answer.subject, run.answer.body)), run.author, ""


def message_problem(
    answer: MessageDraft, *, language: str = messages.FALLBACK_LANGUAGE, required: Sequence[str] = texts.OWED
) -> str | None:
    """Why a drafted message must not be shown to anybody, or None."""
    if problem := frame_problem(answer.subject, allowed=("amount", "invoice"), limit=120):
        return f"subject: {problem}"
    if "\n" in answer.subject.strip():
        return "the subject has more than one line"
    if problem := frame_problem(answer.body, allowed=messages.FIELDS, required=required, limit=1500):
        return f"body: {problem}"
    if answer.body.count(messages.LINK) > 1:
        return "body: {link} stands there more than once"
    if problem := overrides.own_words_problem(f"{answer.subject}\n{answer.body}", language):
        return problem
    return None


def reason_for_customer(verdict: Verdict) -> str:
    """What a customer may be told; "" when the cause is secret, unknown, or theirs to be ashamed of."""
    if verdict.secret or verdict.category != Category.CUSTOMER:
        return ""
    return verdict.words


def why_not_written(why_not: str) -> str:
    """The sentence for the rationale when a model was to word the message and did not."""
    if why_not in NOT_ASKED:
        return ""
    return f" (The message is the built-in template: {why_not}.)"


def _why_not(why_not: str) -> str:
    return "" if why_not in NOT_ASKED else f" (The model was asked and did not help: {why_not}.)"


def with_message_author(author: str, message_author: str) -> str:
    """`suggested_by` of a suggestion whose words, or also whose choice, came from a model (at most 120 characters)."""
    if not message_author:
        return author
    joined = f"{author}, {MESSAGE}" if author != VERSION else f"{VERSION}, text {message_author}"
    return joined[:120]
