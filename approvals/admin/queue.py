"""The queue: which suggestions a person sees, in which order, and what they add up to.

The number of statements is fixed: tabs (1), sums (1), rows with what a person asks of each (1), names (one per kind of
id on the page, so at most 2), saved views (1).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, OuterRef, Subquery
from django.utils import timezone

from approvals import blind, priority, registry, seeds
from approvals.admin.filters import BY_KEY, NEWEST, PRIORITY, TABS, Filters, Tab
from approvals.models import Comment, Execution, SavedView, Suggestion
from approvals.priority import Part
from approvals.querysets import SuggestionQuerySet
from approvals.services import desk
from approvals.states import WAITING_FOR_A_PERSON, State
from billingops import access, keyset
from billingops.admin import names
from billingops.admin.paging import capped_counts, count_label, grouped
from billingops.exceptions import InvalidInput
from billingops.templatetags.billingops import SHAPES, age_text

__all__ = ["TABS", "Filters", "Row", "Tab", "base", "context", "totals"]

PER_PAGE = 50
TAB_CAP = 1000
# Adding up is what grows with the queue; this many rows are added up within the time the page takes anyway.
SUM_CAP = 5000
AGEING, OLD = timedelta(hours=24), timedelta(hours=72)
EXPIRES_SOON = timedelta(hours=24)


@dataclass(frozen=True)
class Ageing:
    """How pressing the time is: a word and a shape beside the colour."""

    word: str
    tone: str

    @property
    def shape(self) -> str:
        return SHAPES[self.tone]


@dataclass(frozen=True)
class Row:
    """`waits_for`: why this person cannot approve it, "" when they may. `taken_by`: somebody else who is on it."""

    suggestion: Suggestion
    party: str
    party_id: str
    customer: str
    flag: str
    more_flags: int
    parts: list[Part]
    ageing: Ageing | None
    taken_by: str
    is_mine: bool
    may_take: bool
    may_release: bool
    waits_for: str

    @property
    def hours(self) -> float:
        """Its priority: the hours that its parts are worth."""
        return sum(part.hours for part in self.parts)


def base(user: Any) -> SuggestionQuerySet:
    return Suggestion.objects.visible_to(user)


def totals(queryset: SuggestionQuerySet, tab: str = "") -> list[dict[str, Any]]:
    """[{currency, amount, count}] over the first SUM_CAP rows; rows without an amount are left out.

    For what waits by `rank_at`: an index has it together with currency and amount (models/suggestion.py), and nothing
    else is read. All else by primary key, newest first.
    """
    states = BY_KEY[tab].states if tab else ()
    by_rank = tab == "mine" or (states and {*states} <= {*WAITING_FOR_A_PERSON})
    order, when = (("rank_at", "pk"), "rank_at") if by_rank else (("-pk",), "created_at")
    rows = grouped(queryset.exclude(amount=None), ("currency",), when=when, order=order, cap=SUM_CAP)
    return [{"currency": row["currency"], "amount": row["amount"], "count": row["count"]} for row in rows]


def _summed(found: SuggestionQuerySet, filters: Filters, count: int) -> SuggestionQuerySet:
    """What the sums are over: nothing that was wrong on purpose, once it is decided; and in a short list, where a sum
    could be told apart, nothing whose amount the blind sample keeps back. (A long one is summed from the index alone.)
    """
    if not {*BY_KEY[filters.tab].states} <= {*WAITING_FOR_A_PERSON} or not BY_KEY[filters.tab].states:
        found = found.filter(seeds.counted())
    return blind.without_undisclosed(found) if count < TAB_CAP else found


def context(user: Any, filters: Filters, cursor: str) -> dict[str, Any]:
    """Everything the page shows."""
    visible = base(user)
    found = filters.apply(visible, user)
    counts = capped_counts({tab.key: filters.apply(visible, user, tab=tab.key) for tab in TABS}, cap=TAB_CAP)
    sums = totals(_summed(found, filters, counts[filters.tab]), filters.tab)
    page, problem = _page(found, user, filters, cursor)
    summed = sum(total["count"] for total in sums)
    return {
        "filters": filters,
        "tabs": [_tab(tab, filters, counts[tab.key]) for tab in TABS if _is_shown(tab, filters, counts[tab.key])],
        "tab": BY_KEY[filters.tab],
        "count": counts[filters.tab],
        "count_text": count_label(counts[filters.tab], TAB_CAP),
        "for_others": counts["others"] if filters.tab == "second" else 0,
        "for_others_url": filters.query(tab="others"),
        "rows": _rows(page.rows, user),
        "newer": page.previous,
        "older": page.next,
        "problem": problem,
        "totals": sums,
        "totals_capped": f"Sums of the first {SUM_CAP:,} suggestions only." if summed >= SUM_CAP else "",
        "kind_chips": _chips(filters, "kind", [(kind.name, kind.label) for kind in registry.kinds()], "All kinds"),
        "currency_chips": _chips(filters, "currency", _currencies(filters, sums), "All currencies"),
        "flag_chips": _chips(filters, "flagged", [("1", "Flagged")], "All"),
        "sort_chips": [
            {"label": label, "url": filters.query(sort=sort), "on": (filters.sort or filters.own_sort) == sort}
            for sort, label in ((PRIORITY, "Most urgent first"), (NEWEST, "Newest first"))
        ],
        "views": views(user, filters),
        "query": filters.query(),
    }


def _is_shown(tab: Tab, filters: Filters, count: int) -> bool:
    return not tab.quiet or count > 0 or tab.key == filters.tab


def _tab(tab: Tab, filters: Filters, count: int) -> dict[str, Any]:
    return {
        "key": tab.key,
        "label": tab.label,
        "url": filters.query(tab=tab.key),
        "count": count_label(count, TAB_CAP),
        "on": tab.key == filters.tab,
        "alarm": tab.key in {"unknown", "failed"} and count > 0,
    }


def _page(found: SuggestionQuerySet, user: Any, filters: Filters, cursor: str) -> tuple[keyset.Page[Suggestion], str]:
    """The rows, with what the page asks of each in the same statement; and what is wrong with the cursor, if so."""
    comments = Comment.objects.filter(suggestion=OuterRef("pk")).order_by().values("suggestion")
    queued = Execution.objects.filter(suggestion=OuterRef("pk"), state=Execution.State.QUEUED).order_by("-id")
    rows = (
        found.with_own_approval(user)
        .annotate(
            comment_count=Subquery(comments.annotate(number=Count("pk")).values("number")),
            held=Subquery(queued.values("held")[:1]),
            due=Subquery(queued.values("not_before")[:1]),
        )
        .select_related("assignee")
        .defer("facts", "params", "policy", "assignee__password")
    )
    try:
        return keyset.page(rows, order=filters.order, cursor=cursor, size=PER_PAGE), ""
    except InvalidInput as error:
        return keyset.page(rows, order=filters.order, size=PER_PAGE), str(error)


def _rows(suggestions: list[Suggestion], user: Any) -> list[Row]:
    known = names.of({one for row in suggestions for one in (row.account, row.customer) if one}, user)
    may_decide, leads, now = user.has_perm(desk.DECIDE), user.has_perm(desk.LEAD), timezone.now()
    return [
        Row(
            suggestion=row,
            party=known.get(row.account, ""),
            party_id=row.account,
            customer=known.get(row.customer, ""),
            flag=str(row.flags[0].get("text", "")) if row.flags else "",
            more_flags=max(len(row.flags) - 1, 0),
            parts=priority.stored_parts(row, now=now) if row.is_waiting else [],
            ageing=ageing(row, now),
            taken_by=desk.taken_by_other(row, user),
            is_mine=row.assignee_id == user.pk and row.state in desk.TAKEABLE,
            may_take=may_decide and row.assignee_id is None and row.state in desk.TAKEABLE,
            may_release=row.assignee_id is not None
            and row.state in desk.TAKEABLE
            and may_decide
            and (leads or row.assignee_id == user.pk),
            waits_for=_waits_for(row, user) if may_decide else "",
        )
        for row in map(blind.shown, suggestions)
    ]


def _waits_for(row: Suggestion, user: Any) -> str:
    """As the services' four eyes, from what the row's own statement has read."""
    if not row.is_waiting:
        return ""
    if row.proposed_by_id == user.pk:
        return "you proposed it: waits for somebody else"
    if row.last_editor_id == user.pk:
        return "you edited it: waits for somebody else"
    approved = row.state == State.SECOND_REVIEW and getattr(row, "approved_by_me", False)
    return "you approved it first: waits for somebody else" if approved else ""


def ageing(row: Suggestion, now: datetime) -> Ageing | None:
    """How pressing a waiting one is; None while it is fresh."""
    if not row.is_waiting:
        return None
    if row.expires_at is not None and row.expires_at - now <= EXPIRES_SOON:
        return Ageing("expired" if row.expires_at <= now else f"expires {age_text(row.expires_at, now)}", "bad")
    age = now - row.created_at
    if age >= OLD:
        return Ageing("old", "bad")
    return Ageing("ageing", "attention") if age >= AGEING else None


# -- views -------------------------------------------------------------------------------------------------------------


def views(user: Any, filters: Filters) -> list[dict[str, Any]]:
    """One's own and shared ones, as links. A shared view that names what the reader may not see is not shown."""
    here = filters.query()
    found = []
    for view in desk.views_of(user):
        named = Filters.of_text(view.query)
        if view.owner_id == user.pk or _may_read(named, user):
            found.append(
                {
                    "view": view,
                    "url": named.query(),
                    "on": named.query() == here,
                    "by": "" if view.owner_id == user.pk else view.owner.get_username(),
                }
            )
    return found


def _may_read(named: Filters, user: Any) -> bool:
    if access.accounts_of(user) is None:
        return True
    return not named.q and (not named.account or access.may_see_account(user, named.account))


def own_views(user: Any) -> list[SavedView]:
    return list(SavedView.objects.filter(owner=user))


def _currencies(filters: Filters, sums: list[dict[str, Any]]) -> list[tuple[str, str]]:
    seen = {total["currency"] for total in sums} | ({filters.currency} if filters.currency else set())
    return [(code, code.upper()) for code in sorted(seen)]


def _chips(filters: Filters, name: str, choices: list[tuple[str, str]], everything: str) -> list[dict[str, Any]]:
    if not choices:
        return []
    return [
        {"label": label, "url": filters.query(**{name: value}), "on": getattr(filters, name) == value}
        for value, label in [("", everything), *choices]
    ]
