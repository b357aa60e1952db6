"""How money, states, ages and ids look, everywhere the same: `{% load billingops %}`.

{{ amount|money:currency }}          USD 133.03, right-aligned in its cell
{{ obj.state|state_badge }}          word + shape + colour; `{% state obj %}` takes the model's own word for it
{{ when|age }}                       3 h, the exact time in its title
{{ stripe_id|stripe_link:account }}  shortened in the middle, copied with one click, linked here and to Stripe
{{ value|folded_json:"Raw facts" }}  a folded block of indented JSON
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django import template
from django.template.defaultfilters import capfirst
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

from billingops import money as money_module
from billingops.admin import links

register = template.Library()

MINUS = "−"
NOTHING = mark_safe('<span class="bo-none">—</span>')

# What a state means for the person who reads it. Each tone has its own shape, so colour is never the only sign.
SHAPES = {"waiting": "○", "moving": "◐", "good": "●", "attention": "▲", "bad": "✕", "quiet": "◇"}
TONES: Mapping[str, frozenset[str]] = {
    "waiting": frozenset(
        {"pending", "pending_review", "second_review", "waiting", "queued", "open", "draft", "incomplete", "trialing"}
        | {"expected"}
    ),
    "moving": frozenset(
        {"approved", "executing", "executed", "pending_transfer", "in_progress", "in_transit", "processing", "claimed"}
        | {"retrying", "requires_capture", "scheduled", "under_review", "warning_under_review", "sending"}
        | {"in_flight", "delivering", "running"}
    ),
    "good": frozenset(
        {"confirmed", "transferred", "paid", "succeeded", "active", "done", "processed", "won", "resolved", "recovered"}
        | {"sent", "available", "completed", "settled", "matched", "delivered", "restored"}
    ),
    "attention": frozenset(
        {"unknown", "stale", "parked", "past_due", "needs_response", "warning_needs_response", "requires_action"}
        | {"requires_payment_method", "paused", "action_required", "escalated", "held"}
        | {"over", "under", "partially_matched", "currency_mismatch", "missing_in_ledger", "missing_in_stripe"}
        | {"grace"}
    ),
    "bad": frozenset(
        {"failed", "rejected", "uncollectible", "lost", "unpaid", "incomplete_expired", "error", "refused"}
        | {"restricted", "given_up", "suspended"}
    ),
}
LABELS = {
    "second_review": "second look",
    "unknown": "unknown result",
    "pending_review": "pending review",
    "pending_transfer": "pending transfer",
}


@register.filter
def money(amount: int | None, currency: str) -> SafeString:
    """Minor units and a currency; "—" for nothing."""
    if amount is None or not currency:
        return mark_safe('<span class="bo-money bo-none">—</span>')
    figures = money_module.format_amount(amount, currency).replace("-", MINUS)
    return format_html(
        '<span class="bo-money"><span class="bo-ccy">{}</span> <span class="bo-fig">{}</span></span>',
        currency.upper(),
        figures,
    )


@register.filter
def money_text(amount: int | None, currency: str) -> str:
    """The same as plain text, for titles and sentences."""
    if amount is None or not currency:
        return ""
    return money_module.format_money(amount, currency).replace("-", MINUS)


def tone_of(state: str) -> tuple[str, str]:
    """(tone, shape) of a state; one that is not in the table is over and needs nobody ("quiet")."""
    for tone, states in TONES.items():
        if state in states:
            return tone, SHAPES[tone]
    return "quiet", SHAPES["quiet"]


@register.filter
def state_badge(state: Any, label: str = "") -> SafeString:
    """A word with a shape and a colour. `label`: the model's own word, where it has one."""
    value = str(getattr(state, "value", state) or "")
    if not value:
        return NOTHING
    tone, shape = tone_of(value)
    text = label or LABELS.get(value) or value.replace("_", " ")
    return format_html(
        '<span class="bo-state bo-{}"><span class="bo-shape" aria-hidden="true">{}</span>{}</span>', tone, shape, text
    )


@register.simple_tag(name="state")
def state_tag(obj: Any, field: str = "state") -> SafeString:
    display = getattr(obj, f"get_{field}_display", None)
    return state_badge(getattr(obj, field), display() if display else "")


def age_text(when: datetime, now: datetime | None = None) -> str:
    """`4 s`, `12 min`, `3 h`, `26 h`, `9 d`; what lies ahead reads `in 3 h`."""
    seconds = int(((now or timezone.now()) - when).total_seconds())
    ahead, seconds = seconds < 0, abs(seconds)
    if seconds < 60:
        text = f"{seconds} s"
    elif seconds < 3600:
        text = f"{seconds // 60} min"
    elif seconds < 48 * 3600:
        text = f"{seconds // 3600} h"
    elif seconds < 730 * 86400:
        text = f"{seconds // 86400} d"
    else:
        text = f"{seconds // (365 * 86400)} y"
    return f"in {text}" if ahead else text


@register.filter
def age(when: datetime | None) -> SafeString:
    if when is None:
        return NOTHING
    return format_html(
        '<time class="bo-age" datetime="{}" title="{}">{}</time>', when.isoformat(), exact_text(when), age_text(when)
    )


def exact_text(when: datetime) -> str:
    return f"{timezone.localtime(when):%Y-%m-%d %H:%M:%S %Z}"


@register.filter
def exact(when: datetime | None) -> SafeString:
    """The exact time, with the age in its title."""
    if when is None:
        return NOTHING
    return format_html(
        '<time class="bo-exact" datetime="{}" title="{}">{}</time>', when.isoformat(), age_text(when), exact_text(when)
    )


def short_text(value: str, head: int = 9, tail: int = 5) -> str:
    """`in_1QxYzAbCdEfGhIj` → `in_1QxYzA…fGhIj`; what is short stays whole."""
    return value if len(value) <= head + tail + 3 else f"{value[:head]}…{value[-tail:]}"


@register.filter
def short_id(value: Any) -> SafeString:
    """Any id: shortened in the middle, whole in its title, copied with one click."""
    text = str(value or "")
    if not text:
        return NOTHING
    return format_html(
        '<span class="bo-id"><code title="{}">{}</code>{}</span>', text, short_text(text), _copy_button(text)
    )


@register.filter
def stripe_link(stripe_id: str | None, account: str | None = "") -> SafeString:
    """A Stripe id: our own page where there is one, Stripe's dashboard beside it, and a button that copies it.

    `account`: the connected account whose object it is, "" for the platform's own.
    """
    text = str(stripe_id or "")
    if not text:
        return NOTHING
    here, there = links.page_url(text), links.dashboard_url(text, account or "")
    shown = format_html('<code title="{}">{}</code>', text, short_text(text))
    if here:
        shown = format_html('<a href="{}">{}</a>', here, shown)
    outside = (
        format_html(
            '<a class="bo-out" href="{}" target="_blank" rel="noopener noreferrer" '
            'aria-label="{} in Stripe’s dashboard" title="Open in Stripe’s dashboard">↗</a>',
            there,
            text,
        )
        if there
        else ""
    )
    return format_html('<span class="bo-id">{}{}{}</span>', shown, outside, _copy_button(text))


def _copy_button(text: str) -> SafeString:
    """Shown by the script alone: without it there is nothing the button could do."""
    return format_html(
        '<button type="button" class="bo-copy" data-copy="{}" aria-label="Copy {}" title="Copy" hidden>'
        '<svg width="12" height="12" viewBox="0 0 12 12" aria-hidden="true" fill="none" stroke="currentColor">'
        '<path d="M4 4h6.5v6.5H4z M2 8H1.5V1.5H8V2"/></svg></button>',
        text,
        text,
    )


@register.filter
def folded_json(value: Any, label: str = "") -> SafeString:
    if value in (None, "", {}, []):
        return NOTHING
    text = json.dumps(value, indent=2, sort_keys=True, default=str, ensure_ascii=False)
    return format_html(
        '<details class="bo-json"><summary>{}</summary><pre tabindex="0">{}</pre></details>',
        capfirst(label) or "Show",
        text,
    )


@register.filter
def preformatted(text: str) -> SafeString:
    return format_html('<pre class="bo-pre" tabindex="0">{}</pre>', text)


@register.filter
def get(mapping: Any, key: Any) -> Any:
    """`{{ counts|get:name }}`"""
    return mapping.get(key, "") if hasattr(mapping, "get") else ""


@register.simple_tag
def chosen_filters(cl: Any) -> str:
    """The filters of a change list that are set, in words: `State: open · Whose: Mine`."""
    return " · ".join(
        f"{capfirst(str(spec.title))}: {choice['display']}"
        for spec in cl.filter_specs
        if any(name in cl.filter_params for name in spec.expected_parameters())
        for choice in spec.choices(cl)
        if choice["selected"]
    )


@register.simple_tag
def labelled_cells(headers: list[dict[str, Any]], row: Any) -> list[str]:
    """A change list's cells, each told its column's name, so that a narrow screen can show the row as a card."""
    cells: list[str] = []
    for header, item in zip(headers, row, strict=False):
        html = str(item)
        text = str(header.get("text", ""))
        if "<input" in text:
            text = ""
        attribute = format_html(' data-label="{}"', capfirst(text)) if text else ""
        for tag in ("<td", "<th"):
            if html.startswith(tag):
                html = f"{tag}{attribute}{html[len(tag) :]}"
        cells.append(mark_safe(html))  # noqa: S308  (Django's own cell, with an escaped attribute added)
    return cells
