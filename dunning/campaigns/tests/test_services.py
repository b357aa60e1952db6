"""The verbs: who may, what is refused, what is kept, and that a version in use never changes."""

from __future__ import annotations

from decimal import Decimal

import pytest
from django.core.exceptions import PermissionDenied

from approvals.models import AuditEntry
from billingops.actors import Actor
from billingops.exceptions import InvalidInput, InvalidTransition, VersionConflict
from dunning.campaigns import experiments, services
from dunning.campaigns.experiments import Wanted
from dunning.campaigns.models import Campaign, CampaignVersion, Experiment
from dunning.campaigns.services import Refused
from dunning.campaigns.tests.conftest import ACTOR, STANDARD_JSON

pytestmark = pytest.mark.django_db
State = CampaignVersion.State
SECOND = {**STANDARD_JSON, "max_messages": 6}
HALVES = {"baseline_percent": Decimal(50), "difference_points": Decimal(10)}


@pytest.fixture
def campaign():
    return services.create(name="de", account="", priority=1, actor=ACTOR)


def draft(campaign, sequence=STANDARD_JSON, segment=None):
    given = segment if segment is not None else {"countries": ["DE"]}
    return services.draft(campaign_id=campaign.pk, segment=given, sequence=sequence, actor=ACTOR)


def activate(version):
    return services.activate(version_id=version.pk, revision=version.revision, actor=ACTOR)


@pytest.fixture
def pair(campaign):
    return activate(draft(campaign)), draft(campaign, SECOND)


def start(campaign, first, second, **changes):
    arms = [Wanted("now", first.number), Wanted("more", second.number)]
    given = {"campaign_id": campaign.pk, "arms": arms, "actor": ACTOR, **HALVES, **changes}
    return experiments.start(**given)


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"name": "standard"}, "name"),
        ({"name": "Upper"}, "name"),
        ({"name": "x" * 61}, "name"),
        ({"name": "de"}, "name"),
        ({"account": "cus_1"}, "account"),
        ({"priority": 1001}, "priority"),
        ({"description": "x" * 301}, "description"),
    ],
)
def test_a_campaign_that_cannot_be_is_refused(campaign, given, field):
    whole = {"name": "fr", "account": "", "priority": 0, "actor": ACTOR, **given}
    with pytest.raises(InvalidInput) as refused:
        services.create(**whole)
    assert refused.value.field == field
    assert Campaign.objects.count() == 1


def test_activating_takes_the_place_of_the_version_before_and_is_in_the_log(campaign):
    first, second = activate(draft(campaign)), activate(draft(campaign, SECOND))
    first.refresh_from_db()
    assert (first.state, second.state) == (State.RETIRED, State.ACTIVE)
    assert (first.number, second.number) == (1, 2)
    assert activate(first).state == State.ACTIVE  # back to what held before
    found = AuditEntry.objects.filter(subject="campaign:de").order_by("seq").values_list("action", flat=True)
    assert list(found) == [
        "campaign.added", "campaign.drafted", "campaign.activated", "campaign.drafted", "campaign.activated",
        "campaign.activated",
    ]  # fmt: skip


@pytest.mark.parametrize("state", [State.ACTIVE, State.RETIRED, State.TRIAL])
def test_a_version_that_has_been_in_use_is_neither_edited_nor_discarded(campaign, state):
    version = draft(campaign)
    CampaignVersion.objects.filter(pk=version.pk).update(state=state)
    with pytest.raises(InvalidTransition):
        services.save_draft(version_id=version.pk, segment={}, sequence=SECOND, revision=1, actor=ACTOR)
    with pytest.raises(InvalidTransition):
        services.discard(version_id=version.pk, actor=ACTOR)
    version.refresh_from_db()
    assert version.sequence == STANDARD_JSON


def test_a_draft_is_saved_over_what_was_seen_only(campaign):
    version = draft(campaign)
    save = {"version_id": version.pk, "segment": {}, "sequence": SECOND, "actor": ACTOR}
    assert services.save_draft(**save, revision=1).revision == 2
    with pytest.raises(VersionConflict):
        services.save_draft(**save, revision=1)
    with pytest.raises(VersionConflict):
        services.activate(version_id=version.pk, revision=1, actor=ACTOR)
    services.discard(version_id=version.pk, actor=ACTOR)
    assert not CampaignVersion.objects.exists()
    assert CampaignVersion.history.filter(history_type="-").count() == 1


def test_what_has_errors_can_be_kept_but_not_activated(campaign):
    entry = {"day": 20, "kind": "cancel_subscription"}
    version = draft(campaign, {**STANDARD_JSON, "entries": [entry]})
    with pytest.raises(Refused) as refused:
        activate(version)
    assert {one.field for one in refused.value.findings} == {"entries[0].day"}
    version.refresh_from_db()
    assert version.state == State.DRAFT


def test_a_campaign_that_could_meet_another_with_nothing_to_decide_is_refused_until_one_is_higher(campaign):
    activate(draft(campaign))
    other = services.create(name="free", account="", priority=1, actor=ACTOR)
    version = draft(other, segment={"tiers": ["free"]})
    with pytest.raises(Refused, match="'de'"):
        activate(version)
    higher = {"campaign_id": other.pk, "active": True, "description": "", "version": 1, "actor": ACTOR}
    services.change(**higher, priority=2)
    assert activate(version).state == State.ACTIVE
    with pytest.raises(Refused, match="'de'"):
        services.change(**{**higher, "version": 2}, priority=1)
    with pytest.raises(VersionConflict):
        services.change(**higher, priority=3)


@pytest.mark.parametrize("group", ["Finance", "Support", "Auditor"])
def test_only_the_finance_lead_designs(campaign, make_user, group):
    actor = Actor.person(make_user("other", group))
    version = draft(campaign)
    with pytest.raises(PermissionDenied):
        services.create(name="fr", account="", priority=0, actor=actor)
    with pytest.raises(PermissionDenied):
        services.draft(campaign_id=campaign.pk, segment={}, sequence=SECOND, actor=actor)
    with pytest.raises(PermissionDenied):
        services.save_draft(version_id=version.pk, segment={}, sequence=SECOND, revision=1, actor=actor)
    with pytest.raises(PermissionDenied):
        services.activate(version_id=version.pk, revision=1, actor=actor)
    with pytest.raises(PermissionDenied):
        services.discard(version_id=version.pk, actor=actor)
    with pytest.raises(PermissionDenied):
        services.change(campaign_id=campaign.pk, priority=9, active=True, description="", version=1, actor=actor)


def test_a_lead_of_some_accounts_designs_for_these_alone(campaign, make_user):
    actor = Actor.person(make_user("limited", "Finance lead", accounts=["acct_1"]))
    with pytest.raises(PermissionDenied, match="no access"):
        services.draft(campaign_id=campaign.pk, segment={}, sequence=SECOND, actor=actor)
    with pytest.raises(PermissionDenied):
        services.create(name="fr", account="", priority=0, actor=actor)
    own = services.create(name="own", account="acct_1", priority=0, actor=actor)
    assert activate(draft(own)).state == State.ACTIVE


def test_a_test_starts_with_what_holds_and_puts_the_other_versions_on_trial(campaign, pair):
    experiment = start(campaign, *pair, seed=7)
    assert [row.state for row in CampaignVersion.objects.order_by("number")] == [State.ACTIVE, State.TRIAL]
    assert experiment.arms == [
        {"name": "now", "version": 1, "weight": 1},
        {"name": "more", "version": 2, "weight": 1},
    ]
    assert (experiment.seed, experiment.window_days) == (7, 35)
    with pytest.raises(InvalidTransition):
        start(campaign, *pair)
    with pytest.raises(InvalidTransition):
        services.activate(version_id=draft(campaign, {**SECOND, "max_messages": 7}).pk, revision=1, actor=ACTOR)
    with pytest.raises(InvalidTransition):
        services.change(campaign_id=campaign.pk, priority=1, active=False, description="", version=1, actor=ACTOR)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"arms": [Wanted("now", 1)]}, "arms"),
        ({"arms": [Wanted("now", 2), Wanted("more", 1)]}, "arms"),  # the first must be what holds
        ({"arms": [Wanted("now", 1), Wanted("more", 9)]}, "arms"),
        ({"arms": [Wanted("now", 1), Wanted("now", 2)]}, "arms"),
        ({"arms": [Wanted("now", 1), Wanted("more", 1)]}, "arms"),
        ({"arms": [Wanted("now", 1), Wanted("more", 2, 0)]}, "arms"),
        ({"arms": [Wanted("now", 1), Wanted("More!", 2)]}, "arms"),
        ({"baseline_percent": Decimal(0)}, "baseline_percent"),
        ({"difference_points": Decimal("0.1")}, "difference_points"),
        ({"seed": -1}, "seed"),
    ],
)
def test_a_test_that_could_show_nothing_is_refused(campaign, pair, changes, field):
    with pytest.raises(InvalidInput) as refused:
        start(campaign, *pair, **changes)
    assert refused.value.field == field
    assert not Experiment.objects.exists()


def test_arms_for_other_cases_or_with_the_same_steps_cannot_be_compared(campaign, pair):
    elsewhere, same = draft(campaign, SECOND, {"countries": ["AT"]}), draft(campaign)
    with pytest.raises(InvalidInput, match="another segment"):
        start(campaign, pair[0], elsewhere)
    with pytest.raises(InvalidInput, match="does the same"):
        start(campaign, pair[0], same)
    with pytest.raises(VersionConflict):
        start(campaign, *pair, arms=[Wanted("now", 1), Wanted("more", 2, revision=5)])


def test_stopping_needs_a_reason_and_leaves_the_first_arms_version_in_force(campaign, pair):
    experiment = start(campaign, *pair)
    with pytest.raises(InvalidInput):
        experiments.stop(experiment_id=experiment.pk, reason=" ", actor=ACTOR)
    stopped = experiments.stop(experiment_id=experiment.pk, reason="Too many complaints.", actor=ACTOR)
    assert (stopped.state, stopped.stopped_reason) == ("stopped", "Too many complaints.")
    assert [row.state for row in CampaignVersion.objects.order_by("number")] == [State.ACTIVE, State.RETIRED]
    with pytest.raises(InvalidTransition):
        experiments.stop(experiment_id=experiment.pk, reason="again", actor=ACTOR)
    assert activate(CampaignVersion.objects.get(number=2)).state == State.ACTIVE  # the better one


@pytest.mark.parametrize("group", ["Finance", "Support", "Auditor"])
def test_only_the_finance_lead_tests(campaign, pair, make_user, group):
    actor = Actor.person(make_user("other", group))
    with pytest.raises(PermissionDenied):
        start(campaign, *pair, actor=actor)
    experiment = start(campaign, *pair)
    with pytest.raises(PermissionDenied):
        experiments.stop(experiment_id=experiment.pk, reason="x", actor=actor)
