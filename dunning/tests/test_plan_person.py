"""What holds a case, and when a person has it. Pure: no database."""

from __future__ import annotations

from datetime import timedelta

from dunning.plan.facts import Done
from dunning.plan.steps import ESCALATE, NOTIFY, RETRY
from dunning.tests.factories import NEW_CARD, NOW, made


def test_an_open_dispute_or_complaint_leaves_only_a_person() -> None:
    for given_fact in ("dispute_open", "complaint_open"):
        found = made("insufficient_funds", **{given_fact: True}, **NEW_CARD)
        assert [step.kind for step in found.steps] == [ESCALATE]
        assert found.held
        done = (Done(ESCALATE, NOW, found.steps[0].mark),)
        assert made("insufficient_funds", **{given_fact: True}, done=done).steps == ()


def test_a_promise_and_a_snooze_move_everything_behind_them() -> None:
    for name in ("promised_until", "snoozed_until"):
        until = NOW + timedelta(days=5)
        found = made("expired_card", **{name: until})
        assert found.until == until
        assert found.held
        assert all(step.at is not None and step.at >= until for step in found.steps)


def test_a_paused_case_plans_nothing() -> None:
    assert made("insufficient_funds", paused=True).steps == ()


def test_with_a_person_only_a_new_method_is_worth_a_step() -> None:
    assert made("insufficient_funds", escalated=True).steps == ()
    assert [step.reason_code for step in made("stolen_card", escalated=True, **NEW_CARD).steps] == [
        "new_payment_method"
    ]


def test_whom_no_word_reaches_and_no_card_can_be_charged_of_is_with_a_person_at_once() -> None:
    bounced = {"unreachable": {"email": "it bounced"}, "messages": (NOW - timedelta(days=1),)}
    (step,) = made("stolen_card", **bounced).steps
    assert (step.kind, step.reason_code, step.at) == (ESCALATE, "no_email", None)
    # Where a charge is still to come, or a word would reach them, the sequence goes on.
    assert made("insufficient_funds", **bounced).steps[0].kind == RETRY
    reached = made("expired_card", messages=(NOW - timedelta(days=1),))
    assert NOTIFY in [step.kind for step in reached.steps]
    assert all(step.at for step in reached.steps if step.kind == ESCALATE)
