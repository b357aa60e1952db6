"""From facts to steps with times. `plan` is the one entrance; retries.py, notices.py and measures.py know the lanes.

Nothing here ever plans to charge a payment method again that a bank, a network or Stripe has said never to charge
again, to act on an invoice on which nothing is owed, or to write to whoever disputes or complains.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from dunning.config import RuleConfig
from dunning.plan import measures, notices, retries, words
from dunning.plan.facts import PlanFacts
from dunning.plan.question import ENDED, Question
from dunning.plan.sequences import STANDARD, Sequence
from dunning.plan.steps import ESCALATE, GRACE, NOTIFY, RETRY, TAKE_OVER, Plan, Step

NOTHING_OWED = "Nothing is owed any more."
_RANK = {ESCALATE: 3}


def plan(
    facts: PlanFacts, sequence: Sequence = STANDARD, now: datetime | None = None, config: RuleConfig | None = None
) -> Plan:
    """What comes next for one unpaid invoice. `now` (aware) is required in all but name; `config`: the dials.

    The plan says what would happen if nothing changed; after every event it is made anew.
    """
    assert now is not None, "a plan needs to know the time"
    if not facts.owed:
        return Plan(held=NOTHING_OWED)
    question = Question(facts, sequence, config or RuleConfig(), now)
    if facts.dispute_open or facts.complaint_open or facts.subscription_status in ENDED:
        return _at_rest(question)
    if facts.paused:
        return Plan(held="A person has stopped every step until they resume it.")
    attempts = retries.collect(question)
    if facts.escalated:
        return _with_a_person(question, attempts)
    messages = notices.tell(question, attempts)
    services = measures.serve(question, attempts)
    person = measures.hand_over(question, [*attempts, *messages, *services])
    steps = _in_order(question, attempts, messages, services, person)
    held, until = _held(question)
    return Plan(steps, _options(question, attempts, messages, services), held, until)


def _at_rest(question: Question) -> Plan:
    """Nothing is charged or sent until something outside has changed: a person hears of it once, and it is looked at
    again from time to time, should the event that says so be lost."""
    step = measures.hand_over_now(question)
    if question.facts.escalated:
        return Plan((), (step,), held=step.rationale)
    if not question.facts.is_done(step.mark):
        return Plan((step,), (step,), held=step.rationale)
    return Plan((), (step,), held=step.rationale, until=question.now + timedelta(days=question.config.notice_days))


def _with_a_person(question: Question, attempts: list[Step]) -> Plan:
    """Handed over: the person decides, but for another payment method, which is worth their knowing at once."""
    steps = tuple(step for step in attempts if step.reason_code == "new_payment_method")
    return Plan(steps, steps, held="With a person.")


def _held(question: Question) -> tuple[str, datetime | None]:
    facts = question.facts
    if facts.promised_until and facts.promised_until > question.now:
        day = words.day(facts.promised_until - timedelta(days=1))
        return f"The customer promised to pay by {day}.", facts.promised_until
    if facts.snoozed_until and facts.snoozed_until > question.now:
        return f"Put off until {words.day(facts.snoozed_until)}.", facts.snoozed_until
    return "", question.refused_until


def _in_order(
    question: Question, attempts: list[Step], messages: list[Step], services: list[Step], person: Step
) -> tuple[Step, ...]:
    """By time; what is due now in the order of the lanes: a pressing reason, grace, a charge, a message, a measure."""
    if question.presses and not (question.has_new_method and not question.is_large and attempts):
        return (person,)
    ranked = [
        *((0 if step.kind == GRACE else 3, step) for step in services),
        *((1, step) for step in attempts),
        *((2, step) for step in messages),
        (4, person),
    ]
    ranked.sort(key=lambda pair: (pair[1].at is not None, pair[1].at or question.now, pair[0]))
    return tuple(step for _rank, step in ranked)


def _options(question: Question, attempts: list[Step], messages: list[Step], services: list[Step]) -> tuple[Step, ...]:
    """What may be proposed now, best first, at most one of each kind; handing over always may."""
    now_person = measures.hand_over_now(question)
    retry = next((step for step in attempts if step.kind in (RETRY, TAKE_OVER)), None)
    notice = messages[0] if messages else None
    grace = next((step for step in services if step.kind == GRACE and step.at is None), None)
    new_method = retry is not None and question.has_new_method
    if question.presses and (question.is_large or not new_method):
        order = [now_person, retry, notice, grace]
    elif new_method:
        order = [retry, notice, now_person]
    elif grace and question.facts.attempt_count <= 1:
        order = [grace, retry, notice, now_person]
    elif retry or notice:
        order = [retry, notice, now_person, grace]
    else:
        order = [now_person, grace]
    return tuple(step for step in order if step is not None)


__all__ = ["NOTIFY", "plan"]
