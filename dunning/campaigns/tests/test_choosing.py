"""Which sequence a case gets, and that it keeps it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dunning.campaigns import choosing
from dunning.campaigns.choosing import Book
from dunning.campaigns.models import Campaign, CampaignVersion, Experiment
from dunning.campaigns.segments import CaseProfile
from dunning.campaigns.tests.conftest import make_version
from dunning.plan.sequences import STANDARD

pytestmark = pytest.mark.django_db

PROFILE = CaseProfile(account="acct_1", customer="cus_1", amount=7900, currency="eur", country="DE")


def test_without_a_campaign_every_case_follows_the_standard_sequence():
    chosen = choosing.sequence_for(PROFILE)
    assert chosen.sequence == STANDARD
    assert chosen.columns == {"sequence": "standard", "sequence_version": 1, "arm": ""}


def test_a_matching_campaigns_active_version_is_followed_and_no_other():
    make_version("de", segment={"countries": ["DE"]}, state="retired", max_messages=1)
    make_version("de", segment={"countries": ["DE"]}, max_messages=2)
    make_version("de", segment={"countries": ["DE"]}, state="draft", max_messages=3)
    chosen = choosing.sequence_for(PROFILE)
    assert (chosen.sequence.name, chosen.sequence.version, chosen.sequence.max_messages) == ("de", 2, 2)
    assert choosing.sequence_for(replace(PROFILE, country="FR")).sequence == STANDARD


def test_a_campaign_that_is_paused_takes_no_cases():
    make_version("de")
    Campaign.objects.update(active=False)
    assert choosing.sequence_for(PROFILE).sequence == STANDARD


def test_a_case_follows_its_old_version_whatever_became_of_the_campaign():
    make_version("de", state="retired", max_messages=1, active=False)
    make_version("de", state="active", max_messages=2)
    assert choosing.sequence_of("de", 1).max_messages == 1
    found = choosing.sequences_of([("de", 1), ("de", 2), ("", 0), ("standard", 1), ("gone", 3)])
    assert [one.max_messages for one in found.values()] == [1, 2, 5, 5, 5]


def test_in_a_test_each_customer_gets_the_arm_that_is_theirs():
    make_version("de", max_messages=1)
    tried = make_version("de", state="trial", max_messages=2)
    arms = [{"name": "now", "version": 1, "weight": 1}, {"name": "kinder", "version": 2, "weight": 1}]
    Experiment.objects.create(
        campaign=tried.campaign, arms=arms, seed=7, baseline_percent=50, difference_points=5, started_by_name="test"
    )
    people = [replace(PROFILE, account="", customer=f"cus_{n}") for n in range(24)]
    found = choosing.sequences_for(people)
    letters = "".join({"now": "a", "kinder": "b"}[one.arm] for one in found)
    assert letters == "babaabbbabbaabaaabababaa"  # as in test_arms.py
    assert all(one.sequence.version == {"now": 1, "kinder": 2}[one.arm] for one in found)
    assert choosing.sequence_for(replace(people[0], amount=1, currency="usd")).arm == found[0].arm
    Experiment.objects.update(state="stopped", stopped_at="2026-11-22T00:00:00Z")
    assert {one.arm for one in choosing.sequences_for(people)} == {""}


def test_a_thousand_cases_cost_the_statements_of_one(django_assert_num_queries):
    for number in range(12):
        version = make_version(f"c{number}", priority=number, segment={"countries": ["DE"]})
        Experiment.objects.create(
            campaign=version.campaign, arms=[{"name": "now", "version": 1, "weight": 1}], seed=number,
            baseline_percent=50, difference_points=5, started_by_name="test",
        )  # fmt: skip
    profiles = [replace(PROFILE, customer=f"cus_{n}") for n in range(1000)]
    with django_assert_num_queries(3):
        found = choosing.sequences_for(profiles)
    assert {one.sequence.name for one in found} == {"c11"}
    book = Book.read()
    with django_assert_num_queries(0):
        choosing.sequences_for(profiles, book=book)
    with django_assert_num_queries(1):
        choosing.sequences_of({(f"c{n}", 1) for n in range(12)})


def test_one_campaign_has_one_active_version_and_one_running_test():
    from django.db import IntegrityError, transaction

    version = make_version("de")
    with pytest.raises(IntegrityError), transaction.atomic():
        make_version("de")
    given = {"campaign": version.campaign, "seed": 1, "baseline_percent": 1, "difference_points": 1}
    Experiment.objects.create(**given)
    with pytest.raises(IntegrityError), transaction.atomic():
        Experiment.objects.create(**given)
    assert CampaignVersion.objects.count() == 1
