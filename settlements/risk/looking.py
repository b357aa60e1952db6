"""When an account is looked at: at most once a minute, however many events name it, and at once when its requirements
changed. A mark that finds the minute not over moves the look to its end, so that the last change is always seen.

The only writer of RiskLook.
"""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta

from django.db.models import Q
from django.utils import timezone

from billingops import jobs
from settlements.risk import assessing
from settlements.risk.models import RiskLook

PAUSE = timedelta(minutes=1)
LEASE = timedelta(minutes=15)  # a look that broke is taken up again after it
TASK = "settlements.risk.tasks.look"


def mark(*, account: str, event_id: str = "", at_once: bool = False) -> datetime | None:
    """Note that the account is to be looked at, and wake the worker when that is now. Returns when it is due; None for
    an id that is no connected account's."""
    if not account.startswith("acct_"):
        return None
    now = timezone.now()
    row, _ = RiskLook.objects.get_or_create(account=account[:64])
    due = now if at_once or row.looked_at is None or row.looked_at <= now - PAUSE else row.looked_at + PAUSE
    later = Q(due_at=None) | Q(due_at__gt=due)
    if RiskLook.objects.filter(later, pk=row.pk).update(due_at=due, event_id=event_id[:255]) and due <= now:
        jobs.enqueue(TASK, row.account)
    return due


def mark_many(accounts: Collection[str], *, wait: timedelta = timedelta()) -> int:
    """Mark accounts for the sweep after `wait`; an event that comes first is not kept waiting. Two statements."""
    due = timezone.now() + wait
    RiskLook.objects.bulk_create([RiskLook(account=account) for account in accounts], ignore_conflicts=True)
    rows = RiskLook.objects.filter(Q(due_at=None) | Q(due_at__gt=due), account__in=accounts)
    return rows.update(due_at=due)


def look(account: str) -> bool:
    """Assess the account if it is due. False when it is not, or somebody else is at it. Raises what Stripe's answer
    raises; the look is then taken up again when its lease is over."""
    now = timezone.now()
    row = RiskLook.objects.filter(account=account, due_at__lte=now).first()
    if row is None:
        return False
    lease = now + LEASE
    if not RiskLook.objects.filter(pk=row.pk, due_at=row.due_at).update(due_at=lease, looked_at=now):
        return False
    assessing.assess(account=account, event_id=row.event_id, actor=assessing.ACTOR)
    RiskLook.objects.filter(pk=row.pk, due_at=lease).update(due_at=None)  # unless it was marked again meanwhile
    return True


def due(limit: int) -> list[str]:
    rows = RiskLook.objects.filter(due_at__lte=timezone.now()).order_by("due_at")
    return list(rows.values_list("account", flat=True)[:limit])
