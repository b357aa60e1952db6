"""Shares and differences of shares on the pages of campaigns: `{{ rate|percent }}`, `{{ difference|points }}`."""

from __future__ import annotations

from django import template

register = template.Library()


@register.filter
def percent(share: float | None) -> str:
    """`0.6125` → `61.3 %`; "—" for nothing."""
    return "—" if share is None else f"{100 * share:.1f} %"


@register.filter
def points(difference: float | None) -> str:
    """`-0.021` → `−2.1 points`, always with its sign."""
    return "—" if difference is None else f"{100 * difference:+.1f} points".replace("-", "−")


@register.filter
def one_in(chance: float | None) -> str:
    """`0.0004` → `2,500`."""
    return "—" if not chance else f"{min(round(1 / chance), 10**9):,}"
