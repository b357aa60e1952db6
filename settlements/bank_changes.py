"""When a seller's bank details last changed. Policy holds payouts back for a while after that (`cool_down_hours`): a
changed account number is how somebody who got into a seller's account takes the money away.

The only writer of SellerBankChange. Nothing of the bank account itself is kept but its id.
"""

from __future__ import annotations

from datetime import datetime

from django.db.models import Max

from billingops.inbox.routes import EventNote, on
from settlements.models import SellerBankChange

# Of an update that touches nothing else, no money goes elsewhere.
HARMLESS = frozenset({"metadata", "status", "available_payout_methods", "requirements", "future_requirements"})


@on("account.external_account.created", "account.external_account.updated", "account.external_account.deleted")
def note_change(note: EventNote) -> None:
    """A connected account's payouts may go elsewhere from now on."""
    what = note.type.rpartition(".")[2]
    if what == "updated" and note.previous and set(note.previous) <= HARMLESS:
        return
    account = note.account or str(note.data.get("account") or "")
    if not account:
        return
    SellerBankChange.objects.get_or_create(
        event_id=note.event_id,
        defaults={"account": account, "what": what, "external_account": note.object_id[:255], "at": note.created},
    )


def last_changed(account: str) -> datetime | None:
    """Stripe's time of the last change, None if none was ever seen."""
    found: datetime | None = SellerBankChange.objects.filter(account=account).aggregate(last=Max("at"))["last"]
    return found
