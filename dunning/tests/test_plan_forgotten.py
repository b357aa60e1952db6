"""What random histories have found (tests/dunning_histories): no case is forgotten, nothing follows an end. Pure."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from dunning import reasons
from dunning.config import RuleConfig
from dunning.plan import permits, steps
from dunning.plan.facts import Done
from dunning.plan.planner import plan
from dunning.plan.sequences import STANDARD, Sequence
from dunning.plan.steps import ESCALATE, Lane, Plan
from dunning.tests.factories import NEW, NOW, OLD, failure, known

DAY = timedelta(days=1)


def made(sequence: Sequence = STANDARD, code: str = "insufficient_funds", **changes: object) -> Plan:
    return plan(known(code, **changes), sequence, NOW, RuleConfig())


def had(mark: str) -> dict[str, object]:
    return {"done": (Done(ESCALATE, NOW - DAY, mark),)}


def test_a_large_amount_goes_on_once_a_person_has_looked():
    assert [step.kind for step in made(amount_remaining=600_000).steps] == [ESCALATE]
    assert made(amount_remaining=600_000, **had("pressing:large_amount")).first_of(Lane.COLLECT) is not None


@pytest.mark.parametrize(
    ("code", "changes", "mark"),
    [
        ("insufficient_funds", {"attempt_count": 9}, "pressing:attempts_used"),
        ("duplicate_transaction", {}, "pressing:ours_to_correct"),
        ("expired_card", {"unreachable": {"email": "no address"}}, "end:no_email"),
    ],
)
def test_what_a_person_has_had_and_is_still_unpaid_comes_back(code, changes, mark):
    found = made(code=code, **changes, **had(mark))
    person = found.first_of(Lane.PERSON)
    assert person is not None
    assert person.at is not None
    assert person.at > NOW


@pytest.mark.parametrize(
    ("changes", "mark"),
    [
        ({"dispute_open": True}, "pressing:dispute_open"),
        ({"complaint_open": True}, "pressing:complaint_open"),
        ({"subscription_status": "canceled"}, "pressing:subscription_ended"),
    ],
)
def test_what_rests_is_looked_at_again_with_a_date(changes, mark):
    assert [step.kind for step in made(**changes).steps] == [ESCALATE]
    rests = made(**changes, **had(mark))
    assert rests.steps == ()
    assert rests.until == NOW + timedelta(days=RuleConfig().notice_days)


@pytest.mark.parametrize("kind", [steps.RETRY, steps.NOTIFY, steps.PAUSE, steps.UNCOLLECTIBLE, steps.TAKE_OVER])
def test_nothing_is_permitted_once_the_subscription_has_ended(kind):
    assert permits.refused(kind, known(subscription_status="canceled"), NOW) == "The subscription has ended"


@pytest.mark.parametrize("changes", [{"paused": True}, {"promised_until": NOW + DAY}])
def test_no_measure_is_permitted_while_a_person_holds_the_case(changes):
    assert permits.refused(steps.CANCEL, known(subscription_status="past_due"), NOW) == ""
    assert permits.refused(steps.CANCEL, known(**changes), NOW) != ""


def test_another_saved_method_counts_within_the_sequences_attempts():
    saved = (OLD, replace(NEW, place="saved"))
    assert made(code="stolen_card", methods=saved).first_of(Lane.COLLECT) is not None
    spent = made(replace(STANDARD, max_attempts=3), "stolen_card", methods=saved, attempt_count=3)
    assert spent.first_of(Lane.COLLECT) is None


def test_the_strictest_word_on_a_card_holds():
    """The bank asks for the customer, Stripe says never again: then it is never again, on other invoices as well."""
    verdict = reasons.judge(failure("authentication_required", advice_code="do_not_try_again"))
    assert verdict.category == reasons.Category.HARD
    blocked = failure("incorrect_number", outcome_type="blocked", risk_level="highest")
    assert reasons.judge(blocked).category == reasons.Category.FRAUD


@pytest.mark.parametrize(
    ("changes", "method", "permitted"),
    [
        ({"attempt_count": 9}, "pm_old", True),
        ({"attempt_count": 10}, "pm_old", False),  # Stripe tried it itself, after the approval
        ({"attempt_count": 10, "methods": (NEW,)}, "pm_new", True),  # the customer has just given it
        ({"attempt_count": 10, "methods": (replace(NEW, attempts=(NOW - DAY,)),)}, "pm_new", False),  # not just now
        ({"attempt_count": 10, "methods": (OLD, replace(NEW, place="saved"))}, "pm_new", False),  # nobody has asked
        ({"attempt_count": 9, "methods": (OLD, replace(NEW, place="saved"))}, "pm_new", True),
    ],
)
def test_no_approval_charges_beyond_the_attempts_of_the_sequence(changes, method, permitted):
    why = permits.refused(steps.RETRY, known("do_not_honor", **changes), NOW, method=method, max_attempts=10)
    assert why == ("" if permitted else "10 attempts have failed, and its sequence allows 10")
    assert permits.refused(steps.RETRY, known("do_not_honor", **changes), NOW, method=method) == ""
