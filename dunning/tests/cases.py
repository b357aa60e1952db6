"""Many made-up cases in the mirror and in our tables, each due now: for counting, and for the benchmark. No sandbox."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django.utils import timezone

from billingops.stripe import sync
from dunning.models import DunningCase
from dunning.plan.sequences import STANDARD

REASONS = ("insufficient_funds", "expired_card", "generic_decline", "processing_error", "stolen_card")
CATEGORIES = {
    "insufficient_funds": "later", "expired_card": "customer", "generic_decline": "contested",
    "processing_error": "soon", "stolen_card": "fraud",
}  # fmt: skip
CHUNK = 200

Json = dict[str, Any]


def open_cases(count: int, *, start: int = 0, customers: int | None = None) -> None:
    """`count` cases of `customers` customers (each their own by default), their payments failed half a day ago."""
    failed_at = timezone.now() - timedelta(hours=12)
    for first in range(start, start + count, CHUNK):
        numbers = range(first, min(first + CHUNK, start + count))
        objects: list[Json] = []
        for number in numbers:
            owner = number if customers is None else number % customers
            objects += _objects(number, owner, failed_at)
        problems = sync.store_many(objects)
        assert not problems, problems
        DunningCase.objects.bulk_create(
            [_case(number, number if customers is None else number % customers, failed_at) for number in numbers]
        )


def _case(number: int, owner: int, failed_at: datetime) -> DunningCase:
    code = REASONS[number % len(REASONS)]
    return DunningCase(
        invoice=f"in_many{number:07d}",
        customer=f"cus_many{owner:07d}",
        subscription=f"sub_many{number:07d}",
        invoice_number=f"MANY-{number}",
        currency="usd",
        amount_remaining=1000 + number,
        amount_at_opening=1000 + number,
        attempt_count=1,
        code="card_declined",
        decline_code=code,
        category=CATEGORIES[code],
        payment_method=f"pm_many{owner:07d}",
        payment_method_type="card",
        card_brand="visa",
        charge=f"ch_many{number:07d}",
        sequence=STANDARD.name,  # each case is given one when it is opened
        sequence_version=STANDARD.version,
        opened_at=failed_at,
        last_failed_at=failed_at,
        next_step_at=timezone.now() - timedelta(minutes=1),
    )


def _objects(number: int, owner: int, failed_at: datetime) -> list[Json]:
    at = int(failed_at.timestamp())
    amount, code = 1000 + number, REASONS[number % len(REASONS)]
    customer, method = f"cus_many{owner:07d}", f"pm_many{owner:07d}"
    subscription, invoice, charge = f"sub_many{number:07d}", f"in_many{number:07d}", f"ch_many{number:07d}"
    card = {"brand": "visa", "last4": "4242", "fingerprint": f"fp{owner}", "exp_month": 12, "exp_year": 2031,
            "country": "US"}  # fmt: skip
    return [
        {
            "id": customer, "object": "customer", "created": at - 40_000_000, "email": f"c{owner}@example.invalid",
            "name": "", "livemode": False, "metadata": {}, "address": {"country": "DE"}, "preferred_locales": ["de"],
            "invoice_settings": {"default_payment_method": method}, "currency": "usd", "balance": 0,
        },
        {
            "id": method, "object": "payment_method", "created": at - 40_000_000, "type": "card", "card": card,
            "customer": customer, "livemode": False, "metadata": {}, "billing_details": {},
        },
        {
            "id": subscription, "object": "subscription", "created": at - 40_000_000, "status": "past_due",
            "customer": customer, "livemode": False, "metadata": {}, "currency": "usd",
            "collection_method": "charge_automatically", "cancel_at_period_end": False,
            "items": {"object": "list", "data": []}, "latest_invoice": invoice,
        },
        {
            "id": invoice, "object": "invoice", "created": at, "status": "open", "customer": customer,
            "livemode": False, "currency": "usd", "total": amount, "subtotal": amount, "amount_due": amount,
            "amount_paid": 0, "amount_remaining": amount, "attempt_count": 1, "attempted": True,
            "auto_advance": True, "next_payment_attempt": None, "collection_method": "charge_automatically",
            "number": f"MANY-{number}", "metadata": {}, "billing_reason": "subscription_cycle",
            "parent": {"type": "subscription_details",
                       "subscription_details": {"subscription": subscription, "metadata": {}}},
            "lines": {"object": "list", "data": []}, "hosted_invoice_url": f"https://invoice.example/{invoice}",
        },
        {
            "id": charge, "object": "charge", "created": at, "status": "failed", "customer": customer,
            "livemode": False, "currency": "usd", "amount": amount, "amount_refunded": 0, "paid": False,
            "captured": False, "disputed": False, "refunded": False, "failure_code": "card_declined",
            "metadata": {}, "payment_method": method,
            "outcome": {"type": "issuer_declined", "reason": code, "risk_level": "normal"},
            "payment_method_details": {"type": "card", "card": card},
        },
    ]  # fmt: skip
