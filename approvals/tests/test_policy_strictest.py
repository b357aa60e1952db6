"""By property: what several policies ask for together is never looser than what one of them asks for alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from approvals.models import Policy
from approvals.policies import STRICTNESS, Terms, is_stricter, strictest
from approvals.policies.clauses import Case, Used, judge
from approvals.policies.terms import DAYS

CURRENCIES = st.sampled_from(["eur", "jpy", "usd"])
AMOUNTS = st.integers(1, 20)
LIMITS = st.dictionaries(CURRENCIES, st.integers(0, 20), max_size=2)
CLOCKS = [f"{hour:02}:{minute:02}" for hour in range(24) for minute in (0, 30)]
ACCOUNTS = ["acct_1", "acct_2"]


@st.composite
def hours(draw):
    start, end = sorted(draw(st.lists(st.sampled_from(CLOCKS), min_size=2, max_size=2, unique=True)))
    return {"days": draw(st.lists(st.sampled_from(DAYS), min_size=1, unique=True)), "from": start, "to": end}


@st.composite
def caps(draw):
    found = {}
    for scope in draw(st.sets(st.sampled_from(["account_day", "action", "customer_day", "day"]))):
        limits = {"sum": draw(LIMITS)}
        if scope != "action" and draw(st.booleans()):
            limits["count"] = draw(st.integers(0, 3))
        found[scope] = limits
    return found


TERMS = st.builds(
    Terms,
    policy=st.integers(1, 3),
    mode=st.sampled_from(Policy.Mode.values),
    review_over=LIMITS,
    two_approvers_over=LIMITS,
    auto_under=LIMITS,
    caps=caps(),
    destinations=st.lists(st.sampled_from(ACCOUNTS), max_size=1),
    cool_down_hours=st.sampled_from([0, 24, 72]),
    expires_hours=st.none() | st.integers(1, 100),
    timezone=st.sampled_from(["", "America/New_York", "Asia/Kolkata"]),
    hours=st.just({}) | hours(),
    undo_seconds=st.integers(0, 60),
    earlier=st.booleans(),
)
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
MOMENTS = st.integers(0, 7 * 24 * 4).map(lambda quarters: NOW + timedelta(minutes=15 * quarters))


@st.composite
def cases(draw):
    amount = draw(st.none() | AMOUNTS)
    used = Used(draw(st.integers(0, 3)), draw(LIMITS))
    at = draw(MOMENTS)
    changed = draw(st.none() | st.integers(0, 100).map(lambda ago: at - timedelta(hours=ago)))
    return Case(
        at=at,
        amount=amount,
        currency=draw(CURRENCIES) if amount is not None else "",
        customer=draw(st.sampled_from(["", "cus_1"])),
        destination=draw(st.sampled_from(["", *ACCOUNTS])),
        used=lambda cap, terms: used,
        changed_at=lambda: changed,
    )


@given(st.lists(TERMS, min_size=1, max_size=4), cases())
def test_together_they_are_never_looser_than_one_alone(some, case):
    results = [judge(terms, case) for terms in some]
    together = strictest(*results)
    for alone in results:
        assert not is_stricter(alone, together)
        assert {clause.name for clause in alone.clauses} <= {clause.name for clause in together.clauses}
    if together.mode == Policy.Mode.AUTO:
        assert together.approvals == 0
        assert not together.denied
    else:
        assert together.approvals >= 1


@given(st.lists(TERMS, min_size=1, max_size=3), cases(), st.randoms(use_true_random=False))
def test_the_order_does_not_matter(some, case, chance):
    results = [judge(terms, case) for terms in some]
    one = strictest(*results)
    chance.shuffle(results)
    other = strictest(*results)
    assert not is_stricter(one, other)
    assert not is_stricter(other, one)


@given(TERMS, cases())
def test_terms_that_were_stored_ask_for_the_same_again(terms, case):
    import json

    read = Terms.read(json.loads(json.dumps(terms.as_json())))
    assert [(clause.name, clause.text) for clause in judge(read, case).clauses] == [
        (clause.name, clause.text) for clause in judge(terms, case).clauses
    ]


@given(TERMS, cases())
def test_the_first_clause_is_the_one_that_decides(terms, case):
    result = judge(terms, case)
    assert result.clause == str(result.clauses[0])
    if result.denied:
        assert result.clause == result.denied
    assert bool(result.hold) == bool(result.hold_until)
    assert STRICTNESS[Policy.Mode(result.mode)] <= STRICTNESS[Policy.Mode(terms.mode)]


@given(TERMS, cases(), st.data())
def test_a_tighter_term_never_loosens_the_result(terms, case, data):
    from dataclasses import replace

    tighter = data.draw(
        st.sampled_from(
            [
                {"mode": "off"},
                {"two_approvers_over": dict.fromkeys(["eur", "jpy", "usd"], 0)},
                {"undo_seconds": terms.undo_seconds + 1},
                {"cool_down_hours": terms.cool_down_hours + 1},
                {"auto_under": {}},
                {"caps": terms.caps | {"action": {"sum": {"usd": 0, "eur": 0, "jpy": 0}}}},
                {"expires_hours": 1},
            ]
        )
    )
    before, after = judge(terms, case), judge(replace(terms, **tighter), case)
    assert not is_stricter(before, strictest(after))
