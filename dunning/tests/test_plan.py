"""What comes first for which failure. Pure: no database. Lane by lane: test_plan_collect, _tell, _service, _person."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from dunning.plan.facts import Method
from dunning.plan.steps import END_GRACE, ESCALATE, GRACE, NOTIFY, RETRY, VERSION
from dunning.tests.factories import DAY, LONG_AGO, NEW, NEW_CARD, NOW, OLD, SMART, first, made


@pytest.mark.parametrize(
    ("code", "changes", "kind", "reason"),
    [
        ("insufficient_funds", {}, RETRY, "no_funds_now"),
        ("processing_error", {}, RETRY, "technical_fault"),
        ("issuer_not_available", {}, RETRY, "technical_fault"),
        ("try_again_later", {}, RETRY, "technical_fault"),
        ("do_not_honor", {}, RETRY, "no_reason_given"),
        ("generic_decline", {"attempt_count": 6}, NOTIFY, "no_more_retries"),
        ("expired_card", {}, NOTIFY, "customer_must_act"),
        ("authentication_required", {}, NOTIFY, "customer_must_act"),
        ("incorrect_cvc", {}, NOTIFY, "customer_must_act"),
        ("revocation_of_authorization", {}, NOTIFY, "new_method_needed"),
        ("stolen_card", {}, NOTIFY, "new_method_needed"),
        ("fraudulent", {}, NOTIFY, "new_method_needed"),
        ("expired_card", {"unreachable": {"email": "no address"}}, ESCALATE, "no_email"),
        ("expired_card", {"unreachable": {"email": "it bounced"}}, ESCALATE, "no_email"),
        ("duplicate_transaction", {}, ESCALATE, "ours_to_correct"),
        ("insufficient_funds", {"attempt_count": 10}, ESCALATE, "attempts_used"),
        ("insufficient_funds", {"dispute_open": True}, ESCALATE, "dispute_open"),
        ("insufficient_funds", {"complaint_open": True}, ESCALATE, "complaint_open"),
        ("insufficient_funds", {"amount_remaining": 500_001}, ESCALATE, "large_amount"),
        ("insufficient_funds", {"amount_remaining": 500_000}, RETRY, "no_funds_now"),
        ("insufficient_funds", {"amount_remaining": 9_000_000, "currency": "pln"}, RETRY, "no_funds_now"),
        ("insufficient_funds", SMART, NOTIFY, "stripe_retries"),
        ("insufficient_funds", {"next_payment_attempt": NOW - timedelta(hours=1)}, RETRY, "no_funds_now"),
        ("insufficient_funds", {**SMART, "customer_since": LONG_AGO}, GRACE, "good_customer"),
        ("insufficient_funds", {**SMART, "customer_since": LONG_AGO, "losses": 1}, NOTIFY, "stripe_retries"),
        ("insufficient_funds", {**SMART, "customer_since": LONG_AGO, "attempt_count": 2}, NOTIFY, "stripe_retries"),
        (
            "insufficient_funds", {**SMART, "customer_since": LONG_AGO, "subscription_status": ""}, NOTIFY,
            "stripe_retries",
        ),
        ("stolen_card", NEW_CARD, RETRY, "new_payment_method"),
        ("stolen_card", {"methods": (replace(OLD, id="pm_again"),)}, NOTIFY, "new_method_needed"),
        ("stolen_card", {"methods": (replace(NEW, fingerprint=""),)}, NOTIFY, "new_method_needed"),
        ("stolen_card", {"methods": (replace(NEW, attempts=(NOW,) * 40),)}, NOTIFY, "new_method_needed"),
        ("stolen_card", {"methods": (replace(NEW, expires=NOW.date() - DAY),)}, NOTIFY, "new_method_needed"),
        ("insufficient_funds", {"methods": (replace(NEW, refused="stolen card"),)}, NOTIFY, "no_more_retries"),
        ("stolen_card", {"methods": (Method("pm_new", "sepa_debit"),)}, RETRY, "new_payment_method"),
        ("expired_card", {**NEW_CARD, "attempt_count": 5}, RETRY, "new_payment_method"),
        ("expired_card", {**NEW_CARD, "amount_remaining": 500_001}, ESCALATE, "large_amount"),
        ("insufficient_funds", {"automatic": False}, NOTIFY, "no_more_retries"),
        ("insufficient_funds", {"methods": ()}, NOTIFY, "no_more_retries"),
        ("insufficient_funds", {"grace_until": NOW - DAY, "grace_on_file": NOW - DAY}, END_GRACE, "grace_over"),
    ],
)  # fmt: skip
def test_the_first_step(code: str, changes: dict[str, Any], kind: str, reason: str) -> None:
    step = first(code, **changes)
    assert (step.kind, step.reason_code) == (kind, reason)
    assert step.rationale.endswith(".")
    assert step.version == VERSION == "rules dunning v2"


@pytest.mark.parametrize("changes", [{"status": "paid"}, {"status": "void"}, {"amount_remaining": 0}])
def test_nothing_is_planned_when_nothing_is_owed(changes: dict[str, Any]) -> None:
    assert made(**changes).steps == ()
