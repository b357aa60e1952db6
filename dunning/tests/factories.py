"""Facts for the pure tests: a plain unpaid invoice that each test bends where it matters."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from billingops.stripe.facts import PaymentFailure
from dunning.rules import CaseHistory

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)  # a Tuesday


def failure(decline_code: str = "", **changes: Any) -> PaymentFailure:
    given = {
        "code": "card_declined",
        "decline_code": decline_code,
        "payment_method_id": "pm_old",
        "payment_method_type": "card",
        "card_brand": "visa",
        "charge_id": "ch_1",
        "at": NOW,
    }
    return PaymentFailure(**{**given, **changes})


NEW_CARD = {"method_on_file": "pm_new", "method_brand": "mastercard", "method_fingerprint": "fp_new"}


def history(**changes: Any) -> CaseHistory:
    given = {
        "status": "open",
        "amount_remaining": 7900,
        "currency": "eur",
        "attempt_count": 1,
        "has_subscription": True,
        "method_on_file": "pm_old",
        "method_type": "card",
        "method_brand": "visa",
        "method_fingerprint": "fp_old",
        "failed_fingerprint": "fp_old",
        "customer_since": NOW - timedelta(days=90),
        "card_attempts_day": 1,
        "card_attempts_30_days": 1,
    }
    return CaseHistory(**{**given, **changes})
