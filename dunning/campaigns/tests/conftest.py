"""Campaigns as the tests need them, made by the verbs that people use."""

from __future__ import annotations

from typing import Any

from billingops.actors import Actor
from dunning.campaigns import content
from dunning.campaigns.models import Campaign, CampaignVersion
from dunning.plan.sequences import STANDARD

ACTOR = Actor.system("test")
STANDARD_JSON = content.sequence_json(STANDARD)


def make_version(
    name: str = "first", *, account: str = "", priority: int = 0, state: str = "active", active: bool = True,
    segment: dict[str, Any] | None = None, number: int | None = None, **sequence: Any,
) -> CampaignVersion:  # fmt: skip
    """A version as it would stand in the database, past every check: for what reads them."""
    campaign, _ = Campaign.objects.get_or_create(
        name=name, defaults={"account": account, "priority": priority, "active": active, "created_by": "test"}
    )
    return CampaignVersion.objects.create(
        campaign=campaign,
        account=campaign.account,
        number=number or campaign.versions.count() + 1,
        segment=segment or {},
        sequence={**STANDARD_JSON, **sequence},
        state=state,
        created_by_name="test",
    )
