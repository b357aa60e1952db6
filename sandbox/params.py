"""Parameters are checked against the SDK's own `stripe.params` types: unknown and missing ones, numbers, booleans,
enumerations and nesting, for every endpoint alike. Handlers get typed values; an empty string (Stripe's way to unset)
arrives as None.
"""

from __future__ import annotations

import importlib
import re
import sys
import types
import typing
from decimal import Decimal, InvalidOperation
from functools import cache
from typing import Any, Literal, NotRequired, Required, Union, get_args, get_origin

import stripe.params
from typing_extensions import is_typeddict

from .errors import Json, bad_parameter, missing_parameter, unknown_parameter

# Every SDK params class mixes these in; they travel as headers.
_OPTIONS = frozenset(
    {
        "api_key", "stripe_version", "stripe_account", "stripe_context", "idempotency_key", "content_type", "headers",
        "max_network_retries",
    }
)  # fmt: skip


@cache
def params_class(name: str) -> Any:
    """`TransferCreateParams`, or `billing_portal.SessionCreateParams`."""
    package, _, leaf = name.rpartition(".")
    module = importlib.import_module(f"stripe.params.{package}") if package else stripe.params
    return getattr(module, leaf)


@cache
def _fields(cls: Any) -> dict[str, tuple[Any, bool]]:
    """Parameter → (type, required)."""
    found: dict[str, tuple[Any, bool]] = {}
    scope = vars(sys.modules[cls.__module__])
    for name, hint in cls.__annotations__.items():
        if name in _OPTIONS:
            continue
        hint = _resolve(hint, scope)
        required = name in cls.__required_keys__
        while get_origin(hint) in (NotRequired, Required, typing.NotRequired, typing.Required):
            required = get_origin(hint) in (Required, typing.Required)
            hint = _resolve(get_args(hint)[0], scope)
        found[name] = (hint, required)
    return found


def _resolve(hint: Any, scope: dict[str, Any]) -> Any:
    if isinstance(hint, typing.ForwardRef):
        hint = hint.__forward_arg__
    while isinstance(hint, str):
        hint = eval(hint, scope)  # noqa: S307  the SDK's own annotations
    origin, args = get_origin(hint), get_args(hint)
    if origin in (list, dict, Union, types.UnionType) and args:
        resolved = tuple(_resolve(arg, scope) for arg in args)
        return Union[resolved] if origin in (Union, types.UnionType) else origin[resolved]  # noqa: UP007
    return hint


def check(name: str | None, raw: Json, *, extra: frozenset[str] = frozenset()) -> Json:
    """Typed parameters of an endpoint; `extra` names parameters the sandbox accepts beyond Stripe's."""
    known = {key: value for key, value in raw.items() if key not in extra}
    own = {key: value for key, value in raw.items() if key in extra}
    if name is None:
        for key in known:
            if key != "expand":
                raise unknown_parameter(key)
        return {**own, **({"expand": _coerce(list[str], known["expand"], "expand")} if "expand" in known else {})}
    return {**_check_fields(params_class(name), known, ""), **own}


def _check_fields(cls: Any, raw: Json, prefix: str) -> Json:
    fields = _fields(cls)
    result: Json = {}
    for key, value in raw.items():
        path = f"{prefix}[{key}]" if prefix else key
        if key == "expand" and not prefix:
            result[key] = _coerce(list[str], value, path)
        elif key not in fields:
            raise unknown_parameter(path)
        else:
            result[key] = _coerce(fields[key][0], value, path)
    for key, (_, required) in fields.items():
        if required and (key not in raw or raw[key] == "") and key not in ("id",):
            raise missing_parameter(f"{prefix}[{key}]" if prefix else key)
    return result


def _options(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in (Union, types.UnionType) else (hint,)


def _coerce(hint: Any, value: Any, path: str) -> Any:
    options = _options(hint)
    if value == "":
        return None
    if isinstance(value, (dict, list)):
        return _coerce_nested(options, value, path)
    literals = [choice for option in options if get_origin(option) is Literal for choice in get_args(option)]
    if value in literals:
        return value
    if int in options and re.fullmatch(r"-?\d+", value):
        return int(value)
    if bool in options:
        if value in ("true", "false"):
            return value == "true"
        raise bad_parameter(f"Invalid boolean: {value}", param=path, code=None)
    if float in options or Decimal in options:
        try:
            number = Decimal(value)
        except InvalidOperation:
            raise bad_parameter(f"Invalid decimal: {value}", param=path) from None
        return float(number) if float in options else str(number)
    choices = [choice for choice in literals if choice != ""]
    if str in options and len(choices) < 2:
        return value
    if int in options and not choices:
        raise bad_parameter(f"Invalid integer: {value}", param=path, code="parameter_invalid_integer")
    if choices:
        listed = ", ".join(str(choice) for choice in choices[:-1])
        listed = f"{listed}, or {choices[-1]}" if listed else str(choices[-1])
        raise bad_parameter(f"Invalid {path}: must be one of {listed}", param=path)
    if any(get_origin(option) is list for option in options):
        raise bad_parameter("Invalid array", param=path)
    if any(is_typeddict(option) or get_origin(option) is dict for option in options):
        raise bad_parameter("Invalid object", param=path)
    return value


def _says_what_it_is(option: Any, value: Any) -> bool:
    """Of several shapes that name themselves ("object": "card" or "bank_account"), whether this is the one given."""
    if not (is_typeddict(option) and isinstance(value, dict) and "object" in value):
        return True
    named, _ = _fields(option).get("object", (None, False))
    return get_origin(named) is not Literal or value["object"] in get_args(named)


def _coerce_nested(options: tuple[Any, ...], value: Any, path: str) -> Any:
    for option in [one for one in options if _says_what_it_is(one, value)] or options:
        origin = get_origin(option)
        if origin is list:
            if isinstance(value, dict):
                if not all(key.isdigit() for key in value):
                    continue
                value = [value[key] for key in sorted(value, key=int)]
            inner = get_args(option)[0]
            return [_coerce(inner, item, f"{path}[{index}]") for index, item in enumerate(value)]
        if isinstance(value, list):
            continue
        if is_typeddict(option):
            return _check_fields(option, value, path)
        if origin is dict:
            inner = get_args(option)[1]
            # Metadata: an empty value unsets one key, so it must stay visible here.
            return {
                key: item if inner is str and item == "" else _coerce(inner, item, f"{path}[{key}]")
                for key, item in value.items()
            }
    raise bad_parameter(f"Invalid {'array' if isinstance(value, list) else 'object'}", param=path)
