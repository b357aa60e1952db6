"""What the floor itself does with events."""

from __future__ import annotations

from billingops.inbox.routes import EventNote, on
from billingops.stripe import reader, sync


@on("account.application.deauthorized")
def note_deauthorisation(note: EventNote) -> None:
    """From now on Stripe answers nothing about that account; it says so here once."""
    if note.account:
        sync.mark_deauthorised(note.account)


@on("payout.reconciliation_completed")
def list_what_the_payout_holds(note: EventNote) -> None:
    """From now on Stripe's list of its balance transactions is complete; it tells them of automatic payouts only."""
    if note.current and reader.read_payout(note.current).automatic:
        sync.balance_transactions(note.account, payout=note.object_id)


@on("balance.available")
def note_available_funds(note: EventNote) -> None:
    """Funds do not become available by an event of their own: the balance tells that some did."""
    sync.mark_available(note.account, note.created)
