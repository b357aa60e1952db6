"""Pages by key instead of by offset: every page costs the same, and no row is shown twice or left out when rows arrive
between two pages. Used by the API (rest.py) and by pages with "load more".

    page = keyset.page(queryset, order=("-at", "-id"), cursor=request.GET.get("cursor", ""), size=50)
    page.rows, page.next, page.previous

`order` names columns of the model, all in one direction, together unique; an index on exactly these columns (after the
ones the queryset filters on) carries it. A cursor is opaque to the caller and holds nothing but the key of a row.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Generic, TypeVar

from django.core.exceptions import ValidationError
from django.db.models import Model, Q, QuerySet

from billingops.exceptions import InvalidInput

M = TypeVar("M", bound=Model)
FORWARD, BACKWARD = "n", "p"
MAX_CURSOR = 500


@dataclass(frozen=True)
class Page(Generic[M]):
    """`rows` in the order asked for; `next` and `previous` are cursors, "" where there is nothing more."""

    rows: list[M]
    next: str
    previous: str


def page(queryset: QuerySet[M], *, order: Sequence[str], cursor: str = "", size: int) -> Page[M]:
    """The page of at most `size` rows that `cursor` ("" = the first) points at. One statement.

    Raises InvalidInput (field "cursor") for a cursor that this function has not made for this order.
    """
    names = [name.removeprefix("-") for name in order]
    descending = order[0].startswith("-")
    if any(name.startswith("-") != descending for name in order):
        raise ValueError("keyset.page: all columns of the order must point in one direction")
    direction, key = _decode(queryset, names, cursor) if cursor else (FORWARD, [])
    backward = direction == BACKWARD
    if key:
        queryset = queryset.filter(_beyond(names, key, "lt" if descending != backward else "gt"))
    steps = ["-" + name if descending != backward else name for name in names]
    found = list(queryset.order_by(*steps)[: size + 1])
    more, rows = len(found) > size, found[:size]
    if backward:
        rows.reverse()
    if not rows:
        return Page([], "", "")
    return Page(
        rows,
        next=_encode(FORWARD, rows[-1], names) if backward or more else "",
        previous=_encode(BACKWARD, rows[0], names) if (more if backward else bool(key)) else "",
    )


def _beyond(names: list[str], key: list[Any], step: str) -> Q:
    """Rows strictly beyond `key`. The first comparison alone bounds the scan of the index; the rest settles ties."""
    settled, beyond = Q(), Q()
    for name, value in zip(names, key, strict=True):
        beyond |= settled & Q(**{f"{name}__{step}": value})
        settled &= Q(**{name: value})
    return Q(**{f"{names[0]}__{step}e": key[0]}) & beyond if len(names) > 1 else beyond


def _encode(direction: str, row: Model, names: list[str]) -> str:
    values = [getattr(row, name) for name in names]
    texts = [value.isoformat() if isinstance(value, date) else str(value) for value in values]
    return base64.urlsafe_b64encode(json.dumps([direction, *texts]).encode()).decode().rstrip("=")


def _decode(queryset: QuerySet[Any], names: list[str], cursor: str) -> tuple[str, list[Any]]:
    try:
        if len(cursor) > MAX_CURSOR:
            raise ValueError("too long")
        direction, *texts = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        if direction not in (FORWARD, BACKWARD) or not all(isinstance(text, str) for text in texts):
            raise ValueError("not one of ours")
        meta = queryset.model._meta
        fields = [meta.pk if name == "pk" else meta.get_field(name) for name in names]
        key = [field.to_python(text) for field, text in zip(fields, texts, strict=True)]  # type: ignore[union-attr]
    except (ValueError, TypeError, ValidationError):
        raise InvalidInput(
            "This cursor is not one that this list has given out. Start from the first page.", field="cursor"
        )
    return direction, key
