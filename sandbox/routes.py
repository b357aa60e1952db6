"""The one table of what the API has: method, path, the SDK's parameter type, handler.

`{…}` is one path segment, passed to the handler in order. A parameter type of None means: nothing but `expand`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .errors import unrecognized_url
from .resources import (
    accounts,
    balances,
    catalog,
    credit_notes,
    customers,
    disputes,
    events,
    external_accounts,
    invoices,
    payment_intents,
    payment_methods,
    refunds,
    subscriptions,
    topups,
    transfers,
)
from .resources.base import list_as, nothing, retrieve_as

Handler = Callable[..., dict[str, Any]]
# Beyond Stripe: ids that the caller chooses, for demos and tests.
OWN_ID = frozenset({"id"})
PAGING = frozenset({"limit", "starting_after", "ending_before", "created"})
EMPTY_LISTS = (
    "/v1/checkout/sessions", "/v1/entitlements/features", "/v1/file_links", "/v1/files",
    "/v1/identity/verification_reports", "/v1/identity/verification_sessions", "/v1/issuing/authorizations",
    "/v1/issuing/cardholders", "/v1/issuing/cards", "/v1/issuing/disputes", "/v1/issuing/transactions",
    "/v1/radar/early_fraud_warnings", "/v1/reviews", "/v1/shipping_rates", "/v1/sigma/scheduled_query_runs",
    "/v1/tax_codes",
)  # fmt: skip


@dataclass(frozen=True)
class Route:
    """One endpoint."""

    method: str
    pattern: re.Pattern[str]
    params: str | None
    handler: Handler
    extra: frozenset[str]


def _route(method: str, path: str, params: str | None, handler: Handler, extra: frozenset[str] = frozenset()) -> Route:
    return Route(method, re.compile(re.sub(r"\{\w+\}", "([^/]+)", path)), params, handler, extra)


TABLE: list[Route] = [
    # Accounts
    _route("GET", "/v1/account", None, accounts.platform),
    _route("POST", "/v1/accounts", "AccountCreateParams", accounts.create, OWN_ID),
    _route("GET", "/v1/accounts", "AccountListParams", accounts.index),
    _route("GET", "/v1/accounts/{id}", None, accounts.retrieve),
    _route("POST", "/v1/accounts/{id}", "AccountUpdateParams", accounts.update),
    _route("DELETE", "/v1/accounts/{id}", None, accounts.delete),
    _route("GET", "/v1/accounts/{id}/capabilities", None, accounts.capabilities),
    _route("GET", "/v1/accounts/{id}/capabilities/{name}", None, accounts.capability),
    _route(
        "GET", "/v1/accounts/{id}/external_accounts", "AccountExternalAccountListParams", accounts.external_accounts
    ),
    _route(
        "POST", "/v1/accounts/{id}/external_accounts", "AccountExternalAccountCreateParams", external_accounts.create
    ),
    _route("GET", "/v1/accounts/{id}/external_accounts/{external}", None, accounts.external_account),
    _route(
        "POST", "/v1/accounts/{id}/external_accounts/{external}", "AccountExternalAccountUpdateParams",
        external_accounts.update,
    ),
    _route("DELETE", "/v1/accounts/{id}/external_accounts/{external}", None, external_accounts.delete),
    # Customers
    _route("POST", "/v1/customers", "CustomerCreateParams", customers.create, OWN_ID),
    _route("GET", "/v1/customers", "CustomerListParams", customers.index),
    _route("GET", "/v1/customers/{id}", None, customers.retrieve),
    _route("POST", "/v1/customers/{id}", "CustomerUpdateParams", customers.update),
    _route("DELETE", "/v1/customers/{id}", None, customers.delete),
    _route("DELETE", "/v1/customers/{id}/discount", None, customers.delete_discount),
    _route(
        "POST", "/v1/customers/{id}/balance_transactions", "CustomerBalanceTransactionCreateParams",
        customers.create_balance_transaction,
    ),
    _route(
        "GET", "/v1/customers/{id}/balance_transactions", "CustomerBalanceTransactionListParams",
        customers.balance_transactions,
    ),
    _route("GET", "/v1/customers/{id}/balance_transactions/{txn}", None, customers.balance_transaction),
    _route("GET", "/v1/customers/{id}/sources", "CustomerPaymentSourceListParams", customers.sources),
    _route("POST", "/v1/customers/{id}/tax_ids", "CustomerTaxIdCreateParams", customers.create_tax_id),
    _route("GET", "/v1/customers/{id}/tax_ids", "CustomerTaxIdListParams", customers.tax_ids),
    _route("GET", "/v1/customers/{id}/tax_ids/{tax}", None, customers.tax_id),
    _route("DELETE", "/v1/customers/{id}/tax_ids/{tax}", None, customers.delete_tax_id),
    _route(
        "GET", "/v1/customers/{id}/payment_methods", "CustomerPaymentMethodListParams", payment_methods.of_customer
    ),
    _route("GET", "/v1/customers/{id}/payment_methods/{method}", None, payment_methods.one_of_customer),
    _route("GET", "/v1/tax_ids", "TaxIdListParams", list_as("tax_id")),
    _route("GET", "/v1/tax_ids/{id}", None, retrieve_as("tax_id")),
    # Payment methods and setup intents
    _route("POST", "/v1/payment_methods", "PaymentMethodCreateParams", payment_methods.create),
    _route("GET", "/v1/payment_methods", "PaymentMethodListParams", payment_methods.index),
    _route("GET", "/v1/payment_methods/{id}", None, payment_methods.retrieve),
    _route("POST", "/v1/payment_methods/{id}", "PaymentMethodUpdateParams", payment_methods.update),
    _route("POST", "/v1/payment_methods/{id}/attach", "PaymentMethodAttachParams", payment_methods.attach),
    _route("POST", "/v1/payment_methods/{id}/detach", None, payment_methods.detach),
    _route("POST", "/v1/setup_intents", "SetupIntentCreateParams", payment_methods.create_setup_intent),
    _route("GET", "/v1/setup_intents", "SetupIntentListParams", list_as("setup_intent", "customer", "payment_method")),
    _route("GET", "/v1/setup_intents/{id}", "SetupIntentRetrieveParams", retrieve_as("setup_intent")),
    _route(
        "POST", "/v1/setup_intents/{id}/confirm", "SetupIntentConfirmParams", payment_methods.confirm_setup_intent
    ),
    # Catalog
    _route("POST", "/v1/products", "ProductCreateParams", catalog.create_product),
    _route("GET", "/v1/products", "ProductListParams", catalog.products),
    _route("GET", "/v1/products/{id}", None, retrieve_as("product")),
    _route("POST", "/v1/products/{id}", "ProductUpdateParams", catalog.update_product),
    _route("DELETE", "/v1/products/{id}", None, catalog.delete_product),
    _route("GET", "/v1/products/{id}/features", "ProductFeatureListParams", catalog.features),
    _route("POST", "/v1/prices", "PriceCreateParams", catalog.create_price, OWN_ID),
    _route("GET", "/v1/prices", "PriceListParams", catalog.prices),
    _route("GET", "/v1/prices/{id}", None, retrieve_as("price")),
    _route("POST", "/v1/prices/{id}", "PriceUpdateParams", catalog.update_price),
    _route("POST", "/v1/plans", "PlanCreateParams", catalog.create_plan),
    _route("GET", "/v1/plans", "PlanListParams", catalog.plans),
    _route("GET", "/v1/plans/{id}", None, catalog.plan),
    _route("POST", "/v1/coupons", "CouponCreateParams", catalog.create_coupon),
    _route("GET", "/v1/coupons", "CouponListParams", catalog.coupons),
    _route("GET", "/v1/coupons/{id}", None, catalog.coupon),
    _route("POST", "/v1/coupons/{id}", "CouponUpdateParams", catalog.update_coupon),
    _route("DELETE", "/v1/coupons/{id}", None, catalog.delete_coupon),
    _route("POST", "/v1/promotion_codes", "PromotionCodeCreateParams", catalog.create_promotion_code),
    _route("GET", "/v1/promotion_codes", "PromotionCodeListParams", list_as("promotion_code", "code", "active")),
    _route("GET", "/v1/promotion_codes/{id}", None, retrieve_as("promotion_code")),
    _route("POST", "/v1/tax_rates", "TaxRateCreateParams", catalog.create_tax_rate),
    _route("GET", "/v1/tax_rates", "TaxRateListParams", list_as("tax_rate", "active", "inclusive")),
    _route("GET", "/v1/tax_rates/{id}", None, retrieve_as("tax_rate")),
    _route("POST", "/v1/tax_rates/{id}", "TaxRateUpdateParams", catalog.update_tax_rate),
    # Subscriptions
    _route("POST", "/v1/subscriptions", "SubscriptionCreateParams", subscriptions.create),
    _route("GET", "/v1/subscriptions", "SubscriptionListParams", subscriptions.index),
    _route("GET", "/v1/subscriptions/{id}", None, retrieve_as("subscription")),
    _route("POST", "/v1/subscriptions/{id}", "SubscriptionUpdateParams", subscriptions.update),
    _route("DELETE", "/v1/subscriptions/{id}", "SubscriptionCancelParams", subscriptions.cancel),
    _route("POST", "/v1/subscriptions/{id}/resume", "SubscriptionResumeParams", subscriptions.resume),
    _route("POST", "/v1/subscription_items", "SubscriptionItemCreateParams", subscriptions.create_item),
    _route("GET", "/v1/subscription_items", "SubscriptionItemListParams", subscriptions.items),
    _route("GET", "/v1/subscription_items/{id}", None, retrieve_as("subscription_item")),
    _route("POST", "/v1/subscription_items/{id}", "SubscriptionItemUpdateParams", subscriptions.update_item),
    _route("DELETE", "/v1/subscription_items/{id}", "SubscriptionItemDeleteParams", subscriptions.delete_item),
    # Invoices
    _route("POST", "/v1/invoices", "InvoiceCreateParams", invoices.create),
    _route("GET", "/v1/invoices", "InvoiceListParams", invoices.index),
    _route("POST", "/v1/invoices/create_preview", "InvoiceCreatePreviewParams", invoices.preview),
    _route("GET", "/v1/invoices/{id}", None, retrieve_as("invoice")),
    _route("POST", "/v1/invoices/{id}", "InvoiceUpdateParams", invoices.update),
    _route("DELETE", "/v1/invoices/{id}", None, invoices.delete),
    _route("POST", "/v1/invoices/{id}/finalize", "InvoiceFinalizeInvoiceParams", invoices.finalize),
    _route("POST", "/v1/invoices/{id}/pay", "InvoicePayParams", invoices.pay),
    _route("POST", "/v1/invoices/{id}/attach_payment", "InvoiceAttachPaymentParams", invoices.attach_payment),
    _route("POST", "/v1/invoices/{id}/send", "InvoiceSendInvoiceParams", invoices.send),
    _route("POST", "/v1/invoices/{id}/void", "InvoiceVoidInvoiceParams", invoices.void),
    _route(
        "POST", "/v1/invoices/{id}/mark_uncollectible", "InvoiceMarkUncollectibleParams", invoices.mark_uncollectible
    ),
    _route("GET", "/v1/invoices/{id}/lines", "InvoiceLineItemListParams", invoices.lines),
    _route("POST", "/v1/invoices/{id}/lines/{line}", "InvoiceLineItemUpdateParams", invoices.update_line),
    _route("GET", "/v1/invoice_payments", "InvoicePaymentListParams", invoices.invoice_payments),
    _route("GET", "/v1/invoice_payments/{id}", None, retrieve_as("invoice_payment")),
    _route("POST", "/v1/invoiceitems", "InvoiceItemCreateParams", invoices.create_item),
    _route("GET", "/v1/invoiceitems", "InvoiceItemListParams", invoices.items),
    _route("GET", "/v1/invoiceitems/{id}", None, retrieve_as("invoiceitem")),
    _route("POST", "/v1/invoiceitems/{id}", "InvoiceItemUpdateParams", invoices.update_item),
    _route("DELETE", "/v1/invoiceitems/{id}", None, invoices.delete_item),
    _route("POST", "/v1/credit_notes", "CreditNoteCreateParams", credit_notes.create),
    _route("GET", "/v1/credit_notes", "CreditNoteListParams", credit_notes.index),
    _route("GET", "/v1/credit_notes/{id}", None, retrieve_as("credit_note")),
    _route("POST", "/v1/credit_notes/{id}", "CreditNoteUpdateParams", credit_notes.update),
    _route("POST", "/v1/credit_notes/{id}/void", "CreditNoteVoidCreditNoteParams", credit_notes.void),
    _route("GET", "/v1/credit_notes/{id}/lines", "CreditNoteLineItemListParams", credit_notes.lines),
    # Payments
    _route("POST", "/v1/payment_intents", "PaymentIntentCreateParams", payment_intents.create),
    _route("GET", "/v1/payment_intents", "PaymentIntentListParams", payment_intents.index),
    _route("GET", "/v1/payment_intents/{id}", "PaymentIntentRetrieveParams", retrieve_as("payment_intent")),
    _route("POST", "/v1/payment_intents/{id}", "PaymentIntentUpdateParams", payment_intents.update),
    _route("POST", "/v1/payment_intents/{id}/confirm", "PaymentIntentConfirmParams", payment_intents.confirm),
    _route("POST", "/v1/payment_intents/{id}/capture", "PaymentIntentCaptureParams", payment_intents.capture),
    _route("POST", "/v1/payment_intents/{id}/cancel", "PaymentIntentCancelParams", payment_intents.cancel),
    _route("GET", "/v1/charges", "ChargeListParams", payment_intents.charges),
    _route("GET", "/v1/charges/{id}", None, retrieve_as("charge")),
    _route("POST", "/v1/charges/{id}", "ChargeUpdateParams", payment_intents.update_charge),
    _route("GET", "/v1/charges/{id}/refunds", "ChargeListRefundsParams", refunds.of_charge),
    _route("GET", "/v1/charges/{id}/refunds/{refund}", None, refunds.one_of_charge),
    _route("POST", "/v1/refunds", "RefundCreateParams", refunds.create),
    _route("GET", "/v1/refunds", "RefundListParams", refunds.index),
    _route("GET", "/v1/refunds/{id}", None, retrieve_as("refund")),
    _route("POST", "/v1/refunds/{id}", "RefundUpdateParams", refunds.update),
    _route("GET", "/v1/disputes", "DisputeListParams", disputes.index),
    _route("GET", "/v1/disputes/{id}", None, retrieve_as("dispute")),
    _route("POST", "/v1/disputes/{id}", "DisputeUpdateParams", disputes.update),
    _route("POST", "/v1/disputes/{id}/close", None, disputes.close),
    # Connect and balance
    _route("POST", "/v1/transfers", "TransferCreateParams", transfers.create),
    _route("GET", "/v1/transfers", "TransferListParams", transfers.index),
    _route("GET", "/v1/transfers/{id}", None, retrieve_as("transfer")),
    _route("POST", "/v1/transfers/{id}", "TransferUpdateParams", transfers.update),
    _route("POST", "/v1/transfers/{id}/reversals", "TransferReversalCreateParams", transfers.create_reversal),
    _route("GET", "/v1/transfers/{id}/reversals", "TransferReversalListParams", transfers.reversals),
    _route("GET", "/v1/transfers/{id}/reversals/{reversal}", None, transfers.reversal),
    _route(
        "POST", "/v1/transfers/{id}/reversals/{reversal}", "TransferReversalUpdateParams", transfers.update_reversal
    ),
    _route("GET", "/v1/application_fees", "ApplicationFeeListParams", transfers.application_fees),
    _route("GET", "/v1/application_fees/{id}", None, retrieve_as("application_fee")),
    _route("GET", "/v1/application_fees/{id}/refunds", "ApplicationFeeRefundListParams", transfers.fee_refunds),
    _route(
        "POST", "/v1/application_fees/{id}/refunds", "ApplicationFeeRefundCreateParams", transfers.create_fee_refund
    ),
    _route("GET", "/v1/balance", None, balances.balance),
    _route("GET", "/v1/balance_transactions", "BalanceTransactionListParams", balances.transactions),
    _route("GET", "/v1/balance_transactions/{id}", None, balances.transaction),
    _route("POST", "/v1/topups", "TopupCreateParams", topups.create),
    _route("GET", "/v1/topups", "TopupListParams", topups.index),
    _route("GET", "/v1/topups/{id}", None, retrieve_as("topup")),
    _route("POST", "/v1/topups/{id}", "TopupUpdateParams", topups.update),
    _route("POST", "/v1/topups/{id}/cancel", None, topups.cancel),
    _route("POST", "/v1/payouts", "PayoutCreateParams", balances.create),
    _route("GET", "/v1/payouts", "PayoutListParams", balances.index),
    _route("GET", "/v1/payouts/{id}", None, retrieve_as("payout")),
    _route("POST", "/v1/payouts/{id}", "PayoutUpdateParams", balances.update),
    _route("POST", "/v1/payouts/{id}/cancel", None, balances.cancel),
    # Events, webhooks, portal
    _route("GET", "/v1/events", "EventListParams", events.events),
    _route("GET", "/v1/events/{id}", None, retrieve_as("event")),
    _route("POST", "/v1/webhook_endpoints", "WebhookEndpointCreateParams", events.create_endpoint),
    _route("GET", "/v1/webhook_endpoints", "WebhookEndpointListParams", list_as("webhook_endpoint")),
    _route("GET", "/v1/webhook_endpoints/{id}", None, retrieve_as("webhook_endpoint")),
    _route("POST", "/v1/webhook_endpoints/{id}", "WebhookEndpointUpdateParams", events.update_endpoint),
    _route("DELETE", "/v1/webhook_endpoints/{id}", None, events.delete_endpoint),
    _route(
        "POST", "/v1/billing_portal/configurations", "billing_portal.ConfigurationCreateParams",
        events.create_configuration,
    ),
    _route(
        "GET", "/v1/billing_portal/configurations", "billing_portal.ConfigurationListParams",
        list_as("billing_portal.configuration", "active", "is_default"),
    ),
    _route("GET", "/v1/billing_portal/configurations/{id}", None, retrieve_as("billing_portal.configuration")),
    _route(
        "POST", "/v1/billing_portal/configurations/{id}", "billing_portal.ConfigurationUpdateParams",
        events.update_configuration,
    ),
    _route("POST", "/v1/billing_portal/sessions", "billing_portal.SessionCreateParams", events.create_session),
    # Read by dj-stripe while it syncs or back-fills; nothing of these kinds is made here
    *[_route("GET", path, None, nothing, PAGING) for path in EMPTY_LISTS],
    _route("GET", "/v1/files/{id}", None, retrieve_as("file")),
    _route("GET", "/v1/mandates/{id}", None, retrieve_as("mandate")),
    _route("GET", "/v1/subscription_schedules", "SubscriptionScheduleListParams", list_as("subscription_schedule")),
    _route("GET", "/v1/subscription_schedules/{id}", None, retrieve_as("subscription_schedule")),
]  # fmt: skip


def find(method: str, path: str) -> tuple[Route, tuple[str, ...]]:
    """The endpoint and its path parameters; Stripe's 404 for a route it does not have."""
    for route in _BY_SHAPE.get((method, path.count("/")), ()):
        if match := route.pattern.fullmatch(path):
            return route, match.groups()
    raise unrecognized_url(method, path)


_BY_SHAPE: dict[tuple[str, int], list[Route]] = {}
for _entry in TABLE:
    _BY_SHAPE.setdefault((_entry.method, _entry.pattern.pattern.count("/") - _entry.pattern.pattern.count("[^/]")), [])\
        .append(_entry)  # fmt: skip
