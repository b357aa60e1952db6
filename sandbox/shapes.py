"""Complete objects: every field that the SDK's own type declares, with a value of its type.

The types of `stripe.Invoice`, `stripe.Charge`… are read once, nested classes included, into templates; a resource
module gives the fields that matter and `shape` fills in the rest: optional → null, list → [], bool → false, dict → {}…
"""

from __future__ import annotations

import copy
import inspect
import types
from decimal import Decimal
from functools import cache
from importlib import import_module
from typing import Any, ForwardRef, Literal, TypeVar, Union, get_args, get_origin

from stripe import ListObject, StripeObject
from stripe._object_classes import OBJECT_CLASSES
from stripe._stripe_object import UntypedStripeObject

from .errors import Json

# Fields that Stripe only sends when `expand[]` asks for them (the API reference marks them "Expandable").
ON_REQUEST: dict[str, frozenset[str]] = {
    "charge": frozenset({"refunds"}),
    "coupon": frozenset({"applies_to", "currency_options"}),
    "customer": frozenset({"cash_balance", "invoice_credit_balance", "sources", "subscriptions", "tax", "tax_ids"}),
    "invoice": frozenset({"confirmation_secret", "payments"}),
    "price": frozenset({"currency_options", "tiers"}),
    "plan": frozenset({"tiers"}),
}
# Fields that only exist in certain answers.
CONDITIONAL: dict[str, frozenset[str]] = {
    "event": frozenset({"account", "context"}),  # account: only on events of connected accounts
    "webhook_endpoint": frozenset({"secret"}),  # only in the answer that creates the endpoint
    "account": frozenset({"individual", "groups"}),
    "customer": frozenset({"business_name", "individual_name"}),
}
# Types that are unions in disguise: of their optional parts only those that apply are sent.
VARIANT_CLASSES = frozenset({"PaymentMethod", "PaymentMethodDetails", "PaymentMethodOptions", "DestinationDetails"})
# Types of which only the keys that are set are sent.
SPARSE_CLASSES = frozenset({"Capabilities", "SourceTypes"})


def sdk_class(kind: str) -> type[StripeObject]:
    """The SDK's class of an object kind ("invoice", "billing_portal.session")."""
    module, name = OBJECT_CLASSES[kind]
    found: type[StripeObject] = getattr(import_module(module), name)
    return found


def is_declared(kind: str, field: str) -> bool:
    """Whether a field is always present in this kind."""
    return (
        field != "deleted"
        and field not in ON_REQUEST.get(kind, frozenset())
        and field not in CONDITIONAL.get(kind, frozenset())
    )


@cache
def fields_of(cls: Any) -> dict[str, Any]:
    """Field name → type, inherited ones included."""
    found: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        if base is not StripeObject and issubclass(base, StripeObject):
            found.update(inspect.get_annotations(base))
    return {name: kind for name, kind in found.items() if name != "OBJECT_NAME" and not name.startswith("_")}


def _is_optional(kind: Any) -> bool:
    return get_origin(kind) in (Union, types.UnionType) and type(None) in get_args(kind)


def _parts(kind: Any) -> tuple[Any, ...]:
    return get_args(kind) if get_origin(kind) in (Union, types.UnionType) else (kind,)


def _nested(kind: Any) -> tuple[type[StripeObject], bool] | None:
    """The nested class of a field (and whether it is a list of them), or None."""
    for part in _parts(kind):
        many = get_origin(part) is list
        inner = get_args(part)[0] if many and get_args(part) else part
        if (
            inspect.isclass(inner)
            and issubclass(inner, StripeObject)
            and not issubclass(inner, (ListObject, UntypedStripeObject))
            and not hasattr(inner, "OBJECT_NAME")
        ):
            return inner, many
    return None


def _default(kind: Any) -> Any:
    if _is_optional(kind):
        return None
    part = _parts(kind)[0]
    origin = get_origin(part)
    if origin is Literal:
        return get_args(part)[0]
    if origin is list or part is list:
        return []
    if origin is not None and inspect.isclass(origin) and issubclass(origin, ListObject):
        return None  # lists are rendered; see render.py
    if origin is dict or origin is UntypedStripeObject or part is UntypedStripeObject or part is dict:
        return {}
    if isinstance(part, (TypeVar, ForwardRef)) or part in (str, Any):
        return "" if part is str else None
    if part is bool:
        return False
    if part in (int, float):
        return 0
    if part is Decimal:
        return "0"
    if inspect.isclass(part) and issubclass(part, StripeObject):
        nested: Any = part  # the SDK gives its objects no hash that mypy accepts
        return None if hasattr(part, "OBJECT_NAME") else _template(nested)
    return None


@cache
def _template(cls: Any) -> Json:
    if cls.__name__ in SPARSE_CLASSES:
        return {}
    variant = cls.__name__ in VARIANT_CLASSES
    on_request = getattr(cls, "_inner_class_dicts", ())  # currency_options; the SDK stumbles over null there
    kind = getattr(cls, "OBJECT_NAME", "")
    return {
        name: _default(hint)
        for name, hint in fields_of(cls).items()
        if name != "deleted"
        and name not in on_request
        and not (variant and _nested(hint))
        and (not kind or is_declared(kind, name))
    }


def _complete(cls: Any, values: Json) -> Json:
    # Scalars of the template may be shared; what can be changed later is copied.
    result = {
        name: copy.deepcopy(value) if isinstance(value, (dict, list)) else value
        for name, value in _template(cls).items()
    }
    hints = fields_of(cls)
    for name, value in values.items():
        nested = _nested(hints[name]) if name in hints and isinstance(value, (dict, list)) else None
        if nested is not None and isinstance(value, dict) and "object" not in value:
            value = _complete(nested[0], value)
        elif nested is not None and nested[1] and isinstance(value, list):
            value = [_complete(nested[0], v) if isinstance(v, dict) and "object" not in v else v for v in value]
        result[name] = value
    return result


def shape(kind: str, **values: Any) -> Json:
    """A complete object of this kind. Values given win; nested dicts are completed too."""
    return _complete(sdk_class(kind), {**values, "object": kind})
