"""The `sellers` and `rules` sections of the config file (docs/finance.md describes them for the people who write it).

What the format allows but nothing acts on yet is refused by name, never ignored: a reserve that is written down and not
kept back would be money paid out against the agreement.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date
from decimal import Decimal
from typing import Any

from django.db.models import Max
from django.utils import timezone

from billingops import jobs
from billingops.actors import Actor, save_with_history
from billingops.config import Change, Fields, Section, Value
from settlements.models import Seller, ShareRule

SELLER_KEYS = (
    "account",
    "name",
    "schedule",
    "hold_days",
    "minimum_payout",
    "reserve_percent",
    "reserve_days",
    "tax_withholding_percent",
)
RULE_KEYS = ("name", "seller", "match", "share", "valid_from")
SCHEDULES = ("per_invoice", "daily", "weekly", "monthly")
SHARE_KEYS = {
    "percent": ("type", "seller"),
    "flat_per_unit": ("type", "fee", "currency"),
    "flat": ("type", "fee", "currency"),
    "tiered": ("type", "period", "tiers", "currency"),
}
PERIODS = ("month", "quarter", "year")
NOT_YET = "is not supported yet"


@dataclass(frozen=True)
class SellerPlan:
    account: str
    name: str
    schedule: str
    minimum_payout: dict[str, int]


@dataclass(frozen=True)
class RulePlan:
    name: str
    seller: str  # "" = of all sellers
    match_type: str
    match_value: str
    share_type: str
    percent: Decimal | None
    fee: int | None
    currency: str
    valid_from: date

    @property
    def scope(self) -> tuple[str, str, date]:
        """Two rules of one scope would leave it to chance which one counts."""
        return self.match_type, self.match_value or self.seller, self.valid_from


# -- sellers -----------------------------------------------------------------------------------------------------------


def read_sellers(values: list[Value], plans: Mapping[str, Any]) -> list[SellerPlan]:
    found: list[SellerPlan] = []
    for value in values:
        fields = value.fields(*SELLER_KEYS)
        if fields is None:
            continue
        account = fields.require("account", _account)
        name = fields.require("name", _name)
        schedule = fields.read("schedule", lambda member: member.choice(SCHEDULES), "per_invoice")
        _only(fields, "schedule", schedule, "per_invoice", "per_invoice")
        for key in ("hold_days", "reserve_days"):
            _only(fields, key, fields.read(key, Value.whole, 0), 0, "0")
        for key in ("reserve_percent", "tax_withholding_percent"):
            _only(fields, key, fields.read(key, Value.percent, Decimal(0)), Decimal(0), '"0"')
        minimum: dict[str, int] = fields.read("minimum_payout", Value.amounts, {})
        if account is None or name is None:
            continue
        if any(plan.account == account for plan in found):
            value.refuse(f"the seller {account} is listed twice; keep one.")
            continue
        found.append(SellerPlan(account, name, schedule, minimum))
    return found


def _only(fields: Fields, key: str, value: object, default: object, shown: str) -> None:
    if value != default:
        fields.members[key].refuse(f"{NOT_YET}; allowed for now: {shown}.")


def _account(value: Value) -> str | None:
    text = value.text()
    if text is not None and not (text.startswith("acct_") and text.isascii() and len(text) <= 64):
        value.refuse(f"must be the id of a connected account (acct_…), not {text!r}.")
        return None
    return text


def _name(value: Value) -> str | None:
    text = value.text()
    if text is not None and len(text) > 80:
        value.refuse(f"is {len(text)} characters long; 80 are allowed.")
        return None
    return text


def apply_sellers(plan: list[SellerPlan] | None, *, actor: Actor, prune: bool) -> list[Change]:
    if plan is None:
        return []
    rows = {row.account: row for row in Seller.objects.select_for_update()}
    changes = []
    for wanted in plan:
        row = rows.pop(wanted.account, None)
        content = {
            "name": wanted.name,
            "schedule": wanted.schedule,
            "minimum_payout": wanted.minimum_payout,
            "active": True,
        }
        if row is None:
            row = Seller(account=wanted.account, **content)
            save_with_history(row, actor=actor, reason="config file")
            changes.append(Change("+", f"seller {row}"))
            continue
        lines = [f"{key}: {getattr(row, key)} → {new}" for key, new in content.items() if getattr(row, key) != new]
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
    _look_again(changes)
    return changes


# -- rules -------------------------------------------------------------------------------------------------------------


def read_rules(values: list[Value], plans: Mapping[str, Any]) -> list[RulePlan]:
    known = {plan.account for plan in plans.get("sellers", [])}
    known |= set(Seller.objects.filter(active=True).values_list("account", flat=True))
    found: list[RulePlan] = []
    for value in values:
        plan = _rule(value, known)
        if plan is None:
            continue
        if any(other.name == plan.name for other in found):
            value.refuse(f"a second rule named {plan.name!r}; a name stands for one rule.")
        elif rival := next((other for other in found if other.scope == plan.scope), None):
            value.refuse(
                f"covers the same as rule {rival.name!r} from the same day, so neither is more specific; "
                "change `match` or `valid_from`, or keep one."
            )
        found.append(plan)
    if values and not values[0].problems:
        _check_against_kept(values, found)
    return found


def _check_against_kept(values: list[Value], found: list[RulePlan]) -> None:
    """Rules that the file does not name stay in force, so they may clash as well."""
    names = {plan.name for plan in found}
    for row in _current():
        if row.name in names or row.valid_until is not None:
            continue
        for value, plan in zip(values, found, strict=True):
            if _scope(row) == plan.scope:
                value.refuse(
                    f"covers the same as rule {row.name!r} v{row.version}, which is in force and not in this file."
                )


def _rule(value: Value, known: set[str]) -> RulePlan | None:
    fields = value.fields(*RULE_KEYS)
    if fields is None:
        return None
    name = fields.require("name", _name)
    seller = fields.read("seller", lambda member: _known_seller(member, known), "")
    match_type, match_value = fields.read("match", _match, (ShareRule.Match.NONE.value, ""))
    valid_from = fields.require("valid_from", Value.day)
    share = fields.require("share", _share)
    if name is None or share is None or valid_from is None:
        return None
    share_type, percent, fee, currency = share
    return RulePlan(name, seller, match_type, match_value, share_type, percent, fee, currency, valid_from)


def _known_seller(value: Value, known: set[str]) -> str | None:
    account = _account(value)
    if account is not None and account not in known:
        value.refuse(
            f"{account} is no seller of this file or the database; known: {', '.join(sorted(known)) or 'none'}."
        )
        return None
    return account


def _match(value: Value) -> tuple[str, str] | None:
    if value.type == "str" and value.node.value == "none":
        return None
    fields = value.fields("price", "product")
    if fields is None or not fields.members:
        return None
    if len(fields.members) > 1:
        value.refuse("names a price and a product; a price belongs to one product, so name one of them.")
        return None
    ((kind, member),) = fields.members.items()
    text = member.text()
    if text is not None and len(text) > 255:
        member.refuse("is longer than 255 characters.")
        return None
    return (kind, text) if text is not None else None


def _share(value: Value) -> tuple[str, Decimal | None, int | None, str] | None:
    everything = tuple(dict.fromkeys(key for keys in SHARE_KEYS.values() for key in keys))
    fields = value.fields(*everything)
    kind = fields.require("type", lambda member: member.choice(tuple(SHARE_KEYS))) if fields else None
    if fields is None or kind is None:
        return None
    for key, member in fields.members.items():
        if key not in SHARE_KEYS[kind]:
            member.refuse(f"unknown key {key!r}; a share of type {kind} has {', '.join(SHARE_KEYS[kind])}.")
    if kind == "percent":
        percent = fields.require("seller", Value.percent)
        return None if percent is None else (kind, percent, None, "")
    if kind == "tiered":
        _tiers(fields)
        fields.members["type"].refuse(f"tiered {NOT_YET}; allowed for now: percent, flat_per_unit, flat.")
        return None
    fee = fields.require("fee", Value.whole)
    currency = fields.require("currency", Value.currency)
    return None if fee is None or currency is None else (kind, None, fee, currency)


def _tiers(fields: Fields) -> None:
    """The form of a tiered share is checked even though it cannot be used yet: all mistakes are named at once."""
    fields.require("period", lambda member: member.choice(PERIODS))
    fields.require("currency", Value.currency)
    tiers = fields.need("tiers")
    items = tiers.items() if tiers else []
    last = 0
    for index, item in enumerate(items):
        tier = item.fields("up_to", "seller")
        if tier is None:
            continue
        tier.require("seller", Value.percent)
        bound = tier.get("up_to")
        if bound is None:
            if index + 1 < len(items):
                item.refuse("only the last tier goes without `up_to`.")
        elif (limit := bound.whole(minimum=1)) is not None:
            if limit <= last:
                bound.refuse(f"must be more than the tier before it ({last}).")
            last = limit


def _current() -> list[ShareRule]:
    """The latest version of every rule. One statement."""
    latest = ShareRule.objects.values("name").annotate(latest=Max("version")).values_list("name", "latest")
    wanted = dict(latest)
    rows = ShareRule.objects.select_related("seller").order_by("name", "-version")
    return [row for row in rows if wanted[row.name] == row.version]


def _scope(row: ShareRule) -> tuple[str, str, date]:
    return row.match_type, row.match_value or (row.seller.account if row.seller else ""), row.valid_from


def apply_rules(plan: list[RulePlan] | None, *, actor: Actor, prune: bool) -> list[Change]:
    """A changed rule is a new version; a rule that has ended and is back in the file is one as well."""
    if plan is None:
        return []
    rows = {row.name: row for row in _current()}
    sellers = {seller.account: seller for seller in Seller.objects.all()}
    changes = []
    for wanted in plan:
        row = rows.pop(wanted.name, None)
        content = {
            "seller": sellers.get(wanted.seller),
            "match_type": wanted.match_type,
            "match_value": wanted.match_value,
            "share_type": wanted.share_type,
            "seller_percent": wanted.percent,
            "fee": wanted.fee,
            "currency": wanted.currency,
            "valid_from": wanted.valid_from,
            "valid_until": None,
        }
        lines = (
            [
                f"{key}: {_shown(getattr(row, key))} → {_shown(new)}"
                for key, new in content.items()
                if getattr(row, key) != new
            ]
            if row is not None
            else []
        )
        if row is not None and not lines:
            continue
        fresh = ShareRule(name=wanted.name, version=row.version + 1 if row else 1, **content)
        save_with_history(fresh, actor=actor, reason="config file")
        what = f"rule {fresh}: {fresh.share_text}, {wanted.seller or 'any seller'}, {fresh.match_text}"
        changes.append(Change("~" if row else "+", what, tuple(lines)))
    for row in rows.values():
        if row.valid_until is not None:
            continue
        if prune:
            _end(row.name, actor)
        why = "not in the file; ended today" if prune else "not in the file; kept (--prune ends it)"
        changes.append(Change("-", f"rule {row}", (why,), applied=prune))
    _look_again(changes)
    return changes


def _shown(value: object) -> object:
    if isinstance(value, Seller):
        return value.account
    if isinstance(value, Decimal):
        return f"{value.normalize():f}"
    return "none" if value is None or value == "" else value


def _end(name: str, actor: Actor) -> None:
    """All versions end: an older one must not come back when the newest has gone."""
    today = timezone.now().astimezone(UTC).date()
    for row in ShareRule.objects.select_for_update().filter(name=name, valid_until=None):
        row.valid_until = today
        save_with_history(row, actor=actor, reason="no longer in the config file", update_fields=["valid_until"])


def _look_again(changes: list[Change]) -> None:
    if any(change.applied for change in changes):
        jobs.enqueue("settlements.tasks.look_again_after_import")


SECTIONS = (
    Section(name="sellers", read=read_sellers, apply=apply_sellers, order=10),
    Section(name="rules", read=read_rules, apply=apply_rules, order=20),
)
