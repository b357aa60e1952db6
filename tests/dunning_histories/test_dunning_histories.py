"""Random histories of unpaid invoices break no rule; and the referee would notice: each of these mistakes, put into the
real code on purpose, breaks a history.

`make dunning-histories COUNT=100000` plays as many as you like.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from dunning import charged, facts, loading, reasons
from dunning.contact import pacing
from dunning.plan import calendar, caps, measures, notices, permits, planner, retries, steps
from dunning.plan.steps import Plan
from tests.dunning_histories import runner
from tests.dunning_histories.play import play
from tests.dunning_histories.referee import Broken
from tests.dunning_histories.world import CUSTOMER

COUNT = 300
MOST = 1500  # histories until a mistake has to be found
# What the histories have to exercise, or they prove nothing about it.
EXERCISED = {
    "messages", "charges", "charges of Stripe's", "measures", "handed over", "rejected", "expired", "edited",
    "went stale", "crashes", "promises", "promises broken", "pauses", "snoozes", "tried again by a person",
    "results not known at once", "refused at the last moment", "calls and letters", "closed: paid", "closed: voided",
    "closed: cancelled", "closed: uncollectible", *(f"proposed {kind}" for kind in (
        steps.RETRY, steps.NOTIFY, steps.GRACE, steps.END_GRACE, steps.TAKE_OVER, steps.PAUSE, steps.DOWNGRADE,
        steps.UNCOLLECTIBLE, steps.CANCEL, steps.ESCALATE,
    )),
}  # fmt: skip


def test_histories_break_no_rule_and_forget_no_case():
    found = runner.run(count=COUNT, seed=1, workers=1)
    assert found.broken == "", f"seed {found.seed}: {found.broken}"
    assert found.count == COUNT
    assert EXERCISED - set(found.figures) == set()


def test_a_history_is_the_same_each_time_it_is_played():
    assert play(7).digest == play(7).digest
    assert play(7).digest != play(8).digest


@pytest.mark.parametrize("seed", [54, 303, 373, 438, 627, 8605, 3659, 20261309, 20264052])
def test_histories_that_once_broke_hold(seed):
    play(seed)


# -- mistakes, on purpose ----------------------------------------------------------------------------------------------

Patch = Callable[[Any, str, Any], None]
refused, made, judge, load = permits.refused, planner.plan, reasons.judge, loading._facts


def _facts_changed(patch: Patch, **changes: Any) -> None:
    """The loader reads something wrongly, so planner and permits both do."""
    patch(loading, "_facts", lambda *args: replace(load(*args), **changes))


def _caps_forgotten(patch: Patch) -> None:
    patch(caps, "over_cap", lambda *args, **more: "")
    patch(caps, "first_free", lambda brand, attempts, at: at)


def _hard_declines_retried(patch: Patch) -> None:
    def wrong(failure: Any) -> Any:
        verdict = judge(failure)
        return verdict if verdict.may_retry else replace(verdict, category=reasons.Category.LATER)

    patch(reasons, "judge", wrong)


def _declines_of_other_invoices_forgotten(patch: Patch) -> None:
    patch(loading, "NEVER_AGAIN", ())
    patch(retries, "_other_method", lambda question: [])


def _expiry_not_looked_at(patch: Patch) -> None:
    def wrong(*args: Any) -> Any:
        known = load(*args)
        return replace(known, methods=tuple(replace(one, expires=None) for one in known.methods))

    patch(loading, "_facts", wrong)


def _consent_not_asked(patch: Patch) -> None:
    def wrong(*args: Any) -> Any:
        known = load(*args)
        return replace(known, methods=tuple(replace(one, consent=True) for one in known.methods))

    patch(loading, "_facts", wrong)


def _disputes_not_seen(patch: Patch) -> None:
    _facts_changed(patch, dispute_open=False)


def _complaints_not_seen(patch: Patch) -> None:
    patch(permits, "refused", lambda kind, facts, *a, **k: refused(kind, replace(facts, complaint_open=False), *a, **k))


def _cancellations_not_seen(patch: Patch) -> None:
    patch(permits, "ENDED", ())
    patch(planner, "ENDED", ())


def _promises_and_pauses_not_held(patch: Patch) -> None:
    _facts_changed(patch, promised_until=None, paused=False)


def _messages_without_zones(patch: Patch) -> None:
    patch(calendar, "is_quiet", lambda *args, **more: False)
    patch(calendar, "next_open", lambda moment, *args, **more: moment)


def _messages_without_a_week(patch: Patch) -> None:
    real = pacing._in_the_week_before
    patch(pacing, "_in_the_week_before", lambda moment, sent: real(moment, sent)[:0])
    _facts_changed(patch, messages_this_week=0)


def _messages_twice_a_day(patch: Patch) -> None:
    patch(pacing, "is_too_soon", lambda *args: False)
    _facts_changed(patch, last_message_at=None)


def _measures_before_their_day(patch: Patch) -> None:
    real = measures._measure

    def wrong(asked: Any, entry: Any) -> Any:
        step = real(asked, entry)
        return step if step.at is None else step.moved_to(step.at - timedelta(days=3))

    patch(measures, "_measure", wrong)


def _final_words_first(patch: Patch) -> None:
    real = notices._step
    patch(notices, "_step", lambda *a: replace(real(*a), template="last_notice", tone="final"))


def _attempts_not_counted(patch: Patch) -> None:
    _facts_changed(patch, attempt_count=1)


def _cases_left_lying(patch: Patch) -> None:
    def wrong(facts: Any, *args: Any) -> Any:
        plan = made(facts, *args)
        return Plan(tuple(one for one in plan.steps if one.kind != steps.ESCALATE), plan.options)

    patch(planner, "plan", wrong)


def _charges_not_asked_of_stripe(patch: Patch) -> None:
    patch(charged, "together", lambda listed, mirrored: tuple(mirrored))


def _declines_only_as_heard_of(patch: Patch) -> None:
    patch(charged, "declined", lambda charges: facts.declined_of(CUSTOMER))


def _disputes_only_as_heard_of(patch: Patch) -> None:
    patch(charged, "has_open_dispute", lambda *args: False)


def _debits_under_way_not_seen(patch: Patch) -> None:
    patch(charged, "is_under_way", lambda *args: False)


def _a_payment_of_this_hour_not_seen(patch: Patch) -> None:
    patch(charged, "paid_since", lambda *args: False)


def _attempts_not_asked_at_the_last_moment(patch: Patch) -> None:
    patch(permits, "refused", lambda *args, max_attempts=None, **more: refused(*args, **more))


@pytest.mark.parametrize(
    "mistake",
    [
        _caps_forgotten, _hard_declines_retried, _declines_of_other_invoices_forgotten, _expiry_not_looked_at,
        _consent_not_asked, _disputes_not_seen, _complaints_not_seen, _cancellations_not_seen,
        _promises_and_pauses_not_held, _messages_without_zones, _messages_without_a_week, _messages_twice_a_day,
        _measures_before_their_day, _final_words_first, _attempts_not_counted, _cases_left_lying,
    ],
)  # fmt: skip
def test_a_mistake_in_the_rules_breaks_a_history(mistake, monkeypatch):
    mistake(monkeypatch.setattr)
    assert is_noticed(late=False)


@pytest.mark.parametrize(
    "mistake",
    [
        _charges_not_asked_of_stripe, _declines_only_as_heard_of, _disputes_only_as_heard_of,
        _debits_under_way_not_seen, _a_payment_of_this_hour_not_seen, _attempts_not_asked_at_the_last_moment,
    ],
)  # fmt: skip
def test_what_is_not_asked_at_the_last_moment_breaks_a_history_whose_events_come_late(mistake, monkeypatch):
    mistake(monkeypatch.setattr)
    assert is_noticed(late=True)


def is_noticed(*, late: bool) -> bool:
    """Whether one of the first MOST histories breaks."""
    for seed in range(1, MOST):
        try:
            play(seed, late=late)
        except Broken:
            return True
    return False
