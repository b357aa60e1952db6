"""What of the ledger somebody is shown. Entries and postings carry the seller they belong to; whoever is limited to
accounts sees those of their sellers, and of them not what is the platform's own: its revenue, fees, taxes and money.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from billingops import access
from settlements.ledger.accounts import Account
from settlements.ledger.models import JournalEntry, Posting

PLATFORM_ACCOUNTS = frozenset(
    {
        Account.CASH, Account.BANK, Account.SALES_TAX, Account.PLATFORM_REVENUE, Account.STRIPE_FEES, Account.SUSPENSE,
        Account.WRITE_OFF,
    }
)  # fmt: skip


def postings_shown(entry: JournalEntry, user: Any) -> list[Posting]:
    """In order. What is left out adds up to what is missing to 0."""
    found: Iterable[Posting] = entry.postings.all()
    limited = access.accounts_of(user)
    if limited is None:
        return list(found)
    if entry.book and entry.book in limited:  # a connected account's own balance at Stripe
        return list(found)
    return [posting for posting in found if posting.seller in limited and posting.account not in PLATFORM_ACCOUNTS]
