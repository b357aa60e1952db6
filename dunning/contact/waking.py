"""Making a customer's cases come up again, because how they may be written to has changed."""

from __future__ import annotations

from django.db import transaction
from django.utils import timezone

from billingops import jobs
from billingops.actors import Actor, save_with_history
from dunning.models import DunningCase
from dunning.states import CaseState

MOST = 100  # of one customer's cases; the rest comes up in its own time


def later(*, account: str, customer: str, reason: str) -> None:
    """Have `wake` done once the current transaction holds, and only then; whatever rows that has locked."""
    jobs.enqueue("dunning.contact.tasks.wake", account, customer, reason)


def wake(*, account: str, customer: str, reason: str, actor: Actor) -> int:
    """Have the customer's cases that wait for a time looked at now. Returns how many.

    A transaction of its own, cases locked in the order of their keys; call it with no other row of ours locked.
    """
    now = timezone.now()
    with transaction.atomic():
        waiting = (CaseState.OPEN, CaseState.WAITING)
        found = DunningCase.objects.of_customer(customer, account).filter(state__in=waiting)
        cases = list(found.select_for_update().order_by("pk")[:MOST])
        for case in cases:
            case.state, case.next_step_at = CaseState.OPEN, now
            save_with_history(case, actor=actor, reason=reason)
            jobs.enqueue("dunning.tasks.review", case.pk)
    return len(cases)
