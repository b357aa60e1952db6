"""The world: drawn from its seed alone, the same for every policy."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import pytest

from dunning.proof import assumptions, bank, calendars, runs
from dunning.proof.assumptions import Assumptions
from dunning.proof.calendars import DAY, HOUR
from dunning.proof.engine import Next, View, play
from dunning.proof.policies import ladders, ours
from dunning.proof.world import FUNDS, NEVER, failure

WORLD = Assumptions()
CASES = [failure(3, number, WORLD) for number in range(400)]


def test_a_failure_is_a_function_of_seed_and_number() -> None:
    assert [failure(3, number, WORLD) for number in range(40)] == CASES[:40]
    assert failure(4, 7, WORLD) != CASES[7]


def test_an_attempt_at_one_moment_has_one_answer_whoever_asks_and_how_often() -> None:
    for case in CASES:
        at = case.known.failed_at + 5 * DAY
        first = bank.answer(case, at, new_method=False)
        for earlier in range(0, 5 * DAY, 7 * HOUR):
            bank.answer(case, case.known.failed_at + earlier, new_method=False)
        assert bank.answer(case, at, new_method=False) == first


def test_two_policies_that_try_at_the_same_moment_hear_the_same() -> None:
    once = ladders.Ladder("once", "", "", (8,))
    often = ladders.Ladder("often", "", "", (1, 2, 3, 5, 8))
    for case in CASES:
        if case.is_debit:
            continue
        moment = case.known.failed_at + 8 * DAY
        alone = {one.at: one.code for one in play(case, once, messages=False).attempts if not one.method}
        among = {one.at: one.code for one in play(case, often, messages=False).attempts if not one.method}
        if moment in alone and moment in among:
            assert alone[moment] == among[moment]


def test_the_failure_itself_happens_where_the_money_is_missing() -> None:
    short = [case for case in CASES if case.behaviour == FUNDS]
    assert short
    assert not any(case.has_funds(case.known.failed_at) for case in short)


def test_what_never_works_again_never_does_without_another_method() -> None:
    for case in CASES:
        if case.behaviour == NEVER:
            days = range(1, 40)
            assert all(bank.answer(case, case.known.failed_at + day * DAY, new_method=False) for day in days)


def test_a_debit_is_answered_after_bank_days_and_a_card_at_once() -> None:
    debit = next(case for case in CASES if case.is_debit)
    card = next(case for case in CASES if not case.is_debit)
    friday = calendars.seconds(calendars.EPOCH) + DAY + 12 * HOUR  # 2 January 2026
    charged, heard = bank.settles(replace(debit, offset=0), friday)
    assert (charged // DAY, heard // DAY) == (5, 7)  # Tuesday and Thursday
    assert bank.settles(card, friday) == (friday, friday)


def test_every_number_has_a_source_or_says_that_it_is_assumed() -> None:
    names = {item.name for item in fields(Assumptions)}
    assert set(assumptions.SOURCES) <= names
    for name in names:
        source = assumptions.source_of(name)
        assert (
            source == assumptions.ASSUMED
            or "assumed" in source
            or "http" in source
            or ":" in source
            or "vendors" in source
        )


@pytest.mark.parametrize("table", ["countries", "card_reasons", "debit_reasons"])
def test_shares_add_up(table: str) -> None:
    assert sum(share for _, share in getattr(WORLD, table)) == pytest.approx(1)
    assert all(sum(share for _, share in rows) == pytest.approx(1) for rows in assumptions.PAYDAYS.values())


def test_every_variation_is_a_world_of_its_own() -> None:
    found = runs.variations(WORLD)
    worlds = [world for *_, world in found]
    assert len(set(worlds)) == len(worlds) > 50
    assert all(sum(share for _, share in world.card_reasons) == pytest.approx(1) for world in worlds)


def test_ours_does_not_look_into_the_future() -> None:
    text = Path(ours.__file__).read_text()
    for word in ("oracle(", "proof.bank", "proof.world import Case", "funded"):
        assert word not in text
    assert not ours.Ours().sees_the_future
    seen: list[object] = []

    class Watching:
        name, label, source, sees_the_future = "watching", "", "", False

        def next(self, view: View, oracle: object) -> Next:
            seen.append(oracle)
            return Next()

    play(CASES[0], Watching())
    assert set(seen) == {None}


def test_without_acts_only_customers_pay() -> None:
    silent = ladders.Ladder("silent", "", "", ())
    for one in CASES[:100]:
        played = play(one, silent, messages=False)
        assert played.paid_at == (one.alone_at if played.paid_at else None)
        assert not played.attempts
