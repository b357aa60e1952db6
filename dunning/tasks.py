"""Dunning's tasks: think again about cases whose time has come."""

from __future__ import annotations

import logging

from django.utils import timezone

from billingops import jobs
from billingops.actors import Actor
from billingops.stripe.errors import Refused, StripeProblem
from dunning import conversations, planning, recovery, services
from dunning.models import DunningCase

logger = logging.getLogger(__name__)
WORKER = Actor.system("dunning")
BATCH = 100
PASSES = 10  # of up to a thousand cases each, within a task's time


def review(case_id: int) -> str:
    """One case; safe to run twice. Without an answer from Stripe the sweep comes back to it."""
    try:
        proposed = planning.review(case_id=case_id, actor=WORKER)
    except Refused as problem:  # the account is gone, a right is missing: it does not pass within minutes
        logger.warning("case %s was not looked at: %s", case_id, problem.code)
        services.put_off(case_id=case_id, actor=WORKER, reason=f"Stripe refused to show it: {problem.code}")
        return "later"
    except StripeProblem as problem:
        logger.warning("case %s was not looked at: %s", case_id, problem.code)
        return "later"
    return str(proposed.suggestion.pk) if proposed and proposed.suggestion else "nothing"


def conversation(case_id: int) -> int:
    """A case was closed, held or let go: another may lead its customer's conversation now. Returns how many cases are
    due by that; the sweep for due cases catches what is lost on the way."""
    due = conversations.tune(case=DunningCase.objects.get(pk=case_id), actor=WORKER)
    for other in due:
        jobs.enqueue("dunning.tasks.review", other)
    return len(due)


def after_the_end(case_id: int) -> str:
    """What follows a case that was closed by a look at Stripe, its event being lost or late. Safe to run twice, and
    beside the event."""
    try:
        recovery.follow(case=DunningCase.objects.get(pk=case_id), event_id="", actor=WORKER)
    except StripeProblem as problem:
        logger.warning("what follows the end of case %s was not looked at: %s", case_id, problem.code)
        return "nothing"
    return "done"


@jobs.every(5, name="dunning-follow-up")
def follow_up() -> int:
    """Cases whose deadline, grace period or lost suggestion asks for the next step, oldest first. All at once from the
    mirror; one by one where a model is asked. Returns how many."""
    if planning.is_for_one_by_one():
        return _one_by_one()
    count = 0
    for _ in range(PASSES):
        planned = planning.review_many(actor=WORKER)
        count += planned
        if planned < BATCH:
            break
    return count


def _one_by_one() -> int:
    due = list(DunningCase.objects.due(timezone.now()).values_list("pk", flat=True)[:BATCH])
    count = 0
    for case_id in due:
        try:
            jobs.enqueue("dunning.tasks.review", case_id)
        except Exception:  # one case must not keep the others waiting
            logger.exception("case %s was not queued", case_id)
        else:
            count += 1
    return count
