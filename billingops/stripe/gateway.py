"""Every write to Stripe, one function each. Imported only by an app's `actions.py`, called only by the gate.

Each call takes the attempt's idempotency key, stored before the call; none is repeated here: whoever calls knows
whether a repeat is safe. Raises billingops.stripe.errors: Refused and Gone (definite, nothing happened), Throttled
(nothing happened, may be tried again), Ambiguous (look it up). Never call these inside a transaction.
Amounts: int, minor units of `currency`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import stripe
from django.db import connection, transaction

from billingops.stripe import client, errors
from billingops.stripe.shapes import plain


@dataclass(frozen=True)
class Answer:
    """What Stripe answered. `replayed`: the answer of an earlier call under the same key, sent again by Stripe."""

    object_id: str
    request_id: str
    data: dict[str, Any] = field(default_factory=dict)
    replayed: bool = False


def create_transfer(
    *,
    amount: int,
    currency: str,
    destination: str,
    source_transaction: str,
    transfer_group: str,
    description: str,
    metadata: Mapping[str, str],
    idempotency_key: str,
) -> Answer:
    """Move `amount` from the platform to the connected account `destination`, out of the charge `source_transaction`
    ("" = out of the platform's available balance). https://docs.stripe.com/api/transfers/create"""
    params: dict[str, Any] = {
        "amount": amount,
        "currency": currency,
        "destination": destination,
        "metadata": dict(metadata),
    }
    optional = {"source_transaction": source_transaction, "transfer_group": transfer_group, "description": description}
    params |= {key: value for key, value in optional.items() if value}
    return _call(client.writer().v1.transfers.create, params=params, key=idempotency_key)


def reverse_transfer(*, transfer_id: str, amount: int, metadata: Mapping[str, str], idempotency_key: str) -> Answer:
    """Take `amount` of a transfer back from the connected account. https://docs.stripe.com/api/transfer_reversals/create"""
    params = {"amount": amount, "metadata": dict(metadata)}
    return _call(client.writer().v1.transfers.reversals.create, transfer_id, params=params, key=idempotency_key)


def pay_invoice(*, invoice_id: str, account: str, idempotency_key: str, payment_method: str = "") -> Answer:
    """Try to collect an open invoice now. A decline is Refused. https://docs.stripe.com/api/invoices/pay"""
    params = {"payment_method": payment_method} if payment_method else {}
    return _call(client.writer().v1.invoices.pay, invoice_id, params=params, key=idempotency_key, account=account)


def set_subscription_metadata(
    *, subscription_id: str, account: str, metadata: Mapping[str, str], idempotency_key: str
) -> Answer:
    """Merge `metadata` into the subscription's ("" removes a key). https://docs.stripe.com/api/subscriptions/update"""
    update = client.writer().v1.subscriptions.update
    return _call(update, subscription_id, params={"metadata": dict(metadata)}, key=idempotency_key, account=account)


def set_auto_advance(
    *, invoice_id: str, account: str, auto_advance: bool, metadata: Mapping[str, str], idempotency_key: str
) -> Answer:
    """Whether Stripe collects the invoice by itself: its retries, reminders and 3-D Secure mails.
    https://docs.stripe.com/invoicing/integration/automatic-advancement-collection"""
    params = {"auto_advance": auto_advance, "metadata": dict(metadata)}
    update = client.writer().v1.invoices.update
    return _call(update, invoice_id, params=params, key=idempotency_key, account=account)


def set_invoice_metadata(*, invoice_id: str, account: str, metadata: Mapping[str, str], idempotency_key: str) -> Answer:
    """Merge `metadata` into the invoice's ("" removes a key). https://docs.stripe.com/api/invoices/update"""
    update = client.writer().v1.invoices.update
    return _call(update, invoice_id, params={"metadata": dict(metadata)}, key=idempotency_key, account=account)


def mark_uncollectible(*, invoice_id: str, account: str, idempotency_key: str) -> Answer:
    """Give an open invoice up as a bad debt; it can still be paid or voided.
    https://docs.stripe.com/api/invoices/mark_uncollectible"""
    mark = client.writer().v1.invoices.mark_uncollectible
    return _call(mark, invoice_id, params={}, key=idempotency_key, account=account)


def set_customer_default(
    *, customer_id: str, account: str, payment_method: str, metadata: Mapping[str, str], idempotency_key: str
) -> Answer:
    """The payment method that the customer's invoices are charged to. https://docs.stripe.com/api/customers/update"""
    params = {"invoice_settings": {"default_payment_method": payment_method}, "metadata": dict(metadata)}
    return _call(client.writer().v1.customers.update, customer_id, params=params, key=idempotency_key, account=account)


def set_subscription_default(
    *, subscription_id: str, account: str, payment_method: str, metadata: Mapping[str, str], idempotency_key: str
) -> Answer:
    """The payment method of one subscription, before the customer's. https://docs.stripe.com/api/subscriptions/update"""
    params = {"default_payment_method": payment_method, "metadata": dict(metadata)}
    return _update_subscription(subscription_id, account, params, idempotency_key)


def pause_collection(
    *,
    subscription_id: str,
    account: str,
    behavior: str,
    resumes_at: datetime | None,
    metadata: Mapping[str, str],
    idempotency_key: str,
) -> Answer:
    """New invoices are not collected: `behavior` is keep_as_draft, mark_uncollectible or void. Invoices made before are
    still retried. https://docs.stripe.com/billing/subscriptions/pause-payment"""
    pause: dict[str, Any] = {"behavior": behavior}
    if resumes_at is not None:
        pause["resumes_at"] = int(resumes_at.timestamp())
    params = {"pause_collection": pause, "metadata": dict(metadata)}
    return _update_subscription(subscription_id, account, params, idempotency_key)


def resume_collection(
    *, subscription_id: str, account: str, metadata: Mapping[str, str], idempotency_key: str
) -> Answer:
    """New invoices are collected again; drafts made meanwhile stay drafts.
    https://docs.stripe.com/billing/subscriptions/pause-payment"""
    params = {"pause_collection": "", "metadata": dict(metadata)}
    return _update_subscription(subscription_id, account, params, idempotency_key)


def change_price(
    *, subscription_id: str, account: str, item: str, price: str, metadata: Mapping[str, str], idempotency_key: str
) -> Answer:
    """Move one item of a subscription to another price from the next invoice on, without proration.
    https://docs.stripe.com/billing/subscriptions/prorations"""
    params = {
        "items": [{"id": item, "price": price}],
        "proration_behavior": "none",
        "metadata": dict(metadata),
    }
    return _update_subscription(subscription_id, account, params, idempotency_key)


def cancel_at_period_end(
    *, subscription_id: str, account: str, metadata: Mapping[str, str], idempotency_key: str
) -> Answer:
    """Let a subscription run out. https://docs.stripe.com/billing/subscriptions/cancel"""
    params = {"cancel_at_period_end": True, "metadata": dict(metadata)}
    return _update_subscription(subscription_id, account, params, idempotency_key)


def cancel_subscription(
    *, subscription_id: str, account: str, invoice_now: bool, prorate: bool, comment: str, idempotency_key: str
) -> Answer:
    """End a subscription now. Stripe then no longer collects its open invoices by itself.
    https://docs.stripe.com/api/subscriptions/cancel"""
    params = {"invoice_now": invoice_now, "prorate": prorate, "cancellation_details": {"comment": comment}}
    cancel = client.writer().v1.subscriptions.cancel
    return _call(cancel, subscription_id, params=params, key=idempotency_key, account=account)


def _update_subscription(subscription_id: str, account: str, params: dict[str, Any], key: str) -> Answer:
    return _call(client.writer().v1.subscriptions.update, subscription_id, params=params, key=key, account=account)


def create_portal_session(*, customer_id: str, account: str, return_url: str, idempotency_key: str) -> Answer:
    """A short-lived link (`data["url"]`) to the customer's billing portal.
    https://docs.stripe.com/api/customer_portal/sessions/create"""
    params = {"customer": customer_id, "return_url": return_url}
    return _call(client.writer().v1.billing_portal.sessions.create, params=params, key=idempotency_key, account=account)


def _call(method: Callable[..., Any], *ids: str, params: dict[str, Any], key: str, account: str = "") -> Answer:
    if not key:
        raise ValueError("A write to Stripe needs its attempt's idempotency key.")
    if connection.in_atomic_block and not _in_test_transaction():
        raise transaction.TransactionManagementError("A write to Stripe must not be made inside a transaction.")
    options: dict[str, Any] = {"idempotency_key": key}
    if account:
        options["stripe_account"] = account
    try:
        answer = method(*ids, params=params, options=options)
    except stripe.StripeError as error:
        raise errors.classify(error) from error
    response = answer.last_response
    headers = {name.lower(): value for name, value in (response.headers or {}).items()} if response else {}
    return Answer(
        object_id=str(getattr(answer, "id", "") or ""),
        request_id=(response.request_id or "") if response else "",
        data=plain(answer),
        replayed=headers.get("idempotent-replayed") == "true",
    )


def _in_test_transaction() -> bool:
    """True when the only open block is the one Django's TestCase wraps around each test."""
    return all(getattr(block, "_from_testcase", False) for block in connection.atomic_blocks)
