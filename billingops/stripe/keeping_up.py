"""Lists what came to a Stripe balance since it was last listed, book after book.

Of its own fees (Billing, Connect), of adjustments and holds Stripe sends no event, and shows them in no object but a
balance transaction; and only an automatic payout says which of these it holds. So the list itself is read. Source:
https://docs.stripe.com/payouts/reconciliation ("manual payouts": reconcile against the transaction history).

Nothing is locked while Stripe is asked. A book's mark (`finished_at`, by Stripe's clock: its newest movement that we
know) moves once its list was read to the end: what failed, or was interrupted, is read again from the same moment. A
list in whose middle Stripe stops answering goes on there: of ten thousand pages, some always fail.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from django.db.models import Max
from django.utils import timezone

from billingops.stripe import errors, sync
from billingops.stripe.backfill import connected_accounts
from billingops.stripe.models import MirroredBalanceTransaction, SyncCheckpoint

logger = logging.getLogger(__name__)
MODEL = "BalanceTransaction since"  # of the checkpoints; the backfill's is "BalanceTransaction"
OVERLAP = timedelta(days=3)  # Stripe may list a movement a little after the time that it says it was made
TRIES = 2  # of a page: a task has two minutes, and a page that hangs takes one time-out for each

FARTHEST = timedelta(days=62)  # how far back a book is listed at first: what is older is for the backfill

Beginning = Callable[[str], datetime | None]  # account → since when the books know of it: nothing earlier is listed


@dataclass(frozen=True)
class Place:
    """Where a listing goes on: in which book, after which id, and when the listing of that book began (seconds since
    the epoch). What a task can carry."""

    account: str = ""
    cursor: str = ""
    began: int = 0


def list_books(place: Place, *, beginning: Beginning, seconds: float) -> Place | None:
    """The platform’s list, then each connected account’s, from `place` on, for about so long. Returns where to go on,
    None when all are done. A book whose list cannot be read is noted (`failing`) and does not stop the others."""
    ends = time.monotonic() + seconds
    books = ["", *sorted(connected_accounts())]
    for account in (one for one in books if one >= place.account):
        here = place if account == place.account else Place(account)
        if here != place and time.monotonic() > ends:
            return here
        if (rest := list_book(here, beginning=beginning, ends=ends)) is not None:
            return rest
    return None


def list_book(place: Place, *, beginning: Beginning, ends: float) -> Place | None:
    """One book's list, at least a page of it, until `ends` (time.monotonic). As above."""
    account, last = place.account, ""
    began = datetime.fromtimestamp(place.began, UTC) if place.began else timezone.now()
    mark, _ = SyncCheckpoint.objects.get_or_create(model=MODEL, account=account)
    since = _since(mark.finished_at, beginning(account), began)
    try:
        pages = sync.balance_transaction_pages(
            account, after=place.cursor, tries=TRIES, created={"gte": int(since.timestamp())}
        )
        for ids in pages:
            last = ids[-1]
            if time.monotonic() > ends:
                return Place(account, last, int(began.timestamp()))
    except Exception as problem:  # the other books have their turn
        if last and isinstance(problem, errors.Throttled | errors.Ambiguous):
            return Place(account, last, int(began.timestamp()))
        logger.warning("The balance transactions of %s could not be listed: %s", account or "the platform", problem)
        mark.failed += 1
        mark.problem = _why(problem)
        mark.save(update_fields=["failed", "problem"])
        return None
    newest = MirroredBalanceTransaction.objects.filter(account=account).aggregate(at=Max("created"))["at"]
    mark.failed, mark.problem, mark.updated_at = 0, "", began
    # What came by an event while the list was read, or is dated in a test clock's future, says nothing of what it held.
    mark.finished_at = min(newest, began) if newest else mark.finished_at or since + OVERLAP
    mark.save(update_fields=["failed", "problem", "finished_at", "updated_at"])
    return None


def _since(mark: datetime | None, first: datetime | None, began: datetime) -> datetime:
    if mark is None:
        return max(first or began - OVERLAP, began - FARTHEST)
    return max(mark - OVERLAP, min(first, mark)) if first else mark - OVERLAP


def listed() -> dict[str, datetime]:
    """Account → when the listing began that was last read to its end: what Stripe had made by then is in the mirror.
    One statement."""
    rows = SyncCheckpoint.objects.filter(model=MODEL, finished_at__isnull=False)
    return dict(rows.values_list("account", "updated_at"))


def listed_at(account: str) -> datetime | None:
    """The same of one book; None where its list was never read to its end."""
    rows = SyncCheckpoint.objects.filter(model=MODEL, account=account, finished_at__isnull=False)
    return rows.values_list("updated_at", flat=True).first()


def _why(problem: Exception) -> str:
    """Stripe's own words, for people; of what is a mistake of ours its kind, the rest is in the log."""
    said = str(problem) if isinstance(problem, errors.StripeProblem) else f"an error of ours, {type(problem).__name__}"
    return said[:300]


@dataclass(frozen=True)
class Unread:
    """A book whose list could not be read the last time: when it last could be, and why not."""

    at: datetime | None
    why: str


def failing() -> dict[str, Unread]:
    """Account → what is known of it. Accounts that have disconnected are not among them. One statement, or two."""
    rows = SyncCheckpoint.objects.filter(model=MODEL, failed__gt=0)
    found = {one.account: Unread(one.updated_at if one.finished_at else None, one.problem) for one in rows}
    return {one: found[one] for one in ("", *connected_accounts()) if one in found} if found else {}
