"""How well suggestions agree with people: what counts as a verdict, and that the sums are right at every moment."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from approvals import executions, services
from approvals.models import BandTally, Comparison, Policy, ReviewerTally, Suggestion
from approvals.models.evidence import COUNT_COLUMNS, WAIT_COLUMNS
from approvals.scoreboard import board, tally
from approvals.scoreboard.bands import Band, all_bands, band_of, default_bounds
from approvals.states import State
from billingops.actors import Actor
from billingops.statistics import wilson

SYSTEM = Actor.system("test")


@pytest.fixture
def people(make_user: Callable[..., Any]) -> list[Any]:
    return [make_user("ana", "Finance"), make_user("ben", "Finance"), make_user("lea", "Finance lead")]


@pytest.fixture
def fresh(propose: Callable[..., Suggestion]) -> Callable[..., Suggestion]:
    def make(**values: Any) -> Suggestion:
        return propose(dedupe_key=uuid.uuid4().hex, **values)

    return make


def approve(suggestion: Suggestion, user: Any) -> Suggestion:
    return services.approve(suggestion_id=suggestion.pk, actor=Actor.person(user), version=suggestion.version)


def reject(suggestion: Suggestion, user: Any, reason: str = "wrong_amount") -> Suggestion:
    return services.reject(
        suggestion_id=suggestion.pk, actor=Actor.person(user), version=suggestion.version, reason_code=reason
    )


def cancel(suggestion: Suggestion, user: Any) -> Suggestion:
    return services.cancel(suggestion_id=suggestion.pk, actor=Actor.person(user), version=suggestion.version)


def tallies() -> list[list[tuple[Any, ...]]]:
    """Every tally with something in it, in one order, whatever the rows' ids."""
    sums = [*COUNT_COLUMNS, *WAIT_COLUMNS]
    return [
        sorted(row for row in model._default_manager.values_list(*model.KEY, *sums) if any(row[len(model.KEY) :]))
        for model in (BandTally, ReviewerTally)
    ]


# -- pure --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("trials", "bound"), [(381, 0.99), (3838, 0.999)])
def test_so_many_verdicts_without_an_error_reach_the_bound_and_one_less_does_not(trials: int, bound: float) -> None:
    assert wilson(trials, trials)[0] >= bound > wilson(trials - 1, trials - 1)[0]


@pytest.mark.parametrize(
    ("part", "whole", "low", "high"),
    # Newcombe, Statistics in Medicine 17 (1998), table I, method 3: the published intervals, to four places.
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0.0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_the_interval_is_the_published_one(part: int, whole: int, low: float, high: float) -> None:
    assert wilson(part, whole) == pytest.approx((low, high), abs=0.00005)


@pytest.mark.parametrize(
    ("currency", "bounds"),
    [
        ("jpy", [10_000, 100_000, 1_000_000]),
        ("kwd", [100_000, 1_000_000, 10_000_000]),
        ("usd", [10_000, 100_000, 1_000_000]),
    ],
)
def test_default_bands_fit_the_currencys_minor_unit(currency: str, bounds: list[int]) -> None:
    assert default_bounds(currency) == bounds


def test_each_amount_lies_in_exactly_one_band() -> None:
    bands = all_bands(["usd"], {"usd": [5000, 50_000]})
    assert [str(band) for band in bands] == ["USD up to 50.00", "USD 50.00 to 500.00", "USD over 500.00"]
    for amount in (1, 4999, 5000, 5001, 50_000, 50_001, 10**9):
        assert [band.holds(amount, "usd") for band in bands].count(True) == 1
        assert band_of(amount, "usd", {"usd": [5000, 50_000]}).holds(amount, "usd")
    assert band_of(None, "", {}) == Band("", 0, 0)
    assert not bands[0].holds(100, "eur")


def test_the_policys_bounds_count_and_the_narrowest_policy_wins(db: None) -> None:
    rows = [
        Policy(pk=1, kind="*", bands={"usd": [1], "eur": [5]}),
        Policy(pk=2, kind="a", account="acct_1", bands={"usd": [3]}),
        Policy(pk=3, kind="a", bands={"usd": [2]}),
        Policy(pk=4, kind="b", bands={"usd": [9]}),
    ]
    assert tally.bands_for(rows, "a", "acct_1") == {"usd": [3], "eur": [5]}
    assert tally.bands_for(rows, "a", "acct_2") == {"usd": [2], "eur": [5]}
    assert tally.bands_for(rows, "c", "") == {"usd": [1], "eur": [5]}


def test_a_percentage_is_never_rounded_in_the_suggestions_favour() -> None:
    assert board.percent_text(0.99999) == "99.9 %"
    assert board.percent_text(0.00001, up=True) == "0.1 %"
    assert board.Share(0, 0).percent == "—"


def test_the_time_to_decide_is_told_by_the_bucket_it_falls_in() -> None:
    waits = [0] * len(WAIT_COLUMNS)
    waits[tally.WAIT_COLUMNS.index(tally.wait_column(60))] = 9
    waits[-1] = 1
    assert board.wait_text(tuple(waits), 50) == "≤ 1 min"
    assert board.wait_text(tuple(waits), 90) == "≤ 1 min"
    assert board.wait_text(tuple(waits), 91) == "> 7 d"


# -- what is a verdict -------------------------------------------------------------------------------------------------


def test_an_approval_agrees_and_a_rejection_overrides(fresh: Any, people: list[Any]) -> None:
    approve(fresh(amount=1000), people[0])
    reject(fresh(amount=2500), people[1])
    [row] = board.bands(people[2], board.Filters())
    assert (row.kind, row.account, str(row.band), row.author) == (
        "test_payout",
        "acct_1",
        "USD up to 100.00",
        "rules test v1",
    )
    figures = row.figures
    assert (figures.verdicts, figures.agreed, figures.overridden.part) == (2, 1, 1)
    assert (figures.money, figures.overridden_money, figures.money_error) == (3500, 2500, "71.5 %")
    assert figures.agreement.lower_percent == "9.4 %"


def test_shadow_mode_counts_what_people_did_and_executes_nothing(fresh: Any, people: list[Any], bank: Any) -> None:
    Policy.objects.create(kind="test_payout", mode="shadow")
    assert approve(fresh(), people[0]).state == State.OBSERVED
    assert reject(fresh(), people[0]).state == State.OBSERVED
    [row] = board.bands(people[2], board.Filters())
    assert (row.figures.verdicts, row.figures.agreed) == (2, 1)
    assert bank.effects == {}


def test_expired_superseded_and_stale_are_no_verdicts(fresh: Any, people: list[Any], bank: Any) -> None:
    services.supersede(suggestion_id=fresh().pk, actor=SYSTEM, reason="paid meanwhile")
    stale = approve(fresh(), people[0])
    assert Comparison.objects.count() == 1
    bank.facts = {"invoice": "in_1", "amount": 1, "status": "paid"}
    executions.execute(stale.executions.get().pk)
    stale.refresh_from_db()
    assert stale.state == State.STALE
    assert not Comparison.objects.exists()
    assert board.bands(people[2], board.Filters()) == []


def test_the_first_of_two_approvals_is_not_yet_a_verdict(fresh: Any, people: list[Any]) -> None:
    Policy.objects.create(kind="test_payout", mode="review", two_approvers_over={"usd": 0})
    suggestion = approve(fresh(), people[0])
    assert suggestion.state == State.SECOND_REVIEW
    assert not Comparison.objects.exists()
    approve(suggestion, people[2])
    assert Comparison.objects.get().reviewer == people[2]


def test_taking_an_approval_back_before_it_was_tried_overrides(fresh: Any, people: list[Any]) -> None:
    suggestion = approve(fresh(), people[0])
    assert Comparison.objects.get().agreed
    cancel(suggestion, people[1])
    found = Comparison.objects.get()
    assert (found.agreed, found.verdict, found.reviewer) == (False, "cancel", people[1])
    [row] = board.bands(people[2], board.Filters())
    assert (row.figures.verdicts, row.figures.agreed) == (1, 0)
    [reviewer] = board.reviewers(people[2], board.Filters())
    assert reviewer.name == "ben"


def test_giving_up_what_stripe_refused_leaves_the_verdict(fresh: Any, people: list[Any], bank: Any) -> None:
    from billingops.stripe.errors import Refused

    def refuse() -> None:
        raise Refused("no", code="balance_insufficient")

    bank.before = refuse
    suggestion = approve(fresh(), people[0])
    executions.execute(suggestion.executions.get().pk)
    suggestion.refresh_from_db()
    cancel(suggestion, people[1])
    assert Comparison.objects.get().agreed


def test_money_of_two_currencies_is_never_added(fresh: Any, people: list[Any]) -> None:
    approve(fresh(amount=1000), people[0])
    reject(fresh(amount=2000, currency="jpy"), people[0])
    rows = {row.band.currency: row.figures for row in board.bands(people[2], board.Filters())}
    assert {code: (one.money, one.overridden_money) for code, one in rows.items()} == {
        "usd": (1000, 0),
        "jpy": (2000, 2000),
    }
    [author] = board.authors(people[2], board.Filters())
    assert author.figures.verdicts == 2
    assert author.figures.money == 0
    assert author.money == (("jpy", 2000, 2000), ("usd", 1000, 0))


def test_another_version_of_the_author_starts_from_zero(fresh: Any, people: list[Any]) -> None:
    approve(fresh(), people[0])
    approve(fresh(suggested_by="rules test v2"), people[0])
    rows = board.bands(people[2], board.Filters())
    assert sorted((row.author, row.figures.verdicts) for row in rows) == [("rules test v1", 1), ("rules test v2", 1)]


# -- the rules beside the model ----------------------------------------------------------------------------------------

MODEL = "model m-1, prompt choose-v1"


@pytest.mark.parametrize(
    ("baseline", "verdict", "counts_for_the_rules"),
    [
        ("test_payout", "approve", True),
        ("test_payout", "wrong_action", False),
        ("other_kind", "approve", False),
        ("other_kind", "wrong_action", True),
        ("other_kind", "suspected_fraud", False),
    ],
)
def test_the_rules_alone_are_judged_by_the_same_verdict(
    fresh: Any, people: list[Any], baseline: str, verdict: str, counts_for_the_rules: bool
) -> None:
    suggestion = fresh(suggested_by=MODEL, baseline=baseline)
    if verdict == "approve":
        approve(suggestion, people[0])
    else:
        reject(suggestion, people[0], verdict)
    assert Comparison.objects.get().baseline_agreed is counts_for_the_rules


def test_without_a_model_there_is_nothing_to_compare(fresh: Any, people: list[Any]) -> None:
    approve(fresh(baseline="test_payout"), people[0])
    assert Comparison.objects.get().baseline_agreed is None
    [author] = board.authors(people[2], board.Filters())
    assert author.verdict == ""


@pytest.mark.parametrize(
    ("model", "rules", "words"),
    [
        (board.Share(99, 99), board.Share(0, 99), "Not enough data yet: 99 of 100 verdicts."),
        (board.Share(190, 200), board.Share(190, 200), "The model does not beat the rules."),
        (board.Share(195, 200), board.Share(190, 200), "The model does not beat the rules."),
        (board.Share(198, 200), board.Share(150, 200), "The model beats the rules."),
    ],
)
def test_a_model_that_does_not_beat_the_rules_is_reported_as_such(model: Any, rules: Any, words: str) -> None:
    assert board.against_rules(model, rules) == words


# -- kept while it happens, and counted afresh -------------------------------------------------------------------------


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    steps=st.lists(
        st.tuples(
            st.sampled_from(["approve", "reject", "cancel", "supersede", "execute", "stale"]),
            st.sampled_from([None, 1, 9_999, 10_001, 5_000_000]),
            st.sampled_from(["usd", "jpy"]),
            st.booleans(),
        ),
        max_size=12,
    )
)
def test_what_was_counted_step_by_step_is_what_a_fresh_count_gives(
    fresh: Any, people: list[Any], bank: Any, steps: list[tuple[str, int | None, str, bool]]
) -> None:
    for step, amount, currency, by_model in steps:  # the rows of earlier examples stay: their sums must hold as well
        suggestion = fresh(
            amount=amount or 500,
            currency=currency,
            suggested_by=MODEL if by_model else "rules test v1",
            baseline="test_payout" if amount else "other",
        )
        if step == "reject":
            reject(suggestion, people[0], "wrong_action" if by_model else "bad_timing")
        elif step == "supersede":
            services.supersede(suggestion_id=suggestion.pk, actor=SYSTEM, reason="paid meanwhile")
        else:
            suggestion = approve(suggestion, people[0])
            bank.facts = {"moved": 1} if step == "stale" else dict(suggestion.facts)
            if step == "cancel":
                cancel(suggestion, people[1])
            elif step in ("execute", "stale"):
                executions.execute(suggestion.executions.get().pk)
            bank.facts = dict(suggestion.facts)
    kept, verdicts = tallies(), Comparison.objects.count()
    for model, rows in zip((BandTally, ReviewerTally), kept, strict=True):
        assert sum(row[len(model.KEY)] for row in rows) == verdicts
    assert tally.rebuild() == verdicts
    assert tallies() == kept


def test_the_command_counts_afresh_by_todays_bands(fresh: Any, people: list[Any], capsys: Any) -> None:
    from django.core.management import call_command

    approve(fresh(amount=7000), people[0])
    Policy.objects.create(kind="test_payout", mode="review", bands={"usd": [5000]})
    call_command("rebuild_scoreboard")
    assert '"verdicts": 1' in capsys.readouterr().out
    [row] = board.bands(people[2], board.Filters())
    assert str(row.band) == "USD over 50.00"


def test_a_policy_with_other_bands_has_everything_counted_afresh(
    fresh: Any, people: list[Any], run_jobs: Callable[[], int]
) -> None:
    approve(fresh(amount=7000), people[0])
    Policy.objects.create(kind="test_payout", mode="review", bands={"usd": [5000]})
    run_jobs()
    [row] = board.bands(people[2], board.Filters())
    assert str(row.band) == "USD over 50.00"


def test_counting_a_thousand_costs_as_many_statements_as_counting_two(
    fresh: Any, people: list[Any], django_assert_num_queries: Any
) -> None:
    rows = [fresh() for _ in range(12)]
    for row in rows:
        approve(row, people[0])
    rows = list(Suggestion.objects.all())
    for part in (rows[:2], rows[2:]):
        Comparison.objects.all().delete()
        with django_assert_num_queries(6 + (connection.vendor == "postgresql")):  # where it locks the table
            assert len(tally.count(part)) == len(part)


# -- who may see it ----------------------------------------------------------------------------------------------------


def test_whoever_is_limited_to_an_account_sees_its_figures_only(
    fresh: Any, people: list[Any], make_user: Callable[..., Any]
) -> None:
    approve(fresh(), people[0])
    approve(fresh(account="acct_2", params={"destination": "acct_2"}), people[1])
    scoped = make_user("scoped", "Finance lead", accounts=["acct_2"])
    filters = board.Filters()
    assert [row.account for row in board.bands(scoped, filters)] == ["acct_2"]
    assert [row.name for row in board.reviewers(scoped, filters)] == ["ben"]
    assert [row.figures.verdicts for row in board.authors(scoped, filters)] == [1]
    assert [good for _, good, _ in board.months(scoped, filters)] == [1]
    assert board.accounts(scoped, "") == ["acct_2"]
    assert board.bands(scoped, board.Filters(account="acct_1")) == []


def test_decimal_is_not_needed_for_the_default_bar() -> None:
    from approvals.automation.bar import Bar

    assert Bar.of([]) == Bar(Decimal("0.99"), 400, 90)


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_a_verdict_that_changes_while_all_is_counted_afresh_is_counted_once(
    fresh: Callable[..., Suggestion], people: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    suggestion = approve(fresh(), people[0])
    weigh, started = tally._weigh, threading.Event()
    errors: list[Exception] = []

    def recount() -> None:
        try:
            tally.rebuild()
        except Exception as error:  # the assertion below names it
            errors.append(error)
        finally:
            connection.close()

    other = threading.Thread(target=recount)

    def meanwhile(*args: Any) -> None:
        if not started.is_set():
            started.set()
            other.start()
            other.join(timeout=0.5)  # what was counted before has been read by now; the other has to wait its turn
        weigh(*args)

    monkeypatch.setattr(tally, "_weigh", meanwhile)
    cancel(suggestion, people[0])
    other.join()
    assert errors == []
    assert Comparison.objects.get().verdict == "cancel"
    counted = tallies()
    tally.rebuild()
    assert tallies() == counted
