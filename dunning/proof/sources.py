"""Tables that the peers' policies and the referee rest on, each from its own source; nothing of dunning.reasons or
dunning.plan, so that a mistake made there shows here."""

from __future__ import annotations

# https://docs.stripe.com/billing/revenue-recovery/smart-retries#non-retryable-decline-codes
STRIPE_HARD = frozenset(
    {
        "incorrect_number", "lost_card", "pickup_card", "stolen_card", "revocation_of_authorization",
        "revocation_of_all_authorizations", "authentication_required", "highest_risk_level", "transaction_not_allowed",
    }
)  # fmt: skip
# Without another method an attempt cannot succeed, and the networks or the banks' schemes say so: an expired card;
# Visa's category 1 (https://developers.tabapay.com/docs/excessive-retry-rules; 14, 15, 46: no such account, or closed);
# Nacha's return codes R02 to R04, R07, R10, R29 and SEPA's AC01, AC04, MD01, MD06.
HARD = STRIPE_HARD | {
    "expired_card", "invalid_account", "account_closed", "no_account", "debit_not_authorized", "bank_account_unusable",
}  # fmt: skip
ADVISED_AGAINST = "do_not_try_again"
# https://developers.tabapay.com/docs/excessive-retry-rules, https://www.payway.com/visa-excessive-reattempts-rule-fees
CAP_DAY = {"mastercard": 10}
CAP_MONTH = {"mastercard": 35}
CAP_MONTH_OTHERS = 15
# Nacha: an entry returned for insufficient funds may be presented twice more; https://docs.adyen.com/online-payments/
# auto-rescue/sepa allows two for SEPA
DEBIT_REPRESENTMENTS = 2
QUIET_FROM, QUIET_UNTIL = 21, 8  # local hours in which nobody is written to
