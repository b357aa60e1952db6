"""The same things as Stripe says them before and after API 2025-03-31."""

from __future__ import annotations

import copy
from typing import Any

CREATED = 1_790_000_000


def listed(*items: dict[str, Any]) -> dict[str, Any]:
    return {"object": "list", "data": list(items), "has_more": False}


_LINE = {
    "id": "il_1",
    "object": "line_item",
    "amount": 10_000,
    "currency": "usd",
    "description": "2 × Box",
    "discount_amounts": [{"amount": 1_000, "discount": "di_1"}],
    "metadata": {"note": "x"},
    "period": {"start": CREATED, "end": CREATED + 2_592_000},
    "quantity": 2,
}
_PRICE = {"id": "price_1", "object": "price", "product": "prod_1", "metadata": {"seller_account": "acct_1"}}
OLD_LINE = {
    **_LINE,
    "type": "subscription",
    "price": _PRICE,
    "subscription": "sub_1",
    "subscription_item": "si_1",
    "proration": True,
    "tax_amounts": [{"amount": 700, "inclusive": True}, {"amount": 300, "inclusive": False}],
}
NEW_LINE = {
    **_LINE,
    "parent": {
        "type": "subscription_item_details",
        "invoice_item_details": None,
        "subscription_item_details": {"subscription": "sub_1", "subscription_item": "si_1", "proration": True},
    },
    "pricing": {
        "type": "price_details",
        "price_details": {
            "price": {
                "id": "price_1",
                "object": "price",
                "product": "prod_1",
                "metadata": {"seller_account": "acct_1"},
            },
            "product": "prod_1",
        },
        "unit_amount_decimal": "5000",
    },
    "taxes": [{"amount": 700, "tax_behavior": "inclusive"}, {"amount": 300, "tax_behavior": "exclusive"}],
}
_INVOICE = {
    "id": "in_1",
    "object": "invoice",
    "status": "paid",
    "currency": "usd",
    "total": 9_300,
    "amount_due": 9_300,
    "amount_paid": 9_300,
    "amount_remaining": 0,
    "attempt_count": 1,
    "billing_reason": "subscription_cycle",
    "collection_method": "charge_automatically",
    "created": CREATED,
    "customer": "cus_1",
    "default_payment_method": None,
    "due_date": None,
    "hosted_invoice_url": "https://invoice.example/in_1",
    "livemode": False,
    "metadata": {"order": "7"},
    "next_payment_attempt": None,
    "number": "BAR-1",
    "on_behalf_of": None,
    "status_transitions": {"paid_at": CREATED + 60, "finalized_at": CREATED},
    "subtotal": 10_000,
}
OLD_INVOICE = {
    **_INVOICE,
    "charge": "ch_1",
    "payment_intent": "pi_1",
    "paid": True,
    "paid_out_of_band": False,
    "subscription": "sub_1",
    "subscription_details": {"metadata": {"plan": "pro"}},
    "tax": 1_000,
    "total_tax_amounts": [{"amount": 700, "inclusive": True}, {"amount": 300, "inclusive": False}],
    "transfer_data": None,
    "lines": listed(OLD_LINE),
}
PAYMENT = {
    "id": "inpay_1",
    "object": "invoice_payment",
    "invoice": "in_1",
    "amount_paid": 9_300,
    "amount_requested": 9_300,
    "created": CREATED,
    "currency": "usd",
    "is_default": True,
    "livemode": False,
    "payment": {
        "type": "payment_intent",
        "payment_intent": {"id": "pi_1", "object": "payment_intent", "latest_charge": "ch_1", "customer": "cus_1"},
    },
    "status": "paid",
    "status_transitions": {"paid_at": CREATED + 60, "canceled_at": None},
}
NEW_INVOICE = {
    **_INVOICE,
    "parent": {
        "type": "subscription_details",
        "quote_details": None,
        "subscription_details": {"subscription": "sub_1", "metadata": {"plan": "pro"}},
    },
    "payments": listed(PAYMENT),
    "total_taxes": [{"amount": 700, "tax_behavior": "inclusive"}, {"amount": 300, "tax_behavior": "exclusive"}],
    "lines": listed(NEW_LINE),
}
FAILED_CHARGE = {
    "id": "ch_9",
    "object": "charge",
    "amount": 5_000,
    "amount_refunded": 0,
    "created": CREATED,
    "currency": "jpy",
    "customer": "cus_1",
    "disputed": False,
    "failure_code": "card_declined",
    "livemode": False,
    "metadata": {},
    "outcome": {
        "type": "issuer_declined",
        "reason": "insufficient_funds",
        "risk_level": "normal",
        "advice_code": "try_again_later",
        "network_advice_code": "02",
        "network_decline_code": "51",
    },
    "payment_intent": "pi_9",
    "payment_method": "pm_9",
    "payment_method_details": {
        "type": "card",
        "card": {"brand": "visa", "country": "JP", "fingerprint": "fp", "last4": "9995"},
    },
    "status": "failed",
}


def variant(payload: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A deep copy of a payload with some of its values changed."""
    return {**copy.deepcopy(payload), **changes}
