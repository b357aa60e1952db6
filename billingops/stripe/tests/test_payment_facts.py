"""The reader's room for payments: debits' return codes, wallets, expiry, blocked accounts, mandates, automatic tax."""

from __future__ import annotations

from datetime import UTC, date, datetime

import pytest

from billingops.stripe import reader

from .payloads import CREATED, FAILED_CHARGE, NEW_INVOICE, variant

ACH_CHARGE = variant(
    FAILED_CHARGE,
    currency="usd",
    failure_code="insufficient_funds",
    outcome={
        "type": "issuer_declined",
        "reason": "insufficient_funds",
        "risk_level": "not_assessed",
        "network_decline_code": "R01",
        "network_status": "declined_by_network",
    },
    payment_method_details={
        "type": "us_bank_account",
        "us_bank_account": {
            "bank_name": "STRIPE TEST BANK",
            "fingerprint": "fp",
            "last4": "6789",
            "mandate": "mandate_1",
        },
    },
)


def test_a_failed_debit_brings_its_return_code_and_mandate():
    failure = reader.read_payment_failure(ACH_CHARGE)
    assert (failure.code, failure.decline_code, failure.network_decline_code) == ("insufficient_funds", "", "R01")
    assert (failure.payment_method_type, failure.mandate_id, failure.card_brand) == ("us_bank_account", "mandate_1", "")


def test_a_wallets_refusal_is_read_from_the_outcome():
    charge = variant(
        FAILED_CHARGE,
        failure_code="payment_method_provider_decline",
        outcome={"type": "issuer_declined", "reason": "invalid_billing_agreement"},
        payment_method_details={"type": "paypal", "paypal": {"payer_id": "P"}},
    )
    failure = reader.read_payment_failure(charge)
    assert (failure.decline_code, failure.payment_method_type) == ("invalid_billing_agreement", "paypal")


@pytest.mark.parametrize(("kind", "reason"), [("blocked", "rule"), ("issuer_declined", "")])
def test_why_stripe_blocked_a_payment_is_read_only_where_it_did(kind, reason):
    failure = reader.read_payment_failure(variant(FAILED_CHARGE, outcome={"type": kind, "reason": "rule"}))
    assert failure.outcome_reason == reason


def test_the_wallet_around_a_card_is_read():
    details = {"type": "card", "card": {"brand": "visa", "wallet": {"type": "apple_pay", "dynamic_last4": "4242"}}}
    assert reader.read_payment_failure(variant(FAILED_CHARGE, payment_method_details=details)).wallet == "apple_pay"
    error = {"code": "card_declined", "payment_method": {"id": "pm_1", **details}}
    intent = {"id": "pi_1", "object": "payment_intent", "last_payment_error": error}
    assert reader.read_payment_failure(intent).wallet == "apple_pay"


@pytest.mark.parametrize(
    ("year", "month", "last"),
    [(2028, 2, date(2028, 2, 29)), (2027, 12, date(2027, 12, 31)), (None, None, None), (2027, 13, None)],
)
def test_a_card_is_good_to_the_end_of_its_month(year, month, last):
    card = {"brand": "visa", "exp_month": month, "exp_year": year, "country": "DE", "wallet": {"type": "google_pay"}}
    facts = reader.read_payment_method({"id": "pm_1", "type": "card", "card": card})
    assert (facts.expires, facts.country, facts.wallet, facts.blocked) == (last, "DE", "google_pay", "")


def test_a_blocked_bank_account_says_why():
    blocked = {"blocked": {"reason": "debit_not_authorized", "network_code": "R10"}}
    account = {"fingerprint": "fp", "last4": "6789", "status_details": blocked}
    facts = reader.read_payment_method({"id": "pm_1", "type": "us_bank_account", "us_bank_account": account})
    assert (facts.blocked, facts.blocked_code, facts.expires) == ("debit_not_authorized", "R10", None)
    fine = reader.read_payment_method({"id": "pm_2", "type": "us_bank_account", "us_bank_account": {}})
    assert (fine.blocked, fine.blocked_code) == ("", "")


def test_a_mandate_is_read():
    mandate = reader.read_mandate(
        {
            "id": "mandate_1",
            "object": "mandate",
            "customer_acceptance": {"accepted_at": CREATED, "type": "online", "online": {"ip_address": "192.0.2.1"}},
            "multi_use": {},
            "payment_method": "pm_1",
            "payment_method_details": {
                "type": "bacs_debit",
                "bacs_debit": {"network_status": "revoked", "reference": "REF1", "revocation_reason": "account_closed"},
            },
            "status": "inactive",
            "type": "multi_use",
        },
        "acct_1",
    )
    assert (mandate.id, mandate.account, mandate.payment_method_id) == ("mandate_1", "acct_1", "pm_1")
    assert (mandate.status, mandate.is_active, mandate.type) == ("inactive", False, "multi_use")
    assert (mandate.network_status, mandate.revoked_for, mandate.reference) == ("revoked", "account_closed", "REF1")
    assert mandate.accepted_at == datetime.fromtimestamp(CREATED, tz=UTC)


def test_automatic_tax_is_read():
    tax = {"enabled": True, "status": "requires_location_inputs", "disabled_reason": None}
    facts = reader.read_invoice(variant(NEW_INVOICE, automatic_tax=tax))
    assert (facts.automatic_tax, facts.tax_status, facts.tax_disabled_reason) == (True, "requires_location_inputs", "")
    without = reader.read_invoice(NEW_INVOICE)
    assert (without.automatic_tax, without.tax_status) == (False, "")


@pytest.mark.parametrize(
    ("invoice", "expected"),
    [
        ({"payment_intent": "pi_1"}, {"pi_1": ""}),  # before 2025-03-31
        (
            {"payment_intent": {"id": "pi_1", "object": "payment_intent", "status": "processing"}},
            {"pi_1": "processing"},
        ),
        ({"payments": {"data": []}}, {}),
        (
            {
                "payments": {
                    "data": [
                        {"payment": {"payment_intent": {"id": "pi_1", "status": "canceled"}}, "status": "canceled"},
                        {"payment": {"payment_intent": {"id": "pi_2", "status": "processing"}}, "status": "open"},
                        {"payment": {"charge": "ch_1"}, "status": "paid"},
                    ]
                }
            },
            {"pi_1": "canceled", "pi_2": "processing"},
        ),
    ],
)
def test_every_payment_intent_of_an_invoice_is_read_with_how_it_stands(invoice, expected):
    assert reader.read_collecting(invoice) == expected
