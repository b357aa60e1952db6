"""The service and person lanes: grace, pauses, downgrades, giving up, handing over. Pure.

What ends the service or the claim comes from the sequence alone, never from here, and only after its day.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from dunning.plan import calendar, words
from dunning.plan.question import RUNNING, Question
from dunning.plan.sequences import Entry
from dunning.plan.steps import (
    CANCEL,
    DOWNGRADE,
    END_GRACE,
    ESCALATE,
    GRACE,
    NOTIFY,
    PAUSE,
    RETRY,
    TAKE_OVER,
    UNCOLLECTIBLE,
    Step,
)

WORDS = {
    PAUSE: "pause the collection of the subscription",
    DOWNGRADE: "move the subscription to the smaller plan",
    CANCEL: "end the subscription",
    UNCOLLECTIBLE: "mark the invoice uncollectible",
}


def serve(question: Question, attempts: list[Step]) -> list[Step]:
    """Grace where it is due, the end of one that is over, then the sequence's measures, each on its day."""
    facts, found = question.facts, []
    if ended := _end_of_grace(question):
        found.append(ended)
    elif grace := _grace(question):
        found.append(grace)
    for entry in sorted(question.sequence.entries, key=lambda entry: entry.day):
        if entry.kind in (NOTIFY, ESCALATE) or facts.is_done(entry.mark) or not _applies(question, entry):
            continue
        found.append(_measure(question, entry))
    return found


def _end_of_grace(question: Question) -> Step | None:
    """Once this case's grace is over, and only where the subscription still has a date: another case of it may have
    ended it since, or been given a later one, which then has to pass."""
    facts, end = question.facts, question.facts.grace_on_file
    if facts.grace_until is None or facts.grace_until > question.now or end is None or not facts.subscription:
        return None
    over = f"ended on {words.day(end)}" if end <= question.now else f"was made longer and ends on {words.day(end)}"
    return Step(
        END_GRACE,
        "grace_over",
        f"The grace period {over} and the invoice is still open.",
        at=question.later(end),
        mark=f"end_grace:{end:%Y-%m-%d}",
        flags=question.flags,
    )


def _grace(question: Question) -> Step | None:
    facts, config = question.facts, question.config
    if not question.offers_grace:
        return None
    assert facts.customer_since is not None
    until = calendar.at_nine(question.now + timedelta(days=config.grace_days), facts.zone, facts.country)
    years = (question.now - facts.customer_since).days // 365
    since = (
        f"{years} years" if years > 1 else "more than a year" if years else f"since {words.day(facts.customer_since)}"
    )
    record = f", {facts.recoveries} earlier failure(s) all recovered" if facts.recoveries else ""
    return Step(
        GRACE,
        "good_customer",
        f"A customer for {since} without a lost invoice{record}, and retries are scheduled: leave the service on until "
        f"{words.day(until)} and wait.",
        mark="grace",
        days=config.grace_days,
        until=until,
        flags=question.flags,
    )


def _applies(question: Question, entry: Entry) -> bool:
    facts = question.facts
    if entry.over and facts.amount_remaining <= entry.over.get(facts.currency, facts.amount_remaining):
        return False
    if entry.needs == "customer" and question.verdict.may_retry:
        return False
    if entry.needs == "bank" and not question.verdict.may_retry:
        return False
    if entry.kind == GRACE:
        return facts.subscription_status in RUNNING and facts.grace_until is None and not question.in_grace
    if entry.kind == PAUSE:
        return facts.subscription_status in RUNNING and not facts.collection_paused
    if entry.kind in (DOWNGRADE, CANCEL):
        return facts.subscription_status in RUNNING and (entry.kind == CANCEL or facts.price != entry.price)
    return entry.kind == UNCOLLECTIBLE


def _measure(question: Question, entry: Entry) -> Step:
    at = max(question.nine_of(entry.day), question.start)
    if entry.kind == GRACE:
        until = at + timedelta(days=entry.days)
        why = f"Day {entry.day} of the sequence: leave the service on until {words.day(until)}."
        return Step(
            GRACE, "sequence", why, at=question.later(at), mark=entry.mark, days=entry.days, until=until,
            flags=question.flags,
        )  # fmt: skip
    sent = len(question.facts.messages)
    why = (
        f"Day {entry.day} of the sequence, {sent} message(s) and {question.facts.attempt_count} attempt(s) later the "
        f"invoice is still open: {WORDS[entry.kind]}."
    )
    return Step(
        entry.kind, "sequence", why, at=question.later(at), mark=entry.mark, price=entry.price, days=entry.days,
        flags=question.flags,
    )  # fmt: skip


def hand_over(question: Question, others: list[Step]) -> Step:
    """When a person is to look: at once where something presses or every way is barred, on the sequence's day, or when
    nothing is left."""
    facts = question.facts
    if question.presses and question.pressing is not None:
        code, why = question.pressing
        mark = f"pressing:{code}"
        return _once_more(question, code, why) if facts.is_done(mark) else _person(question, code, why, mark)
    if _out_of_ways(question, others):
        return _nothing_left(question, others)
    for entry in sorted(question.sequence.entries, key=lambda entry: entry.day):
        if entry.kind == ESCALATE and not facts.is_done(entry.mark):
            at = max(question.nine_of(entry.day), question.start)
            why = f"Day {entry.day} of the sequence and the invoice is still open: a person should look."
            if others or facts.messages or facts.spoken_for:
                return Step(
                    ESCALATE, "sequence", why, at=question.later(at), mark=entry.mark, flags=question.flags
                )  # fmt: skip
    return _nothing_left(question, others)


def _out_of_ways(question: Question, others: list[Step]) -> bool:
    """No charge is possible, by Stripe either, and no word reaches the customer: to wait for a day brings nothing."""
    if question.reaches("email") or question.facts.spoken_for or question.refused_until is not None:
        return False
    stripe_may = question.verdict.may_retry and question.stripe_tries_itself
    return not stripe_may and not any(step.kind in (RETRY, TAKE_OVER, NOTIFY) for step in others)


def _last(question: Question, others: list[Step]) -> datetime | None:
    times = [step.at or question.now for step in others]
    if question.facts.messages:
        times.append(max(question.facts.messages))
    return max(times, default=None)


def hand_over_now(question: Question) -> Step:
    """The same as something to choose now, whatever else is planned."""
    if question.pressing is not None:
        code, why = question.pressing
        return _person(question, code, why, f"pressing:{code}")
    code, why = _why_now(question)
    return _person(question, code, why, f"end:{code}")


def _person(question: Question, code: str, why: str, mark: str) -> Step:
    return Step(ESCALATE, code, why, mark=mark, flags=question.flags)


def _nothing_left(question: Question, others: list[Step]) -> Step:
    code, why = _why_now(question)
    if question.facts.is_done(f"end:{code}"):
        return _once_more(question, code, why, others)
    step = _person(question, code, why, f"end:{code}")
    last = _last(question, others) if not _out_of_ways(question, others) else None
    after = last + timedelta(days=question.config.notice_days) if last is not None else question.start
    return step.moved_to(question.later(max(after, question.start)))


def _once_more(question: Question, code: str, why: str, others: Sequence[Step] = ()) -> Step:
    """A person has had it, and it is still unpaid: no case is forgotten, so it comes back after the notice period."""
    had = [step.at for step in question.facts.done if step.kind == ESCALATE]
    last = max([*had, *(step.at or question.now for step in others)])
    at = max(last + timedelta(days=question.config.notice_days), question.start)
    text = f"{why} A person has had it {len(had)} time{'s' * (len(had) > 1)} and it is still unpaid."
    return _person(question, code, text, f"again:{len(had)}").moved_to(question.later(at))


def _why_now(question: Question) -> tuple[str, str]:
    facts = question.facts
    if not question.reaches("email"):
        why_not = facts.unreachable["email"]
        if why_not == "no address":
            return "no_email", "The customer has no e-mail address, so a person must find another way to reach them."
        return "no_email", (
            f"The customer cannot be reached by e-mail ({why_not}), so a person must find another way to reach them."
        )
    if facts.messages:
        return "notices_used", f"{len(facts.messages)} messages have brought no payment; a person should call."
    return "unclear", f"Nothing automatic fits well ({question.verdict.words}); a person should look."
