"""The `campaigns` section of the config file: the same campaigns as on the pages, as code (docs/campaigns.md).

A file names what is to be active. A version that differs from the active one becomes a new version and is activated;
one that does not changes nothing. What validation refuses on a page is refused here with line and key.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

from billingops.actors import Actor
from billingops.config import CURRENCIES, Change, Section, Value
from billingops.exceptions import InvalidInput
from dunning.campaigns import content, services, templates, validation, words
from dunning.campaigns.models import MAX_NOTE, Campaign, CampaignVersion
from dunning.campaigns.segments import Candidate
from dunning.plan.sequences import OCCASIONS, STANDARD, Sequence

KEYS = ("name", "account", "priority", "active", "description", "note", "segment", "sequence")
State = CampaignVersion.State


@dataclass(frozen=True)
class CampaignPlan:
    """One campaign as the file has it; `segment`, `sequence`: the JSON that a version keeps."""

    name: str
    account: str
    priority: int
    active: bool
    description: str
    note: str
    segment: dict[str, Any]
    sequence: dict[str, Any]

    @property
    def candidate(self) -> Candidate:
        return Candidate(self.name, self.account, self.priority, content.read_segment(self.segment))


# -- reading -----------------------------------------------------------------------------------------------------------


def read(values: list[Value], plans: Mapping[str, Any]) -> list[CampaignPlan]:
    known = dict(Campaign.objects.values_list("name", "account"))
    found: list[tuple[Value, CampaignPlan]] = []
    for value in values:
        plan = _read_one(value)
        if plan is None:
            continue
        if any(other.name == plan.name for _, other in found):
            value.refuse(f"a second campaign named {plan.name!r}; a name stands for one.")
        if known.get(plan.name, plan.account) != plan.account:
            value.refuse(
                f"the campaign {plan.name!r} is for {known[plan.name] or 'all accounts'}, and stays so; "
                "give this one another name."
            )
        found.append((value, plan))
    if values and not values[0].problems:
        _check_rivals(found)
    return [plan for _, plan in found]


def _read_one(value: Value) -> CampaignPlan | None:
    fields = value.fields(*KEYS)
    if fields is None:
        return None
    before = len(value.problems)
    name = fields.require("name", lambda one: one.text())
    account = fields.read("account", lambda one: one.text(), "")
    everybody: dict[str, Any] = {}
    segment = fields.read("segment", _segment, everybody)
    sequence = fields.read("sequence", _sequence, content.sequence_json(STANDARD))
    plan = CampaignPlan(
        name=name or "",
        account=account,
        priority=fields.read("priority", _priority, 0),
        active=fields.read("active", lambda one: one.choice(("true", "false")), "true") == "true",
        description=fields.read("description", _short, ""),
        note=fields.read("note", _short, ""),
        segment=segment,
        sequence=sequence,
    )
    if len(value.problems) > before:
        return None
    try:
        services.check_name(plan.name, plan.account)
        kept = content.segment_json(content.read_segment(segment))
        read_sequence = content.read_sequence(sequence, name=plan.name, version=1)
    except InvalidInput as problem:
        value.refuse(str(problem))
        return None
    for finding in validation.errors(
        validation.check(read_sequence, content.read_segment(kept), templates=templates.known())
    ):
        value.refuse(_by_day(str(finding), read_sequence))
    return CampaignPlan(**{**plan.__dict__, "segment": kept, "sequence": content.sequence_json(read_sequence)})


def _by_day(text: str, sequence: Sequence) -> str:
    """Lines are kept in the order of their days, which the file need not follow: a finding names the day."""
    return re.sub(r"entries\[(\d+)\]", lambda one: f"entries (day {sequence.entries[int(one[1])].day})", text)


def _priority(value: Value) -> int | None:
    return value.whole(minimum=-services.MAX_PRIORITY, maximum=services.MAX_PRIORITY)


def _short(value: Value) -> str | None:
    text = value.text()
    if text is not None and len(text) > MAX_NOTE:
        value.refuse(f"has at most {MAX_NOTE} characters.")
        return None
    return text


def _segment(value: Value) -> dict[str, Any] | None:
    fields = value.fields(*content.SEGMENT_KEYS)
    if fields is None:
        return None
    found: dict[str, Any] = {}
    if amount := fields.get("amount"):
        ranges = amount.fields(*sorted(CURRENCIES))
        found["amount"] = {one: _range(limits) for one, limits in ranges.members.items()} if ranges else {}
    for name in content.SEGMENT_KEYS[1:]:
        if member := fields.get(name):
            found[name] = [text for one in member.items() if (text := one.text()) is not None]
    return found


def _range(value: Value) -> dict[str, Any]:
    fields = value.fields("from", "below")
    if fields is None:
        return {}
    below = fields.read("below", lambda one: one.whole(minimum=1), None)
    return {"from": fields.read("from", lambda one: one.whole(), 0), **({} if below is None else {"below": below})}


def _sequence(value: Value) -> dict[str, Any] | None:
    fields = value.fields(*content.SEQUENCE_KEYS)
    if fields is None:
        return None
    found: dict[str, Any] = {}
    for name in ("timing", "stripe"):
        if member := fields.get(name):
            found[name] = member.text()
    for name in ("window_days", "max_attempts", "max_messages"):
        if member := fields.get(name):
            found[name] = member.whole(maximum=content.MAX_FIGURE)
    if member := fields.get("retry_days"):
        found["retry_days"] = [one.whole(maximum=content.MAX_FIGURE) for one in member.items()]
    if member := fields.get("occasions"):
        found["occasions"] = [text for one in member.items() if (text := one.choice(OCCASIONS)) is not None]
    if member := fields.get("entries"):
        found["entries"] = [entry for one in member.items() if (entry := _entry(one)) is not None]
    return found


def _entry(value: Value) -> dict[str, Any] | None:
    fields = value.fields(*content.ENTRY_KEYS)
    if fields is None:
        return None
    found: dict[str, Any] = {"day": fields.require("day", lambda one: one.whole(maximum=content.MAX_FIGURE))}
    found["kind"] = fields.require("kind", lambda one: one.choice(content.KINDS))
    for name in ("template", "tone", "channel", "price", "needs"):
        if member := fields.get(name):
            found[name] = member.text()
    if member := fields.get("days"):
        found["days"] = member.whole(maximum=content.MAX_FIGURE)
    if member := fields.get("over"):
        found["over"] = member.amounts()
    return found


def _check_rivals(found: list[tuple[Value, CampaignPlan]]) -> None:
    """What takes cases when the file is in force: its own campaigns, and those that it does not name."""
    named = {plan.name for _, plan in found}
    kept = CampaignVersion.objects.filter(state=State.ACTIVE, campaign__active=True).exclude(campaign__name__in=named)
    others = [
        Candidate(row.campaign.name, row.campaign.account, row.campaign.priority, row.read_segment())
        for row in kept.select_related("campaign")
    ]
    active = [(value, plan) for value, plan in found if plan.active]
    for value, plan in active:
        for finding in validation.check_rivals(plan.candidate, others):
            value.refuse(str(finding))
    for (_, one), (value, other) in combinations(active, 2):
        for finding in validation.check_rivals(other.candidate, [one.candidate]):
            value.refuse(str(finding))


# -- applying ----------------------------------------------------------------------------------------------------------


def apply(plan: list[CampaignPlan] | None, *, actor: Actor, prune: bool) -> list[Change]:
    if plan is None:
        return []
    rows = {row.name: row for row in Campaign.objects.all()}
    changes = [change for wanted in plan for change in _apply_one(wanted, rows.pop(wanted.name, None), actor)]
    for row in rows.values():
        if not row.active:
            continue
        why = "not in the file; kept (--prune switches it off)"
        if prune:
            why = _switch_off(row, actor)
        changes.append(Change("-", f"campaign {row.name}", (why,), applied=prune and why.startswith("switched")))
    return changes


def _switch_off(row: Campaign, actor: Actor) -> str:
    if services.running_test(row):
        return "not in the file; an A/B test is running, stop it first"
    _settle(row, row.priority, False, row.description, actor)
    return "switched off: not in the file; cases that run go on"


def _apply_one(wanted: CampaignPlan, row: Campaign | None, actor: Actor) -> list[Change]:
    sign, lines = "~", []
    if row is None:
        row = services.create(
            name=wanted.name, account=wanted.account, priority=wanted.priority, description=wanted.description,
            actor=actor,
        )  # fmt: skip
        sign = "+"
    active = row.versions.filter(state=State.ACTIVE).first()
    is_new = active is None or (active.segment, active.sequence) != (wanted.segment, wanted.sequence)
    before = {name: getattr(row, name) for name in ("priority", "active", "description")}
    moved = {name: getattr(wanted, name) for name, value in before.items() if getattr(wanted, name) != value}
    if (is_new or "active" in moved) and services.running_test(row):
        why = "an A/B test is running: its arms stay as they are; stop it first"
        return [Change("~", f"campaign {row.name}", (why,), applied=False)]
    if moved:
        lines += [f"{name}: {_said(before[name])} → {_said(value)}" for name, value in moved.items()]
        _settle(row, wanted.priority, wanted.active, wanted.description, actor)
    if is_new:
        made = services.draft(
            campaign_id=row.pk, segment=wanted.segment, sequence=wanted.sequence, actor=actor, comment=wanted.note
        )
        # `read` has looked at all that will take cases when the file is in force; on the way there two may be equals.
        services.activate(version_id=made.pk, revision=made.revision, actor=actor, check_rivals=False)
        told = (active.read_segment(), _sequence_of(active, row)) if active else None
        differing = words.differences(told, (made.read_segment(), made.read_sequence()))
        lines += [f"version {made.number}", *(f"{what}: {old} → {new}" for what, old, new in differing)]
    return [Change(sign, f"campaign {row.name}", tuple(lines))] if lines or sign == "+" else []


def _sequence_of(version: CampaignVersion, campaign: Campaign) -> Any:
    version.campaign = campaign
    return version.read_sequence()


def _settle(row: Campaign, priority: int, active: bool, description: str, actor: Actor) -> None:
    services.change(
        campaign_id=row.pk, priority=priority, active=active, description=description, version=row.version,
        actor=actor, check_rivals=False,
    )  # fmt: skip


def _said(value: Any) -> str:
    return {True: "on", False: "off"}.get(value, str(value)) if isinstance(value, bool) else str(value) or "none"


SECTION = Section(name="campaigns", read=read, apply=apply, order=70)
