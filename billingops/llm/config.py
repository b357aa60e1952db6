"""The `agents` section of the config file: what each agent may use in a day, and whether it asks at all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from billingops.actors import Actor, save_with_history
from billingops.config import Change, Section, Value
from billingops.journal import Note, note
from billingops.llm import prices, registry
from billingops.llm.models import AgentSetting

KEYS = ("name", "model", "daily_tokens", "daily_cost", "customer_text")
_FIELDS = ("enabled", "daily_tokens", "daily_cost", "customer_text")
_SWITCH = ("on", "off")


@dataclass(frozen=True)
class AgentPlan:
    name: str
    enabled: bool
    daily_tokens: int | None
    daily_cost: int | None
    customer_text: bool


def read(values: list[Value], plans: Mapping[str, Any]) -> list[AgentPlan]:
    found: list[AgentPlan] = []
    for value in values:
        fields = value.fields(*KEYS)
        if fields is None:
            continue
        name = fields.require("name", lambda member: member.choice([agent.name for agent in registry.agents()]))
        enabled = fields.read("model", lambda member: member.choice(_SWITCH), "on") == "on"
        tokens: int | None = fields.read("daily_tokens", Value.whole, None)
        cost: int | None = fields.read("daily_cost", _cost, None)
        text = fields.read("customer_text", lambda member: member.choice(_SWITCH), "off") == "on"
        if name is None:
            continue
        if any(plan.name == name for plan in found):
            value.refuse(f"a second entry for the agent {name}; there may be one.")
            continue
        found.append(AgentPlan(name, enabled, tokens, cost, text))
    return found


def _cost(value: Value) -> int | None:
    """Minor units of the one currency that models are priced in."""
    amounts = value.amounts()
    currency = prices.table()["currency"]
    if amounts is None:
        return None
    if set(amounts) != {currency}:
        value.refuse(f"must name an amount in {currency}, the currency of the price table, and no other.")
        return None
    return amounts[currency]


def apply(plan: list[AgentPlan] | None, *, actor: Actor, prune: bool) -> list[Change]:
    if plan is None:
        return []
    rows = {row.agent: row for row in AgentSetting.objects.select_for_update()}
    changes = []
    for wanted in plan:
        row = rows.pop(wanted.name, None)
        fresh = row is None
        if row is None:
            row = AgentSetting(agent=wanted.name)
        lines = [
            f"{name}: {_text(getattr(row, name))} → {_text(getattr(wanted, name))}"
            for name in _FIELDS
            if getattr(row, name) != getattr(wanted, name)
        ]
        if not (lines or fresh):
            continue
        for name in _FIELDS:
            setattr(row, name, getattr(wanted, name))
        save_with_history(row, actor=actor, reason="config file")
        changes.append(Change("+" if fresh else "~", f"agent {wanted.name}", tuple(lines)))
        note(Note("setting.agent", f"agent:{wanted.name}", actor, {name: getattr(wanted, name) for name in _FIELDS}))
    for name, row in sorted(rows.items()):
        if not prune:
            left = "not in the file; kept (--prune removes it)"
            changes.append(Change("-", f"agent {name}", (left,), applied=False))
            continue
        row._history_user, row._change_reason = actor.user, f"config file · {actor.name}"  # type: ignore[attr-defined]
        row.delete()
        note(Note("setting.agent", f"agent:{name}", actor, {"removed": True}))
        changes.append(Change("-", f"agent {name}", ("not in the file; the defaults hold again",)))
    return changes


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "on" if value else "off"
    return "the default" if value is None else str(value)


SECTION = Section(name="agents", read=read, apply=apply, order=40)
