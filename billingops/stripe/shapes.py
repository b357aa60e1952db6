"""The tools under reader.py: references, lists, times, and where an invoice names its payments in either era.

Pure, like reader.py; sync.py uses them to find its way from one object to the next.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

Json = Mapping[str, Any]


def plain(data: Any) -> dict[str, Any]:
    """A dict of JSON's own types, whether it came from the SDK (StripeObject) or from `json.loads`."""
    if hasattr(data, "to_dict"):
        return data.to_dict(recursive=True, for_json=True)
    return dict(data or {})


def ident(value: Any) -> str:
    """The id behind a reference: an id, an expanded object, or nothing ("")."""
    if isinstance(value, str):
        return value
    return str(value.get("id") or "") if value else ""


def expanded(value: Any) -> Json:
    """The object behind an expanded reference, an empty mapping for a bare id or nothing."""
    return value if isinstance(value, Mapping) else {}


def items_of(value: Any) -> list[Json]:
    """The items of a Stripe list object (what of it the payload holds), or of a bare array."""
    if isinstance(value, Mapping):
        value = value.get("data")
    return [item for item in value or () if isinstance(item, Mapping)]


def when(value: Any) -> datetime | None:
    """Stripe's seconds as an aware UTC time; None for nothing and for 0."""
    return datetime.fromtimestamp(int(value), tz=UTC) if value else None


def created_of(data: Json) -> datetime:
    return when(data.get("created")) or datetime.fromtimestamp(0, tz=UTC)


def text(value: Any) -> str:
    return "" if value is None else str(value)


def whole(value: Any) -> int:
    return 0 if value is None else int(value)


def decimal_of(value: Any) -> Decimal | None:
    """A rate or a percentage; through its text, so that JSON's float brings no digits of its own."""
    return None if value is None or value == "" else Decimal(str(value))


def metadata_of(value: Any) -> dict[str, str]:
    return {str(key): text(item) for key, item in (value or {}).items()}


def currency_of(data: Json) -> str:
    return text(data.get("currency")).lower()


def dig(data: Any, *path: str) -> Any:
    for key in path:
        data = data.get(key) if isinstance(data, Mapping) else None
    return data


def invoice_subscription(data: Json) -> Any:
    """The reference to an invoice's subscription in either era (an id, an expanded object or None)."""
    return dig(data, "parent", "subscription_details", "subscription") or data.get("subscription")


def payment_of(payment: Json) -> tuple[Any, Any]:
    """(payment intent, charge) of one entry of an invoice's `payments`, as references."""
    inner = payment.get("payment") or {}
    intent = inner.get("payment_intent")
    return intent, inner.get("charge") or expanded(intent).get("latest_charge")


def latest_intent(data: Json) -> Any:
    """The payment intent an invoice is, or would be, paid with: the default payment's, else the latest one's."""
    payments = [item for item in items_of(data.get("payments")) if payment_of(item)[0]]
    if not payments:
        return data.get("payment_intent")
    best = max(
        payments,
        key=lambda item: (item.get("status") != "canceled", bool(item.get("is_default")), whole(item.get("created"))),
    )
    return payment_of(best)[0]


def latest_charge(data: Json) -> Any:
    """The charge last tried for an invoice, successful or not, as a reference; None when unknown."""
    intent = latest_intent(data)
    if charge := expanded(intent).get("latest_charge"):
        return charge
    payments = sorted(items_of(data.get("payments")), key=lambda item: whole(item.get("created")))
    return next((charge for item in reversed(payments) if (charge := payment_of(item)[1])), None) or data.get("charge")


def paying(data: Json) -> list[Json]:
    """The payments that brought money, the largest first."""
    paid = [item for item in items_of(data.get("payments")) if item.get("status") == "paid" and any(payment_of(item))]
    return sorted(
        paid, key=lambda item: (-whole(item.get("amount_paid")), whole(item.get("created")), text(item.get("id")))
    )


def paid_out_of_band(data: Json, *, paid: bool) -> bool:
    if "paid_out_of_band" in data:
        return bool(data["paid_out_of_band"])
    # Today's shape does not say it: it is paid, something was due, and no payment of ours brought it.
    return paid and data.get("payments") is not None and whole(data.get("amount_due")) > 0 and not paying(data)


def balance_applied(start: Any, end: Any) -> int:
    """What a customer's balance (below zero: credit) paid of an invoice, by how it stood before and after it was
    finalized; `end` is None until then. Below zero: what the invoice gave to it."""
    return 0 if end is None else whole(end) - whole(start)


def taxes_of(entries: Iterable[Json]) -> tuple[int, int]:
    """(inclusive, exclusive) of `taxes` (tax_behavior) or, before, `tax_amounts` (inclusive: bool)."""
    inclusive = exclusive = 0
    for entry in entries:
        amount = whole(entry.get("amount"))
        if entry.get("tax_behavior") == "inclusive" or entry.get("inclusive") is True:
            inclusive += amount
        else:
            exclusive += amount
    return inclusive, exclusive
