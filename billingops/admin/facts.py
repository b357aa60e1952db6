"""Facts of the reader as rows for a page: amounts as money, ids as links, times with their age."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime
from typing import Any

from django.template.loader import render_to_string
from django.utils.safestring import SafeString

from billingops.admin import links
from billingops.templatetags import billingops as tags

# Names of fact fields that hold minor units of the object's own currency.
AMOUNTS = frozenset(
    {"amount", "amount_due", "amount_paid", "amount_remaining", "amount_refunded", "amount_requested"}
    | {"amount_reversed", "balance", "base", "discount", "fee", "net", "subtotal", "tax", "tax_exclusive"}
    | {"tax_inclusive", "total"}
)
_SHOWN_ELSEWHERE = frozenset({"id", "account", "created", "currency"})


def render(facts: Any, account: str = "") -> SafeString | str:
    """A table of a facts dataclass, what is empty left out; "—" when there are no facts."""
    if not is_dataclass(facts):
        return "—"
    return render_to_string("admin/_facts.html", {"rows": rows(facts, account), "lines": _lines(facts)})


def rows(facts: Any, account: str) -> list[tuple[str, Any]]:
    currency = getattr(facts, "currency", "")
    found = []
    for field in fields(facts):
        value = getattr(facts, field.name)
        if field.name in _SHOWN_ELSEWHERE or field.name == "lines" or value in (None, "", (), {}, False):
            continue
        found.append((field.name.replace("_", " "), _cell(field.name, value, currency, account)))
    return found


def _cell(name: str, value: Any, currency: str, account: str) -> Any:
    if name == "status":
        return tags.state_badge(value)
    if value is True:
        return "yes"
    if name in AMOUNTS and isinstance(value, int):
        return tags.money(value, currency)
    if isinstance(value, datetime):
        return tags.exact(value)
    if is_dataclass(value):
        return render_to_string("admin/_facts.html", {"rows": rows(value, account), "lines": []})
    if isinstance(value, Mapping):
        return tags.folded_json(dict(value), f"{len(value)} entries")
    if isinstance(value, tuple):
        return ", ".join(" · ".join(map(str, item)) if isinstance(item, tuple) else str(item) for item in value)
    if isinstance(value, str) and links.prefix(value) and name.endswith(("_id", "destination", "transaction", "of")):
        return tags.stripe_link(value, account)
    return value


def _lines(facts: Any) -> list[Any]:
    return list(getattr(facts, "lines", ()))
