"""What the worker does for reconciliation. Each takes ids, looks again, and may run twice."""

from __future__ import annotations

import time
from datetime import datetime, timedelta

from django.db.models import Count, Min, Sum
from django.db.models.functions import Coalesce
from django.utils import timezone

from billingops import jobs
from billingops.stripe import keeping_up, reader, sync
from billingops.stripe.keeping_up import Place
from billingops.stripe.models import MirroredBalanceTransaction
from settlements.ledger.models import JournalEntry
from settlements.reconciliation import memos
from settlements.reconciliation.engine import reconcile
from settlements.reconciliation.models import PayoutCheck, Run

DAY = 24 * 60
QUIET = timedelta(seconds=20)
LISTED_LATELY = timedelta(hours=1)  # events of one book come in crowds; the day's look lists it in any case
LISTING_SECONDS = 45  # of a task, whose time-out is 120: a page more may take two time-outs of Stripe's


def look(account: str, trigger: str, event_id: str = "") -> int:
    """What is new in one book, at Stripe first, and the words for what was found. Returns how many differences came up.
    Several events that come together are one look: a run that began after the event's task was queued has seen what it
    is about."""
    if event_id and Run.objects.filter(event_id=event_id).exists():
        return 0
    recent = Run.objects.filter(account=account, every_book=False, started_at__gt=timezone.now() - QUIET)
    if recent.exists() and trigger == "balance.available":
        return 0  # the next event, or the day's look, takes it along
    listed = keeping_up.listed_at(account)
    if listed is None or timezone.now() - listed > LISTED_LATELY:
        ends = time.monotonic() + LISTING_SECONDS
        keeping_up.list_book(Place(account), beginning=beginning, ends=ends)  # a rest is left to the day's look
    run = reconcile(account=account, trigger=trigger, event_id=event_id)
    return run.opened


def beginning(account: str) -> datetime | None:
    """Since when the ledger has known of this book."""
    found: datetime | None = JournalEntry.objects.filter(book=account).aggregate(at=Min("occurred_at"))["at"]
    return found


def look_at_payout(payout: str, account: str, event_id: str = "", after: str = "") -> bool | None:
    """Fetch what an automatic payout holds, a while at a time, going on by itself `after` an id; then check that it
    adds up, and look at the book. True where it ties, None where Stripe no longer has it."""
    data = sync.fetch("payout", payout, account)
    if data is None:
        return None
    ends = time.monotonic() + LISTING_SECONDS
    for ids in sync.balance_transaction_pages(account, after=after, payout=payout):
        if time.monotonic() > ends:
            jobs.enqueue("settlements.reconciliation.tasks.look_at_payout", payout, account, event_id, ids[-1])
            return False
    check = check_payout(payout, account, amount=reader.read_payout(data).amount, currency=str(data.get("currency")))
    look(account, "payout.reconciliation_completed", event_id)
    return check.ties


def check_payout(payout: str, account: str, *, amount: int, currency: str) -> PayoutCheck:
    """The payout against the sum of the transactions in it; its own transaction, which takes the money away, is not
    among what it is made of."""
    held = MirroredBalanceTransaction.objects.filter(payout_id=payout, account=account, currency=currency)
    held = held.exclude(source_id=payout)
    sums = held.aggregate(net=Coalesce(Sum("net"), 0), count=Count("pk"))
    check, _ = PayoutCheck.objects.update_or_create(
        payout=payout,
        defaults={
            "account": account,
            "currency": currency,
            "amount": amount,
            "held": int(sums["net"]),
            "transactions": sums["count"],
            "checked_at": timezone.now(),
        },
    )
    return check


@jobs.every(DAY, name="reconciliation-daily")
def daily(account: str = "", cursor: str = "", began: int = 0) -> bool:
    """What is new at Stripe in every book, a while at a time, going on by itself; then every book is looked at. Returns
    whether the lists were read to their ends."""
    rest = keeping_up.list_books(Place(account, cursor, began), beginning=beginning, seconds=LISTING_SECONDS)
    if rest is not None:
        jobs.enqueue("settlements.reconciliation.tasks.daily", rest.account, rest.cursor, rest.began)
        return False
    jobs.enqueue("settlements.reconciliation.tasks.look_at_all")
    return True


def look_at_all() -> dict[str, int]:
    """Every book, what is new since yesterday; once a week everything."""
    last = Run.objects.filter(every_book=True, mode=Run.Mode.FULL).order_by("-id").first()
    full = last is None or timezone.now() - last.started_at > timedelta(days=7)
    run = reconcile(full=full, trigger="schedule")
    jobs.enqueue("settlements.reconciliation.tasks.word")
    return {"transactions": run.transactions, "entries": run.entries, "opened": run.opened, "closed": run.closed}


def word() -> int:
    """Better words for new differences, where a model is configured."""
    return memos.word_new()
