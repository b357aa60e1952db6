"""Earnings, journal entries and subscriptions by hand, in the shapes that the rest of the house writes."""

from __future__ import annotations

import itertools
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from billingops.actors import Actor
from billingops.stripe.models import InvoicePayment, MirroredBalanceTransaction, MirroredObject
from settlements.ledger import journal
from settlements.ledger.accounts import Account, Kind
from settlements.models import Earning, Seller

ACTOR = Actor.system("test")
_numbers = itertools.count(1)


def at(day: date, hour: int = 12) -> datetime:
    return datetime.combine(day, time(hour), tzinfo=UTC)


def seller(account: str = "acct_bakery", **more: Any) -> Seller:
    return Seller.objects.create(account=account, name=account.removeprefix("acct_").title(), **more)


def earning(of: Seller, paid: date, *, base: int = 10_000, fee: int = 3_000, **more: Any) -> Earning:
    """Paid for on `paid`; 70/30, due at once, all of it open."""
    number = next(_numbers)
    reserve = more.pop("reserve", 0)
    values: dict[str, Any] = {
        "seller": of,
        "account": of.account,
        "invoice": f"in_{number}",
        "invoice_number": f"NR-{number}",
        "charge": f"ch_{number}",
        "currency": "usd",
        "paid_at": at(paid),
        "due_on": paid,
        "base": base,
        "fee": fee,
        "share": base - fee,
        "reserve": reserve,
        "reserve_left": reserve,
        "open": base - fee - reserve,
    }
    return Earning.objects.create(**(values | more))


def book(drafts: list[journal.Draft]) -> None:
    journal.post(drafts, actor=ACTOR)


def book_sale(one: Earning) -> None:
    book(sale(one))


def sale(one: Earning) -> list[journal.Draft]:
    """The journal's entries of a paid invoice: the sale, and the charge; its balance transaction, there two days on."""
    txn = f"txn_{one.charge}"
    payment = at(one.paid_at.date())
    MirroredBalanceTransaction.objects.create(
        object_id=txn,
        type="charge",
        reporting_category="charge",
        source_id=one.charge,
        amount=one.base,
        fee=300,
        net=one.base - 300,
        currency=one.currency,
        created=payment,
        available_on=payment + timedelta(days=2),
    )
    return [
        journal.Draft(
            key=f"sale:{one.invoice}:{one.account}",
            kind=Kind.SALE,
            currency=one.currency,
            occurred_at=payment,
            seller=one.account,
            invoice=one.invoice,
            lines=(
                journal.Line(Account.RECEIVABLE, one.base, invoice=one.invoice),
                journal.Line(Account.SELLER_PAYABLE, one.reserve - one.share, one.account, one.invoice),
                journal.Line(Account.RESERVE, -one.reserve, one.account, one.invoice),
                journal.Line(Account.PLATFORM_REVENUE, -one.fee, invoice=one.invoice),
            ),
        ),
        journal.Draft(
            key=f"charge:{one.charge}",
            kind=Kind.CHARGE,
            currency=one.currency,
            occurred_at=payment,
            source=one.charge,
            balance_transaction=txn,
            fee=300,
            lines=(
                journal.Line(Account.CASH, one.base - 300),
                journal.Line(Account.STRIPE_FEES, 300),
                journal.Line(Account.RECEIVABLE, -one.base),
            ),
        ),
    ]


def book_transfer(one: Earning, day: date, amount: int) -> None:
    book(transfer(one, day, amount))


def transfer(one: Earning, day: date, amount: int) -> list[journal.Draft]:
    return [
        journal.Draft(
            key=f"transfer:tr_{one.invoice}",
            kind=Kind.TRANSFER,
            currency=one.currency,
            occurred_at=at(day),
            seller=one.account,
            source=f"tr_{one.invoice}",
            lines=(
                journal.Line(Account.SELLER_PAYABLE, amount, one.account, one.invoice),
                journal.Line(Account.CASH, -amount),
            ),
        )
    ]


def subscription(
    period_end: date, *, amount: int = 1_000, quantity: int = 1, status: str = "active", **more: Any
) -> dict[str, Any]:
    """A mirrored subscription; its JSON as Stripe has sent it since API 2025-03-31."""
    from billingops.stripe import store

    number = next(_numbers)
    created = more.pop("created", period_end - timedelta(days=400))
    price = {
        "id": f"price_{number}",
        "object": "price",
        "unit_amount": amount,
        "currency": "usd",
        "product": "prod_1",
        "metadata": {},
        "recurring": {"interval": more.pop("interval", "month"), "interval_count": 1, "usage_type": "licensed"},
    }
    data = {
        "id": f"sub_{number}",
        "object": "subscription",
        "status": status,
        "currency": "usd",
        "created": int(at(created).timestamp()),
        "billing_cycle_anchor": int(at(more.pop("anchor", period_end)).timestamp()),
        "metadata": {"seller_account": more.pop("seller", "")},
        "latest_invoice": more.pop("latest_invoice", None),
        "items": {
            "data": [
                {
                    "id": f"si_{number}",
                    "price": price,
                    "quantity": quantity,
                    "current_period_end": int(at(period_end).timestamp()),
                }
            ]
        },
        **more,
    }
    customer, _ = store.model_of("customer").objects.get_or_create(id="cus_1", defaults={"livemode": False})
    store.model_of("subscription").objects.create(
        id=data["id"], livemode=False, created=at(created), customer=customer, stripe_data=data
    )
    MirroredObject.objects.create(
        object_type="subscription", object_id=data["id"], status=status, currency="usd", created=at(created)
    )
    return data


def billed(subscription_id: str, day: date, *, paid_after: int | None = 0, amount: int = 1_000) -> str:
    """An invoice of a subscription; `paid_after` days it was paid, None: never."""
    number = next(_numbers)
    MirroredObject.objects.create(
        object_type="invoice",
        object_id=f"in_{number}",
        parent_id=subscription_id,
        status="open" if paid_after is None else "paid",
        amount=amount,
        currency="usd",
        created=at(day),
    )
    if paid_after is not None:
        InvoicePayment.objects.create(
            id=f"inpay_{number}",
            invoice_id=f"in_{number}",
            status="paid",
            amount_requested=amount,
            amount_paid=amount,
            currency="usd",
            created=at(day),
            paid_at=at(day) + timedelta(days=paid_after),
        )
    return f"in_{number}"
