"""What the queue's URL says: a tab, filters, an order. It names rows; who may see them is asked elsewhere."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any
from urllib.parse import parse_qsl, urlencode

from django.db.models import Q

from approvals import blind, registry
from approvals.querysets import SuggestionQuerySet
from approvals.services.desk import TAKEABLE
from approvals.states import WAITING_FOR_A_PERSON, State

PRIORITY, NEWEST = "priority", "new"
ORDERS = {PRIORITY: ("rank_at", "id"), NEWEST: ("-id",)}


@dataclass(frozen=True)
class Tab:
    """`how`: what an empty one teaches. `urgent_first`: its own order is by priority. `quiet`: shown only with rows."""

    key: str
    label: str
    states: tuple[State, ...]
    how: str
    urgent_first: bool = False
    quiet: bool = False


TABS = (
    Tab(
        "waiting",
        "All waiting",
        WAITING_FOR_A_PERSON,
        "A Stripe event led to a suggestion that nobody has decided yet.",
        urgent_first=True,
    ),
    Tab(
        "mine",
        "Mine",
        TAKEABLE,
        "What you have taken, or what somebody has given to you, until it is decided. “Take” stands in each row.",
        urgent_first=True,
    ),
    Tab(
        "unassigned",
        "Unassigned",
        WAITING_FOR_A_PERSON,
        "Nobody has taken these yet. Taking says that you are on it; it keeps nobody out.",
        urgent_first=True,
    ),
    Tab(
        "second",
        "Second look",
        (State.SECOND_REVIEW,),
        "One person has approved; the policy asks for a second one, for example above a limit. What you approved first "
        "yourself is left out: it waits for somebody else.",
        urgent_first=True,
    ),
    Tab(
        "others",
        "Waits for somebody else",
        (State.SECOND_REVIEW,),
        "Second looks that you cannot give: the first approval, the proposal or the last edit was yours.",
        urgent_first=True,
        quiet=True,
    ),
    Tab(
        "stale",
        "Stale",
        (State.STALE,),
        "Approved, but the facts at Stripe had changed before it was carried out. Nothing was sent; a new one follows.",
    ),
    Tab(
        "unknown",
        "Unknown",
        (State.UNKNOWN,),
        "Stripe did not answer clearly. The worker looks the object up until it knows; nothing is sent twice.",
        urgent_first=True,
    ),
    Tab(
        "failed",
        "Failed",
        (State.FAILED,),
        "Stripe refused, and nothing happened there. Retry it with a new key, or cancel it.",
        urgent_first=True,
    ),
    Tab(
        "moving",
        "Approved / executing",
        (State.APPROVED, State.EXECUTING, State.EXECUTED),
        "Approved and on its way: queued, held by policy, being carried out, or waiting for Stripe's confirming event.",
    ),
    Tab(
        "done",
        "Done",
        (State.CONFIRMED, State.REJECTED, State.EXPIRED, State.SUPERSEDED, State.CANCELLED, State.OBSERVED),
        "Confirmed by Stripe, rejected, or overtaken by events.",
    ),
    Tab("all", "Everything", (), "Every suggestion there ever was."),
)
BY_KEY = {tab.key: tab for tab in TABS}


@dataclass(frozen=True)
class Filters:
    """What the URL says. Unknown values are dropped, not obeyed."""

    tab: str = "waiting"
    kind: str = ""
    account: str = ""
    currency: str = ""
    flagged: str = ""
    assignee: str = ""
    sort: str = ""
    q: str = ""

    @classmethod
    def of(cls, params: Mapping[str, str]) -> Filters:
        query = params.get("q", "").strip()[:255]
        # Whoever searches for an id wants it found, whatever has become of it.
        tab = params.get("tab", "") or ("all" if query else "waiting")
        return cls(
            tab=tab if tab in BY_KEY else "waiting",
            kind=params.get("kind", "") if params.get("kind") in registry.names() else "",
            account=params.get("account", "").strip()[:64],
            currency=params.get("currency", "").strip().lower()[:3],
            flagged="1" if params.get("flagged") == "1" else "",
            assignee=params.get("assignee", "").strip()[:150],
            sort=params.get("sort", "") if params.get("sort") in ORDERS else "",
            q=query,
        )

    @classmethod
    def of_text(cls, query: str) -> Filters:
        """Of a stored query string."""
        return cls.of(dict(parse_qsl(query.lstrip("?"))))

    def query(self, **changes: str) -> str:
        """The query string with `changes`; what is at its default is left out."""
        wanted = replace(self, **changes)
        if wanted.sort == wanted.own_sort:
            wanted = replace(wanted, sort="")
        pairs = [(field.name, getattr(wanted, field.name)) for field in fields(wanted)]
        return "?" + urlencode(
            [(name, value) for name, value in pairs if value and (name, value) != ("tab", "waiting")]
        )

    @property
    def own_sort(self) -> str:
        """The tab's own order."""
        return PRIORITY if BY_KEY[self.tab].urgent_first else NEWEST

    @property
    def order(self) -> tuple[str, ...]:
        return ORDERS[self.sort or self.own_sort]

    @property
    def is_by_priority(self) -> bool:
        return (self.sort or self.own_sort) == PRIORITY

    @property
    def is_narrowed(self) -> bool:
        return bool(self.kind or self.account or self.currency or self.q or self.flagged or self.assignee)

    @property
    def shows_waiting(self) -> bool:
        states = BY_KEY[self.tab].states
        return not states or not set(states).isdisjoint(WAITING_FOR_A_PERSON)

    def apply(self, queryset: SuggestionQuerySet, user: Any, *, tab: str | None = None) -> SuggestionQuerySet:
        """`queryset`, which is what `user` may see, narrowed to what the URL names; never widened."""
        queryset = in_tab(queryset, tab or self.tab, user)
        for name in ("kind", "account", "currency"):
            if value := getattr(self, name):
                queryset = queryset.filter(**{name: value})
        if self.kind or self.currency:
            queryset = blind.without_undisclosed(queryset)
        if self.flagged:
            queryset = queryset.exclude(flags=[])
        if self.assignee:
            queryset = queryset.filter(assignee__username=self.assignee)
        return queryset.filter(_search(self.q)) if self.q else queryset


def in_tab(queryset: SuggestionQuerySet, key: str, user: Any) -> SuggestionQuerySet:
    states = BY_KEY[key].states
    if key == "second":
        return queryset.second_looks(user)
    if key == "others":
        return queryset.for_others(user)
    if len(states) == 1:
        queryset = queryset.filter(state=states[0])
    elif states:
        queryset = queryset.filter(state__in=states)
    if key == "mine":
        return queryset.filter(assignee=user.pk)
    return queryset.filter(assignee=None) if key == "unassigned" else queryset


def _search(term: str) -> Q:
    """An exact match on the column that such an id stands in; each of them has an index."""
    try:
        return Q(pk=uuid.UUID(term))
    except ValueError:
        pass
    if term.startswith("cus_"):
        return Q(customer=term)
    if term.startswith("acct_"):
        return Q(account=term)
    return Q(subject=term)
