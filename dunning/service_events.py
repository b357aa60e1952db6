"""When the state of service is looked at again: Stripe's events, our own steps (receivers.py), and time."""

from __future__ import annotations

import logging
from datetime import datetime

from django.utils import timezone

from billingops import jobs
from billingops.actors import Actor
from billingops.inbox.routes import EventNote, on
from billingops.stripe import reader
from dunning import service_state
from dunning.models.service import ServiceState

logger = logging.getLogger(__name__)
INBOX, WORKER = Actor.system("inbox"), Actor.system("dunning")
BATCH = 500


@on(
    "customer.subscription.updated",
    "customer.subscription.deleted",
    "customer.subscription.paused",
    "customer.subscription.resumed",
)
def subscription_changed(note: EventNote) -> None:
    service_state.bring_up_to_date(
        subscription=note.object_id,
        account=note.account,
        actor=INBOX,
        ended=note.type == "customer.subscription.deleted",
    )


@on("invoice.paid", "invoice.voided", "invoice.marked_uncollectible")
def invoice_settled(note: EventNote) -> None:
    """After the case's own handlers, which have closed it by now."""
    invoice = reader.read_invoice(note.current or note.data, note.account)
    service_state.bring_up_to_date(subscription=invoice.subscription_id, account=note.account, actor=INBOX)


@jobs.every(15, name="dunning-service")
def grace_periods(now: datetime | None = None) -> int:
    """Grace periods that have ended in time, the longest over first, a batch a run. Returns how many were ended. One
    that breaks keeps no other waiting; a batch of those is passed by as well."""
    now = now or timezone.now()
    over = ServiceState.objects.filter(state=ServiceState.State.GRACE, until__lte=now).order_by("until", "pk")
    done = broken = 0
    for pk, subscription, account in list(over.values_list("pk", "subscription", "account")[: 2 * BATCH]):
        if BATCH in (done, broken):
            break
        try:
            service_state.bring_up_to_date(subscription=subscription, account=account, actor=WORKER, now=now)
            done += 1
        except Exception:
            broken += 1
            logger.exception("the end of grace of state of service %s could not be written down", pk)
    return done
