"""How long one side waits for the other, and how far apart two that belong together may be. From settings, each with a
default; see docs/reconciliation.md."""

from __future__ import annotations

from datetime import timedelta

from django.conf import settings

from settlements.reconciliation.components import Grace

OVERLAP = timedelta(minutes=15)  # before the watermark: what was written then may have been committed after it


def grace() -> Grace:
    return Grace(
        transaction=timedelta(hours=getattr(settings, "RECONCILIATION_TRANSACTION_GRACE_HOURS", 6)),
        entry=timedelta(days=getattr(settings, "RECONCILIATION_ENTRY_GRACE_DAYS", 3)),
    )


def match_days() -> int:
    """How many days a transaction and an entry that are matched by amount may be apart."""
    return int(getattr(settings, "RECONCILIATION_MATCH_DAYS", 3))


def tolerance() -> dict[str, int]:
    """Currency → minor units by which they may differ; what is not named must be equal."""
    return dict(getattr(settings, "RECONCILIATION_TOLERANCE", {}))


def write_off_limit(currency: str) -> int:
    """What may be written off with `write_off` alone, minor units; 0: nothing."""
    limits: dict[str, int] = getattr(settings, "RECONCILIATION_WRITE_OFF_LIMIT", {"usd": 1000, "eur": 1000})
    return limits.get(currency, 0)
