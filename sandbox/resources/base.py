"""What every resource does alike: copying parameters onto objects, metadata, deletion."""

from __future__ import annotations

from collections.abc import Iterable

from ..errors import Json, StripeError, bad_parameter
from ..render import listing
from ..world import Call


def merge_metadata(obj: Json, params: Json) -> None:
    """Stripe's rule: given keys are set, a key with an empty value is removed, an empty `metadata` removes all."""
    if "metadata" not in params:
        return
    given = params["metadata"]
    if given is None:
        obj["metadata"] = {}
        return
    merged = {**(obj["metadata"] or {}), **given}
    obj["metadata"] = {key: value for key, value in merged.items() if value not in ("", None)}
    if len(obj["metadata"]) > 50:
        raise bad_parameter("Metadata can have up to 50 keys.", param="metadata")


def assign(obj: Json, params: Json, fields: Iterable[str]) -> None:
    """Copy the parameters that were given; an empty one (None) unsets."""
    for name in fields:
        if name in params:
            obj[name] = params[name]
    merge_metadata(obj, params)


def merge(target: Json, given: Json | None) -> Json:
    """A hash updated key by key, nested hashes too."""
    for key, value in (given or {}).items():
        if isinstance(value, dict) and isinstance(target.get(key), dict):
            merge(target[key], value)
        else:
            target[key] = value
    return target


def deleted(obj: Json) -> Json:
    """The answer to a DELETE."""
    return {"id": obj["id"], "object": obj["object"], "deleted": True}


def currency(params: Json, *, name: str = "currency") -> str:
    """A lower-case currency code."""
    code = str(params[name]).lower()
    if len(code) != 3 or not code.isalpha():
        raise bad_parameter(
            f"Invalid currency: {code}. Stripe currently supports these currencies: usd, aed, afn…",
            param=name,
        )
    return code


def positive(params: Json, name: str = "amount") -> int:
    """A positive integer parameter."""
    value = int(params[name])
    if value < 1:
        raise bad_parameter("Invalid positive integer", param=name, code="parameter_invalid_integer")
    return value


def raise_if(error: StripeError | None) -> None:
    """Raise an error that a service returned after finishing its books."""
    if error is not None:
        raise error


def nothing(call: Call) -> Json:
    """The list of a kind that the sandbox does not make."""
    return {"object": "list", "data": [], "has_more": False, "url": call.path}


def retrieve_as(kind: str):  # type: ignore[no-untyped-def]
    """A GET-by-id handler."""

    def retrieve(call: Call, id: str) -> Json:
        return call.scope.get(kind, id)

    return retrieve


def list_as(kind: str, *fields: str):  # type: ignore[no-untyped-def]
    """A list handler with equality filters."""

    def listed(call: Call) -> Json:
        return listing(call, kind, *fields)

    return listed
