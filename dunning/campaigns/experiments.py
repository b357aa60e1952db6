"""The verbs on A/B tests: start one, stop it with a reason. What it has shown: comparing.py and results.py.

A test runs between versions of one campaign with the same segment, the first of them the version that holds anyway. Its
arms, weights, seed and the sample that it needs are fixed when it starts. No case is touched when it stops: each keeps
the version of its arm.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal

from django.db import transaction
from django.utils import timezone

from billingops.actors import Actor, save_with_history
from billingops.exceptions import InvalidInput, InvalidTransition, VersionConflict
from dunning.campaigns import services, validation
from dunning.campaigns.arms import Arm
from dunning.campaigns.comparing import needed
from dunning.campaigns.models import Campaign, CampaignVersion, Experiment
from dunning.campaigns.services import Refused

MIN_ARMS, MAX_ARMS, MAX_WEIGHT, MAX_REASON = 2, 4, 100, 500
MAX_SEED = 2**62
LEAST_DIFFERENCE, MOST_DIFFERENCE = Decimal("0.5"), Decimal(50)
_ARM = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")
State = CampaignVersion.State


@dataclass(frozen=True, slots=True)
class Wanted:
    """An arm as somebody asks for it. `revision`: of the version they saw, None = whatever stands there."""

    name: str
    version: int
    weight: int = 1
    revision: int | None = None


def new_seed() -> int:
    return secrets.randbelow(MAX_SEED)


def start(
    *,
    campaign_id: int,
    arms: Sequence[Wanted],
    baseline_percent: Decimal,
    difference_points: Decimal,
    actor: Actor,
    seed: int | None = None,
) -> Experiment:
    """From now on new cases of the campaign are divided among the arms.

    Raises PermissionDenied, InvalidInput, InvalidTransition, VersionConflict, Refused (a version has errors).
    """
    _check_figures(arms, baseline_percent, difference_points, seed)
    with transaction.atomic():
        campaign = services.lock(campaign_id)
        services.check_right(actor, campaign.account)
        if not campaign.active:
            raise InvalidTransition("The campaign takes no cases; switch it on first. Nothing was started.")
        if services.running_test(campaign):
            raise InvalidTransition("An A/B test of this campaign is running already. Nothing was started.")
        versions = _versions(campaign, arms)
        for row in versions:
            if found := validation.errors(services.findings(row)):
                raise Refused(found)
        for row in versions[1:]:
            services.take_into_use(row, State.TRIAL, actor=actor)
        experiment = Experiment(
            campaign=campaign,
            account=campaign.account,
            arms=[{"name": one.name, "version": one.version, "weight": one.weight} for one in arms],
            seed=new_seed() if seed is None else seed,
            window_days=max(row.read_sequence().window_days for row in versions),
            baseline_percent=baseline_percent,
            difference_points=difference_points,
            started_by_name=actor.name[:160],
        )
        save_with_history(experiment, actor=actor, reason="started", force_insert=True)
        shown = {"test": experiment.pk, "arms": experiment.arms, "seed": experiment.seed}
        services.journal("campaign.test_started", campaign, actor, **shown)
    return experiment


def sample(arms: Sequence[Wanted], *, baseline_percent: Decimal, difference_points: Decimal) -> dict[str, int]:
    """Customers that each arm needs. Raises InvalidInput as `start` does."""
    _check_figures(arms, baseline_percent, difference_points, None)
    planned = [Arm(one.name, one.version, one.weight) for one in arms]
    return needed(planned, baseline=float(baseline_percent) / 100, difference=float(difference_points) / 100)


def _check_figures(arms: Sequence[Wanted], baseline: Decimal, difference: Decimal, seed: int | None) -> None:
    if not MIN_ARMS <= len(arms) <= MAX_ARMS:
        raise InvalidInput(f"A test has {MIN_ARMS} to {MAX_ARMS} arms.", field="arms")
    for one in arms:
        if not _ARM.fullmatch(one.name):
            raise InvalidInput(f"An arm's name is small letters, digits and hyphens, not {one.name!r}.", field="arms")
        if not 1 <= one.weight <= MAX_WEIGHT:
            raise InvalidInput(f"A weight lies between 1 and {MAX_WEIGHT}.", field="arms")
    for what, values in (("name", [one.name for one in arms]), ("version", [one.version for one in arms])):
        if len(set(values)) < len(values):
            raise InvalidInput(f"Two arms have the same {what}.", field="arms")
    if not Decimal(1) <= baseline <= Decimal(99):
        raise InvalidInput("The expected recovery rate lies between 1 and 99 %.", field="baseline_percent")
    if not LEAST_DIFFERENCE <= difference <= MOST_DIFFERENCE:
        raise InvalidInput(
            f"The difference worth knowing lies between {LEAST_DIFFERENCE} and {MOST_DIFFERENCE} percentage points.",
            field="difference_points",
        )
    if not (baseline + difference < 100 or baseline - difference > 0):
        raise InvalidInput("Neither so much more nor so much less is possible.", field="difference_points")
    if seed is not None and not 0 <= seed < MAX_SEED:
        raise InvalidInput(f"A seed is a whole number from 0 to {MAX_SEED - 1}.", field="seed")


def _versions(campaign: Campaign, arms: Sequence[Wanted]) -> list[CampaignVersion]:
    """The arms' versions, locked, in the arms' order; refused where they cannot be compared."""
    wanted = campaign.versions.select_for_update().filter(number__in=[one.version for one in arms])
    rows = {row.number: row for row in wanted}
    found = []
    for one in arms:
        row = rows.get(one.version)
        if row is None:
            raise InvalidInput(f"There is no version {one.version}.", field="arms")
        if one.revision is not None and row.revision != one.revision:
            raise VersionConflict(f"Somebody changed version {row.number} since you looked. Nothing was started.")
        row.campaign = campaign
        found.append(row)
    if found[0].state != State.ACTIVE:
        raise InvalidInput("The first arm is the version that is active now; the others are held against it.", "arms")
    for row in found[1:]:
        if row.segment != found[0].segment:
            raise InvalidInput(
                f"Version {row.number} has another segment than version {found[0].number}: the arms would not be "
                "about the same cases. Give them the same segment.",
                field="arms",
            )
        if row.sequence == found[0].sequence:
            raise InvalidInput(f"Version {row.number} does the same as version {found[0].number}.", field="arms")
    return found


def stop(*, experiment_id: int, reason: str, actor: Actor) -> Experiment:
    """No new case is divided any more: they follow the first arm's version. Those that run keep theirs.

    Raises PermissionDenied, InvalidInput (no reason), InvalidTransition (it has been stopped).
    """
    reason = reason.strip()
    if not 1 <= len(reason) <= MAX_REASON:
        raise InvalidInput(f"Say in 1 to {MAX_REASON} characters why.", field="reason")
    with transaction.atomic():
        campaign_id = Experiment.objects.values_list("campaign_id", flat=True).get(pk=experiment_id)
        campaign = services.lock(campaign_id)
        row = Experiment.objects.select_for_update().get(pk=experiment_id)
        services.check_right(actor, campaign.account)
        if row.state != Experiment.State.RUNNING:
            raise InvalidTransition("This test has been stopped already. Nothing was changed.")
        row.state, row.stopped_at = Experiment.State.STOPPED, timezone.now()
        row.stopped_by_name, row.stopped_reason = actor.name[:160], reason
        save_with_history(row, actor=actor, reason=f"stopped: {reason}"[:100])
        for version in campaign.versions.select_for_update().filter(state=State.TRIAL):
            services.retire(version, actor=actor, reason="its A/B test was stopped")
        services.journal("campaign.test_stopped", campaign, actor, test=row.pk, reason=reason)
    return row
