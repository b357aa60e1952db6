"""Made-up Stripe objects and events, in the shape of the pinned API version; the same number gives the same object.

Pure: used by the load generator, the stand-in API and the workers alike, so all of them agree on what exists.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from typing import Any

API_VERSION = "2026-08-26.dahlia"
PLATFORM = "acct_bench000platform"
CREATED = 1_760_000_000  # of the first object; the n-th is n seconds younger
CUSTOMER_TYPE, INVOICE_TYPE = "customer.updated", "invoice.updated"

Json = dict[str, Any]


def customer_id(number: int) -> str:
    return f"cus_bench{number:08d}"


def invoice_id(number: int) -> str:
    return f"in_bench{number:08d}"


def customer(number: int) -> Json:
    """A customer of a usual size, without payment methods: dj-stripe then has nothing further to read for it."""
    return {
        "id": customer_id(number),
        "object": "customer",
        "address": {
            "city": "Springfield",
            "country": "US",
            "line1": f"{number} Main Street",
            "line2": None,
            "postal_code": "12345",
            "state": "CA",
        },
        "balance": 0,
        "business_name": None,
        "cash_balance": None,
        "created": CREATED + number,
        "currency": "usd",
        "customer_account": None,
        "default_source": None,
        "delinquent": False,
        "description": f"made-up customer {number}",
        "discount": None,
        "email": f"customer{number}@example.invalid",
        "individual_name": None,
        "invoice_credit_balance": {},
        "invoice_prefix": f"BEN{number:05d}",
        "invoice_settings": {
            "custom_fields": None,
            "default_payment_method": None,
            "footer": None,
            "rendering_options": None,
        },
        "livemode": False,
        "metadata": {"tenant": f"tenant-{number % 50}", "plan": "growth"},
        "name": f"Made-up Customer {number}",
        "next_invoice_sequence": 1 + number % 40,
        "phone": None,
        "preferred_locales": ["en-US"],
        "shipping": None,
        "sources": _list([], f"/v1/customers/{customer_id(number)}/sources"),
        "tax_exempt": "none",
        "test_clock": None,
    }


def customer_of_invoice(number: int, customers: int) -> int:
    """Four invoices of five belong to one of the `customers` there are; the fifth to a new one, who gets five such."""
    return number % customers if number % 5 else customers + number // 25


def invoice(number: int, customers: int) -> Json:
    """An open invoice with one line, of customer_of_invoice(number, customers)."""
    ident, total, owner = invoice_id(number), 1000 + number, customer_of_invoice(number, customers)
    created = CREATED + number
    return {
        "id": ident,
        "object": "invoice",
        "account_country": "US",
        "account_name": "Made-up Platform",
        "account_tax_ids": None,
        "amount_due": total,
        "amount_overpaid": 0,
        "amount_paid": 0,
        "amount_remaining": total,
        "amount_shipping": 0,
        "application": None,
        "attempt_count": 0,
        "attempted": False,
        "auto_advance": True,
        "automatic_tax": {
            "disabled_reason": None,
            "enabled": False,
            "liability": None,
            "provider": None,
            "status": None,
        },
        "automatically_finalizes_at": None,
        "billing_reason": "manual",
        "collection_method": "charge_automatically",
        "confirmation_secret": None,
        "created": created,
        "currency": "usd",
        "custom_fields": None,
        "customer": customer_id(owner),
        "customer_account": None,
        "customer_address": None,
        "customer_email": f"customer{owner}@example.invalid",
        "customer_name": f"Made-up Customer {owner}",
        "customer_phone": None,
        "customer_shipping": None,
        "customer_tax_exempt": "none",
        "customer_tax_ids": [],
        "default_payment_method": None,
        "default_source": None,
        "default_tax_rates": [],
        "description": None,
        "discounts": [],
        "due_date": None,
        "effective_at": created,
        "ending_balance": 0,
        "footer": None,
        "from_invoice": None,
        "hosted_invoice_url": None,
        "invoice_pdf": None,
        "issuer": {"type": "self"},
        "last_finalization_error": None,
        "latest_revision": None,
        "lines": _list([_line(number, total, created)], f"/v1/invoices/{ident}/lines"),
        "livemode": False,
        "metadata": {},
        "next_payment_attempt": created + 3600,
        "number": f"BEN-{number:06d}",
        "on_behalf_of": None,
        "parent": None,
        "payment_settings": {
            "default_mandate": None,
            "payment_method_options": None,
            "payment_method_types": None,
        },
        "payments": _list([], f"/v1/invoice_payments?invoice={ident}"),
        "period_end": created,
        "period_start": created,
        "post_payment_credit_notes_amount": 0,
        "pre_payment_credit_notes_amount": 0,
        "receipt_number": None,
        "rendering": None,
        "shipping_cost": None,
        "shipping_details": None,
        "starting_balance": 0,
        "statement_descriptor": None,
        "status": "open",
        "status_transitions": {
            "finalized_at": created,
            "marked_uncollectible_at": None,
            "paid_at": None,
            "voided_at": None,
        },
        "subtotal": total,
        "subtotal_excluding_tax": total,
        "test_clock": None,
        "threshold_reason": None,
        "total": total,
        "total_discount_amounts": [],
        "total_excluding_tax": total,
        "total_pretax_credit_amounts": [],
        "total_taxes": [],
        "webhooks_delivered_at": created,
    }


def account() -> Json:
    """The platform's own account: dj-stripe reads it once for the API key."""
    return {
        "id": PLATFORM,
        "object": "account",
        "business_profile": {"mcc": None, "name": "Made-up Platform", "product_description": None, "url": None},
        "business_type": "company",
        "capabilities": {"card_payments": "active", "transfers": "active"},
        "charges_enabled": True,
        "controller": {"type": "account"},
        "country": "US",
        "created": CREATED,
        "default_currency": "usd",
        "details_submitted": True,
        "email": "platform@example.invalid",
        "metadata": {},
        "payouts_enabled": True,
        "settings": {
            "branding": {"icon": None, "logo": None, "primary_color": None, "secondary_color": None},
            "dashboard": {"display_name": "Made-up Platform", "timezone": "Etc/UTC"},
            "payouts": {"debit_negative_balances": True, "schedule": {"delay_days": 2, "interval": "daily"}},
        },
        "type": "standard",
    }


def event(ident: str, event_type: str, subject: Json, *, created: int) -> Json:
    return {
        "id": ident,
        "object": "event",
        "api_version": API_VERSION,
        "created": created,
        "data": {"object": subject, "previous_attributes": {"metadata": {"plan": "basic"}}},
        "livemode": False,
        "pending_webhooks": 1,
        "request": {"id": None, "idempotency_key": None},
        "type": event_type,
    }


def signature(body: bytes, secret: str, *, at: int | None = None) -> str:
    """The Stripe-Signature header of `body`, as Stripe makes it."""
    at = int(time.time()) if at is None else at
    digest = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256).hexdigest()
    return f"t={at},v1={digest}"


def dumps(data: Json) -> bytes:
    """As Stripe sends it: indented by two spaces."""
    return json.dumps(data, indent=2).encode()


def _line(number: int, amount: int, created: int) -> Json:
    return {
        "id": f"il_bench{number:08d}",
        "object": "line_item",
        "amount": amount,
        "currency": "usd",
        "description": "Made-up work",
        "discount_amounts": [],
        "discountable": True,
        "discounts": [],
        "invoice": invoice_id(number),
        "livemode": False,
        "metadata": {},
        "parent": None,
        "period": {"start": created, "end": created},
        "pretax_credit_amounts": [],
        "pricing": None,
        "quantity": 1,
        "subscription": None,
        "subtotal": amount,
        "taxes": [],
    }


def _list(items: list[Json], url: str) -> Json:
    return {"object": "list", "data": items, "has_more": False, "url": url}
