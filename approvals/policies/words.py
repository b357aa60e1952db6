"""A policy in words, and what a change of it would make stricter or looser, field by field. For pages and messages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.conf import settings

from approvals.models import Policy
from approvals.policies.changing import FIELDS
from approvals.policies.results import STRICTNESS
from approvals.policies.terms import DAYS, SCOPES, Terms
from billingops.money import format_money

LABELS = {
    "mode": "Mode",
    "review_over": "A person reviews over",
    "two_approvers_over": "Two approvers over",
    "auto_under": "Automatic under",
    "caps": "Caps",
    "destinations": "Allowed destinations",
    "cool_down_hours": "Cool-down after new bank details",
    "expires_hours": "Expires after",
    "timezone": "Time zone",
    "hours": "Hours",
    "undo_seconds": "Can be taken back for",
    "automation_bar": "Evidence for auto",
    "bands": "Bands of amounts",
    "blind_percent": "Shown without the verdict",
    "seed_percent": "Seeded checks",
}
STRICTER, LOOSER, BOTH, OTHER = "stricter", "looser", "stricter and looser", "different"
_NO_LIMIT = 2**62


def text(name: str, value: Any) -> str:
    """One field's value in words; "—" where it asks for nothing."""
    if name in ("review_over", "two_approvers_over", "auto_under"):
        return _amounts(value)
    if name == "caps":
        return "; ".join(_caps(value)) or "—"
    if name == "destinations":
        return ", ".join(value) or "anywhere"
    if name == "hours":
        return Terms(hours=value).hours_text.rpartition(" (")[0] if value else "always"
    if name == "bands":
        return "; ".join(", ".join(format_money(bound, code) for bound in value[code]) for code in sorted(value)) or "—"
    if name == "automation_bar":
        return f"lower bound {value['lower_bound']}, {value['verdicts']} verdicts, {value['days']} days"
    if name in ("blind_percent", "seed_percent"):
        return f"{Decimal(value).normalize():f} %" if Decimal(value) else "—"
    if name == "timezone":
        return value or settings.TIME_ZONE
    if name == "expires_hours":
        return f"{value} h" if value else f"{settings.SUGGESTION_EXPIRES_DAYS} days"
    unit = {"cool_down_hours": " h", "undo_seconds": " s"}.get(name, "")
    return f"{value}{unit}" if value else "—"


def limits(row: Policy) -> list[str]:
    """What the policy asks for beyond its mode, a line each; the automation's measures only where they matter."""
    left_out = {"mode", "timezone"} | ({"automation_bar"} if row.mode != Policy.Mode.AUTO else set())
    values = {name: getattr(row, name) for name in FIELDS if name not in left_out}
    return [f"{LABELS[name]}: {text(name, value)}" for name, value in values.items() if value]


def _amounts(value: Mapping[str, int]) -> str:
    return ", ".join(format_money(amount, currency) for currency, amount in sorted(value.items())) or "—"


def _caps(value: Mapping[str, Any]) -> Iterable[str]:
    for cap in Terms(caps=value).all_caps():
        limit = format_money(cap.limit, cap.currency) if cap.currency else str(cap.limit)
        yield f"at most {limit} {SCOPES[cap.scope]}"


@dataclass(frozen=True)
class Difference:
    """One field of a policy: what it says, what it will say, and which way that goes."""

    name: str
    before: str
    after: str
    way: str

    @property
    def label(self) -> str:
        return LABELS[self.name]

    def __str__(self) -> str:
        return f"{self.name}: {self.before} → {self.after}"


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Difference]:
    """`before` and `after`: {field: value} with the same fields."""
    return [
        Difference(name, text(name, before[name]), text(name, after[name]), _way(name, before, after))
        for name in FIELDS
        if name in after and before[name] != after[name]
    ]


def _way(name: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    old, new = before[name], after[name]
    if name == "mode":
        return _named([STRICTNESS[Policy.Mode(new)] - STRICTNESS[Policy.Mode(old)]])
    if name in ("review_over", "two_approvers_over"):
        return _named(new.get(key, _NO_LIMIT) - old.get(key, _NO_LIMIT) for key in {*old, *new})
    if name == "auto_under":
        return _named(new.get(key, 0) - old.get(key, 0) for key in {*old, *new})
    if name == "caps":
        was, is_now = (
            {(cap.scope, cap.currency): cap.limit for cap in Terms(caps=one).all_caps()} for one in (old, new)
        )
        return _named(is_now.get(key, _NO_LIMIT) - was.get(key, _NO_LIMIT) for key in {*was, *is_now})
    if name == "destinations":
        return _of_sets(old, new)
    if name in ("cool_down_hours", "undo_seconds"):
        return _named([old - new])
    if name == "expires_hours":
        default = settings.SUGGESTION_EXPIRES_DAYS * 24
        return _named([(new or default) - (old or default)])
    if name == "hours":
        return _of_sets(_minutes(old), _minutes(new)) if before["timezone"] == after["timezone"] else OTHER
    return OTHER


def _of_sets(old: Iterable[Any], new: Iterable[Any]) -> str:
    """What is allowed; nothing named allows all."""
    was, is_now = set(old), set(new)
    fewer = bool(is_now) and (not was or bool(was - is_now))
    more = bool(was) and (not is_now or bool(is_now - was))
    return _named([-1] * fewer + [1] * more)


def _minutes(hours: Mapping[str, Any]) -> set[tuple[int, int]]:
    if not hours:
        return set()
    start, end = (int(clock[:2]) * 60 + int(clock[3:]) for clock in (hours["from"], hours["to"]))
    return {(DAYS.index(day), minute) for day in hours["days"] for minute in range(start, end)}


def _named(steps: Iterable[int]) -> str:
    """Steps down make it stricter, steps up looser."""
    found = list(steps)
    down, up = any(step < 0 for step in found), any(step > 0 for step in found)
    return BOTH if down and up else STRICTER if down else LOOSER if up else OTHER
