"""The `risk` section of the config file: the bars, the weights, what counts as high risk. One entry, every key
optional; docs/risk.md describes it for the people who write it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from billingops import jobs
from billingops.actors import Actor
from billingops.config import Change, Section, Value
from billingops.journal import Note, note
from settlements.risk import score, terms
from settlements.risk.models import RiskTerms
from settlements.risk.score import Terms

KEYS = (
    "bar", "hold_bar", "hold_days", "weights", "high_risk_countries", "high_risk_mccs", "high_risk_business_types",
)  # fmt: skip
# Stripe's kinds of business that may be listed. A private person is no risk for being one.
BUSINESS_TYPES = ("company", "government_entity", "non_profit")
MAX_LISTED = 300


def read(values: list[Value], plans: Mapping[str, Any]) -> Terms | None:
    for extra in values[1:]:
        extra.refuse("a second entry; the section has one. Move its keys into the first.")
    fields = values[0].fields(*KEYS) if values else None
    if fields is None:
        return None
    default = terms.DEFAULTS
    found = Terms(
        bar=fields.read("bar", _bar, default.bar),
        hold_bar=fields.read("hold_bar", _bar, default.hold_bar),
        hold_days=fields.read("hold_days", lambda value: value.whole(maximum=365), default.hold_days),
        weights=fields.read("weights", _weights, {}),
        high_risk_countries=fields.read("high_risk_countries", _countries, default.high_risk_countries),
        high_risk_mccs=fields.read("high_risk_mccs", _mccs, default.high_risk_mccs),
        high_risk_business_types=fields.read("high_risk_business_types", _types, default.high_risk_business_types),
    )
    if found.hold_bar is not None and found.hold_bar < found.bar:
        fields.members["hold_bar"].refuse(
            f"is {found.hold_bar}, below the bar of {found.bar}: payouts would be held before a verification is "
            "suggested. Raise hold_bar, or lower bar."
        )
    return found


def _bar(value: Value) -> int | None:
    return value.whole(minimum=1, maximum=score.HIGHEST)


def _weights(value: Value) -> dict[str, int] | None:
    fields = value.fields(*score.CODES)
    if fields is None:
        return None
    found = {code: fields.read(code, lambda member: member.whole(maximum=score.HIGHEST), None) for code in score.CODES}
    return {code: weight for code, weight in found.items() if weight is not None}


def _listed(value: Value, form: Callable[[Value], str | None]) -> frozenset[str] | None:
    items = value.items()
    if len(items) > MAX_LISTED:
        value.refuse(f"lists {len(items)}; {MAX_LISTED} are allowed.")
        return None
    return frozenset(text for item in items if (text := form(item)) is not None)


def _matching(pattern: str, what: str) -> Callable[[Value], str | None]:
    def form(value: Value) -> str | None:
        text = value.text()
        if text is not None and not re.fullmatch(pattern, text):
            value.refuse(f"must be {what}, not {text!r}.")
            return None
        return text

    return form


def _countries(value: Value) -> frozenset[str] | None:
    return _listed(value, _matching("[A-Z]{2}", 'a country of two capital letters, in quotes: "DE"'))


def _mccs(value: Value) -> frozenset[str] | None:
    return _listed(value, _matching("[0-9]{4}", 'a merchant category code of four digits, in quotes: "7995"'))


def _type(value: Value) -> str | None:
    text = value.text()
    if text == "individual":
        value.refuse(f"cannot be listed: a private person is no risk for being one. Allowed: {_types_text()}.")
        return None
    return value.choice(BUSINESS_TYPES) if text is not None else None


def _types(value: Value) -> frozenset[str] | None:
    return _listed(value, _type)


def _types_text() -> str:
    return ", ".join(BUSINESS_TYPES)


def apply(plan: Terms | None, *, actor: Actor, prune: bool) -> list[Change]:
    """A section that is absent leaves the terms in force: switching holds off is written down, not left out."""
    if plan is None:
        return []
    row = RiskTerms.objects.select_for_update().first()
    before, after = terms.content(terms.of(row)), terms.content(plan)
    if row is not None and before == after:
        return []
    lines = tuple(f"{key}: {_said(before[key])} → {_said(after[key])}" for key in after if before[key] != after[key])
    made = RiskTerms.objects.create(content=after, imported_by=actor.name[:160])
    note(Note("setting.risk", f"risk_terms:{made.pk}", actor, after))
    jobs.enqueue("settlements.risk.tasks.look_at_all")
    return [Change("+" if row is None else "~", "risk terms", lines)]


def _said(value: Any) -> str:
    if value is None:
        return "never"
    return ", ".join(str(item) for item in value) or "none" if isinstance(value, list) else str(value)


SECTION = Section(name="risk", read=read, apply=apply, order=60)
