"""What Stripe's events mean for reconciliation: note, enqueue. Each handler may be called again for the same event."""

from __future__ import annotations

from billingops import jobs
from billingops.inbox.routes import EventNote, on


@on("payout.paid", "payout.failed", "balance.available")
def look_at_what_is_new(note: EventNote) -> None:
    jobs.enqueue("settlements.reconciliation.tasks.look", note.account, note.type, note.event_id)


@on("payout.reconciliation_completed")
def look_at_the_payout(note: EventNote) -> None:
    """From now on Stripe says which transactions an automatic payout holds."""
    jobs.enqueue("settlements.reconciliation.tasks.look_at_payout", note.object_id, note.account, note.event_id)
