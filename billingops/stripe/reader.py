"""The only place that knows Stripe's JSON shapes: JSON in, frozen facts out. Pure: no database, no network, no clock.

Two eras are read. Since API 2025-03-31 an invoice names its payments in `payments`, its subscription in
`parent.subscription_details`, a line its price in `pricing.price_details`, and a subscription's period stands on its
items; before, these were `charge`, `payment_intent`, `subscription`, `price` and `current_period_*` on the object.
Any reference may be an id or an expanded object. Source: https://docs.stripe.com/changelog/basil and the SDK's types.

`account` is the connected account whose object it is, "" for the platform's own; a payload does not say it itself.

Its other rooms are reader_money.py (what moves money), reader_payments.py (payment methods, mandates, why a payment
failed) and reader_accounts.py; read them all through here.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from billingops.stripe.facts import (
    ChargeFacts,
    CustomerFacts,
    InvoiceFacts,
    InvoicePaymentFacts,
    LineFacts,
    PriceFacts,
    SubscriptionFacts,
)
from billingops.stripe.reader_accounts import read_account
from billingops.stripe.reader_money import (
    charge_of_fee,
    read_balance_transaction,
    read_credit_note,
    read_dispute,
    read_fee,
    read_fee_refunds,
    read_payout,
    read_refund,
    read_reversal,
    read_transfer,
)
from billingops.stripe.reader_payments import (
    read_collecting,
    read_mandate,
    read_payment_failure,
    read_payment_method,
)
from billingops.stripe.shapes import (
    Json,
    balance_applied,
    created_of,
    currency_of,
    decimal_of,
    dig,
    expanded,
    ident,
    invoice_subscription,
    items_of,
    latest_intent,
    metadata_of,
    paid_out_of_band,
    paying,
    payment_of,
    plain,
    taxes_of,
    text,
    when,
    whole,
)

__all__ = [
    "charge_of_fee",
    "ident",
    "plain",
    "read_account",
    "read_balance_transaction",
    "read_charge",
    "read_collecting",
    "read_credit_note",
    "read_customer",
    "read_dispute",
    "read_fee",
    "read_fee_refunds",
    "read_invoice",
    "read_invoice_payment",
    "read_line",
    "read_mandate",
    "read_payment_failure",
    "read_payment_method",
    "read_payout",
    "read_price",
    "read_refund",
    "read_reversal",
    "read_subscription",
    "read_transfer",
]


# -- invoices ----------------------------------------------------------------------------------------------------------
def read_line(data: Any) -> LineFacts:
    """One line of an invoice; an expanded price or product brings its metadata along."""
    line = plain(data)
    parent = line.get("parent") or {}
    details = parent.get("subscription_item_details") or parent.get("invoice_item_details") or {}
    if parent.get("type") in {"subscription_item_details", "invoice_item_details"}:
        details = parent.get(parent["type"]) or details
    price = dig(line, "pricing", "price_details", "price") or line.get("price") or line.get("plan")
    product = dig(line, "pricing", "price_details", "product")
    of_price = expanded(price).get("product")
    product = of_price if expanded(of_price) or not product else product
    inclusive, exclusive = taxes_of(
        items_of(line.get("taxes") if line.get("taxes") is not None else line.get("tax_amounts"))
    )
    period = line.get("period") or {}
    return LineFacts(
        id=text(line.get("id")),
        amount=whole(line.get("amount")),
        currency=currency_of(line),
        discount=sum(whole(item.get("amount")) for item in items_of(line.get("discount_amounts"))),
        tax_inclusive=inclusive,
        tax_exclusive=exclusive,
        quantity=1 if line.get("quantity") is None else int(line["quantity"]),
        description=text(line.get("description")),
        price_id=ident(price),
        product_id=ident(product),
        subscription_id=ident(details.get("subscription") or line.get("subscription")),
        subscription_item_id=ident(details.get("subscription_item") or line.get("subscription_item")),
        proration=bool(details.get("proration", line.get("proration", False))),
        period_start=when(period.get("start")),
        period_end=when(period.get("end")),
        metadata=metadata_of(line.get("metadata")),
        price_metadata=metadata_of(expanded(price).get("metadata")),
        product_metadata=metadata_of(expanded(product).get("metadata")),
    )


def read_invoice(data: Any, account: str = "") -> InvoiceFacts:
    invoice = plain(data)
    paid = invoice.get("status") == "paid"
    out_of_band = paid_out_of_band(invoice, paid=paid)
    payments = paying(invoice)
    intent = payment_of(payments[0])[0] if payments else latest_intent(invoice)
    charges = [ident(invoice.get("charge"))] if paid and not out_of_band else []
    if payments:
        charges = [ident(payment_of(payment)[1]) for payment in payments]
    charges = list(dict.fromkeys(filter(None, charges)))
    subscription = invoice_subscription(invoice)
    details = dig(invoice, "parent", "subscription_details") or invoice.get("subscription_details")
    taxes = invoice.get("total_taxes") if invoice.get("total_taxes") is not None else invoice.get("total_tax_amounts")
    transfer_data = invoice.get("transfer_data") or expanded(intent).get("transfer_data") or {}
    return InvoiceFacts(
        id=text(invoice.get("id")),
        account=account,
        status=text(invoice.get("status")),
        currency=currency_of(invoice),
        total=whole(invoice.get("total")),
        amount_due=whole(invoice.get("amount_due")),
        amount_paid=whole(invoice.get("amount_paid")),
        amount_remaining=whole(invoice.get("amount_remaining")),
        created=created_of(invoice),
        number=text(invoice.get("number")),
        customer_id=ident(invoice.get("customer")),
        subtotal=whole(invoice.get("subtotal")),
        tax=sum(taxes_of(items_of(taxes))) if taxes is not None else whole(invoice.get("tax")),
        attempt_count=whole(invoice.get("attempt_count")),
        next_payment_attempt=when(invoice.get("next_payment_attempt")),
        due_date=when(invoice.get("due_date")),
        paid_at=when(dig(invoice, "status_transitions", "paid_at")),
        finalized_at=when(dig(invoice, "status_transitions", "finalized_at")),
        voided_at=when(dig(invoice, "status_transitions", "voided_at")),
        uncollectible_at=when(dig(invoice, "status_transitions", "marked_uncollectible_at")),
        collection_method=text(invoice.get("collection_method")) or "charge_automatically",
        billing_reason=text(invoice.get("billing_reason")),
        subscription_id=ident(subscription),
        charge_id=charges[0] if charges else "",
        further_charges=tuple(charges[1:]),
        payment_intent_id=ident(intent),
        paid_out_of_band=out_of_band,
        from_balance=balance_applied(invoice.get("starting_balance"), invoice.get("ending_balance")),
        on_behalf_of=ident(invoice.get("on_behalf_of")),
        transfer_destination=ident(transfer_data.get("destination")),
        hosted_invoice_url=text(invoice.get("hosted_invoice_url")),
        default_payment_method_id=ident(invoice.get("default_payment_method")),
        auto_advance=invoice.get("auto_advance") is not False,
        finalization_error=text(dig(invoice, "last_finalization_error", "code")),
        automatic_tax=bool(dig(invoice, "automatic_tax", "enabled")),
        tax_status=text(dig(invoice, "automatic_tax", "status")),
        tax_disabled_reason=text(dig(invoice, "automatic_tax", "disabled_reason")),
        lines=tuple(read_line(line) for line in items_of(invoice.get("lines"))),
        metadata=metadata_of(invoice.get("metadata")),
        subscription_metadata=metadata_of(dig(details, "metadata") or expanded(subscription).get("metadata")),
    )


def read_invoice_payment(data: Any, account: str = "") -> InvoicePaymentFacts:
    payment = plain(data)
    intent, charge = payment_of(payment)
    return InvoicePaymentFacts(
        id=text(payment.get("id")),
        account=account,
        invoice_id=ident(payment.get("invoice")),
        amount_requested=whole(payment.get("amount_requested")),
        amount_paid=whole(payment.get("amount_paid")),
        currency=currency_of(payment),
        status=text(payment.get("status")),
        created=created_of(payment),
        is_default=bool(payment.get("is_default")),
        charge_id=ident(charge),
        payment_intent_id=ident(intent),
        paid_at=when(dig(payment, "status_transitions", "paid_at")),
    )


# -- payments ----------------------------------------------------------------------------------------------------------
def read_charge(data: Any, account: str = "") -> ChargeFacts:
    """`invoice_id` is known to the payload only before 2025-03-31; sync.py adds it from the invoice payments."""
    charge = plain(data)
    card = dig(charge, "payment_method_details", "card") or {}
    # A bank account has its own, in the details of its kind.
    kind = text(dig(charge, "payment_method_details", "type"))
    account_of = dig(charge, "payment_method_details", kind) or {} if kind else {}
    transfer_data = charge.get("transfer_data") or {}
    return ChargeFacts(
        id=text(charge.get("id")),
        account=account,
        amount=whole(charge.get("amount")),
        currency=currency_of(charge),
        status=text(charge.get("status")),
        created=created_of(charge),
        amount_refunded=whole(charge.get("amount_refunded")),
        disputed=bool(charge.get("disputed")),
        customer_id=ident(charge.get("customer")),
        payment_intent_id=ident(charge.get("payment_intent")),
        invoice_id=ident(charge.get("invoice")),
        balance_transaction_id=ident(charge.get("balance_transaction")),
        payment_method_id=ident(charge.get("payment_method")),
        card_brand=text(card.get("brand")),
        card_last4=text(card.get("last4")),
        card_fingerprint=text(card.get("fingerprint") or account_of.get("fingerprint")),
        transfer_group=text(charge.get("transfer_group")),
        transfer_destination=ident(transfer_data.get("destination")),
        transfer_amount=None if transfer_data.get("amount") is None else whole(transfer_data["amount"]),
        transfer_id=ident(charge.get("transfer")),
        on_behalf_of=ident(charge.get("on_behalf_of")),
        application_fee_amount=None
        if charge.get("application_fee_amount") is None
        else whole(charge["application_fee_amount"]),
        application_fee_id=ident(charge.get("application_fee")),
        **_balance_of(expanded(charge.get("balance_transaction"))),
        failure=read_payment_failure(charge),
        metadata=metadata_of(charge.get("metadata")),
    )


def _balance_of(entry: Json) -> dict[str, Any]:
    """What a charge's expanded balance transaction adds to it."""
    if not entry:
        return {}
    return {
        "fee": whole(entry.get("fee")),
        "net": whole(entry.get("net")),
        "balance_currency": currency_of(entry),
        "exchange_rate": decimal_of(entry.get("exchange_rate")),
        "moved_at": when(entry.get("created")),
    }


# -- customers, subscriptions -----------------------------------------------------------------------------------------
def read_customer(data: Any, account: str = "") -> CustomerFacts:
    customer = plain(data)
    locales = customer.get("preferred_locales") or []
    return CustomerFacts(
        id=text(customer.get("id")),
        account=account,
        created=when(customer.get("created")),
        email=text(customer.get("email")),
        name=text(customer.get("name")),
        locale=text(locales[0]) if locales else "",
        country=text(dig(customer, "address", "country")),
        currency=currency_of(customer),
        balance=whole(customer.get("balance")),
        delinquent=bool(customer.get("delinquent")),
        deleted=bool(customer.get("deleted")),
        default_payment_method_id=ident(dig(customer, "invoice_settings", "default_payment_method")),
        metadata=metadata_of(customer.get("metadata")),
    )


def read_subscription(data: Any, account: str = "") -> SubscriptionFacts:
    subscription = plain(data)
    items = items_of(subscription.get("items"))

    def period(key: str) -> datetime | None:
        on_items = [int(item[key]) for item in items if item.get(key)]
        return when(min(on_items)) if on_items else when(subscription.get(key))

    def parts(item: Json) -> tuple[str, str, str, int]:
        price = item.get("price") or item.get("plan")
        return text(item.get("id")), ident(price), ident(expanded(price).get("product")), whole(item.get("quantity"))

    return SubscriptionFacts(
        id=text(subscription.get("id")),
        account=account,
        status=text(subscription.get("status")),
        customer_id=ident(subscription.get("customer")),
        created=created_of(subscription),
        currency=currency_of(subscription),
        cancel_at_period_end=bool(subscription.get("cancel_at_period_end")),
        canceled_at=when(subscription.get("canceled_at")),
        current_period_start=period("current_period_start"),
        current_period_end=period("current_period_end"),
        default_payment_method_id=ident(subscription.get("default_payment_method")),
        latest_invoice_id=ident(subscription.get("latest_invoice")),
        items=tuple(parts(item) for item in items),
        paused=text(dig(subscription, "pause_collection", "behavior")),
        paused_until=when(dig(subscription, "pause_collection", "resumes_at")),
        metadata=metadata_of(subscription.get("metadata")),
    )


def read_price(data: Any) -> PriceFacts:
    price = plain(data)
    amount = price.get("unit_amount")
    return PriceFacts(
        id=text(price.get("id")),
        active=bool(price.get("active")),
        currency=currency_of(price),
        unit_amount=None if amount is None else whole(amount),
        interval=text(dig(price, "recurring", "interval")),
        interval_count=whole(dig(price, "recurring", "interval_count")) or 1,
        product_id=ident(price.get("product")),
        product_name=text(expanded(price.get("product")).get("name")),
    )
