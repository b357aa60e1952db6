"""The `rules` section of the config file: how invoices are shared out (docs/finance.md, "Rules", describes it).

What would be written down and then not be done is refused by name, never ignored: a limit or a split that no invoice
meets is money paid out against the agreement.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date
from typing import Any

from django.db.models import Max, Q
from django.utils import timezone

from billingops.actors import Actor, save_with_history
from billingops.config import Change, Fields, Value
from settlements.models import Seller, ShareRule
from settlements.rule_plans import Match, RulePlan, Scope, Share
from settlements.ruleset import FLAT, FLAT_PER_UNIT, MARGINAL, NONE, PERCENT, TIERED, Tier
from settlements.seller_config import look_again, read_account, read_name, shown

RULE_KEYS = ("name", "seller", "match", "share", "split", "promotion", "valid_from", "valid_until")
LIMITS = ("minimum_fee", "maximum_fee", "currency")
SHARE_KEYS = {
    PERCENT: ("type", "seller", *LIMITS),
    FLAT_PER_UNIT: ("type", "fee", *LIMITS),
    FLAT: ("type", "fee", "currency"),
    TIERED: ("type", "period", "mode", "tiers", "currency"),
}
PERIODS = ("month", "quarter", "year")
MAX_TIERS = 20
MAX_SPLIT = 20
MAX_WEIGHT = 1_000_000


# -- reading -----------------------------------------------------------------------------------------------------------


def read_rules(values: list[Value], plans: Mapping[str, Any]) -> list[RulePlan]:
    known = {plan.account for plan in plans.get("sellers", [])}
    known |= set(Seller.objects.filter(active=True).values_list("account", flat=True))
    found: list[RulePlan] = []
    read: list[Value] = []
    for value in values:
        plan = read_rule(value, known)
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
        read.append(value)
    if values and not values[0].problems:
        _check_against_kept(read, found)
    return found


def _check_against_kept(values: list[Value], found: list[RulePlan]) -> None:
    """Rules that the file does not name stay in force, so they may clash as well."""
    names, today = {plan.name for plan in found}, _today()
    for row in _current():
        if row.name in names or _has_ended(row, today):
            continue
        for value, plan in zip(values, found, strict=True):
            if _scope(row) == plan.scope:
                value.refuse(
                    f"covers the same as rule {row.name!r} v{row.version}, which is in force and not in this file."
                )


def read_rule(value: Value, known: set[str]) -> RulePlan | None:
    """One rule; `known`: the accounts it may name. None when it cannot be read at all; mistakes are in the value."""
    fields = value.fields(*RULE_KEYS)
    if fields is None:
        return None
    name = fields.require("name", read_name)
    seller = fields.read("seller", lambda member: _known_seller(member, known), "")
    match = fields.read("match", _match, Match())
    share = fields.require("share", _share)
    nobody: tuple[tuple[str, int], ...] = ()
    split = fields.read("split", lambda member: _split(member, known), nobody)
    promotion = fields.read("promotion", _yes_or_no, False)
    valid_from = fields.require("valid_from", Value.day)
    valid_until = fields.read("valid_until", Value.day, None)
    if valid_from and valid_until and valid_until <= valid_from:
        fields.members["valid_until"].refuse(
            f"must be later than valid_from ({valid_from}): it is the first day on which the rule no longer holds."
        )
    if promotion and fields.get("valid_until") is None:
        fields.members["promotion"].refuse("a promotion ends: say when with `valid_until`.")
    if split:
        _check_split(fields, match, seller)
    if name is None or share is None or valid_from is None:
        return None
    if match.currency and share.currency and match.currency != share.currency:
        fields.members["share"].refuse(
            f"counts in {share.currency} and `match` names invoices in {match.currency}; nothing is converted. "
            "Name one currency."
        )
    return RulePlan(name, seller, match, share, split, promotion, valid_from, valid_until)


def _known_seller(value: Value, known: set[str]) -> str | None:
    account = read_account(value)
    if account is not None and account not in known:
        value.refuse(
            f"{account} is no seller of this file or the database; known: {', '.join(sorted(known)) or 'none'}."
        )
        return None
    return account


def _yes_or_no(value: Value) -> bool | None:
    return {"true": True, "false": False}.get(value.choice(("true", "false")) or "")


def _match(value: Value) -> Match | None:
    if value.type == "str" and value.node.value == "none":
        return None
    fields = value.fields("price", "product", "currency", "tier")
    if fields is None:
        return None
    if fields.get("price") and fields.get("product"):
        value.refuse("names a price and a product; a price belongs to one product, so name one of them.")
        return None
    kind = next((key for key in ("price", "product") if fields.get(key)), NONE)
    text = fields.require(kind, lambda member: _short(member, 255)) if kind != NONE else ""
    currency = fields.read("currency", Value.currency, "")
    tier = fields.read("tier", lambda member: _short(member, 40), "")
    return Match(kind, text, currency, tier) if text is not None else None


def _short(value: Value, limit: int) -> str | None:
    text = value.text()
    if text is not None and len(text) > limit:
        value.refuse(f"is longer than {limit} characters.")
        return None
    return text


def _split(value: Value, known: set[str]) -> tuple[tuple[str, int], ...] | None:
    items = value.items()
    parts: list[tuple[str, int]] = []
    for item in items:
        fields = item.fields("account", "weight")
        if fields is None:
            continue
        account = fields.require("account", lambda member: _known_seller(member, known))
        weight = fields.require("weight", lambda member: member.whole(minimum=1, maximum=MAX_WEIGHT))
        if account is None or weight is None:
            continue
        if account in dict(parts):
            item.refuse(f"{account} is named twice; add the weights up.")
        parts.append((account, weight))
    if items and not 2 <= len(items) <= MAX_SPLIT:
        value.refuse(f"names {len(items)} seller(s); a line is shared by 2 to {MAX_SPLIT}. One alone is the `seller`.")
    elif not items:
        value.refuse("is empty; list at least two of {account, weight}, or leave it out.")
    return tuple(parts)


def _check_split(fields: Fields, match: Match, seller: str) -> None:
    if match.type != NONE and seller:
        fields.members["seller"].refuse("a split by price or product names its sellers itself; leave `seller` out.")
    elif match.type == NONE and not seller:
        fields.members["split"].refuse(
            "does not say whose lines are shared; match a price or a product, or name the `seller` they are of."
        )


def _share(value: Value) -> Share | None:
    everything = tuple(dict.fromkeys(key for keys in SHARE_KEYS.values() for key in keys))
    fields = value.fields(*everything)
    kind = fields.require("type", lambda member: member.choice(tuple(SHARE_KEYS))) if fields else None
    if fields is None or kind is None:
        return None
    for key, member in fields.members.items():
        if key in SHARE_KEYS[kind]:
            continue
        why = ""
        if kind == TIERED and key in LIMITS:
            why = " A limit per line would make the fee of a period depend on the order of its invoices."
        member.refuse(f"unknown key {key!r}; a share of type {kind} has {', '.join(SHARE_KEYS[kind])}.{why}")
    if kind == TIERED:
        return _tiered(fields)
    minimum, maximum = (fields.read(key, Value.whole, None) for key in ("minimum_fee", "maximum_fee"))
    if minimum is not None and maximum is not None and maximum < minimum:
        fields.members["maximum_fee"].refuse(f"must not be less than minimum_fee ({minimum}).")
    if kind == PERCENT:
        percent = fields.require("seller", Value.percent)
        currency = _currency_of_limits(fields)
        return None if percent is None else Share(kind, percent, None, currency, minimum, maximum)
    fee = fields.require("fee", Value.whole)
    needed = fields.require("currency", Value.currency)
    if fee is None or needed is None:
        return None
    return Share(kind, None, fee, needed, minimum, maximum)


def _currency_of_limits(fields: Fields) -> str:
    limits = [key for key in ("minimum_fee", "maximum_fee") if fields.get(key)]
    if limits:
        return fields.require("currency", Value.currency) or ""
    if (member := fields.get("currency")) is not None:
        member.refuse("belongs to minimum_fee or maximum_fee; for invoices in one currency use `match: {currency: …}`.")
    return ""


def _tiered(fields: Fields) -> Share | None:
    period = fields.require("period", lambda member: member.choice(PERIODS))
    mode = fields.read("mode", lambda member: member.choice(ShareRule.TierMode.values), MARGINAL)
    currency = fields.require("currency", Value.currency)
    member = fields.need("tiers")
    tiers = _tiers(member) if member else ()
    if period is None or currency is None or not tiers:
        return None
    return Share(TIERED, currency=currency, period=period, mode=str(mode), tiers=tiers)


def _tiers(value: Value) -> tuple[Tier, ...]:
    items = value.items()
    if not 1 <= len(items) <= MAX_TIERS:
        value.refuse(f"has {len(items)} tiers; 1 to {MAX_TIERS} are allowed.")
        return ()
    found: list[Tier] = []
    last = 0
    for index, item in enumerate(items):
        tier = item.fields("up_to", "seller")
        if tier is None:
            continue
        percent = tier.require("seller", Value.percent)
        bound = tier.get("up_to")
        if bound is None and index + 1 < len(items):
            item.refuse("only the last tier goes without `up_to`.")
        limit = bound.whole(minimum=1) if bound else None
        if bound and limit is not None:
            if limit <= last:
                bound.refuse(f"must be more than the tier before it ({last}).")
            elif index + 1 == len(items):
                bound.refuse("leave it out of the last tier, which is for all that is above.")
            last = limit
        if percent is not None:
            found.append(Tier(limit, percent))
    return tuple(found)


# -- applying ----------------------------------------------------------------------------------------------------------


def _today() -> date:
    return timezone.now().astimezone(UTC).date()


def _has_ended(row: ShareRule, today: date) -> bool:
    return row.valid_until is not None and row.valid_until <= today


def _current() -> list[ShareRule]:
    """The latest version of every rule. Two statements."""
    latest = dict(ShareRule.objects.values("name").annotate(latest=Max("version")).values_list("name", "latest"))
    rows = ShareRule.objects.select_related("seller").order_by("name", "-version")
    return [row for row in rows if latest[row.name] == row.version]


def _scope(row: ShareRule) -> Scope:
    what = row.match_value or (row.seller.account if row.seller else "")
    return row.match_type, what, row.match_currency, row.match_tier, row.promotion, row.valid_from


def apply_rules(plan: list[RulePlan] | None, *, actor: Actor, prune: bool) -> list[Change]:
    """A changed rule is a new version; a rule that has ended and is back in the file is one as well."""
    if plan is None:
        return []
    rows = {row.name: row for row in _current()}
    sellers = {seller.account: seller for seller in Seller.objects.all()}
    changes = []
    for wanted in plan:
        row = rows.pop(wanted.name, None)
        content = wanted.content(sellers)
        lines: tuple[str, ...] = ()
        if row is not None:
            lines = tuple(
                f"{key}: {shown(getattr(row, key))} → {shown(new)}"
                for key, new in content.items()
                if getattr(row, key) != new
            )
            if not lines:
                continue
        fresh = ShareRule(name=wanted.name, version=row.version + 1 if row else 1, **content)
        save_with_history(fresh, actor=actor, reason="config file")
        what = f"rule {fresh}: {fresh.share_text}, {wanted.seller or 'any seller'}, {fresh.match_text}"
        changes.append(Change("~" if row else "+", what, lines))
    for row in rows.values():
        if _has_ended(row, _today()):
            continue
        if prune:
            _end(row.name, actor)
        why = "not in the file; ended today" if prune else "not in the file; kept (--prune ends it)"
        changes.append(Change("-", f"rule {row}", (why,), applied=prune))
    look_again(changes)
    return changes


def _end(name: str, actor: Actor) -> None:
    """All versions end, so that none of them says it still holds."""
    today = _today()
    for row in ShareRule.objects.select_for_update().filter(Q(valid_until=None) | Q(valid_until__gt=today), name=name):
        row.valid_until = today
        save_with_history(row, actor=actor, reason="no longer in the config file", update_fields=["valid_until"])
