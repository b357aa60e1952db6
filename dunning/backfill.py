"""Suggestions for unpaid invoices that the mirror already holds (`manage.py suggest`). Idempotent, bounded memory."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import datetime

from django.utils import timezone

from billingops.actors import Actor
from billingops.stripe import sync
from billingops.stripe.errors import StripeProblem
from billingops.stripe.models import MirroredObject
from dunning import planning

logger = logging.getLogger(__name__)
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
            made = _suggest(invoice, account)
            if made is not None:
                yield invoice, made


def _suggest(invoice: str, account: str) -> bool | None:
    """Whether a suggestion was made; None when no payment has failed. One invoice that cannot be read, or that breaks
    our own code, does not end the run; the next run comes to it again."""
    try:
        facts = sync.invoice_facts(invoice, account, live=False)
        if facts is None or facts.attempt_count == 0:
            return None
        proposed = planning.take_up(
            invoice=invoice, account=account, failed_at=timezone.now(), event_id="", actor=BACKFILL
        )
    except StripeProblem as problem:
        logger.warning("%s was left out: %s", invoice, problem.code)
        return False
    except Exception:  # one broken invoice must not keep the others from their suggestions
        logger.exception("%s was left out", invoice)
        return False
    return bool(proposed and proposed.created)
