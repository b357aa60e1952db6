"""The tell lane: which message, when, over which channel. Pure.

Messages keep the distances that the sequence gives them, are never sent at night or twice a day, wait for a retry that
may make them needless, and grow firmer only one after the other: nobody's first word is a last notice.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from dunning.plan import words
from dunning.plan.question import Question
from dunning.plan.sequences import Entry
from dunning.plan.steps import NOTIFY, RETRY, Step
from dunning.reasons import Category, Verdict

DAY = timedelta(days=1)
FOLLOW_UPS = ("reminder", "last_notice")  # nobody's first message
AFTER_A_RETRY = timedelta(hours=2)  # its event has come back by then


def tell(question: Question, attempts: list[Step]) -> list[Step]:
    """The messages to come, were none of them answered. `attempts`: what the collect lane plans."""
    facts, verdict = question.facts, question.verdict
    if verdict.category == Category.OURS or facts.spoken_for or facts.answer_waiting:
        return []  # no message helps; another case's speak of this invoice; a person answers first
    left = question.sequence.max_messages - len(facts.messages)
    waiting = [entry for entry in _entries(question) if not facts.is_done(entry.mark)]
    steps: list[Step] = []
    before = max(facts.messages, default=None)
    number = len(facts.messages)
    last_day: int | None = _last_done_day(question)
    for entry in waiting:
        if len(steps) >= left:
            break
        at = _moment(question, entry, before, last_day, attempts, first=number == 0)
        steps.append(_step(question, entry, at, number))
        before, last_day, number = at, entry.day, number + 1
    return steps


def _entries(question: Question) -> list[Entry]:
    """The sequence's messages that fit the reason and can reach the customer, in the order of their days."""
    facts, found = question.facts, []
    for entry in question.sequence.entries:
        if entry.kind != NOTIFY or not question.reaches(entry.channel):
            continue
        if facts.only_templates is not None and entry.channel == "email" and entry.template not in facts.only_templates:
            continue
        if entry.needs == "customer" and question.verdict.may_retry:
            continue
        if entry.needs == "bank" and not question.verdict.may_retry:
            continue
        if entry.over and facts.amount_remaining <= entry.over.get(facts.currency, facts.amount_remaining):
            continue
        found.append(entry)
    return sorted(found, key=lambda entry: entry.day)


def _last_done_day(question: Question) -> int | None:
    days = [int(step.mark.partition(":")[0]) for step in question.facts.done if step.kind == NOTIFY and step.mark]
    return max(days, default=None)


def _moment(
    question: Question,
    entry: Entry,
    before: datetime | None,
    last_day: int | None,
    attempts: list[Step],
    *,
    first: bool,
) -> datetime:
    facts = question.facts
    at = max(question.nine_of(entry.day), question.start)
    if first and (entry.day == 0 or _nothing_else_to_do(question, attempts)):
        at = question.start  # day 0 does not wait for nine o'clock; nor what is all that is left to us
    if before is not None:
        gap = max(entry.day - last_day, 1) if last_day is not None else 1
        at = max(at, before + gap * DAY)
    if facts.last_message_at is not None:
        at = max(at, facts.last_message_at + DAY)
    if facts.next_payment_attempt and (question.offers_grace or question.in_grace):
        at = max(at, facts.next_payment_attempt + AFTER_A_RETRY)  # a good customer need not hear of it before
    at = question.open_hours(at)
    wait = timedelta(hours=question.config.message_before_retry_hours)
    for attempt in attempts:
        if attempt.at is None and RETRY in facts.under_way:
            continue  # its time has come and nobody has decided: the customer is not to wait for that
        due = attempt.at or question.now
        if attempt.kind == RETRY and due - wait <= at <= due + AFTER_A_RETRY:
            at = question.open_hours(due + AFTER_A_RETRY)
    return at


def _nothing_else_to_do(question: Question, attempts: list[Step]) -> bool:
    """Where Stripe tries by itself, or no attempt is left, a message is all that there is; it does not wait."""
    return not attempts


def _step(question: Question, entry: Entry, at: datetime, number: int) -> Step:
    facts, verdict, config = question.facts, question.verdict, question.config
    stripe = facts.next_payment_attempt if question.stripe_tries_itself and verdict.may_retry else None
    template, tone = entry.template, entry.tone
    follows = number == 0 and template in FOLLOW_UPS and facts.only_templates is None
    if follows or not template:
        template = "reminder" if number else template_for(verdict)
        tone = entry.tone if number else "friendly"
    deadline = at + timedelta(days=config.notice_days)
    if stripe is not None and stripe > at and not number and facts.only_templates is None:
        template, deadline = "retry_planned", stripe
        code, why = (
            "stripe_retries",
            (
                f"Stripe tries again by itself on {words.day(stripe)}; another retry would share the networks' caps. "
                "Tell the customer meanwhile."
            ),
        )
    elif number:
        after = "a message" if number == 1 else f"{number} messages"
        code, why = "no_reaction", f"Still open after {after}: remind the customer."
    elif verdict.may_retry:
        code, why = (
            "no_more_retries",
            (f"The payment method on file could not pay ({verdict.words}): ask the customer."),
        )
    else:
        secret = " The customer is told nothing of the reason." if verdict.secret else ""
        code = "customer_must_act" if verdict.category == Category.CUSTOMER else "new_method_needed"
        why = f"Another attempt cannot succeed ({verdict.words}); the customer must act in the billing portal.{secret}"
    return Step(
        NOTIFY,
        code,
        why,
        at=question.later(at),
        mark=entry.mark,
        template=template,
        tone=tone,
        channel=entry.channel,
        deadline=deadline,
        flags=question.flags,
    )


def template_for(verdict: Verdict) -> str:
    """The first message for a failure. A secret reason gets the plainest one."""
    if verdict.secret or verdict.may_retry:
        return "payment_failed"
    if verdict.code == "expired_card":
        return "card_expired"
    if verdict.code in ("authentication_required", "payment_intent_action_required") or verdict.code.endswith(
        "authentication_failure"
    ):
        return "confirm_payment"
    if verdict.code.startswith(("incorrect_", "invalid_")) and verdict.category == Category.CUSTOMER:
        return "check_details"
    return "new_method_needed"
