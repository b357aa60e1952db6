"""What an approval binds to, and what becomes of it when something moves before it is carried out."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.utils import timezone
from hypothesis import given
from hypothesis import strategies as st

from approvals import policies, sealing, services, tasks
from approvals.models import Decision, Policy, Suggestion
from approvals.sealing import Difference, differences
from approvals.states import State
from billingops.actors import Actor
from billingops.exceptions import VersionConflict
from billingops.ids import seal

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda children: st.lists(children, max_size=3) | st.dictionaries(st.text(max_size=3), children, max_size=3),
    max_leaves=8,
)


def approve(suggestion, user, **kwargs):
    return services.approve(suggestion_id=suggestion.pk, actor=Actor.person(user), version=suggestion.version, **kwargs)


def carried_out(suggestion):
    tasks.execute(suggestion.executions.get().pk)
    suggestion.refresh_from_db()
    return suggestion.executions.order_by("-attempt").first()


@given(JSON, JSON)
def test_differences_are_found_exactly_when_the_seals_differ(before, after):
    assert bool(differences(before, after)) == (seal(before) != seal(after))


def test_a_difference_names_its_path():
    before = {"lines": [{"amount": 1, "seller": "a"}], "status": "paid"}
    after = {"lines": [{"amount": 2, "seller": "a"}, {"amount": 5}], "status": "paid"}
    assert differences(before, after) == [
        Difference("lines.0.amount", 1, 2),
        Difference("lines.1", "absent", {"amount": 5}),
    ]


def test_an_approval_keeps_what_was_seen(propose, finance):
    policy = Policy.objects.create(kind="test_payout")
    suggestion = approve(propose(), finance)
    sealed = suggestion.decisions.get()
    assert sealed.seal == seal(sealed.sealed)
    assert sealed.sealed["policies"] == [[policy.pk, 1]]
    assert (sealed.sealed["amount"], sealed.sealed["currency"], sealed.sealed["destination"]) == (
        13303,
        "usd",
        "acct_1",
    )


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("amount", 99),
        ("currency", "eur"),
        ("params", {"destination": "acct_other"}),
        ("account", "acct_other"),
        ("customer", "cus_other"),
        ("subject", "in_other"),
        ("facts", {"invoice": "in_1", "amount": 1, "status": "paid"}),
        ("facts_hash", "0" * 64),
        ("revision", 2),
    ],
)
def test_a_row_changed_behind_the_gate_is_not_carried_out(propose, finance, bank, column, value):
    suggestion = approve(propose(), finance)
    Suggestion.objects.filter(pk=suggestion.pk).update(**{column: value})
    execution = carried_out(suggestion)
    assert (suggestion.state, execution.state, bank.effects) == (State.STALE, "dropped", {})


def test_facts_that_moved_at_stripe_are_told_field_by_field(propose, finance, bank):
    suggestion = approve(propose(), finance)
    bank.facts = {**bank.facts, "amount": 1}
    execution = carried_out(suggestion)
    assert suggestion.state == State.STALE
    assert execution.result["differences"] == [{"field": "amount", "before": 13303, "after": 1}]


def test_a_policy_that_changed_while_the_page_was_open_is_a_conflict(propose, finance):
    policy = Policy.objects.create(kind="test_payout")
    suggestion = propose()
    seen = sealing.of(suggestion, policies.evaluate(suggestion, stage="approved").versions)
    policy.version += 1
    policy.save()
    with pytest.raises(VersionConflict):
        approve(suggestion, finance, seal=seen)
    assert not Decision.objects.exists()
    approve(suggestion, finance, seal=sealing.of(suggestion, [[policy.pk, 2]]))


def test_within_the_undo_window_nothing_is_carried_out_and_it_can_be_taken_back(
    propose, finance, bank, run_jobs, monkeypatch
):
    real = policies.evaluate_many

    def with_undo(suggestions, **kwargs):
        from dataclasses import replace

        return {pk: replace(result, undo_seconds=600) for pk, result in real(suggestions, **kwargs).items()}

    monkeypatch.setattr(policies, "evaluate_many", with_undo)
    suggestion = approve(propose(), finance)
    execution = suggestion.executions.get()
    assert timezone.now() + timedelta(seconds=590) < execution.not_before
    run_jobs()
    assert carried_out(suggestion).state == "queued"
    assert bank.effects == {}
    services.cancel(suggestion_id=suggestion.pk, actor=Actor.person(finance), version=suggestion.version)
    assert carried_out(suggestion).state == "dropped"
    assert bank.effects == {}
