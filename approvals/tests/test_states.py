import pytest

from approvals import states
from approvals.states import TRANSITIONS, State
from billingops.exceptions import InvalidTransition

ALLOWED = [(current, target) for current, targets in TRANSITIONS.items() for target in sorted(targets)]
FORBIDDEN = [(current, target) for current in State for target in State if target not in TRANSITIONS[current]]


@pytest.mark.parametrize(("current", "target"), FORBIDDEN)
def test_a_step_outside_the_table_is_refused(current: State, target: State) -> None:
    with pytest.raises(InvalidTransition):
        states.check(current, target)


@pytest.mark.parametrize(("current", "target"), ALLOWED)
def test_a_step_in_the_table_is_taken(current: State, target: State) -> None:
    assert states.check(current, target) is None


def test_the_table_is_that_of_the_design() -> None:
    drawn = {
        ("pending", "second_review"), ("pending", "approved"), ("second_review", "approved"),
        ("approved", "executing"), ("executing", "executed"), ("executed", "confirmed"),
        ("pending", "rejected"), ("pending", "expired"), ("pending", "superseded"),
        ("second_review", "rejected"), ("second_review", "expired"), ("second_review", "superseded"),
        ("approved", "stale"), ("approved", "cancelled"), ("executing", "failed"), ("executing", "unknown"),
        ("unknown", "executed"), ("unknown", "failed"), ("pending", "observed"),
    }  # fmt: skip
    ours_on_top = {
        ("failed", "approved"), ("failed", "cancelled"),  # docs/decisions/0003
        ("second_review", "pending"), ("second_review", "observed"),  # docs/decisions/0017
    }  # fmt: skip
    assert {(str(current), str(target)) for current, target in ALLOWED} == drawn | ours_on_top
