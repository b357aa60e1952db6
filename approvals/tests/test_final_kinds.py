"""A kind that cannot be taken back: no policy for "*" lets it through, and two people approve it unless a policy names
the kind itself."""

from __future__ import annotations

import pytest

from approvals import policies, registry
from approvals.states import State
from approvals.tests.test_policies import approve, carry_out, set_policy

AUTO = {"mode": "auto", "auto_under": {"usd": 20000}}


@pytest.fixture
def final(bank):
    object.__setattr__(registry.get("test_payout"), "final", True)


@pytest.fixture
def earned(monkeypatch):
    monkeypatch.setattr("approvals.policies.evaluation._grant_for", lambda suggestion, rows: rows[0])


def test_without_any_policy_two_people_approve_it(final, propose, finance, lead):
    suggestion = propose()
    assert suggestion.required_approvals == 2
    assert "two people approve" in suggestion.policy["proposed"]["clause"]
    assert approve(suggestion, finance).state == State.SECOND_REVIEW
    assert approve(suggestion, lead).state == State.APPROVED


@pytest.mark.parametrize("account", ["", "acct_1"])
def test_a_policy_for_all_kinds_never_lets_it_through_by_itself(final, earned, propose, bank, account):
    set_policy(kind="*", account=account, **AUTO)
    suggestion = propose()
    assert (suggestion.state, suggestion.required_approvals) == (State.PENDING, 2)
    assert bank.effects == {}


def test_a_policy_that_names_the_kind_may(final, earned, propose):
    set_policy(**AUTO)
    assert propose().state == State.APPROVED


def test_a_policy_that_names_the_kind_may_ask_for_one_person(final, propose, finance, bank):
    set_policy(mode="review")
    suggestion = propose()
    assert suggestion.required_approvals == 1
    approve(suggestion, finance)
    assert carry_out(suggestion) == State.EXECUTED


def test_a_policy_that_comes_later_loosens_nothing_for_what_waits(final, earned, propose, finance):
    suggestion = propose()
    set_policy(mode="review")
    assert approve(suggestion, finance).state == State.SECOND_REVIEW


def test_a_policy_that_is_taken_away_sends_back_what_one_person_approved(final, propose, finance, bank):
    from approvals.models import Policy

    set_policy(mode="review")
    suggestion = approve(propose(), finance)
    Policy.objects.all()._raw_delete("default")
    assert carry_out(suggestion) == State.STALE
    assert bank.effects == {}


def test_an_ordinary_kind_is_as_before(earned, propose, bank):
    set_policy(kind="*", **AUTO)
    assert propose().state == State.APPROVED


def test_a_policy_that_switches_everything_off_switches_it_off(final, propose):
    suggestion = propose()
    set_policy(kind="*", mode="off")
    asks = policies.evaluate(suggestion, stage="executed")
    assert asks.mode == "off"


def test_a_parameter_may_be_left_out_only_where_the_kind_says_so(bank, propose):
    from billingops.exceptions import InvalidInput

    kind = registry.get("test_payout")
    with pytest.raises(InvalidInput, match="needs the parameter"):
        kind.check_params({})
    object.__setattr__(kind, "optional_params", frozenset({"destination"}))
    kind.check_params({})
    with pytest.raises(InvalidInput, match="wrong type"):
        kind.check_params({"destination": 7})
