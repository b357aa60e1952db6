"""Which table holds which type of object, and plain look-ups in them. store.py gives on what others need."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from django.apps import apps
from django.db.models import Model

from billingops.stripe.models import CreditNote, InvoicePayment, MirroredObject

MODELS = {
    "account": "Account",
    "balance_transaction": "BalanceTransaction",
    "charge": "Charge",
    "coupon": "Coupon",
    "customer": "Customer",
    "dispute": "Dispute",
    "invoice": "Invoice",
    "payment_intent": "PaymentIntent",
    "payment_method": "PaymentMethod",
    "payout": "Payout",
    "price": "Price",
    "product": "Product",
    "refund": "Refund",
    "subscription": "Subscription",
    "transfer": "Transfer",
}
OURS: dict[str, type[Model]] = {"credit_note": CreditNote, "invoice_payment": InvoicePayment}
# Of these a row in the index and their balance transaction is all that is kept: nobody reads more of them.
INDEXED: frozenset[str] = frozenset({"application_fee", "topup"})


def model_of(object_type: str) -> Any:
    """The table an object type is kept in: dj-stripe's or ours."""
    return OURS.get(object_type) or apps.get_model("djstripe", MODELS[object_type])


def known(object_type: str, ids: Sequence[str]) -> set[str]:
    """Which of these the mirror has."""
    if not ids:
        return set()
    if object_type in INDEXED:
        return set(MirroredObject.objects.filter(object_id__in=ids).values_list("object_id", flat=True))
    return set(model_of(object_type).objects.filter(id__in=ids).values_list("id", flat=True))


def load(object_type: str, ids: Iterable[str]) -> dict[str, dict[str, Any]]:
    """The stored JSON of these, by id."""
    wanted = [object_id for object_id in dict.fromkeys(ids) if object_id]
    if not wanted or object_type in INDEXED:
        return {}
    return dict(model_of(object_type).objects.filter(id__in=wanted).values_list("id", "stripe_data"))


def owners_of(accounts: set[str]) -> dict[str, Any]:
    return {account: owner for account in accounts if account and (owner := owner_of(account))}


def owner_of(account: str) -> Any:
    return model_of("account").objects.filter(id=account).first()
