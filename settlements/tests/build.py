"""Facts for the pure tests, written by hand; sizes in minor units."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from billingops.stripe.facts import ChargeFacts, InvoiceFacts, LineFacts
from settlements.rules import FLAT, FLAT_PER_UNIT, NONE, PERCENT, Rule, Terms

PAID = datetime(2026, 11, 10, 12, tzinfo=UTC)
BAKERY, STUDIO = "acct_bakery", "acct_studio"


def line(identifier: str = "il_1", amount: int = 10_000, currency: str = "usd", **more: Any) -> LineFacts:
    return LineFacts(id=identifier, amount=amount, currency=currency, **more)


def invoice(*lines: LineFacts, currency: str = "usd", **more: Any) -> InvoiceFacts:
    total = sum(item.base + item.tax_inclusive + item.tax_exclusive for item in lines)
    tax = sum(item.tax_inclusive + item.tax_exclusive for item in lines)
    values: dict[str, Any] = {
        "id": "in_1",
        "account": "",
        "status": "paid",
        "currency": currency,
        "total": total,
        "tax": tax,
        "amount_due": total,
        "amount_paid": total,
        "amount_remaining": 0,
        "created": PAID,
        "paid_at": PAID,
        "number": "BAR-1",
        "charge_id": "ch_1",
        "metadata": {"seller_account": BAKERY},
    }
    return InvoiceFacts(lines=lines, **(values | more))


def charge(of: InvoiceFacts, **more: Any) -> ChargeFacts:
    values: dict[str, Any] = {
        "id": "ch_1",
        "account": "",
        "amount": of.amount_paid,
        "currency": of.currency,
        "status": "succeeded",
        "created": PAID,
    }
    return ChargeFacts(**(values | more))


def rule(name: str = "r", seller: str = BAKERY, percent: str = "70", **more: Any) -> Rule:
    values: dict[str, Any] = {
        "version": 1,
        "match_type": NONE,
        "match_value": "",
        "share_type": PERCENT,
        "valid_from": date(2026, 1, 1),
        "percent": Decimal(percent),
    }
    return Rule(name=name, seller=seller, **(values | more))


def flat(fee: int, currency: str = "usd", *, per_unit: bool = False, **more: Any) -> Rule:
    return rule(share_type=FLAT_PER_UNIT if per_unit else FLAT, fee=fee, currency=currency, **more)


def terms(*accounts: str, **more: Any) -> dict[str, Terms]:
    return {account: Terms(account=account, name=account.upper(), **more) for account in accounts or (BAKERY, STUDIO)}
