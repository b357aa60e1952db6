"""What the worker does for seller risk. Each takes an id or nothing, checks again, and may run twice."""

from __future__ import annotations

import logging

from django.utils import timezone

from billingops import jobs
from billingops.stripe.errors import StripeProblem
from settlements.models import Seller
from settlements.risk import assessing, holds, looking
from settlements.risk.models import RiskAssessment

logger = logging.getLogger(__name__)
BATCH = 100  # a look reads one object at Stripe
MARK_BATCH = 500


def look(account: str) -> bool:
    """One account, if it is due."""
    return looking.look(account)


@jobs.every(1, name="risk-look")
def sweep() -> dict[str, int]:
    """Looks whose minute is over, that the night marked, or whose task was lost; holds whose end has come."""
    looked = 0
    for account in looking.due(BATCH):
        try:
            looked += looking.look(account)
        except StripeProblem as problem:
            logger.warning("account %s was not looked at: %s", account, problem.code)
        except Exception:
            logger.exception("account %s could not be looked at", account)
    return {"looked": looked, "released": holds.release_expired(now=timezone.now(), actor=assessing.ACTOR)}


@jobs.every(24 * 60, name="risk-night")
def look_at_all(after: str = "") -> int:
    """Mark every seller, and every other account that was ever assessed: rates, ages and volumes move without an
    event. A batch at a time; the sweep works them off."""
    sellers = Seller.objects.filter(active=True, account__gt=after).order_by("account")
    others = RiskAssessment.objects.filter(latest=True, account__gt=after).order_by("account")
    found = {*sellers.values_list("account", flat=True)[:MARK_BATCH]}
    found |= {*others.values_list("account", flat=True)[:MARK_BATCH]}
    batch = sorted(found)[:MARK_BATCH]
    if not batch:
        return 0
    if len(batch) == MARK_BATCH:
        jobs.enqueue("settlements.risk.tasks.look_at_all", batch[-1])
    return looking.mark_many(batch)
