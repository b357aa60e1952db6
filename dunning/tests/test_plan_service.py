"""The service lane: grace and the sequence's measures. Pure: no database."""

from __future__ import annotations

from dataclasses import replace

from dunning.plan.sequences import STANDARD, Entry
from dunning.plan.steps import CANCEL, END_GRACE, GRACE, PAUSE, UNCOLLECTIBLE, Lane
from dunning.tests.factories import DAY, FINAL, LONG_AGO, NOW, SMART, TOMORROW, first, made, times


def test_measures_come_on_their_day_and_only_where_they_apply() -> None:
    found = made("expired_card", sequence=FINAL)
    days = {step.kind: ((step.at or NOW) - NOW).days for step in found.steps}
    assert days[PAUSE] == 14
    assert days[CANCEL] == 27
    assert UNCOLLECTIBLE not in days  # the invoice is in euro
    assert PAUSE not in {step.kind for step in made("expired_card", sequence=FINAL, collection_paused=True).steps}
    assert CANCEL not in {step.kind for step in made("expired_card", sequence=FINAL, subscription_status="").steps}


def test_no_second_grace_period_after_one() -> None:
    assert first("insufficient_funds", **SMART, customer_since=LONG_AGO, grace_until=TOMORROW).kind != GRACE


def test_the_end_of_a_grace_period_is_asked_for_where_the_subscription_still_has_one() -> None:
    over = NOW - DAY
    own = made(grace_until=over, grace_on_file=over).first_of(Lane.SERVICE)
    assert own is not None
    assert (own.kind, own.at) == (END_GRACE, None)
    ended = made(grace_until=over, grace_on_file=None)
    assert END_GRACE not in {step.kind for step in ended.steps}  # another case of the subscription has ended it


def test_a_later_grace_period_of_another_case_has_to_pass_first() -> None:
    later = made(grace_until=NOW - DAY, grace_on_file=TOMORROW)
    assert times(later, END_GRACE) == [TOMORROW]
    assert "was made longer" in next(step.rationale for step in later.steps if step.kind == END_GRACE)


def test_no_second_grace_period_moves_the_end_of_one_that_runs() -> None:
    assert first("insufficient_funds", **SMART, customer_since=LONG_AGO).kind == GRACE
    assert first("insufficient_funds", **SMART, customer_since=LONG_AGO, grace_on_file=TOMORROW).kind != GRACE
    asked = replace(STANDARD, entries=(*STANDARD.entries, Entry(2, GRACE, days=5)))
    assert times(made("expired_card", sequence=asked), GRACE)
    assert not times(made("expired_card", sequence=asked, grace_on_file=TOMORROW), GRACE)
