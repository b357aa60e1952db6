"""API error codes that charging an invoice can give, where no decline code says more: `charge.failure_code`,
`last_payment_error.code` and the code of a refused call.

`ELSEWHERE` names the rest of Stripe's list: codes of calls that no payment of an invoice makes. Together with the
tables beside this one they are the whole list of the SDK; a test reads it, so that a code of next year is noticed.
"""

from __future__ import annotations

from datetime import timedelta

from dunning.reasons.rows import ERRORS, NO_RETRY, Category, Family, Fixer, Reason, Told, keyed

_SOON, _LATER, _CONTESTED = Category.SOON, Category.LATER, Category.CONTESTED
_CUSTOMER, _HARD, _OURS = Category.CUSTOMER, Category.HARD, Category.OURS
INDIA = "https://docs.stripe.com/india-recurring-payments"


def _error(
    code: str,
    category: Category,
    told: Told,
    words: str,
    source: str = ERRORS,
    *,
    wait: timedelta | None = None,
    who: Fixer | None = None,
) -> Reason:
    return Reason(code, category, told, words, source, Family.ERROR, wait=wait, fixer=who)


def _ours(code: str, words: str) -> Reason:
    return _error(code, _OURS, Told.NOTHING, words)


def _busy(code: str, words: str) -> Reason:
    return _error(code, _SOON, Told.TRY_AGAIN, words, who=Fixer.US)


_details = Told.CHECK_DETAILS
_CONFIRM = "the customer must confirm the payment"

ERROR_CODES: dict[str, Reason] = keyed(
    # what the customer, the bank or the provider answered
    _error("authentication_required", _CUSTOMER, Told.CONFIRM_PAYMENT, f"{_CONFIRM} (3D Secure)"),
    _error("authentication_failure", _CUSTOMER, Told.CONFIRM_PAYMENT, "the customer failed the confirmation"),
    _error(
        "card_decline_rate_limit_exceeded",
        _LATER,
        Told.CHECK_DETAILS,
        "the card was declined too often today",
        wait=timedelta(hours=24),
    ),
    _error("card_declined", _CONTESTED, Told.DECLINED, "declined, no reason given"),
    _error("expired_card", _CUSTOMER, Told.EXPIRED_CARD, "the card has expired"),
    _error("expired_payment_method", _CUSTOMER, Told.EXPIRED_CARD, "the payment method has expired"),
    _error("incorrect_address", _CUSTOMER, _details, "the billing address is incorrect"),
    _error("incorrect_cvc", _CUSTOMER, _details, "the security code is incorrect"),
    _error("incorrect_number", _CUSTOMER, _details, "the card number is incorrect"),
    _error("incorrect_postal_code", _CUSTOMER, _details, "the postal code is incorrect"),
    _error("incorrect_zip", _CUSTOMER, _details, "the postal code is incorrect"),
    _error("india_recurring_payment_mandate_canceled", _HARD, Told.MANDATE, "the card's mandate is cancelled", INDIA),
    _error("insufficient_funds", _LATER, Told.INSUFFICIENT_FUNDS, "insufficient funds"),
    _error("invalid_cvc", _CUSTOMER, _details, "the security code is incorrect"),
    _error("invalid_expiry_month", _CUSTOMER, _details, "the expiration month is invalid"),
    _error("invalid_expiry_year", _CUSTOMER, _details, "the expiration year is invalid"),
    _error("invalid_number", _CUSTOMER, _details, "the card number is incorrect"),
    _error("postal_code_invalid", _CUSTOMER, _details, "the postal code is incorrect"),
    _error("processing_error", _SOON, Told.TRY_AGAIN, "a fault while processing the payment"),
    # the payment
    _error("invoice_payment_intent_requires_action", _CUSTOMER, Told.CONFIRM_PAYMENT, _CONFIRM),
    _error("payment_intent_action_required", _CUSTOMER, Told.CONFIRM_PAYMENT, _CONFIRM),
    _error(
        "payment_intent_authentication_failure",
        _CUSTOMER,
        Told.CONFIRM_PAYMENT,
        "the customer failed the confirmation",
    ),
    _ours("payment_intent_incompatible_payment_method", "the payment method does not fit the payment"),
    _ours("payment_intent_invalid_parameter", "the payment was asked for wrongly"),
    _error(
        "payment_intent_konbini_rejected_confirmation_number",
        _CUSTOMER,
        _details,
        "the confirmation number was rejected",
    ),
    _error("payment_intent_mandate_invalid", _HARD, Told.MANDATE, "the mandate is not valid"),
    _error("payment_intent_payment_attempt_expired", _CUSTOMER, Told.CONFIRM_PAYMENT, "it was not completed in time"),
    _error("payment_intent_payment_attempt_failed", _CONTESTED, Told.DECLINED, "the payment method reports a failure"),
    _busy("payment_intent_rate_limit_exceeded", "too many calls for this payment"),
    _ours("payment_intent_unexpected_state", "the payment is in another state than was thought"),
    _ours("intent_invalid_state", "the payment is in another state than was thought"),
    # the payment method
    _error("billing_invalid_mandate", _HARD, Told.MANDATE, "the payment method has no active mandate"),
    _error("payment_method_bank_account_blocked", _HARD, Told.BANK_DETAILS, "the bank account failed its verification"),
    _error("payment_method_billing_details_address_missing", _CUSTOMER, _details, "the billing address is incomplete"),
    _ours("payment_method_currency_mismatch", "the payment method does not take this currency"),
    _error("payment_method_customer_decline", _CUSTOMER, Told.WALLET_ACCOUNT, "the customer declined the payment"),
    _ours("payment_method_invalid_parameter", "the payment method was asked for wrongly"),
    _error("payment_method_microdeposit_failed", _HARD, Told.BANK_DETAILS, "the test deposit failed"),
    _error(
        "payment_method_microdeposit_verification_attempts_exceeded",
        _HARD,
        Told.BANK_DETAILS,
        "the bank account was verified wrongly too often",
    ),
    _error(
        "payment_method_microdeposit_verification_timeout",
        _CUSTOMER,
        Told.BANK_DETAILS,
        "the bank account was not verified in time",
    ),
    _error("payment_method_not_available", _SOON, Told.TRY_AGAIN, "the payment provider was not available"),
    _error("payment_method_provider_decline", _CONTESTED, Told.WALLET_ACCOUNT, "the payment provider declined"),
    _error("payment_method_provider_timeout", _SOON, Told.TRY_AGAIN, "the payment provider did not answer in time"),
    _error("payment_method_restricted", _HARD, Told.ANOTHER_METHOD, "the payment method is restricted"),
    _ours("payment_method_unactivated", "the payment method is not activated for the platform"),
    _error("payment_method_unexpected_state", _HARD, Told.ANOTHER_METHOD, "the payment method is no longer usable"),
    _ours("payment_method_unsupported_type", "this kind of payment method is not supported here"),
    _error("invalid_source_usage", _HARD, Told.ANOTHER_METHOD, "the source was used up or is not ready"),
    _error("setup_attempt_failed", _CUSTOMER, Told.ANOTHER_METHOD, "the payment method could not be set up"),
    _error(
        "setup_intent_authentication_failure", _CUSTOMER, Told.CONFIRM_PAYMENT, "the customer failed the confirmation"
    ),
    _error("setup_intent_mandate_invalid", _HARD, Told.MANDATE, "the mandate is not valid"),
    _error("setup_intent_setup_attempt_expired", _CUSTOMER, Told.CONFIRM_PAYMENT, "it was not completed in time"),
    # ours: the account, the amount, the call
    _ours("account_invalid", "the connected account cannot be used"),
    _ours("action_blocked", "Stripe has blocked the call"),
    _ours("amount_too_large", "the amount is above what is allowed"),
    _ours("amount_too_small", "the amount is below what is allowed"),
    _ours("api_key_expired", "the API key has expired"),
    _ours("application_fees_not_allowed", "the fee is not allowed"),
    _ours("approval_required", "Stripe asks for an approval first"),
    _ours("capability_not_active", "the account's capability is not active"),
    _ours("charge_invalid_parameter", "the charge was asked for wrongly"),
    _ours("invalid_charge_amount", "the amount is invalid"),
    _ours("livemode_mismatch", "test and live were mixed"),
    _ours("missing", "the payment method is not the customer's"),
    _ours("parameter_invalid_empty", "the call was wrong"),
    _ours("parameter_invalid_integer", "the call was wrong"),
    _ours("parameter_invalid_string_blank", "the call was wrong"),
    _ours("parameter_invalid_string_empty", "the call was wrong"),
    _ours("parameter_missing", "the call was wrong"),
    _ours("parameter_unknown", "the call was wrong"),
    _ours("parameters_exclusive", "the call was wrong"),
    _ours("platform_api_key_expired", "the platform's access to the account has ended"),
    _ours("request_blocked", "Stripe has blocked the call"),
    _ours("resource_missing", "it does not exist, or not in this account"),
    _ours("sepa_unsupported_account", "the account does not take SEPA debits"),
    _ours("testmode_charges_only", "the account may only make test charges"),
    _busy("idempotency_key_in_use", "the same call is under way"),
    _busy("lock_timeout", "another call is using it"),
    _busy("rate_limit", "too many calls"),
)
# Nothing is on file: no call was made that could have had a code. Stripe does not retry it either.
NO_METHOD = Reason(
    "no_payment_method", _CUSTOMER, Told.NO_METHOD, "no payment method is on file", NO_RETRY, Family.INVOICE
)
ELSEWHERE = frozenset(
    [
        "account_country_invalid_address",
        "account_error_country_change_requires_additional_steps",
        "account_information_mismatch",
        "account_number_invalid",
        "account_token_required_for_v2_account",
        "acss_debit_session_incomplete",
        "alipay_upgrade_required",
        "anomalous_money_movement_request",
        "balance_insufficient",
        "balance_invalid_parameter",
        "bank_account_bad_routing_numbers",
        "bank_account_exists",
        "bank_account_unverified",
        "bank_account_verification_failed",
        "bitcoin_upgrade_required",
        "capture_charge_authorization_expired",
        "capture_unauthorized_payment",
        "cardholder_phone_number_required",
        "charge_already_captured",
        "charge_already_refunded",
        "charge_disputed",
        "charge_expired_for_capture",
        "charge_not_refundable",
        "clearing_code_unsupported",
        "country_code_invalid",
        "country_unsupported",
        "coupon_expired",
        "customer_max_payment_methods",
        "customer_max_subscriptions",
        "customer_session_expired",
        "email_invalid",
        "financial_account_balance_does_not_support_currency",
        "financial_account_capability_not_enabled",
        "financial_account_capability_restricted",
        "financial_connections_account_inactive",
        "financial_connections_account_pending_account_numbers",
        "financial_connections_account_unavailable_account_numbers",
        "financial_connections_no_successful_transaction_refresh",
        "forwarding_api_inactive",
        "forwarding_api_invalid_parameter",
        "forwarding_api_retryable_upstream_error",
        "forwarding_api_upstream_connection_error",
        "forwarding_api_upstream_connection_timeout",
        "forwarding_api_upstream_error",
        "instant_payouts_config_disabled",
        "instant_payouts_currency_disabled",
        "instant_payouts_limit_exceeded",
        "instant_payouts_unsupported",
        "intent_verification_method_missing",
        "invalid_canceled_subscription_fields",
        "invalid_card_type",
        "invalid_characters",
        "invalid_mandate_reference_prefix_format",
        "invoice_not_editable",
        "invoice_on_behalf_of_not_editable",
        "not_allowed_on_standard_account",
        "out_of_inventory",
        "ownership_declaration_not_allowed",
        "payment_method_bank_account_already_verified",
        "payment_method_configuration_failures",
        "payment_method_invalid_parameter_testmode",
        "payment_method_microdeposit_processing_error",
        "payment_method_microdeposit_verification_amounts_invalid",
        "payment_method_microdeposit_verification_amounts_mismatch",
        "payment_method_microdeposit_verification_descriptor_code_mismatch",
        "payout_reconciliation_not_ready",
        "payouts_limit_exceeded",
        "payouts_not_allowed",
        "platform_account_required",
        "product_inactive",
        "progressive_onboarding_limit_exceeded",
        "refund_disputed_payment",
        "resource_already_exists",
        "return_intent_already_processed",
        "routing_number_invalid",
        "secret_key_required",
        "service_period_coupon_with_metered_tiered_item_unsupported",
        "setup_intent_invalid_parameter",
        "setup_intent_mobile_wallet_unsupported",
        "setup_intent_unexpected_state",
        "shipping_calculation_failed",
        "siret_invalid",
        "sku_inactive",
        "state_unsupported",
        "status_transition_invalid",
        "storer_capability_missing",
        "storer_capability_not_active",
        "terminal_location_country_unsupported",
        "terminal_reader_busy",
        "terminal_reader_hardware_fault",
        "terminal_reader_invalid_location_for_activation",
        "terminal_reader_invalid_location_for_payment",
        "terminal_reader_offline",
        "terminal_reader_timeout",
        "tls_version_unsupported",
        "token_already_used",
        "token_card_network_invalid",
        "token_in_use",
        "transfer_source_balance_parameters_mismatch",
        "transfers_not_allowed",
        "url_invalid",
    ]
)
