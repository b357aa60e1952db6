"""Approve with edit, and the four eyes around it: proposer, last editor, first approver."""

from __future__ import annotations

from dataclasses import replace

import pytest
from django.core.exceptions import PermissionDenied

from approvals import registry, services, tasks
from approvals.models import AuditEntry, Decision, Policy
from approvals.registry import Editable
from approvals.states import State
from billingops.actors import Actor
from billingops.exceptions import InvalidInput, InvalidTransition, VersionConflict


def rewrite(suggestion, changes):
    if not changes["memo"].strip():
        raise InvalidInput("The memo is empty.", field="memo")
    return {**suggestion.params, **changes}


@pytest.fixture
def memo(bank):
    """The tests' kind, with a memo that people may rewrite."""
    kind = registry.get("test_payout")
    registry._kinds["test_payout"] = replace(
        kind,
        params_schema={"destination": str, "memo": str},
        editable=(Editable("memo", "Memo", "textarea"),),
        edit=rewrite,
    )


@pytest.fixture
def worded(propose, memo):
    return propose(params={"destination": "acct_1", "memo": "first words"})


def edit(suggestion, user, **changes):
    return services.edit(
        suggestion_id=suggestion.pk, actor=Actor.person(user), version=suggestion.version, changes=changes
    )


def approve(suggestion, user):
    return services.approve(suggestion_id=suggestion.pk, actor=Actor.person(user), version=suggestion.version)


def test_an_edit_changes_the_words_and_nothing_else(worded, finance):
    edited = edit(worded, finance, memo="better words")
    assert (edited.params, edited.state) == ({"destination": "acct_1", "memo": "better words"}, State.PENDING)
    assert (edited.version, edited.revision, edited.last_editor) == (2, 2, finance)
    decision = Decision.objects.get()
    assert (decision.verdict, decision.changes) == (
        "edit",
        [{"field": "memo", "before": "first words", "after": "better words"}],
    )
    entry = AuditEntry.objects.order_by("-seq").first()
    assert entry.action == "suggestion.edited"
    assert "better words" not in str(entry.data)


def test_the_last_editor_cannot_approve(worded, finance, lead):
    edited = edit(worded, finance, memo="better words")
    with pytest.raises(PermissionDenied, match="You made the last edit"):
        approve(edited, finance)
    assert services.may_decide(finance, edited).startswith("You made the last edit")
    assert approve(edited, lead).state == State.APPROVED


def test_an_edit_resets_the_approvals(worded, finance, lead, make_user, bank):
    Policy.objects.create(kind="test_payout", two_approvers_over={"usd": 1})
    second = make_user("second", "Finance lead")
    once = approve(worded, finance)
    assert once.state == State.SECOND_REVIEW
    edited = edit(once, lead, memo="better words")
    assert edited.state == State.PENDING
    assert approve(edited, finance).state == State.SECOND_REVIEW  # finance's first approval was for other words
    edited.refresh_from_db()
    with pytest.raises(PermissionDenied):
        approve(edited, finance)
    with pytest.raises(PermissionDenied):
        approve(edited, lead)
    approved = approve(edited, second)
    tasks.execute(approved.executions.get().pk)
    assert len(bank.effects) == 1


@pytest.mark.parametrize(
    "changes",
    [{"destination": "acct_evil"}, {"amount": "1"}, {"memo": "x", "destination": "acct_evil"}, {"memo": "  "}],
)
def test_what_may_not_be_edited_is_refused_and_nothing_changes(worded, finance, changes):
    with pytest.raises(InvalidInput):
        edit(worded, finance, **changes)
    worded.refresh_from_db()
    assert (worded.version, worded.params["memo"]) == (1, "first words")
    assert not Decision.objects.exists()


def test_an_edit_that_moves_more_than_it_may_is_refused(worded, finance):
    kind = registry.get("test_payout")
    registry._kinds["test_payout"] = replace(
        kind, edit=lambda suggestion, changes: {"destination": "acct_evil", **changes}
    )
    with pytest.raises(InvalidInput, match="destination"):
        edit(worded, finance, memo="better words")


def test_an_edit_that_changes_nothing_is_refused(worded, finance):
    with pytest.raises(InvalidInput, match="Nothing is different"):
        edit(worded, finance, memo="first words")


def test_kinds_without_words_cannot_be_edited(propose, finance):
    with pytest.raises(InvalidInput, match="nothing of it can be edited"):
        edit(propose(), finance, destination="acct_evil")


def test_an_edit_of_an_old_version_or_a_decided_one_is_refused(worded, finance, lead):
    edited = edit(worded, finance, memo="better words")
    with pytest.raises(VersionConflict):
        services.edit(suggestion_id=worded.pk, actor=Actor.person(lead), version=1, changes={"memo": "mine"})
    approved = approve(edited, lead)
    with pytest.raises(InvalidTransition):
        edit(approved, finance, memo="too late")


def test_who_may_not_decide_may_not_edit(worded, make_user):
    with pytest.raises(PermissionDenied):
        edit(worded, make_user("helper", "Support"), memo="better words")


def test_whoever_proposes_cannot_approve(propose, finance, lead):
    suggestion = propose(actor=Actor.person(finance))
    assert suggestion.proposed_by == finance
    with pytest.raises(PermissionDenied, match="You proposed this"):
        approve(suggestion, finance)
    assert approve(suggestion, lead).state == State.APPROVED
