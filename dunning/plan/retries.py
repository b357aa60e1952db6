"""The collect lane: which payment method may be charged, and when. Pure.

What a bank, a network or Stripe has said never to charge again is never charged again; another payment method lifts
that. All attempts, Stripe's and ours, come out of one budget; the networks' caps count them on every invoice.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

from dunning.plan import calendar, caps, words
from dunning.plan.facts import Method
from dunning.plan.question import CARD_LIKE, Question, brand_of, is_another
from dunning.plan.sequences import Stripe, Timing
from dunning.plan.steps import RETRY, TAKE_OVER, Step
from dunning.reasons import Category

SHOWN = 4  # attempts that a plan shows ahead; after each one it is made anew
REASON_CODES = {Category.SOON: "technical_fault", Category.LATER: "no_funds_now", Category.CONTESTED: "no_reason_given"}


def collect(question: Question) -> list[Step]:
    """The attempts to come, were each of them to fail as the last one did. The first is what may be proposed."""
    facts = question.facts
    if not facts.automatic:
        return []  # the customer pays such invoices by hand; charging them is not agreed
    if question.refused_until is not None:
        return []  # a person said no, and nothing has changed since
    on_file = facts.on_file
    if question.has_new_method:
        spent = facts.attempt_count >= question.sequence.max_attempts and bool(
            on_file.attempts
        )  # tried before: not new
        if question.may_charge(on_file) and not question.cap_of(on_file) and not spent:
            return [_tried_method(question) if on_file.attempts else _new_method(question)]
        return _other_method(question)
    if not question.verdict.may_retry or not question.may_charge(on_file) or question.cap_of(on_file):
        return _other_method(question)
    if question.stripe_tries_itself and not _beside(question):
        # Stripe's own attempts and ours would share the networks' caps.
        wanted = question.sequence.stripe == Stripe.TAKE_OVER and not facts.is_done("take_over")
        return [_take_over(question)] if wanted else []
    return list(_retries(question, on_file)) or _other_method(question)


def _beside(question: Question) -> bool:
    return question.config.retry_beside_stripe or question.sequence.stripe == Stripe.BESIDE


def _new_method(question: Question) -> Step:
    return Step(
        RETRY,
        "new_payment_method",
        "Another payment method is on file than the one that failed. Charge it now.",
        at=question.later(question.start),
        flags=question.flags,
    )


def _tried_method(question: Question) -> Step:
    """On file, another one than what failed last, but declined lately itself (the charge before, or on another
    invoice): it waits as after a lack of funds, and comes out of the sequence's attempts."""
    pause = timedelta(days=question.config.funds_days)
    facts = question.facts
    when = calendar.at_nine(max(question.start, max(facts.on_file.attempts) + pause), facts.zone, facts.country)
    return Step(
        RETRY,
        "new_payment_method",
        "The payment method on file is another one than the one that failed last, but it was declined itself within 30 "
        f"days: try it again on {words.day(when)}.",
        at=question.later(when),
        flags=question.flags,
    )


def _other_method(question: Question) -> list[Step]:
    """One more payment method of the customer's, saved and agreed to, that Stripe would not take by itself."""
    facts = question.facts
    if not question.config.use_saved_methods or (question.stripe_tries_itself and not _beside(question)):
        return []
    if facts.attempt_count >= question.sequence.max_attempts:
        return []  # nobody has asked for it, unlike for a method that the customer has just given
    for method in facts.saved:
        if not facts.failed.id or not is_another(facts.failed, method) or facts.is_done(f"method:{method.id}"):
            continue
        if any(at >= facts.first_failed_at for at in method.attempts):
            continue  # it has had its turn
        if question.may_charge(method) and not question.cap_of(method):
            flag = ("saved_method", "The customer saved this payment method and agreed to charges; it is no default.")
            return [
                Step(
                    RETRY,
                    "other_saved_method",
                    f"What is on file cannot be charged ({question.verdict.words}); another payment method of the "
                    "customer is saved and may be.",
                    at=question.later(question.start),
                    mark=f"method:{method.id}",
                    method=method.id,
                    flags=(*question.flags, flag),
                )
            ]
    return []


def _take_over(question: Question) -> Step:
    at = question.facts.next_payment_attempt
    assert at is not None
    return Step(
        TAKE_OVER,
        "take_over",
        f"Stripe would try again by itself on {words.day(at)}; this sequence times its attempts by the reason of the "
        "failure instead.",
        at=question.later(question.start),
        mark="take_over",
        flags=question.flags,
    )


def _retries(question: Question, method: Method) -> Iterator[Step]:
    facts, verdict = question.facts, question.verdict
    count, failed_at, times = max(facts.attempt_count, 1), facts.failed_at, list(method.attempts)
    is_card = method.type in CARD_LIKE
    brand = brand_of(method, facts)
    for _ in range(SHOWN):
        if count >= question.sequence.max_attempts or _used_up(question, method, count):
            return
        found = _moment(question, failed_at, count)
        if found is None:
            return
        when, why = found
        when = max(when, question.start)
        if is_card:
            when = max(when, caps.first_free(brand, times, when))
        if when > question.window_ends and count > 1:
            return  # the first retry is made whatever the window: a case may have been found late
        yield Step(
            RETRY,
            REASON_CODES.get(verdict.category, "no_reason_given"),
            why,
            at=question.later(when),
            flags=question.flags,
        )
        times.append(max(when, question.now))
        # A bank debit fails days after it was presented.
        count, failed_at = count + 1, calendar.bank_days_later(times[-1], verdict.result_days)


def _used_up(question: Question, method: Method, count: int) -> bool:
    """Whether the reason itself, not the network, allows no more attempts after `count` failed ones."""
    if method.type not in CARD_LIKE:
        # The first debit and as many re-presentments (NACHA: two).
        most = question.verdict.max_retries
        return count > min(
            question.config.max_debit_retries, question.config.max_debit_retries if most is None else most
        )
    return question.verdict.category == Category.CONTESTED and count > len(question.config.contested_days)


def _moment(question: Question, failed_at: datetime, count: int) -> tuple[datetime, str] | None:
    """(when the next attempt is due, why then) after `count` failed attempts; None: there is no further one."""
    if question.sequence.timing == Timing.FIXED:
        return _fixed(question, failed_at)
    facts, verdict, config = question.facts, question.verdict, question.config
    if verdict.category == Category.SOON:
        hours = config.soon_hours[min(count, len(config.soon_hours)) - 1]
        pause = max(timedelta(hours=hours), verdict.wait or timedelta())
        return failed_at + pause, f"A passing fault ({verdict.words}): try again after {words.pause(pause)}."
    if verdict.category == Category.LATER:
        return _when_funded(question, failed_at)
    days = config.contested_days[min(count, len(config.contested_days)) - 1]
    pause = max(timedelta(days=days), verdict.wait or timedelta())
    when = calendar.at_nine(max(failed_at + pause, question.start), facts.zone, facts.country)
    return when, f"The bank gave no reason; few attempts, days apart: the next one on {words.day(when)}."


def _when_funded(question: Question, failed_at: datetime) -> tuple[datetime, str]:
    facts, config, words_of = question.facts, question.config, question.verdict.words
    pause = max(timedelta(days=config.funds_days), question.verdict.wait or timedelta())
    first = max(failed_at + pause, question.start)
    payday = calendar.next_payday(first, facts.zone, facts.country, facts.paydays)
    own = calendar.local_day(payday, facts.zone, facts.country).day in facts.paydays
    whose = "the next day on which payments of theirs went through" if own else "the next likely payday"
    return payday, (
        f"The card is fine but could not pay ({words_of}): try again on {words.day(payday)}, {whose} at least "
        f"{words.pause(pause)} after the failure."
    )


def _fixed(question: Question, failed_at: datetime) -> tuple[datetime, str] | None:
    least = failed_at + (question.verdict.wait or timedelta())
    for number in sorted(question.sequence.retry_days):
        when = question.nine_of(number)
        if when > least and when > failed_at:
            return when, f"Day {number} of the sequence: try again on {words.day(when)}."
    return None
