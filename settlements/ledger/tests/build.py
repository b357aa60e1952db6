"""Journal entries made up for tests."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from billingops.actors import Actor
from settlements.ledger import journal
from settlements.ledger.accounts import Account, Kind
from settlements.ledger.journal import Draft, Line
from settlements.ledger.models import JournalEntry

ACTOR = Actor.system("test")
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)


def charge(number: int = 1, amount: int = 10_000, fee: int = 320, currency: str = "usd", **more: Any) -> Draft:
    values = {
        "key": f"charge:ch_{number}",
        "kind": Kind.CHARGE,
        "currency": currency,
        "occurred_at": NOON,
        "source": f"ch_{number}",
        "fee": fee,
        "lines": (
            Line(Account.CASH, amount - fee),
            Line(Account.STRIPE_FEES, fee),
            Line(Account.RECEIVABLE, -amount, invoice=f"in_{number}"),
        ),
    }
    return Draft(**(values | more))


def sale(number: int = 1, seller: str = "acct_1", base: int = 10_000, share: int = 7_000, **more: Any) -> Draft:
    invoice = f"in_{number}"
    values = {
        "key": f"sale:{invoice}:{seller}",
        "kind": Kind.SALE,
        "currency": "usd",
        "occurred_at": NOON,
        "seller": seller,
        "invoice": invoice,
        "lines": (
            Line(Account.RECEIVABLE, base, seller, invoice),
            Line(Account.SELLER_PAYABLE, -share, seller, invoice),
            Line(Account.PLATFORM_REVENUE, share - base, seller, invoice),
        ),
    }
    return Draft(**(values | more))


def post(*drafts: Draft) -> list[JournalEntry]:
    return journal.post(drafts, actor=ACTOR)
