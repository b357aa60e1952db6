"""Suggestions for unpaid invoices that the mirror already holds (`manage.py suggest`). Idempotent, bounded memory."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from django.utils import timezone

from billingops.actors import Actor
from billingops.stripe import sync
from billingops.stripe.models import MirroredObject
from dunning import planning

CHUNK = 500
BACKFILL = Actor.system("suggest")


def unpaid_invoices(since: datetime | None) -> Iterator[tuple[str, bool]]:
    """(invoice id, whether a suggestion was made) for each open invoice on which a payment has failed, oldest first."""
    rows = MirroredObject.objects.filter(object_type="invoice", status="open")
    if since is not None:
        rows = rows.filter(created__gte=since)
    position = 0
    while True:  # by key, so that a long run holds no cursor open and sees what arrives meanwhile
        chunk = list(rows.filter(pk__gt=position).order_by("pk").values_list("pk", "object_id", "account")[:CHUNK])
        if not chunk:
            return
        position = chunk[-1][0]
        for _pk, invoice, account in chunk:
            facts = sync.invoice_facts(invoice, account, live=False)
            if facts is None or facts.attempt_count == 0:
                continue
            proposed = planning.take_up(
                invoice=invoice, account=account, failed_at=timezone.now(), event_id="", actor=BACKFILL
            )
            yield invoice, bool(proposed and proposed.created)
