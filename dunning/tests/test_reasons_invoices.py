"""Invoices that came to no charge, from the JSON that Stripe sends: through the reader to the verdict."""

from __future__ import annotations

from typing import Any

import pytest

from billingops.stripe import reader
from dunning import reasons
from dunning.reasons import Category, Family, Fixer, Told, judge_invoice, tax_trouble

# The shape of `invoice.finalization_failed` (https://docs.stripe.com/api/events/types#event_types-invoice.finalization_failed)
# for a customer whose address does not serve for tax.
FAILED_DRAFT: dict[str, Any] = {
    "id": "in_draft",
    "object": "invoice",
    "status": "draft",
    "currency": "eur",
    "total": 4900,
    "amount_due": 4900,
    "amount_paid": 0,
    "amount_remaining": 4900,
    "attempt_count": 0,
    "attempted": False,
    "auto_advance": True,
    "automatic_tax": {
        "disabled_reason": None,
        "enabled": True,
        "liability": {"type": "self"},
        "provider": "stripe",
        "status": "requires_location_inputs",
    },
    "billing_reason": "subscription_cycle",
    "collection_method": "charge_automatically",
    "created": 1_790_000_000,
    "customer": "cus_1",
    "last_finalization_error": {
        "type": "invalid_request_error",
        "code": "customer_tax_location_invalid",
        "doc_url": "https://docs.stripe.com/error-codes#customer-tax-location-invalid",
        "message": "The customer's location isn't recognized. Set a valid customer address in order to automatically "
        "calculate tax.",
    },
    "lines": {"object": "list", "data": []},
    "metadata": {},
    "payments": {"object": "list", "data": [], "has_more": False},
    "status_transitions": {"finalized_at": None, "paid_at": None, "voided_at": None, "marked_uncollectible_at": None},
}
NO_TAX = {"enabled": False, "status": None, "disabled_reason": None}


def invoice(**changes: Any) -> Any:
    return reader.read_invoice({**FAILED_DRAFT, **changes})


def failed(code: str) -> dict[str, Any]:
    return {"last_finalization_error": {"type": "invalid_request_error", "code": code, "message": "…"}}


def test_a_missing_tax_location_is_the_customers_to_complete() -> None:
    verdict = judge_invoice(invoice())
    assert verdict is not None
    assert (verdict.code, verdict.category) == ("customer_tax_location_invalid", Category.CUSTOMER)
    assert (verdict.told, verdict.who, verdict.family) == (Told.TAX_LOCATION, Fixer.CUSTOMER, Family.INVOICE)
    assert verdict.basis == "finalisation error customer_tax_location_invalid"
    assert verdict.source


@pytest.mark.parametrize(
    ("code", "category", "told"),
    [
        ("invoice_no_customer_line_items", Category.OURS, Told.NOTHING),
        ("invoice_no_payment_method_types", Category.OURS, Told.NOTHING),
        ("stripe_tax_inactive", Category.OURS, Told.NOTHING),
        ("taxes_calculation_failed", Category.OURS, Told.NOTHING),
        ("invalid_tax_location", Category.CUSTOMER, Told.TAX_LOCATION),
        ("tax_id_invalid", Category.CUSTOMER, Told.CHECK_DETAILS),
        ("payment_intent_mandate_invalid", Category.HARD, Told.MANDATE),
        ("amount_too_small", Category.OURS, Told.NOTHING),
        ("lock_timeout", Category.OURS, Told.NOTHING),
        ("a_code_of_next_year", Category.OURS, Told.NOTHING),
    ],
)
def test_a_finalisation_error_says_whose_it_is(code: str, category: Category, told: Told) -> None:
    verdict = judge_invoice(invoice(**failed(code), automatic_tax=NO_TAX))
    assert verdict is not None
    assert (verdict.code, verdict.category, verdict.told) == (code, category, told)
    assert verdict.family == Family.INVOICE


@pytest.mark.parametrize("code", [*reasons.INVOICES, *reasons.ERROR_CODES, *reasons.DEBITS, "a_code_of_next_year"])
def test_what_was_never_charged_is_never_charged_again(code: str) -> None:
    verdict = judge_invoice(invoice(**failed(code)))
    assert verdict is not None
    assert not verdict.may_retry


@pytest.mark.parametrize(
    ("status", "told"), [("requires_location_inputs", Told.TAX_LOCATION), ("failed", Told.NOTHING)]
)
def test_a_draft_whose_tax_is_open_waits_for_it(status: str, told: Told) -> None:
    tax = {"enabled": True, "status": status, "disabled_reason": None}
    verdict = judge_invoice(invoice(last_finalization_error=None, automatic_tax=tax))
    assert verdict is not None
    assert (verdict.code, verdict.told) == (status, told)


def test_a_draft_without_trouble_has_no_verdict() -> None:
    tax = {"enabled": True, "status": "complete", "disabled_reason": None}
    assert judge_invoice(invoice(last_finalization_error=None, automatic_tax=tax)) is None
    assert judge_invoice(invoice(last_finalization_error=None, automatic_tax=NO_TAX), has_method=False) is None


def test_an_open_invoice_without_a_payment_method_needs_one() -> None:
    opened = invoice(status="open", last_finalization_error=None, automatic_tax=NO_TAX)
    verdict = judge_invoice(opened, has_method=False)
    assert verdict is not None
    assert (verdict.code, verdict.told) == ("no_payment_method", Told.NO_METHOD)
    assert judge_invoice(opened, has_method=True) is None
    assert judge_invoice(opened) is None


def test_an_invoice_that_is_sent_for_payment_needs_no_method() -> None:
    sent = invoice(status="open", last_finalization_error=None, automatic_tax=NO_TAX, collection_method="send_invoice")
    assert judge_invoice(sent, has_method=False) is None


@pytest.mark.parametrize("status", ["paid", "void", "uncollectible"])
def test_a_settled_invoice_has_no_verdict(status: str) -> None:
    assert judge_invoice(invoice(status=status), has_method=False) is None


def test_tax_that_stripe_has_turned_off_is_noticed_and_stops_no_payment() -> None:
    tax = {"enabled": False, "status": None, "disabled_reason": "finalization_requires_location_inputs"}
    opened = invoice(status="open", last_finalization_error=None, automatic_tax=tax)
    trouble = tax_trouble(opened)
    assert trouble is not None
    assert trouble.told == Told.TAX_LOCATION
    assert judge_invoice(opened, has_method=True) is None
    assert tax_trouble(invoice(automatic_tax=NO_TAX)) is None
