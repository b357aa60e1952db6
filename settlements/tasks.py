"""What the worker does for settlements. Each takes ids or nothing, reloads, checks again, and may run twice."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from django.db.models import F
from django.utils import timezone

from approvals.models import Suggestion
from approvals.states import State
from billingops import jobs
from billingops.stripe import sync
from billingops.stripe.errors import StripeProblem
from settlements import cases, earnings, happened, movements, payouts, periods, plans, reversals, services
from settlements.happened import of_charges
from settlements.models import Earning, Finding, PayoutItem, Seller
from settlements.payouts import KIND
from settlements.risk import holds
from settlements.services import ACTOR

logger = logging.getLogger(__name__)
BATCH = 200
READS = 50  # of a task that asks Stripe about each: within its time also where Stripe takes two seconds
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
OF_DEBTS = (Finding.Code.NEGATIVE_BALANCE, Finding.Code.TAKE_BACK, Finding.Code.FEE_MISMATCH)
RESERVES_AT_ONCE = 1000


def resettle(suggestion_id: str) -> int:
    """A stale payout: read what it rests on anew and propose it again, if it still is to be paid. Returns how many came
    of it."""
    suggestion = Suggestion.objects.get(pk=suggestion_id)
    if suggestion.kind != KIND or suggestion.state != State.STALE or suggestion.successors.exists():
        return 0
    if periods.is_of_a_period(suggestion):
        return len(periods.pay_what_is_due(account=suggestion.account, currency=suggestion.currency, actor=ACTOR))
    sync.refresh("invoice", suggestion.subject)
    settled = services.settle_invoice(
        invoice_id=suggestion.subject, event_id=suggestion.event_id, actor=ACTOR, live=True, previous=suggestion
    )
    return len(settled.proposed)


def release(invoice_id: str) -> int:
    """What was below the seller's minimum goes out together with what reached it."""
    settled = services.settle_invoice(invoice_id=invoice_id, actor=ACTOR, release=True)
    return len(settled.proposed)


def pay_seller(account: str, currency: str) -> int:
    """What is due to one seller in one currency: invoice by invoice, and what goes out as a period's payout."""
    seller = Seller.objects.get(account=account)
    proposed = 0
    if seller.schedule == plans.PER_INVOICE:
        opens = payouts.due(account=account, currency=currency, on=earnings.today(), schedule=seller.schedule)
        proposed = _look_again([one.invoice for one in opens if one.fresh and one.amount > 0][:BATCH])
    return proposed + len(periods.pay_what_is_due(account=account, currency=currency, actor=ACTOR))


@jobs.every(60, name="settlements-pay-what-is-due")
def pay_what_is_due(after: str = "") -> int:
    """Payouts whose day has come: hold days over, a period ended, a reserve released. A batch of sellers at a time."""
    today = earnings.today()
    if not after:
        jobs.enqueue("settlements.tasks.release_reserves")
    concerned = Earning.objects.filter(account__gt=after).order_by()
    # Of what Stripe moves itself nothing is paid out; what is left of it is netted or told.
    due = concerned.filter(due_on__lte=today).exclude(open=0).exclude(items__state=PayoutItem.State.IN_FLIGHT)
    claimed = concerned.filter(claimed__gt=0)
    # A debt that was covered leaves nothing due behind, and its alert is to close all the same.
    told = Finding.objects.open().filter(code__in=OF_DEBTS, account__gt=after).order_by()
    pairs, *more = (rows.values_list("account", "currency") for rows in (due, claimed, told))
    pairs = pairs.union(*more).order_by("account", "currency")
    batch = list(pairs[: BATCH + 1])
    if len(batch) > BATCH:  # a seller's currencies stay together
        last = batch[-1][0]
        batch = [pair for pair in batch if pair[0] != last] or batch
        jobs.enqueue("settlements.tasks.pay_what_is_due", batch[-1][0])
    for account, currency in batch:
        jobs.enqueue("settlements.tasks.pay_seller", account, currency)
    return len(batch)


@jobs.every(60, name="settlements-look-at-claims")
def look_at_claims(after: int = 0) -> int:
    """What is claimed and nobody was asked for: an event that was missed, or a policy that was off. A batch at a time;
    a reversal that is held already is not suggested again."""
    rows = Earning.objects.filter(pk__gt=after, claimed__gt=0).order_by("pk")
    batch = list(rows.values_list("pk", "charge")[:BATCH])
    if len(batch) == BATCH:
        jobs.enqueue("settlements.tasks.look_at_claims", batch[-1][0])
    for charge_id in dict.fromkeys(charge for _, charge in batch):
        try:
            reversals.look(charge_id=charge_id, event_id="", actor=ACTOR, live=False)
        except StripeProblem as problem:
            logger.warning("charge %s was not looked at again: %s", charge_id, problem.code)
        except Exception:
            logger.exception("what is claimed of charge %s could not be looked at again", charge_id)
    return len(batch)


@jobs.every(60, name="settlements-look-at-disputes")
def look_at_disputes(after: int = 0) -> int:
    """What is held for a dispute whose event was lost, or came before we listened: Stripe says how it stands. A batch
    at a time; returns of how many charges something was new."""
    rows = Earning.objects.filter(pk__gt=after).exclude(held=0).order_by("pk")
    batch = list(rows.values("pk", "invoice", "charge")[:READS])
    if len(batch) == READS:
        jobs.enqueue("settlements.tasks.look_at_disputes", batch[-1]["pk"])
    charges = happened.charge_ids({row["invoice"]: row["charge"] for row in batch})
    new = 0
    for charge_id in dict.fromkeys(charge for each in charges.values() for charge in each):
        try:
            new += _look_at_disputes_of(charge_id)
        except StripeProblem as problem:
            logger.warning("the disputes of charge %s were not looked at again: %s", charge_id, problem.code)
        except Exception:
            logger.exception("the disputes of charge %s could not be looked at again", charge_id)
    return new


def _look_at_disputes_of(charge_id: str) -> bool:
    """Whether Stripe says something else of them than the mirror did; that is booked, as with its event."""
    stored = sync.disputes_of(charge_id, live=False)
    for dispute in list(sync.list_objects("dispute", charge=charge_id)):
        sync.store(dispute)
    if sync.disputes_of(charge_id, live=False) == stored:
        return False
    movements.book_refunds_and_disputes(charge_id, actor=ACTOR)
    invoices = Earning.objects.filter(happened.of_charge(charge_id)).values_list("invoice", flat=True)
    _look_again(sorted(set(invoices)), live=True)
    reversals.look(charge_id=charge_id, event_id="", actor=ACTOR, live=False)
    return True


def release_reserves(after: int = 0) -> int:
    """Reserves whose day has come become payable, a batch at a time. Returns how many earnings moved."""
    rows = Earning.objects.filter(pk__gt=after, reserve_until__lte=earnings.today()).exclude(reserve_left=0)
    batch = list(rows.order_by("pk").values("pk", "invoice", "charge")[:RESERVES_AT_ONCE])
    if len(batch) == RESERVES_AT_ONCE:
        jobs.enqueue("settlements.tasks.release_reserves", batch[-1]["pk"])
    moved = _released({row["invoice"]: row["charge"] for row in batch})
    for account, currency in sorted({(row.account, row.currency) for row in moved}):
        jobs.enqueue("settlements.tasks.pay_seller", account, currency)
    return len(moved)


def _released(charges: dict[str, str]) -> list[Earning]:
    """Together; where one breaks each alone, so that it does not hold the others up."""
    try:
        return earnings.bring_up_to_date(of_charges(charges), actor=ACTOR)
    except Exception:
        if len(charges) > 1:
            logger.exception("%s reserves could not be released together; each is tried alone", len(charges))
            return [row for invoice, charge in charges.items() for row in _released({invoice: charge})]
        logger.exception("the reserves of invoice %s could not be released", *charges)
        return []


def look_back(charge_id: str, event_id: str = "") -> int:
    """A stale reversal: the charge or the transfer has moved, so compute again."""
    return len(reversals.look(charge_id=charge_id, event_id=event_id, actor=ACTOR))


def net_instead(suggestion_id: str) -> int:
    """A person rejected a reversal: the seller owes it, and it is netted against later earnings."""
    return reversals.net_instead(Suggestion.objects.get(pk=suggestion_id), actor=ACTOR)


def look_again_after_import(after: int = 0) -> int:
    """The configuration changed: look again at what lacked it, a batch at a time."""
    rows = Finding.objects.open().filter(code__in=OF_THE_CONFIGURATION, pk__gt=after).order_by("pk")
    batch = list(rows.values_list("pk", "subject")[:BATCH])
    if len(batch) == BATCH:
        jobs.enqueue("settlements.tasks.look_again_after_import", batch[-1][0])
    return _look_again(dict.fromkeys(subject for _, subject in batch))


def look_again_at_account(account: str) -> int:
    """A connected account changed: propose what it held up, or withdraw what waits and can no longer be paid."""
    obstacle = cases.obstacle_of(account, live=True) or holds.reason_for(account)
    if obstacle:
        periods.withdraw_waiting(account, actor=ACTOR, reason=f"paused because {obstacle}"[:500])
    concerned = waiting(account) if obstacle else held_up(account)
    found = list(concerned.values_list("subject", "currency")[:BATCH])
    for currency in sorted({currency for subject, currency in found if subject.startswith(f"{periods.GROUP}:")}):
        jobs.enqueue("settlements.tasks.pay_seller", account, currency)
    return _look_again([subject for subject, _ in found if not subject.startswith(f"{periods.GROUP}:")], live=True)


def waiting(account: str) -> Any:
    """Payouts to this account that wait for a person."""
    return Suggestion.objects.waiting().filter(kind=KIND, account=account)


def held_up(account: str) -> Any:
    """Findings that say this account cannot receive money, or is held."""
    return Finding.objects.open().filter(code__in=Finding.PAUSING, account=account).order_by("pk")


@jobs.every(60, name="settlements-look-again")
def sweep() -> dict[str, int]:
    """What an event or a task should have settled and did not: stale payouts without a successor, the latest first;
    findings that heal, those first that were not looked at for longest: some never do, and each has its turn."""
    since = services.recheck_since()
    stale = Suggestion.objects.filter(kind=KIND, state=State.STALE, successors=None, updated_at__gte=since)
    stale = stale.exclude(subject__startswith=f"{periods.GROUP}:").order_by("-updated_at")
    held_up = Finding.objects.open().filter(code__in=OF_STRIPE, created_at__gte=since)
    held_up = held_up.exclude(subject__startswith=f"{periods.GROUP}:")
    held_up = held_up.order_by(F("looked_at").asc(nulls_first=True), "pk")
    turn = dict(held_up.values_list("pk", "subject")[:BATCH])
    Finding.objects.filter(pk__in=list(turn)).update(looked_at=timezone.now())
    subjects = [*stale.values_list("subject", flat=True)[:BATCH], *turn.values()]
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
