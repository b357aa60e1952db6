"""What one policy's terms say of one case. Pure: no database, no clock, no network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from approvals.models import Policy
from approvals.policies.results import Clause, Result, built
from approvals.policies.terms import SCOPES, Cap, Terms
from billingops.money import format_money


@dataclass(frozen=True)
class Used:
    """What was carried out so far: how many, and the sums per currency in minor units."""

    count: int = 0
    sums: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Case:
    """What a policy looks at. `amount` in minor units, None for kinds without one; `destination` "" for none.

    used        (cap, terms) → what was carried out today that this cap counts; asked only where there is a cap of a day
    changed_at  when the destination's bank details last changed; asked only where there is a cool-down
    """

    at: datetime
    amount: int | None = None
    currency: str = ""
    customer: str = ""
    destination: str = ""
    used: Callable[[Cap, Terms], Used] = lambda cap, terms: Used()
    changed_at: Callable[[], datetime | None] = lambda: None


def judge(terms: Terms, case: Case) -> Result:
    """What these terms alone ask for. `auto` here means "as far as the limits go"; evidence is asked elsewhere."""
    clauses: list[Clause] = []
    until: list[datetime] = []

    def say(name: str, effect: str, text: str) -> None:
        clauses.append(Clause(name, effect, text, terms.source))

    mode = Policy.Mode(terms.mode)
    if mode == Policy.Mode.AUTO and (why := _not_auto(terms, case)):
        say(*why)
        mode = Policy.Mode.REVIEW
    approvals = 0 if mode == Policy.Mode.AUTO else 1
    if _over(case, terms.two_approvers_over):
        limit = format_money(terms.two_approvers_over[case.currency], case.currency)
        say("two_approvers_over", "second", f"two approvers over {limit}; this is {_money(case)}")
        if mode in (Policy.Mode.REVIEW, Policy.Mode.AUTO):
            mode, approvals = Policy.Mode.REVIEW, 2
    for cap in terms.all_caps():
        if (text := _broken(cap, terms, case)) and cap.scope == "action":
            say(cap.name, "deny", text)
        elif text:
            say(cap.name, "hold", text)
            until.append(terms.day_of(case.at)[1])
    if terms.destinations and case.destination and case.destination not in terms.destinations:
        count = len(terms.destinations)
        allowed = f"{count} allowed destination" + ("s" if count > 1 else "")
        say("destinations", "deny", f"{case.destination} is not among the {allowed}")
    if held := _cooling_down(terms, case):
        say("cool_down_hours", "hold", held[0])
        until.append(held[1])
    if opens := terms.opens_at(case.at):
        say("hours", "hold", f"carried out {terms.hours_text}; next {opens:%a %d %b %H:%M}")
        until.append(opens)
    if terms.undo_seconds:
        say("undo_seconds", "note", f"can be taken back for {terms.undo_seconds} s after the approval")
    if terms.expires_hours:
        say("expires_hours", "note", f"expires {terms.expires_hours} h after it was suggested")
    clauses.append(_mode_clause(terms, mode))
    return built(
        clauses,
        mode=mode.value,
        approvals=approvals,
        hold_until=max(until) if until else None,
        expires_hours=terms.expires_hours,
        undo_seconds=terms.undo_seconds,
    )


def _mode_clause(terms: Terms, mode: Policy.Mode) -> Clause:
    effect = {"off": "deny", "shadow": "shadow", "review": "review", "auto": "allow"}[mode.value]
    texts = {"off": "off", "shadow": "shadow: nothing is carried out", "auto": "auto", "review": "one person reviews"}
    return Clause("mode", effect, texts[mode.value], terms.source)


def _not_auto(terms: Terms, case: Case) -> tuple[str, str, str] | None:
    """Why a person looks although the mode is auto."""
    if case.amount is None:
        return None
    if _over(case, terms.review_over):
        limit = format_money(terms.review_over[case.currency], case.currency)
        return "review_over", "review", f"a person reviews over {limit}; this is {_money(case)}"
    if case.currency not in terms.auto_under:
        return "auto_under", "review", f"auto has no limit in {case.currency.upper()}: a person reviews"
    if case.amount >= terms.auto_under[case.currency]:
        limit = format_money(terms.auto_under[case.currency], case.currency)
        return "auto_under", "review", f"auto only under {limit}; this is {_money(case)}"
    return None


def _broken(cap: Cap, terms: Terms, case: Case) -> str:
    """How this case would break the cap, in words; "" when it stays within."""
    if cap.scope == "customer_day" and not case.customer:
        return ""
    if cap.currency and (case.amount is None or case.currency != cap.currency):
        return ""
    if cap.scope == "action":
        assert case.amount is not None
        within = case.amount <= cap.limit
        return "" if within else f"at most {format_money(cap.limit, cap.currency)} at a time; this is {_money(case)}"
    used = case.used(cap, terms)
    per = SCOPES[cap.scope]
    if not cap.currency:
        return "" if used.count < cap.limit else f"at most {cap.limit} {per}; {used.count} today so far"
    spent = used.sums.get(cap.currency, 0)
    assert case.amount is not None
    if spent + case.amount <= cap.limit:
        return ""
    alone = ", more than the cap by itself" if case.amount > cap.limit else ""
    limit = format_money(cap.limit, cap.currency)
    return f"at most {limit} {per}; {format_money(spent, cap.currency)} today so far, this is {_money(case)}{alone}"


def _cooling_down(terms: Terms, case: Case) -> tuple[str, datetime] | None:
    if not terms.cool_down_hours or not case.destination or (changed := case.changed_at()) is None:
        return None
    until = changed + timedelta(hours=terms.cool_down_hours)
    if case.at >= until:
        return None
    local = until.astimezone(terms.zone)
    since = changed.astimezone(terms.zone)
    text = (
        f"the bank details of {case.destination} changed {since:%d %b %H:%M}; "
        f"no money goes there for {terms.cool_down_hours} h, until {local:%d %b %H:%M} ({terms.zone_name})"
    )
    return text, until


def _over(case: Case, limits: Mapping[str, int]) -> bool:
    limit = limits.get(case.currency) if case.amount is not None else None
    return limit is not None and case.amount is not None and case.amount > limit


def _money(case: Case) -> str:
    return format_money(case.amount or 0, case.currency)
