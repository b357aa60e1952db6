"""The referee catches what must never happen, and knows its rules without our planner."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from dunning.proof import referee, sources
from dunning.proof.assumptions import Assumptions
from dunning.proof.calendars import DAY, HOUR
from dunning.proof.engine import Attempt, Next, Played, View, play
from dunning.proof.policies.ours import Ours
from dunning.proof.world import Case, failure

WORLD = Assumptions()
CASES = [failure(11, number, WORLD) for number in range(600)]


def a_case(wanted: Callable[[Case], bool]) -> Case:
    return next(case for case in CASES if wanted(case) and not case.known.dispute_open and case.known.has_email)


class Scripted:
    """Charges and writes at given seconds after the failure, whatever happens."""

    name, label, source, sees_the_future = "scripted", "", "", False

    def __init__(self, charges: tuple[int, ...] = (), messages: tuple[int, ...] = ()) -> None:
        self.charges, self.messages = charges, messages

    def next(self, view: View, oracle: object) -> Next:
        start = view.known.failed_at
        charge = [start + at for at in self.charges][len(view.attempts) :]
        message = [start + at for at in self.messages][len(view.messages) :]
        return Next(charge[0] if charge else None, message[0] if message else None)


def harm(case: Case, policy: Scripted) -> Counter[str]:
    return referee.judge(play(case, policy))


def test_a_stolen_card_that_is_charged_again_is_counted() -> None:
    stolen = a_case(lambda case: case.known.code in ("stolen_card", "lost_card") and not case.updated_at)
    assert harm(stolen, Scripted((DAY, 3 * DAY)))[referee.HARD] == 2


def test_what_the_bank_advised_against_is_a_hard_decline_whatever_its_code() -> None:
    advised = a_case(lambda case: case.known.advice_code == sources.ADVISED_AGAINST)
    assert harm(advised, Scripted((DAY,)))[referee.HARD] == 1


@pytest.mark.parametrize(("brand", "most"), [("visa", 15), ("amex", 15), ("mastercard", 35)])
def test_more_attempts_than_the_network_allows_are_counted(brand: str, most: int) -> None:
    case = a_case(
        lambda case: (
            case.known.brand == brand
            and not case.known.earlier_attempts
            and case.behaviour == "never"
            and not case.updated_at
            and case.alone_at is None
            and case.leaves_at is None
        )
    )
    times = tuple(number * 15 * HOUR for number in range(1, most + 3))
    found = harm(case, Scripted(times))
    assert found[referee.CAPS] == len(times) - (most - 1)  # the first failure counts, too


def test_mastercards_limit_of_a_day_is_counted() -> None:
    case = a_case(
        lambda case: (
            case.known.brand == "mastercard"
            and not case.known.earlier_attempts
            and case.behaviour == "never"
            and not case.updated_at
        )
    )
    assert harm(case, Scripted(tuple(60 * number for number in range(1, 12))))[referee.CAPS] == 2


def at_hour(case: Case, hour: int, *, minutes: int = 0) -> int:
    """Seconds after the failure until that local hour of the next day."""
    local = case.known.failed_at + case.offset
    return (local // DAY + 1) * DAY + hour * HOUR + minutes * 60 - local


def test_messages_at_night_and_two_on_one_day_are_counted() -> None:
    case = a_case(
        lambda case: bool(case.known.zone) and not case.reads and case.alone_at is None and not case.leaves_at
    )
    found = harm(case, Scripted(messages=(at_hour(case, 3), at_hour(case, 11), at_hour(case, 15))))
    assert (found[referee.NIGHT], found[referee.DAILY]) == (1, 2)
    assert not harm(case, Scripted(messages=(at_hour(case, 11),)))


def test_a_night_that_nobody_could_know_is_shown_and_not_held_against_anybody() -> None:
    case = a_case(lambda case: not case.known.zone and not case.reads and case.alone_at is None and not case.leaves_at)
    found = harm(case, Scripted(messages=(at_hour(case, 3),)))
    assert found == {referee.HIDDEN_NIGHT: 1}
    assert referee.HIDDEN_NIGHT not in referee.HARMS


def test_a_debit_presented_a_third_time_and_one_under_way_are_counted() -> None:
    case = a_case(lambda case: case.is_debit and case.alone_at is None and case.leaves_at is None)
    start = case.known.failed_at
    attempts = [
        Attempt(start + number * DAY, 0, start + (number + 5) * DAY, "insufficient_funds") for number in (1, 2, 9)
    ]
    acts = [(one.at, "charge", 0) for one in attempts]
    found = referee.judge(Played(case, "x", attempts, [], acts))
    assert (found[referee.DEBITS], found[referee.TWICE]) == (1, 1)


def test_acts_after_payment_or_cancellation_and_in_a_dispute_are_counted() -> None:
    case = a_case(lambda case: case.known.method_type == "card" and case.known.code == "processing_error")
    start = case.known.failed_at
    acts = [(start + DAY, "charge", 0), (start + 3 * DAY, "message", 0)]
    attempts = [Attempt(start + DAY, 0, start + DAY, "")]
    found = referee.judge(Played(case, "x", attempts, [], acts, paid_at=start + 2 * DAY))
    assert found[referee.AFTER] == 1
    assert referee.judge(Played(case, "x", attempts, [], acts, cancelled_at=start))[referee.AFTER] == 2
    disputed = next(one for one in (failure(11, number, WORLD) for number in range(3000)) if one.known.dispute_open)
    assert harm(disputed, Scripted((DAY,)))[referee.DISPUTE] == 1


def test_ours_does_no_harm() -> None:
    for policy in (Ours(), Ours(reviewed=True)):
        found: Counter[str] = Counter()
        for case in CASES:
            found += referee.judge(play(case, policy))
        assert {name: found[name] for name in referee.HARMS if found[name]} == {}


def test_the_referee_knows_nothing_of_our_plan_or_our_reasons() -> None:
    seen: set[str] = set()
    waiting = [Path(referee.__file__)]
    while waiting:
        path = waiting.pop()
        for node in ast.walk(ast.parse(path.read_text())):
            names = [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom) and node.module == "dunning.proof":
                names += [f"dunning.proof.{alias.name}" for alias in node.names]
            for name in set(names) - seen:
                seen.add(name)
                file = Path(*name.split(".")).with_suffix(".py")
                if name.startswith("dunning.proof.") and file.exists():
                    waiting.append(file)
    assert "dunning.proof.sources" in seen
    assert not [name for name in seen if name.startswith(("dunning.plan", "dunning.reasons", "dunning.config"))]
