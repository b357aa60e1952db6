"""What the worker does for settlements. Each takes ids or nothing, reloads, checks again, and may run twice."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from approvals.models import Suggestion
from approvals.states import State
from billingops import jobs
from billingops.stripe import sync
from billingops.stripe.errors import StripeProblem
from settlements import cases, reversals, services
from settlements.models import Finding
from settlements.services import ACTOR, KIND

logger = logging.getLogger(__name__)
BATCH = 200
# What a changed configuration may heal.
OF_THE_CONFIGURATION = (
    Finding.Code.MISSING_RULE,
    Finding.Code.UNKNOWN_SELLER,
    Finding.Code.WRONG_CURRENCY,
    Finding.Code.NON_POSITIVE,
    Finding.Code.OVER_CHARGE,
    Finding.Code.BELOW_MINIMUM,
)
# What may heal by itself at Stripe without an event that names the invoice.
OF_STRIPE = (Finding.Code.ACCOUNT_RESTRICTED, Finding.Code.NO_CHARGE, Finding.Code.ALREADY_TRANSFERRED)


def resettle(suggestion_id: str) -> int:
    """A stale payout: read the invoice anew and propose it again, if it still is to be paid. Returns how many came of
    it."""
    suggestion = Suggestion.objects.get(pk=suggestion_id)
    if suggestion.kind != KIND or suggestion.state != State.STALE or suggestion.successors.exists():
        return 0
    sync.refresh("invoice", suggestion.subject)
    settled = services.settle_invoice(
        invoice_id=suggestion.subject, event_id=suggestion.event_id, actor=ACTOR, live=True, previous=suggestion
    )
    return len(settled.proposed)


def release(invoice_id: str) -> int:
    """What was below the seller's minimum goes out together with what reached it."""
    settled = services.settle_invoice(invoice_id=invoice_id, actor=ACTOR, release=True)
    return len(settled.proposed)


def look_back(charge_id: str, event_id: str = "") -> int:
    """A stale reversal: the charge or the transfer has moved, so compute again."""
    return len(reversals.look(charge_id=charge_id, event_id=event_id, actor=ACTOR))


def look_again_after_import(after: int = 0) -> int:
    """The configuration changed: look again at what lacked it, a batch at a time."""
    rows = Finding.objects.open().filter(code__in=OF_THE_CONFIGURATION, pk__gt=after).order_by("pk")
    batch = list(rows.values_list("pk", "subject")[:BATCH])
    if len(batch) == BATCH:
        jobs.enqueue("settlements.tasks.look_again_after_import", batch[-1][0])
    return _look_again(dict.fromkeys(subject for _, subject in batch))


def look_again_at_account(account: str) -> int:
    """A connected account changed: propose what it held up, or withdraw what waits and can no longer be paid."""
    concerned = waiting(account) if cases.obstacle_of(account, live=True) else held_up(account)
    return _look_again(list(concerned.values_list("subject", flat=True)[:BATCH]), live=True)


def waiting(account: str) -> Any:
    """Payouts to this account that wait for a person."""
    return Suggestion.objects.waiting().filter(kind=KIND, account=account)


def held_up(account: str) -> Any:
    """Findings that say this account cannot receive money."""
    return Finding.objects.open().filter(code=Finding.Code.ACCOUNT_RESTRICTED, account=account).order_by("pk")


@jobs.every(60, name="settlements-look-again")
def sweep() -> dict[str, int]:
    """What an event or a task should have settled and did not: stale payouts without a successor, findings that
    heal."""
    since = services.recheck_since()
    stale = Suggestion.objects.filter(kind=KIND, state=State.STALE, successors=None, updated_at__gte=since)
    held_up = Finding.objects.open().filter(code__in=OF_STRIPE, created_at__gte=since).order_by("pk")
    subjects = [*stale.values_list("subject", flat=True)[:BATCH], *held_up.values_list("subject", flat=True)[:BATCH]]
    return {"looked_at": len(set(subjects)), "proposed": _look_again(dict.fromkeys(subjects), live=True)}


def _look_again(subjects: Iterable[str], *, live: bool = False) -> int:
    """Settle each invoice again; one that breaks, or that Stripe does not answer for, does not hold the others up."""
    proposed = 0
    for invoice_id in dict.fromkeys(subjects):
        try:
            proposed += len(services.settle_invoice(invoice_id=invoice_id, actor=ACTOR, live=live).proposed)
        except StripeProblem as problem:
            logger.warning("invoice %s was not looked at again: %s", invoice_id, problem.code)
        except Exception:
            logger.exception("invoice %s could not be looked at again", invoice_id)
    return proposed
