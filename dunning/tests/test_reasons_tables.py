"""The tables of reasons: complete, sourced, and telling nobody what must not be told."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
import stripe

from dunning import reasons
from dunning.reasons import Category, Family, Fixer, Reason, Retry, Speaks, Told, page

ROOT = Path(__file__).resolve().parents[2]
# "Local payment method decline codes" on https://docs.stripe.com/declines/codes, both columns: the decline code and,
# where it differs, the charge's outcome reason.
LOCAL = """partner_generic_decline invalid_customer_account payment_limit_exceeded invalid_billing_agreement
    expired_card partner_expired_card processing_error partner_processing_error insufficient_funds
    partner_insufficient_funds
    currency_not_supported partner_invalid_currency invalid_amount partner_invalid_amount invalid_business_account
    partner_high_risk_customer compliance_violation payment_disputed invalid_authorization invalid_payment_information
    partner_payment_not_found expired_payment_information duplicate_transaction partner_duplicate_transaction
    recurring_not_supported_by_bank"""
# https://docs.stripe.com/payments/sepa-debit#failed-payments
SEPA_FAILURES = """refer_to_customer insufficient_funds debit_disputed authorization_revoked debit_not_authorized
    account_closed bank_account_restricted debit_authorization_not_match recipient_deceased branch_does_not_exist
    incorrect_account_holder_name invalid_account_number generic_could_not_process"""
# https://docs.stripe.com/payments/payment-methods/bacs-debit#failed-payments
BACS_FAILURES = """account_closed bank_ownership_changed debit_not_authorized generic_could_not_process
    insufficient_funds invalid_account_number charge_exceeds_source_limit charge_exceeds_weekly_limit
    charge_exceeds_transaction_limit"""
# https://docs.stripe.com/declines/network-codes, ACH Direct Debit; and why an account is blocked,
# https://docs.stripe.com/api/payment_methods/object#payment_method_object-us_bank_account-status_details-blocked-reason
ACH_BY_STRIPE = {
    "insufficient_funds": "R01 R09",
    "bank_account_closed": "R02",
    "bank_account_invalid_details": "R03 R04",
    "debit_not_authorized": "R05 R07 R08 R10 R11 R29 R31",
    "recipient_deceased": "R15",
    "bank_account_frozen": "R16",
    "bank_account_restricted": "R20",
}
BLOCKED = """bank_account_closed bank_account_frozen bank_account_invalid_details bank_account_restricted
    bank_account_unusable debit_not_authorized tokenized_account_number_deactivated"""
# https://docs.stripe.com/tax/customer-locations, https://docs.stripe.com/api/invoices/object
TAX = "requires_location_inputs failed finalization_requires_location_inputs finalization_system_error"
# Stripe asks that these are shown as generic_decline (https://docs.stripe.com/declines/codes); the others say of
# themselves that the card may be lost or stolen, or that somebody thinks of fraud.
SECRET = """fraudulent lost_card stolen_card merchant_blacklist pickup_card restricted_card security_violation
    highest_risk_level"""


def sdk_codes() -> set[str]:
    """Every error code that the installed SDK lists for a failed finalisation."""
    path = Path(stripe.__file__).parent / "_invoice.py"
    classes = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ClassDef)]
    error = next(node for node in classes if node.name == "LastFinalizationError")
    code = next(
        node
        for node in error.body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id == "code"
    )
    return {
        node.value
        for node in ast.walk(code.annotation)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value != "code"
    }


@pytest.mark.parametrize("row", reasons.every_row(), ids=lambda row: f"{row.family}-{row.scheme}-{row.code}")
def test_every_row_says_all_it_has_to(row: Reason) -> None:
    assert row.code
    assert row.words
    assert re.search(r"https://\S+|rule|Rule", row.source)
    assert isinstance(row.told, Told)
    assert isinstance(row.who, Fixer)
    assert (row.retry == Retry.NEVER) == row.forbids


def test_no_secret_row_has_a_telling_key() -> None:
    secret = [row for row in reasons.every_row() if row.secret]
    assert {row.told for row in secret} == {Told.DECLINED}
    assert set(SECRET.split()) <= {row.code for row in secret if row.family == Family.CARD}


def test_fraud_is_always_secret() -> None:
    assert all(row.secret for row in reasons.every_row() if row.category == Category.FRAUD)


def test_a_secret_row_with_a_telling_key_cannot_be_written() -> None:
    with pytest.raises(ValueError, match="secret"):
        Reason("x", Category.FRAUD, Told.CONTACT_BANK, "x", "x", Family.CARD, secret=True)


def test_what_is_ours_to_correct_is_no_trouble_of_the_customers() -> None:
    ours = [row for row in reasons.every_row() if row.category == Category.OURS]
    assert {row.told for row in ours} == {Told.NOTHING}
    assert {row.who for row in ours} == {Fixer.US}


def test_no_family_is_empty_and_no_key_is_unused() -> None:
    rows = list(reasons.every_row())
    assert {row.family for row in rows} == set(Family)
    assert {row.told for row in rows} == set(Told)
    assert {row.who for row in rows} == set(Fixer)


def test_a_code_stands_once_in_its_table() -> None:
    for table in reasons.TABLES:
        codes = [row.code for row in table.rows]
        assert len(codes) == len(set(codes)), table.title


def test_local_payment_methods_are_complete() -> None:
    assert set(LOCAL.split()) == set(reasons.LOCAL)


@pytest.mark.parametrize("published", [SEPA_FAILURES, BACS_FAILURES, BLOCKED], ids=["sepa", "bacs", "blocked"])
def test_failure_codes_of_debits_are_complete(published: str) -> None:
    assert set(published.split()) <= set(reasons.DEBITS)


@pytest.mark.parametrize(("failure", "returns"), ACH_BY_STRIPE.items())
def test_a_return_code_is_judged_like_stripes_word_for_it(failure: str, returns: str) -> None:
    for code in returns.split():
        assert reasons.ACH[code].category == reasons.DEBITS[failure].category


def test_nacha_lets_only_lack_of_funds_be_presented_again() -> None:
    assert {code for code, row in reasons.ACH.items() if not row.forbids} == {"R01", "R09"}


def test_automatic_tax_is_complete() -> None:
    assert set(TAX.split()) == set(reasons.TAX)


def test_every_error_code_of_the_sdk_is_known() -> None:
    codes = sdk_codes()
    assert len(codes) > 150
    known = {*reasons.ERROR_CODES, *reasons.DEBITS, *reasons.INVOICES}
    assert codes - known - reasons.ELSEWHERE == set()


def test_a_code_is_not_both_known_and_elsewhere() -> None:
    assert reasons.ELSEWHERE & {*reasons.ERROR_CODES, *reasons.DEBITS, *reasons.INVOICES} == set()


def test_visas_first_category_is_never_tried_again() -> None:
    assert {code for code in reasons.VISA_NEVER if reasons.VISA[code].category in (Category.HARD, Category.FRAUD)} == (
        reasons.VISA_NEVER
    )


def test_every_debit_has_its_rules_and_its_return_codes() -> None:
    debits = {kind for kind, shape in reasons.SHAPES.items() if shape.speaks == Speaks.DEBIT}
    assert debits == set(reasons.SCHEMES) == set(reasons.RETURNS)
    for scheme in reasons.SCHEMES.values():
        assert scheme.result_days > 0
        assert scheme.source
        assert scheme.rule_source
    assert (reasons.SCHEMES["us_bank_account"].result_days, reasons.SCHEMES["us_bank_account"].max_retries) == (4, 2)


def test_the_page_is_up_to_date() -> None:
    """Write it anew with `python -m dunning.reasons.page > docs/decline-reasons.md`."""
    assert (ROOT / "docs" / "decline-reasons.md").read_text() == page.page()


def test_the_page_names_every_code_and_every_source() -> None:
    text = page.page()
    for row in reasons.every_row():
        assert f"| `{row.code}` | {row.words} |" in text
        assert row.source in text
