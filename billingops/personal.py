"""Personal data on our pages and in our API: who may read it, and what stands in its place for everybody else.

The right is `support.find_person`. Whoever lacks it, or is not known, reads "•••" where Stripe's JSON or its facts
name a person or say how to reach one. The rest of the object stays as it is: amounts and states can still be checked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

from billingops.stripe.facts import AccountFacts

MASK = "•••"
# As Stripe names them, at any depth. The links open pages and files that show the customer to whoever follows them.
KEYS = frozenset(
    {"name", "email", "phone", "address", "shipping", "billing_details", "individual", "receipt_email"}
    | {"customer_name", "customer_email", "customer_phone", "customer_address", "customer_shipping", "customer_tax_ids"}
    | {"customer_details", "customer_email_address", "customer_purchase_ip", "billing_address", "shipping_address"}
    | {"business_name", "individual_name", "verified_name", "verified_email", "verified_address", "account_holder_name"}
    | {"owner", "hosted_invoice_url", "invoice_pdf", "receipt_url", "pdf"}
)
# What these are called says nothing about a person.
_THINGS = ("product", "price", "plan", "coupon", "promotion_code")


def may_see(user: Any) -> bool:
    return user is not None and user.has_perm("support.find_person")


def shown(value: Any, user: Any) -> Any:
    """`value`, JSON as Python has it, as `user` may read it."""
    return value if may_see(user) else masked(value)


def shown_facts(facts: Any, user: Any) -> Any:
    """The reader's facts as `user` may read them. A seller's own name (AccountFacts) is no secret here."""
    if may_see(user) or not is_dataclass(facts) or isinstance(facts, type):
        return facts
    hidden = KEYS - {"name"} if isinstance(facts, AccountFacts) else KEYS
    changes: dict[str, Any] = {}
    for field in fields(facts):
        value = getattr(facts, field.name)
        if field.name in hidden and value:
            changes[field.name] = MASK
        elif isinstance(value, Mapping):
            changes[field.name] = masked(value)
    return replace(facts, **changes) if changes else facts


def masked(value: Any) -> Any:
    """A copy of `value` in which what stands under one of KEYS is MASK; what is empty stays empty."""
    if isinstance(value, Mapping):
        hidden = KEYS - {"name"} if value.get("object") in _THINGS else KEYS
        return {key: MASK if key in hidden and part else masked(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [masked(part) for part in value]
    return value
