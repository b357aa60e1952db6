"""The `policies` section of the config file: what the gate asks for, per kind and account (docs/finance.md).

The file says all of a policy: what it leaves out is the default again, whatever was set in the admin meanwhile.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import yaml

from approvals import registry
from approvals.models import Policy
from approvals.models.policy import default_bar
from approvals.policies import changing, locks
from approvals.policies.terms import DAYS, SCOPES
from billingops.actors import Actor
from billingops.config import CURRENCIES, Change, Section, Value

KEYS = ("kind", "account", *changing.FIELDS)
MAX_HOURS = 24 * 365
MAX_UNDO = 24 * 3600
MAX_BOUNDS = 20
MAX_SHARE = 50
_CLOCK = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]")


@dataclass(frozen=True)
class PolicyPlan:
    """One policy as the file has it; `values` names every field of changing.FIELDS."""

    kind: str
    account: str
    values: dict[str, Any]

    @property
    def name(self) -> str:
        return f"policy {self.kind} · {self.account or 'all accounts'}"


def read(values: list[Value], plans: Mapping[str, Any]) -> list[PolicyPlan]:
    found: list[PolicyPlan] = []
    for value in values:
        fields = value.fields(*KEYS)
        if fields is None:
            continue
        kind = fields.require("kind", lambda member: member.choice([*registry.names(), "*"]))
        mode = fields.require("mode", lambda member: member.choice(Policy.Mode.values))
        account = fields.read("account", _account, "")
        given = {name: fields.read(name, reader, changing.DEFAULTS[name]) for name, reader in _READERS.items()}
        if account and "day" in given["caps"]:
            fields.members["caps"].refuse("a policy of one account counts by account: write account_day, not day.")
        if kind is None or mode is None:
            continue
        if any((plan.kind, plan.account) == (kind, account) for plan in found):
            value.refuse(f"a second policy for {kind} · {account or 'all accounts'}; there may be one.")
            continue
        found.append(PolicyPlan(kind, account, {"mode": mode, **given}))
    return found


def _account(value: Value) -> str | None:
    text = value.text()
    if text is not None and not (text.startswith("acct_") and len(text) <= 64):
        value.refuse(f"must be a connected account (acct_…) or null for all accounts, not {text!r}.")
        return None
    return text


def _caps(value: Value) -> dict[str, Any] | None:
    fields = value.fields(*SCOPES)
    if fields is None:
        return None
    found: dict[str, Any] = {}
    for scope in SCOPES:
        member = fields.get(scope)
        limits = member.fields(*(("sum",) if scope == "action" else ("count", "sum"))) if member else None
        if member is None or limits is None:
            continue
        read: dict[str, Any] = {}
        if (count := limits.read("count", _count, None)) is not None:
            read["count"] = count
        nothing: dict[str, int] = {}
        if sums := limits.read("sum", Value.amounts, nothing):
            read["sum"] = sums
        if not read and not member.node.value:
            member.refuse(
                "names no limit; leave it out, or give it a sum" + ("." if scope == "action" else " or a count.")
            )
        found[scope] = read
    return found


def _count(value: Value) -> int | None:
    return value.whole(maximum=10**6)


def _destinations(value: Value) -> list[str] | None:
    found: list[str] = []
    for item in value.items():
        account = _account(item)
        if account in found:
            item.refuse(f"{account} is named twice.")
        elif account is not None:
            found.append(account)
    return sorted(found)


def _zone(value: Value) -> str | None:
    name = value.text()
    if name is None:
        return None
    try:
        ZoneInfo(name)
    except (ValueError, OSError, LookupError):
        value.refuse(f"unknown time zone {name!r}; write it as Europe/Vienna or UTC.")
        return None
    return name


def _hours(value: Value) -> dict[str, Any] | None:
    fields = value.fields("days", "from", "to")
    if fields is None:
        return None
    days = fields.require("days", _days)
    opens = fields.require("from", _clock)
    closes = fields.require("to", lambda member: _clock(member, "24:00"))
    if days is None or opens is None or closes is None:
        return None
    if opens >= closes:
        value.refuse(f"must end after it begins on the same day, not {opens} to {closes}.")
    return {"days": days, "from": opens, "to": closes}


def _days(value: Value) -> list[str] | None:
    found = [day for item in value.items() if (day := item.choice(DAYS))]
    if not found and not value.node.value:
        value.refuse(f"must name at least one of {', '.join(DAYS)}.")
    return [day for day in DAYS if day in found]


def _clock(value: Value, *also: str) -> str | None:
    # By its letters: YAML takes 17:00 for the number 1020.
    text = value.node.value if isinstance(value.node, yaml.ScalarNode) else ""
    if not (_CLOCK.fullmatch(text) or text in also):
        value.refuse(f"must be a time of the day written HH:MM, for example 09:00, not {text!r}.")
        return None
    return str(text)


def _bar(value: Value) -> dict[str, Any] | None:
    fields = value.fields("lower_bound", "verdicts", "days")
    if fields is None:
        return None
    bar = default_bar()
    return {
        "lower_bound": fields.read("lower_bound", _bound, bar["lower_bound"]),
        "verdicts": fields.read("verdicts", lambda member: member.whole(minimum=1, maximum=10**6), bar["verdicts"]),
        "days": fields.read("days", lambda member: member.whole(maximum=3650), bar["days"]),
    }


def _bound(value: Value) -> str | None:
    text = value.node.value if isinstance(value.node, yaml.ScalarNode) else ""
    if value.type == "float":
        value.refuse(f'must be written as text, "{text}" in quotes: a float is not exact.')
        return None
    if not re.fullmatch(r"0\.[0-9]{1,6}", text) or Decimal(text) < Decimal("0.5"):
        value.refuse(f'must be a share from "0.5" to below "1", written as text, for example "0.99", not {text!r}.')
        return None
    return str(text)


def _bands(value: Value) -> dict[str, list[int]] | None:
    if not isinstance(value.node, yaml.MappingNode):
        value.refuse(
            "must be a mapping of currency to ascending bounds in minor units, for example {usd: [5000, 50000]}."
        )
        return None
    fields = value.fields(*sorted(CURRENCIES))
    return {name: bounds for name, member in fields.members.items() if (bounds := _bounds(member))} if fields else None


def _bounds(value: Value) -> list[int] | None:
    bounds = [number for item in value.items() if (number := item.whole(minimum=1)) is not None]
    if bounds != sorted(set(bounds)) or len(bounds) > MAX_BOUNDS:
        value.refuse(f"must be at most {MAX_BOUNDS} bounds, each higher than the one before it.")
        return None
    return bounds


def _share(value: Value) -> Decimal | None:
    percent = value.percent()
    if percent is not None and (percent > MAX_SHARE or percent != round(percent, 2)):
        value.refuse(f"must lie between 0 and {MAX_SHARE}, with at most two decimals, not {percent}.")
        return None
    return percent


_READERS: dict[str, Callable[[Value], Any]] = {
    "review_over": Value.amounts,
    "two_approvers_over": Value.amounts,
    "auto_under": Value.amounts,
    "caps": _caps,
    "destinations": _destinations,
    "cool_down_hours": lambda value: value.whole(maximum=MAX_HOURS),
    "expires_hours": lambda value: value.whole(minimum=1, maximum=MAX_HOURS),
    "timezone": _zone,
    "hours": _hours,
    "undo_seconds": lambda value: value.whole(maximum=MAX_UNDO),
    "automation_bar": _bar,
    "bands": _bands,
    "blind_percent": _share,
    "seed_percent": _share,
}


def apply(plan: list[PolicyPlan] | None, *, actor: Actor, prune: bool) -> list[Change]:
    """A changed policy gets the next version: what was decided under the old one says so in its own record."""
    if plan is None:
        return []
    rows = {(row.kind, row.account): row for row in Policy.objects.select_for_update()}
    changes = []
    for wanted in plan:
        row = rows.pop((wanted.kind, wanted.account), None)
        fresh = row is None
        row = row or Policy(kind=wanted.kind, account=wanted.account)
        moved = [] if fresh else changing.moved(row, wanted.values)
        lines = [f"{name}: {getattr(row, name)} → {wanted.values[name]}" for name in moved]
        if not (lines or fresh):
            continue
        changing.store(row, wanted.values, actor=actor, reason="config file")
        changes.append(Change("+" if fresh else "~", f"{wanted.name} v{row.version}: {row.mode}", tuple(lines)))
    for row in rows.values():
        what = f"{row.name} v{row.version}"
        if not prune:
            changes.append(Change("-", what, ("not in the file; kept (--prune removes it)",), applied=False))
            continue
        changing.remove(row, actor=actor, reason="config file")
        changes.append(Change("-", what, ("not in the file; removed",)))
    return changes


SECTION = Section(name="policies", read=read, apply=apply, order=30, before=locks.change)
