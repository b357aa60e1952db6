"""The `sellers` section of the config file: who is paid out, on which terms (docs/finance.md describes it)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any

from billingops import jobs
from billingops.actors import Actor, save_with_history
from billingops.config import Change, Fields, Value
from settlements.models import Seller

SELLER_KEYS = (
    "account",
    "name",
    "schedule",
    "hold_days",
    "minimum_payout",
    "reserve_percent",
    "reserve_days",
    "tax_withholding_percent",
    "stripe_fees",
    "recovery",
    "negative_limit",
)
MAX_DAYS = 365


@dataclass(frozen=True)
class SellerPlan:
    """The fields are named as the columns are."""

    account: str
    name: str
    schedule: str
    hold_days: int
    minimum_payout: dict[str, int]
    reserve_percent: Decimal
    reserve_days: int
    tax_withholding_percent: Decimal
    stripe_fees: str
    recovery: str
    negative_limit: dict[str, int]


def read_sellers(values: list[Value], plans: Mapping[str, Any]) -> list[SellerPlan]:
    found: list[SellerPlan] = []
    for value in values:
        fields = value.fields(*SELLER_KEYS)
        if fields is None:
            continue
        plan = _seller(fields)
        if plan is None:
            continue
        if any(other.account == plan.account for other in found):
            value.refuse(f"the seller {plan.account} is listed twice; keep one.")
            continue
        found.append(plan)
    return found


def _seller(fields: Fields) -> SellerPlan | None:
    account = fields.require("account", read_account)
    name = fields.require("name", read_name)
    nothing: dict[str, int] = {}
    schedule = fields.read("schedule", _one_of(Seller.Schedule.values), str(Seller.Schedule.PER_INVOICE))
    hold_days = fields.read("hold_days", _days, 0)
    minimum = fields.read("minimum_payout", Value.amounts, nothing)
    reserve = fields.read("reserve_percent", Value.percent, Decimal(0))
    reserve_days = fields.read("reserve_days", _days, 0)
    tax = fields.read("tax_withholding_percent", Value.percent, Decimal(0))
    fees_by = fields.read("stripe_fees", _one_of(Seller.FeesBy.values), str(Seller.FeesBy.PLATFORM))
    recovery = fields.read("recovery", _one_of(Seller.Recovery.values), str(Seller.Recovery.REVERSAL))
    limit = fields.read("negative_limit", Value.amounts, nothing)
    if reserve and not reserve_days:
        _refuse(fields, "reserve_percent", "keeps a reserve back for no time; say for how long with `reserve_days`.")
    if reserve_days and not reserve:
        _refuse(fields, "reserve_days", "keeps nothing back; say how much with `reserve_percent`, or leave it out.")
    if reserve + tax > 100:
        text = f"and `tax_withholding_percent` come to {reserve + tax} of the share; together at most 100."
        _refuse(fields, "reserve_percent", text)
    if account is None or name is None:
        return None
    return SellerPlan(account, name, schedule, hold_days, minimum, reserve, reserve_days, tax, fees_by, recovery, limit)


def _one_of(options: list[str]) -> Callable[[Value], str | None]:
    return lambda member: member.choice(options)


def _refuse(fields: Fields, key: str, message: str) -> None:
    """A message about two keys; a key whose own value was refused already needs no second one."""
    if (member := fields.get(key)) is not None:
        member.refuse(message)


def _days(value: Value) -> int | None:
    return value.whole(maximum=MAX_DAYS)


def read_account(value: Value) -> str | None:
    text = value.text()
    if text is not None and not (text.startswith("acct_") and text.isascii() and len(text) <= 64):
        value.refuse(f"must be the id of a connected account (acct_…), not {text!r}.")
        return None
    return text


def read_name(value: Value) -> str | None:
    text = value.text()
    if text is not None and len(text) > 80:
        value.refuse(f"is {len(text)} characters long; 80 are allowed.")
        return None
    return text


def apply_sellers(plan: list[SellerPlan] | None, *, actor: Actor, prune: bool) -> list[Change]:
    """What a seller's terms change to holds for payments from then on; each earning keeps those of its day."""
    if plan is None:
        return []
    rows = {row.account: row for row in Seller.objects.select_for_update()}
    changes = []
    for wanted in plan:
        row = rows.pop(wanted.account, None)
        content: dict[str, Any] = {**asdict(wanted), "active": True}
        if row is None:
            row = Seller(**content)
            save_with_history(row, actor=actor, reason="config file")
            changes.append(Change("+", f"seller {row}"))
            continue
        lines = [
            f"{key}: {shown(getattr(row, key))} → {shown(new)}"
            for key, new in content.items()
            if getattr(row, key) != new
        ]
        if lines:
            for key, new in content.items():
                setattr(row, key, new)
            save_with_history(row, actor=actor, reason="config file")
            changes.append(Change("~", f"seller {row}", tuple(lines)))
    for row in rows.values():
        if not row.active:
            continue
        if prune:
            row.active = False
            save_with_history(row, actor=actor, reason="no longer in the config file")
        why = "not in the file; switched off" if prune else "not in the file; kept (--prune switches it off)"
        changes.append(Change("-", f"seller {row}", (why,), applied=prune))
    look_again(changes)
    return changes


def shown(value: object) -> object:
    """A value as the printed difference writes it."""
    if isinstance(value, Seller):
        return value.account
    if isinstance(value, Decimal):
        return f"{value.normalize():f}"
    return "none" if value is None or value in ("", []) else value


def look_again(changes: list[Change]) -> None:
    if any(change.applied for change in changes):
        jobs.enqueue("settlements.tasks.look_again_after_import")
