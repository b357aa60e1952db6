"""Campaigns as the tests need them, made by the verbs that people use."""

from __future__ import annotations

from typing import Any

from django.utils import timezone

from billingops.actors import Actor
from dunning.campaigns import content
from dunning.campaigns.models import Campaign, CampaignVersion, Experiment
from dunning.models import DunningCase
from dunning.plan.sequences import STANDARD
from dunning.states import CaseState, ClosedReason
from dunning.tests.conftest import debtor, make_debtor

__all__ = ["debtor", "make_debtor"]  # fixtures of the room next door

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


def make_test(campaign: Campaign, **changes: Any) -> Experiment:
    """A running test of versions 1 and 2, past every check."""
    arms = [{"name": "now", "version": 1, "weight": 1}, {"name": "new", "version": 2, "weight": 1}]
    given = {"seed": 1, "baseline_percent": 50, "difference_points": 5, "arms": arms, "account": campaign.account}
    return Experiment.objects.create(campaign=campaign, **{**given, **changes})


def make_case(
    name: str, *, sequence: str = "", version: int = 0, arm: str = "", account: str = "", paid: bool = False,
    lost: bool = False, save: bool = True, **changes: Any,
) -> DunningCase:  # fmt: skip
    """A case of EUR 79.00: open, or recovered, or given up."""
    now = timezone.now()
    state = CaseState.RECOVERED if paid else CaseState.CLOSED if lost else CaseState.OPEN
    reason = ClosedReason.PAID if paid else ClosedReason.UNCOLLECTIBLE if lost else ""
    given = {
        "invoice": f"in_{name}", "customer": f"cus_{name}", "account": account, "currency": "eur",
        "amount_remaining": 7900, "amount_at_opening": 7900, "attempt_count": 1, "code": "card_declined",
        "decline_code": "insufficient_funds",
        "category": "later", "payment_method": "pm_1", "payment_method_type": "card", "card_brand": "visa",
        "state": state, "closed_reason": reason, "recovered_amount": 7900 if paid else 0, "last_failed_at": now,
        "closed_at": now if paid or lost else None, "sequence": sequence, "sequence_version": version, "arm": arm,
        **changes,
    }  # fmt: skip
    if not (paid or lost):
        given["closed_at"] = None
    case = DunningCase(**given)
    if save:
        case.save()
    return case
