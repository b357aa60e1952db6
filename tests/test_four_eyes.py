"""Four eyes at every door: proposer, last editor and first approver are refused in the admin, over the API, in a batch,
and by all of these at the same moment (PostgreSQL, real requests side by side)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.urls import reverse

from approvals import services
from approvals.models import Decision, Execution, Policy, Suggestion
from approvals.services import batches
from approvals.services.deciding import Ask
from approvals.tests.conftest import bank, propose  # noqa: F401  (fixtures)
from approvals.tests.test_editing import memo, worded  # noqa: F401  (fixtures)
from billingops.actors import Actor
from billingops.exceptions import BillingOpsError
from tests.test_races import at_once

Door = Callable[[User, Suggestion], Any]


def through_the_admin(user: User, suggestion: Suggestion) -> Any:
    client = Client()
    client.force_login(user)
    url = reverse("admin:approvals_suggestion_approve", args=[suggestion.pk])
    return client.post(url, {"version": suggestion.version}).status_code


def through_the_api(user: User, suggestion: Suggestion) -> Any:
    client = Client()
    client.force_login(user)
    url = f"/api/v1/suggestions/{suggestion.pk}/approve/"
    return client.post(url, {"version": suggestion.version}, content_type="application/json").status_code


def in_a_batch(user: User, suggestion: Suggestion) -> Any:
    actor = Actor.person(User.objects.get(pk=user.pk))
    try:
        batch = batches.freeze(verb="approve", asks=[Ask(suggestion.pk, suggestion.version)], actor=actor)
        return batches.start(batch_id=batch.pk, actor=actor).state
    except BillingOpsError as refusal:
        return refusal


DOORS = {"admin": through_the_admin, "api": through_the_api, "batch": in_a_batch}


@pytest.fixture
def proposed(propose, finance):  # noqa: F811
    return finance, propose(actor=Actor.person(finance))


@pytest.fixture
def edited(worded, finance):  # noqa: F811
    changes = {"memo": "better words"}
    services.edit(suggestion_id=worded.pk, actor=Actor.person(finance), version=1, changes=changes)
    return finance, Suggestion.objects.get()


@pytest.fixture
def approved_once(propose, lead):  # noqa: F811
    Policy.objects.create(kind="*", two_approvers_over={"usd": 1})
    suggestion = propose()
    services.approve(suggestion_id=suggestion.pk, actor=Actor.person(lead), version=1)
    return lead, Suggestion.objects.get()


@pytest.mark.django_db
@pytest.mark.parametrize("who", ["approved_once", "edited", "proposed"])
@pytest.mark.parametrize("door", sorted(DOORS))
def test_nobody_is_the_other_pair_of_eyes_at_any_door(request, who, door, make_user):
    user, suggestion = request.getfixturevalue(who)
    before = Decision.objects.filter(verdict="approve").count()
    DOORS[door](user, suggestion)
    suggestion.refresh_from_db()
    assert Decision.objects.filter(verdict="approve").count() == before
    assert not Execution.objects.exists()
    # and the same door opens for somebody else
    DOORS[door](make_user("another", "Finance lead"), suggestion)
    assert Execution.objects.count() == 1


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("who", ["approved_once", "edited", "proposed"])
def test_nor_when_all_doors_are_tried_at_once(request, who):
    user, suggestion = request.getfixturevalue(who)
    before = Decision.objects.filter(verdict="approve").count()
    doors = [DOORS[name] for name in sorted(DOORS)] * 3
    at_once(len(doors), lambda number: doors[number](user, suggestion))
    assert Decision.objects.filter(verdict="approve").count() == before
    assert not Execution.objects.exists()


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_two_approvals_of_one_person_by_different_doors_count_once(propose, lead):  # noqa: F811
    Policy.objects.create(kind="*", two_approvers_over={"usd": 1})
    suggestion = propose()
    doors = [DOORS[name] for name in sorted(DOORS)] * 3

    def try_door(number: int) -> Any:
        return doors[number](lead, Suggestion.objects.get(pk=suggestion.pk))

    for _ in range(2):  # the second time with the version of the first approval
        at_once(len(doors), try_door)
    assert Decision.objects.get().actor_id == lead.pk
    assert not Execution.objects.exists()


@pytest.mark.postgres
@pytest.mark.django_db(transaction=True)
def test_an_edit_and_an_approval_at_the_same_moment_never_carry_out_unseen_words(worded, finance, lead, bank):  # noqa: F811
    """Either the approval was for the old words and stands, or the edit came first and the approval is a conflict."""

    def act(number: int) -> Any:
        if number % 2:
            return services.approve(suggestion_id=worded.pk, actor=Actor.person(lead), version=1)
        changes = {"memo": f"words {number}"}
        return services.edit(suggestion_id=worded.pk, actor=Actor.person(finance), version=1, changes=changes)

    at_once(6, act)
    suggestion = Suggestion.objects.get()
    approvals = Decision.objects.filter(verdict="approve")
    if suggestion.state == "approved":
        assert (suggestion.params["memo"], approvals.get().version) == ("first words", 1)
    else:
        assert suggestion.revision == 2
        assert not approvals.exists()
        assert not Execution.objects.exists()
