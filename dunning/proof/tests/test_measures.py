"""Measures add up, and a comparison is of the same cases."""

from __future__ import annotations

import csv
import io
import json

import pytest
from django.core.management import CommandError, call_command

from dunning.proof import policies, report, runs
from dunning.proof.measures import ALL, Outcome, lift, tallies, weights

NAMES = ("fixed_3_5_7", "stripe_smart", policies.OURS)
RUN = runs.run(NAMES, failures=240, seed=2)


def test_the_same_seed_gives_the_same_run_however_the_work_is_shared() -> None:
    assert runs.run(NAMES, failures=240, seed=2).outcomes == RUN.outcomes
    shared = runs.run(("fixed_3_5_7",), failures=2600, seed=2, processes=2)
    assert shared.outcomes["fixed_3_5_7"] == runs.run(("fixed_3_5_7",), failures=2600, seed=2).outcomes["fixed_3_5_7"]
    assert runs.run(NAMES, failures=240, seed=3).outcomes != RUN.outcomes


def test_a_failure_is_the_same_alone_and_among_many() -> None:
    assert runs.run(("fixed_3_5_7",), failures=10, seed=2).outcomes["fixed_3_5_7"] == RUN.outcomes["fixed_3_5_7"][:10]


@pytest.mark.parametrize("name", NAMES)
def test_reasons_add_up_to_all_per_currency(name: str) -> None:
    parts = RUN.tallies[name]
    whole = parts[ALL]
    assert whole.cases == 240 == sum(part.cases for group, part in parts.items() if group != ALL)
    for currency, amount in whole.at_risk.items():
        assert amount == sum(part.at_risk[currency] for group, part in parts.items() if group != ALL)
        assert whole.recovered[currency] <= amount
    assert 0 < whole.share < 1
    assert whole.paid == len(whole.days)
    assert whole.by_retry <= whole.paid


def test_every_policy_meets_the_same_amounts_at_risk() -> None:
    assert len({tuple(sorted(RUN.tallies[name][ALL].at_risk.items())) for name in NAMES}) == 1


def an_outcome(number: int, net: int, currency: str = "usd", amount: int = 100) -> Outcome:
    return Outcome(
        number, "no funds", currency, amount, net, net > 0, "retry", 1.0, 1, 1, disputed=False, cancelled=False
    )


def test_currencies_weigh_by_their_numbers_and_never_add_up() -> None:
    rows = [an_outcome(1, 100), an_outcome(2, 0), an_outcome(3, 900_000, "jpy", 900_000)]
    assert tallies(rows)[ALL].share == pytest.approx((2 * 0.5 + 1 * 1.0) / 3)
    assert weights(rows).sum() == pytest.approx(3)


def test_a_policy_has_no_lift_over_itself_and_half_the_money_is_half() -> None:
    some = [an_outcome(number, 100 if number % 2 else 0) for number in range(200)]
    every = [an_outcome(number, 100) for number in range(200)]
    same = lift(some, some)
    assert (same.lift, same.low, same.high) == (0, 0, 0)
    more = lift(every, some)
    assert more.lift == pytest.approx(1.0)
    assert more.low < 1.0 < more.high
    assert more.points == pytest.approx(0.5)


def test_two_policies_are_compared_over_the_same_cases_only() -> None:
    with pytest.raises(ValueError, match="the same cases"):
        lift([an_outcome(1, 100)], [an_outcome(2, 100)])


def test_charges_alone_write_nothing_and_messages_alone_charge_nothing() -> None:
    timing = runs.run(("fixed_3_5_7",), failures=100, seed=2, messages=False).tallies["fixed_3_5_7"][ALL]
    words = runs.run(("fixed_3_5_7",), failures=100, seed=2, charges=False).tallies["fixed_3_5_7"][ALL]
    assert (timing.messages, words.attempts, words.by_retry) == (0, 0, 0)
    assert timing.attempts
    assert words.messages


def test_the_command_prints_what_the_run_found(tmp_path, capsys) -> None:
    options = {"failures": 60, "seed": 2, "policy": ["fixed_3_5_7", "ours"]}
    call_command("dunning_proof", **options, csv=str(tmp_path / "a.csv"), svg=str(tmp_path / "a.svg"), json=True)
    found = json.loads(capsys.readouterr().out)
    assert found["best_ladder"] == "fixed_3_5_7"
    assert found["policies"]["ours"]["all"]["cases"] == 60
    assert {"lift", "low", "high"} <= set(found["ours_against"]["fixed_3_5_7"])
    rows = list(csv.DictReader(io.StringIO((tmp_path / "a.csv").read_text())))
    whole = [row for row in rows if row["policy"] == "ours" and row["reason"] == "all"]
    assert {row["currency"]: int(row["recovered"]) for row in whole} == found["policies"]["ours"]["all"]["recovered"]
    assert (tmp_path / "a.svg").read_text().startswith("<svg")
    call_command("dunning_proof", **options, ablation=True)
    text = capsys.readouterr().out
    assert "Target (15 %" in text
    assert "charges alone" in text


def test_the_command_refuses_what_makes_no_sense(tmp_path) -> None:
    with pytest.raises(CommandError, match="at least 1"):
        call_command("dunning_proof", failures=0)
    with pytest.raises(CommandError, match="no date"):
        call_command("dunning_proof", replay=True, since="yesterday")
    with pytest.raises(CommandError, match="cannot be written"):
        call_command("dunning_proof", failures=5, policy=["polar"], csv=str(tmp_path / "nowhere" / "a.csv"))


def test_every_policy_names_its_source() -> None:
    for name in policies.NAMES:
        policy = policies.make(name)
        assert policy.name == name
        assert policy.source
    assert report.assumptions(RUN.world).count("\n") > 30
