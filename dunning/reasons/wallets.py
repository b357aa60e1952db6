"""Wallets, bank redirects and pay-later methods, and whose codes speak for them.

Apple Pay and Google Pay are cards in Stripe's eyes (`type` card, `card.wallet.type`), and Link passes on a card's or a
bank account's answer: the cards' tables hold. All others answer with the "local payment method" decline codes, in
`last_payment_error.decline_code` and `charge.outcome.reason`; where both differ, the outcome's starts with `partner_`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum

from dunning.reasons.rows import CODES, Category, Family, Reason, Told, keyed

LOCAL_CODES = CODES + "#local-payment-methods-decline-codes"
CASH_APP_CODES = "https://developers.cash.app/cash-app-pay-partner-api/guides/technical-guides/api-fundamentals/errors/error-code-reference"
METHODS_OVERVIEW = "https://docs.stripe.com/payments/payment-methods/payment-method-support"
_SOON, _LATER, _CONTESTED = Category.SOON, Category.LATER, Category.CONTESTED
_CUSTOMER, _HARD, _OURS = Category.CUSTOMER, Category.HARD, Category.OURS


class Speaks(StrEnum):
    """Whose codes a payment method answers with."""

    CARD = "card"
    DEBIT = "debit"
    PARTNER = "partner"


@dataclass(frozen=True, slots=True)
class Shape:
    """A payment method type as Stripe documents it. `reusable`: it may be charged while the customer is away, so that a
    retry is possible at all."""

    type: str
    name: str
    speaks: Speaks
    reusable: bool
    source: str = METHODS_OVERVIEW


SHAPES: dict[str, Shape] = {
    shape.type: shape
    for shape in (
        Shape("card", "Card, Apple Pay, Google Pay", Speaks.CARD, True, "https://docs.stripe.com/apple-pay"),
        Shape("link", "Link", Speaks.CARD, True, "https://docs.stripe.com/payments/link"),
        Shape("amazon_pay", "Amazon Pay", Speaks.PARTNER, True, "https://docs.stripe.com/payments/amazon-pay"),
        Shape("cashapp", "Cash App Pay", Speaks.PARTNER, True, "https://docs.stripe.com/payments/cash-app-pay"),
        Shape("kakao_pay", "Kakao Pay", Speaks.PARTNER, True, "https://docs.stripe.com/payments/kakao-pay"),
        Shape("klarna", "Klarna", Speaks.PARTNER, True, "https://docs.stripe.com/payments/klarna"),
        Shape("naver_pay", "Naver Pay", Speaks.PARTNER, True, "https://docs.stripe.com/payments/naver-pay"),
        Shape("paypal", "PayPal", Speaks.PARTNER, True, "https://docs.stripe.com/payments/paypal"),
        Shape("revolut_pay", "Revolut Pay", Speaks.PARTNER, True, "https://docs.stripe.com/payments/revolut-pay"),
        Shape("affirm", "Affirm", Speaks.PARTNER, False, "https://docs.stripe.com/payments/affirm"),
        Shape("afterpay_clearpay", "Afterpay / Clearpay", Speaks.PARTNER, False),
        Shape("alipay", "Alipay", Speaks.PARTNER, False, "https://docs.stripe.com/payments/alipay"),
        Shape("bancontact", "Bancontact", Speaks.PARTNER, False, "https://docs.stripe.com/payments/bancontact"),
        Shape("blik", "BLIK", Speaks.PARTNER, True, "https://docs.stripe.com/payments/blik/save-during-payment"),
        Shape("eps", "EPS", Speaks.PARTNER, False, "https://docs.stripe.com/payments/eps"),
        Shape("grabpay", "GrabPay", Speaks.PARTNER, False, "https://docs.stripe.com/payments/grabpay"),
        Shape("ideal", "iDEAL", Speaks.PARTNER, False, "https://docs.stripe.com/payments/ideal"),
        Shape("mobilepay", "MobilePay", Speaks.PARTNER, False, "https://docs.stripe.com/payments/mobilepay"),
        Shape("p24", "Przelewy24", Speaks.PARTNER, False, "https://docs.stripe.com/payments/p24"),
        Shape("swish", "Swish", Speaks.PARTNER, False, "https://docs.stripe.com/payments/swish"),
        Shape("twint", "TWINT", Speaks.PARTNER, False, "https://docs.stripe.com/payments/twint"),
        Shape("wechat_pay", "WeChat Pay", Speaks.PARTNER, False, "https://docs.stripe.com/payments/wechat-pay"),
        *(
            Shape(kind, name, Speaks.DEBIT, True, f"https://docs.stripe.com/payments/{page}")
            for kind, name, page in (
                ("us_bank_account", "ACH Direct Debit", "ach-direct-debit"),
                ("sepa_debit", "SEPA Direct Debit", "sepa-debit"),
                ("bacs_debit", "Bacs Direct Debit", "payment-methods/bacs-debit"),
                ("acss_debit", "Pre-authorised debit (Canada)", "acss-debit"),
                ("au_becs_debit", "BECS Direct Debit (Australia)", "au-becs-debit"),
                ("nz_bank_account", "BECS Direct Debit (New Zealand)", "nz-bank-account"),
            )
        ),
    )
}


def _local(
    code: str, category: Category, told: Told, words: str, *, wait: timedelta | None = None, source: str = LOCAL_CODES
) -> Reason:
    return Reason(code, category, told, words, source, Family.WALLET, wait=wait)


def _secret(code: str, words: str, source: str = LOCAL_CODES, scheme: str = "") -> Reason:
    return Reason(code, Category.FRAUD, Told.DECLINED, words, source, Family.WALLET, scheme, secret=True)


_PARTNER_CARD_EXPIRED = "the card registered with the payment provider has expired"
_PARTNER_FAULT = "a fault at the payment provider"
_PARTNER_FUNDS = "insufficient funds with the payment provider"
_PARTNER_CURRENCY = "the payment provider does not support the currency"
_PARTNER_AMOUNT = "the payment provider does not allow the amount"
_PARTNER_TWICE = "the same payment was just sent to the payment provider"

LOCAL: dict[str, Reason] = keyed(
    _secret("compliance_violation", "against the provider's terms or the law, says the provider"),
    _local("currency_not_supported", _HARD, Told.ANOTHER_METHOD, _PARTNER_CURRENCY),
    _local("duplicate_transaction", _OURS, Told.NOTHING, _PARTNER_TWICE),
    _local("expired_card", _CUSTOMER, Told.WALLET_ACCOUNT, _PARTNER_CARD_EXPIRED),
    _local("expired_payment_information", _CUSTOMER, Told.WALLET_ACCOUNT, "what is on file there has expired"),
    _local("insufficient_funds", _LATER, Told.INSUFFICIENT_FUNDS, _PARTNER_FUNDS),
    _local("invalid_amount", _OURS, Told.NOTHING, _PARTNER_AMOUNT),
    _local("invalid_authorization", _HARD, Told.MANDATE, "the authorisation is invalid or was revoked"),
    _local("invalid_billing_agreement", _HARD, Told.MANDATE, "the billing agreement is invalid"),
    _local("invalid_business_account", _OURS, Told.NOTHING, "the platform's account with the provider is deactivated"),
    _local("invalid_customer_account", _CUSTOMER, Told.WALLET_ACCOUNT, "the customer's account cannot be charged"),
    _local("invalid_payment_information", _HARD, Told.ANOTHER_METHOD, "the payment information is invalid"),
    _local("partner_duplicate_transaction", _OURS, Told.NOTHING, _PARTNER_TWICE),
    _local("partner_expired_card", _CUSTOMER, Told.WALLET_ACCOUNT, _PARTNER_CARD_EXPIRED),
    _local("partner_generic_decline", _CONTESTED, Told.WALLET_ACCOUNT, "the payment provider declined, no reason"),
    _secret("partner_high_risk_customer", "the payment provider rates the customer as a high risk"),
    _local("partner_insufficient_funds", _LATER, Told.INSUFFICIENT_FUNDS, _PARTNER_FUNDS),
    _local("partner_invalid_amount", _OURS, Told.NOTHING, _PARTNER_AMOUNT),
    _local("partner_invalid_currency", _HARD, Told.ANOTHER_METHOD, _PARTNER_CURRENCY),
    _local("partner_payment_not_found", _CONTESTED, Told.DECLINED, "the payment provider cannot find the payment"),
    _local("partner_processing_error", _SOON, Told.TRY_AGAIN, _PARTNER_FAULT),
    _local("payment_disputed", _HARD, Told.DECLINED, "the customer disputes the payment with the provider"),
    _local("payment_limit_exceeded", _LATER, Told.LIMIT, "over a limit of the customer's account"),
    _local("processing_error", _SOON, Told.TRY_AGAIN, _PARTNER_FAULT),
    _local(
        "recurring_not_supported_by_bank",
        _HARD,
        Told.ANOTHER_METHOD,
        "the customer's bank does not support recurring payments this way",
    ),
)
# Cash App passes its own codes on as `network_decline_code`; none of them may be sent again unchanged.
CASH_APP: dict[str, Reason] = keyed(
    _secret("PAYMENT_DECLINED_COMPLIANCE", "declined for compliance", CASH_APP_CODES, "cashapp"),
    Reason(
        "PAYMENT_DECLINED_CUSTOMER_BLOCKED_MERCHANT",
        _HARD,
        Told.ANOTHER_METHOD,
        "the customer has blocked the platform",
        CASH_APP_CODES,
        Family.WALLET,
        "cashapp",
    ),
    Reason(
        "PAYMENT_DECLINED_INSUFFICIENT_FUNDS",
        _LATER,
        Told.INSUFFICIENT_FUNDS,
        _PARTNER_FUNDS,
        CASH_APP_CODES,
        Family.WALLET,
        "cashapp",
    ),
    Reason(
        "PAYMENT_DECLINED_LIMIT_REACHED",
        _LATER,
        Told.LIMIT,
        "over a limit of the customer's account",
        CASH_APP_CODES,
        Family.WALLET,
        "cashapp",
    ),
    _secret("PAYMENT_DECLINED_RISK", "declined as too risky", CASH_APP_CODES, "cashapp"),
)
