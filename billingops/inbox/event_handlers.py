"""What the floor itself does with events."""

from __future__ import annotations

from billingops.inbox.routes import EventNote, on
from billingops.stripe import sync


@on("account.application.deauthorized")
def note_deauthorisation(note: EventNote) -> None:
    """From now on Stripe answers nothing about that account; it says so here once."""
    if note.account:
        sync.mark_deauthorised(note.account)
