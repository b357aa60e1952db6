"""Word to the customer that it is settled, once an invoice is paid about which they had been written to."""

from __future__ import annotations

from datetime import timedelta

from django.utils import timezone

from approvals import services as gate
from approvals.services import Proposed
from billingops.actors import Actor
from dunning import agent, config, facts, loading, proposals, services
from dunning.models import DunningCase, Message
from dunning.plan import notices
from dunning.plan.question import Question
from dunning.states import CaseState

IN_TIME = timedelta(days=3)  # an event that comes later than that after the end of the case brings no more thanks


def suggest(*, case_id: int, event_id: str, actor: Actor) -> Proposed | None:
    """None where no message was sent, the case's sequence does not ask for it, nothing was paid (a credit settled it),
    or the customer owes something else: then nothing is settled yet, and the last invoice brings the word for all.
    Idempotent: one suggestion a case.

    Raises billingops.stripe.errors.Ambiguous or Throttled when the facts cannot be read now.
    """
    now = timezone.now()
    case = DunningCase.objects.get(pk=case_id)
    in_time = case.closed_at is not None and case.closed_at > now - IN_TIME
    if case.state != CaseState.RECOVERED or not in_time or not case.customer or not _was_written_to(case):
        return None
    if still_owes(case.customer, case.account):
        return None
    snapshot = facts.read(case.invoice, case.account, live=True)
    if snapshot is None or not snapshot.invoice.is_paid or snapshot.paid <= 0:
        return None
    loaded = loading.load(case=case, snapshot=snapshot, now=now)
    step = notices.thank(Question(loaded.facts, loaded.sequence, config.current(), now))
    if step is None:
        return None
    asked = proposals.asked(
        loaded, agent.by_rules(step), base=services.dedupe_key(case), event_id=event_id, now=now, ask=False
    )
    return gate.propose_many(asked=[asked], actor=actor)[0]


def _was_written_to(case: DunningCase) -> bool:
    return Message.objects.sent().filter(customer=case.customer, account=case.account).exists()


def still_owes(customer: str, account: str) -> bool:
    """Whether a case of the customer is unpaid: "everything is settled" would be wrong."""
    return DunningCase.objects.unpaid().of_customer(customer, account).exists()
