"""The tell lane: which message, when, over which channel; on a day of the sequence, or because something has happened.
Pure.

Messages keep the distances that the sequence gives them, are never sent at night or twice a day, wait for a retry that
may make them needless, and grow firmer only one after the other: nobody's first word is a last notice.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from dunning.plan import words
from dunning.plan.question import Question
from dunning.plan.sequences import RECOVERED, SERVICE_PAUSED, Entry
from dunning.plan.steps import NOTIFY, PAUSE, RETRY, Step
from dunning.reasons import Category, Verdict

DAY = timedelta(days=1)
FOLLOW_UPS = ("reminder", "last_notice")  # nobody's first message
AFTER_A_RETRY = timedelta(hours=2)  # its event has come back by then


def tell(question: Question, attempts: list[Step]) -> list[Step]:
    """The messages to come, were none of them answered. `attempts`: what the collect lane plans."""
    facts, verdict = question.facts, question.verdict
    if verdict.category == Category.OURS or facts.answer_waiting:
        return []  # no message helps; a person answers first
    news = _service_paused(question)
    if facts.spoken_for:
        return news  # another case's messages speak of what is owed
    left = question.sequence.max_messages - len(facts.messages)
    waiting = [entry for entry in _entries(question) if not facts.is_done(entry.mark)]
    steps: list[Step] = []
    before = news[0].at or question.now if news else max(facts.messages, default=None)
    number = len(facts.messages)
    last_day: int | None = _last_done_day(question)
    for entry in waiting:
        if len(steps) >= left:
            break
        at = _moment(question, entry, before, last_day, attempts, first=number == 0)
        steps.append(_step(question, entry, at, number))
        before, last_day, number = at, entry.day, number + 1
    return [*news, *steps]


# -- on occasions ------------------------------------------------------------------------------------------------------


def _service_paused(question: Question) -> list[Step]:
    """Once a pause of ours has taken effect, where the sequence says so: whoever's service rests is to know why."""
    facts = question.facts
    paused = facts.collection_paused and any(step.kind == PAUSE and step.took_effect for step in facts.done)
    if not paused or not _on_occasion(question, SERVICE_PAUSED) or facts.is_done(f"on:{SERVICE_PAUSED}"):
        return []
    why = "The pause of the subscription has taken effect: tell the customer, and how it ends."
    return [_news(question, SERVICE_PAUSED, why, question.start)]


def thank(question: Question) -> Step | None:
    """Once the invoice is paid: who was written to about it hears that it is settled. None where the sequence does not
    say so, nothing was sent, they unsubscribed, or a person has to speak with them first."""
    facts = question.facts
    if not facts.messages or facts.dispute_open or facts.complaint_open or facts.answer_waiting:
        return None
    if not _on_occasion(question, RECOVERED):
        return None
    why = "It is paid, and the customer had been written to about it: thank them, and say that nothing is left to do."
    return _news(question, RECOVERED, why, question.now)


def _on_occasion(question: Question, template: str) -> bool:
    """Whether the sequence asks for that message and it may go to this customer."""
    only = question.facts.only_templates
    wanted = template in question.sequence.occasions and question.reaches("email")
    return wanted and (only is None or template in only)


def _news(question: Question, template: str, why: str, at: datetime) -> Step:
    if question.facts.last_message_at is not None:
        at = max(at, question.facts.last_message_at + DAY)
    at = question.open_hours(at)
    return Step(
        NOTIFY,
        template,
        why,
        at=question.later(at),
        mark=f"on:{template}",
        template=template,
        channel="email",
        deadline=at + timedelta(days=question.config.notice_days),
        flags=question.flags,
    )


# -- on a day of the sequence ------------------------------------------------------------------------------------------


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
    days = [step.mark.partition(":")[0] for step in question.facts.done if step.kind == NOTIFY]
    return max((int(day) for day in days if day.isdigit()), default=None)


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
