"""Which of Stripe's events ask for a look at an account. Note and enqueue; called again, they change nothing."""

from __future__ import annotations

from billingops.inbox.routes import EventNote, on
from billingops.stripe import reader
from settlements.models import Earning
from settlements.risk import looking

REQUIREMENTS = frozenset({"requirements", "future_requirements", "payouts_enabled", "charges_enabled", "capabilities"})


@on("account.updated", "account.application.authorized", "capability.updated")
def look_at_the_account(note: EventNote) -> None:
    """At once when the requirements changed, or when the account is new (Stripe then names nothing as previous)."""
    account = note.account or (note.object_id if note.object_type == "account" else "")
    at_once = not note.previous or bool(REQUIREMENTS & set(note.previous))
    looking.mark(account=account, event_id=note.event_id, at_once=at_once and note.type != "capability.updated")


@on("account.external_account.created", "account.external_account.updated", "account.external_account.deleted")
def look_at_the_bank_account(note: EventNote) -> None:
    account = note.account or str(note.data.get("account") or "")
    looking.mark(account=account, event_id=note.event_id)


@on("account.application.deauthorized")
def look_at_who_left(note: EventNote) -> None:
    looking.mark(account=note.account, event_id=note.event_id, at_once=True)


@on("charge.dispute.created")
def look_at_the_disputed(note: EventNote) -> None:
    """A dispute on the platform's charge concerns each seller that it was shared with."""
    if note.account:
        looking.mark(account=note.account, event_id=note.event_id)
        return
    charge = reader.read_dispute(note.current or note.data).charge_id
    for account in Earning.objects.filter(charge=charge).values_list("account", flat=True).distinct()[:100]:
        looking.mark(account=account, event_id=note.event_id)
