"""Direct debits: what Stripe says of a failed one, and the schemes' rules about trying again.

A debit is not answered at once: for days nobody knows whether it went through, and after that the customer may still
have it refunded. So an attempt that is under way counts as one, and the next has to wait for its result. The banks' own
return codes stand in returns.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from dunning.reasons.rows import ERRORS, NETWORK_CODES, Category, Family, Fixer, Reason, Told, keyed

SEPA_FAILURES = "https://docs.stripe.com/payments/sepa-debit#failed-payments"
BACS_FAILURES = "https://docs.stripe.com/payments/payment-methods/bacs-debit#failed-payments"
_LATER, _CONTESTED, _CUSTOMER = Category.LATER, Category.CONTESTED, Category.CUSTOMER
_HARD, _OURS = Category.HARD, Category.OURS


@dataclass(frozen=True, slots=True)
class Scheme:
    """The rules of one kind of debit. `type`: Stripe's payment method type.

    result_days   bank days until success or failure is known, at most
    max_retries   how often one debit may be presented again; None where no figure is published
    window        after the first presentment; no further one later than that
    refunds       how long the customer may have it refunded, in words
    only_funds    nothing but lack of funds may be presented again unchanged
    """

    type: str
    name: str
    result_days: int
    max_retries: int | None
    window: timedelta | None
    refunds: str
    source: str
    rule_source: str
    only_funds: bool = False


SCHEMES: dict[str, Scheme] = {
    scheme.type: scheme
    for scheme in (
        Scheme(
            "us_bank_account",
            "ACH Direct Debit",
            4,
            2,
            timedelta(days=180),
            "60 calendar days where it was not authorised",
            "https://docs.stripe.com/payments/ach-direct-debit#timing",
            "Nacha's reinitiation rule (2.12.4), as published by banks: https://www.bankfivenine.com/business/cash-management/ach-origination/ach-user-information/reinitiating-returned-ach-debit-items/",
            only_funds=True,
        ),
        Scheme(
            "sepa_debit",
            "SEPA Direct Debit",
            14,
            2,
            None,
            "8 weeks without a reason, 13 months where it was not authorised",
            "https://docs.stripe.com/payments/sepa-debit",
            "Two, as other providers practise it; the rulebook names no figure: https://docs.adyen.com/online-payments/auto-rescue/sepa",
        ),
        Scheme(
            "bacs_debit",
            "Bacs Direct Debit",
            4,
            2,
            timedelta(days=30),
            "without limit, under the Direct Debit Guarantee",
            "https://docs.stripe.com/payments/payment-methods/bacs-debit",
            "A precaution of ours; only what was returned with code 0 may be tried again: https://docs.acquired.com/docs/retrying-declined-direct-debits",
        ),
        Scheme(
            "acss_debit",
            "Pre-authorised debit (Canada)",
            5,
            1,
            timedelta(days=30),
            "90 days where it was not authorised (personal)",
            "https://docs.stripe.com/payments/acss-debit",
            "A precaution of ours, after Payments Canada's Rule H1: once more, the same amount, for lack of funds only",
            only_funds=True,
        ),
        Scheme(
            "au_becs_debit",
            "BECS Direct Debit (Australia)",
            3,
            2,
            None,
            "where the customer's bank finds it was not authorised",
            "https://docs.stripe.com/payments/au-becs-debit",
            "A precaution of ours; code 6 may be tried again: https://help.online.anz.com/hc/en-au/articles/21180612804249-Direct-Debit-FAQs",
        ),
        Scheme(
            "nz_bank_account",
            "BECS Direct Debit (New Zealand)",
            3,
            2,
            None,
            "where the customer's bank finds it was not authorised",
            "https://docs.stripe.com/payments/nz-bank-account",
            "A precaution of ours, as in Australia",
        ),
    )
}
_A_DAY = timedelta(days=1)  # of the bank's: what was returned today is not there tomorrow morning either


def _debit(
    code: str,
    category: Category,
    told: Told,
    words: str,
    source: str = SEPA_FAILURES,
    *,
    wait: timedelta | None = None,
    who: Fixer | None = None,
) -> Reason:
    return Reason(code, category, told, words, source, Family.DEBIT, wait=wait, fixer=who)


# `charge.failure_code` and `last_payment_error.code` of a debit; also `us_bank_account.status_details.blocked.reason`.
DEBITS: dict[str, Reason] = keyed(
    _debit("account_closed", _HARD, Told.BANK_DETAILS, "the bank account is closed", ERRORS),
    _debit("authorization_revoked", _HARD, Told.MANDATE, "the customer has revoked the mandate"),
    _debit("bank_account_closed", _HARD, Told.BANK_DETAILS, "the bank account is closed", NETWORK_CODES),
    _debit(
        "bank_account_declined", _HARD, Told.BANK_DETAILS, "the account is not verified or cannot be debited", ERRORS
    ),
    _debit("bank_account_frozen", _HARD, Told.CONTACT_BANK, "the bank account is frozen", NETWORK_CODES),
    _debit(
        "bank_account_invalid_details",
        _HARD,
        Told.BANK_DETAILS,
        "the bank account's details are incorrect",
        NETWORK_CODES,
    ),
    _debit("bank_account_restricted", _HARD, Told.CONTACT_BANK, "the account does not allow direct debits"),
    _debit("bank_account_unusable", _HARD, Told.BANK_DETAILS, "the bank account cannot be used", ERRORS),
    _debit("bank_ownership_changed", _HARD, Told.BANK_DETAILS, "the account was moved to another bank", BACS_FAILURES),
    _debit("branch_does_not_exist", _HARD, Told.BANK_DETAILS, "the bank's branch does not exist"),
    _debit(
        "charge_exceeds_source_limit",
        _OURS,
        Told.NOTHING,
        "over Stripe's rolling limit for this kind of payment",
        ERRORS,
    ),
    _debit(
        "charge_exceeds_transaction_limit",
        _OURS,
        Told.NOTHING,
        "over Stripe's limit for one payment of this kind",
        ERRORS,
    ),
    _debit(
        "charge_exceeds_weekly_limit",
        _OURS,
        Told.NOTHING,
        "over Stripe's weekly limit for this kind of payment",
        BACS_FAILURES,
    ),
    _debit(
        "could_not_process",
        _CONTESTED,
        Told.DECLINED,
        "the bank could not process it and gives no reason",
        "https://docs.stripe.com/api/mandates/object#mandate_object-payment_method_details-bacs_debit-revocation_reason",
        wait=_A_DAY,
    ),
    _debit("debit_authorization_not_match", _HARD, Told.MANDATE, "the mandate is missing or does not match"),
    _debit("debit_disputed", _HARD, Told.DECLINED, "the customer had the debit refunded by their bank"),
    _debit("debit_not_authorized", _HARD, Told.MANDATE, "the customer says the debit was not authorised", ERRORS),
    _debit(
        "generic_could_not_process",
        _CONTESTED,
        Told.DECLINED,
        "it could not be processed, no reason given",
        wait=_A_DAY,
    ),
    _debit(
        "incorrect_account_holder_name",
        _CUSTOMER,
        Told.BANK_DETAILS,
        "the account holder's name or address is missing or incorrect",
    ),
    _debit("insufficient_funds", _LATER, Told.INSUFFICIENT_FUNDS, "insufficient funds", wait=_A_DAY),
    _debit("invalid_account_number", _HARD, Told.BANK_DETAILS, "the account number is incorrect"),
    _debit("no_account", _HARD, Told.BANK_DETAILS, "the bank account could not be found", ERRORS),
    Reason(
        "recipient_deceased",
        _HARD,
        Told.DECLINED,
        "the account holder may have died: a person must look at it",
        SEPA_FAILURES,
        Family.DEBIT,
        secret=True,
        fixer=Fixer.US,
    ),
    _debit("refer_to_customer", _CUSTOMER, Told.CONTACT_BANK, "the bank gives no reason and refers to the customer"),
    _debit(
        "tokenized_account_number_deactivated",
        _HARD,
        Told.BANK_DETAILS,
        "the bank has deactivated the account number it gave out",
        "https://docs.stripe.com/api/payment_methods/object#payment_method_object-us_bank_account-status_details-blocked-reason",
    ),
)
