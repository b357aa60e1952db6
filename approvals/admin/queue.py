"""The queue: which suggestions a person sees, in which order, and what they add up to.

The number of statements is fixed: tabs (1), sums (1), rows (1), names (one per kind of id on the page, so at most 2).
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any
from urllib.parse import urlencode

from django.db.models import Q

from approvals import registry
from approvals.models import Suggestion
from approvals.querysets import SuggestionQuerySet
from approvals.states import WAITING_FOR_A_PERSON, State
from billingops import keyset
from billingops.admin import names
from billingops.admin.paging import COUNT_CAP, capped_counts, count_label, grouped
from billingops.exceptions import InvalidInput

PER_PAGE = 50
TAB_CAP = 1000


@dataclass(frozen=True)
class Tab:
    key: str
    label: str
    states: tuple[State, ...]
    how: str


TABS = (
    Tab(
        "waiting",
        "All waiting",
        WAITING_FOR_A_PERSON,
        "A Stripe event led to a suggestion that nobody has decided yet.",
    ),
    Tab(
        "second",
        "Second look",
        (State.SECOND_REVIEW,),
        "One person has approved; the policy asks for a second one, for example above a limit.",
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
    ),
    Tab(
        "failed",
        "Failed",
        (State.FAILED,),
        "Stripe refused, and nothing happened there. Retry it with a new key, or cancel it.",
    ),
    Tab(
        "moving",
        "Approved / executing",
        (State.APPROVED, State.EXECUTING, State.EXECUTED),
        "Approved and on its way: queued, being carried out, or waiting for Stripe's confirming event.",
    ),
    Tab(
        "done",
        "Done",
        (State.CONFIRMED, State.REJECTED, State.EXPIRED, State.SUPERSEDED, State.CANCELLED, State.OBSERVED),
        "Confirmed by Stripe, rejected, or overtaken by events.",
    ),
    Tab("all", "All", (), "Every suggestion there ever was."),
)
_TABS = {tab.key: tab for tab in TABS}


@dataclass(frozen=True)
class Filters:
    """What the URL says. Unknown values are dropped, not obeyed."""

    tab: str = "waiting"
    kind: str = ""
    account: str = ""
    currency: str = ""
    q: str = ""

    @classmethod
    def of(cls, params: Mapping[str, str]) -> Filters:
        query = params.get("q", "").strip()[:255]
        # Whoever searches for an id wants it found, whatever has become of it.
        tab = params.get("tab", "") or ("all" if query else "waiting")
        return cls(
            tab=tab if tab in _TABS else "waiting",
            kind=params.get("kind", "") if params.get("kind") in registry.names() else "",
            account=params.get("account", "").strip()[:64],
            currency=params.get("currency", "").strip().lower()[:3],
            q=query,
        )

    def query(self, **changes: str) -> str:
        """The query string with `changes`; what is at its default is left out."""
        wanted = replace(self, **changes)
        pairs = [(field.name, getattr(wanted, field.name)) for field in fields(wanted)]
        return "?" + urlencode(
            [(name, value) for name, value in pairs if value and (name, value) != ("tab", "waiting")]
        )

    @property
    def is_narrowed(self) -> bool:
        return bool(self.kind or self.account or self.currency or self.q)

    @property
    def shows_waiting(self) -> bool:
        states = _TABS[self.tab].states
        return not states or not set(states).isdisjoint(WAITING_FOR_A_PERSON)

    def apply(self, queryset: SuggestionQuerySet, *, tab: str | None = None) -> SuggestionQuerySet:
        states = _TABS[tab or self.tab].states
        if len(states) == 1:
            queryset = queryset.filter(state=states[0])
        elif states:
            queryset = queryset.filter(state__in=states)
        for name in ("kind", "account", "currency"):
            if value := getattr(self, name):
                queryset = queryset.filter(**{name: value})
        return queryset.filter(_search(self.q)) if self.q else queryset


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


@dataclass(frozen=True)
class Row:
    suggestion: Suggestion
    party: str
    party_id: str
    customer: str
    flag: str
    more_flags: int


def base(user: Any) -> SuggestionQuerySet:
    return Suggestion.objects.visible_to(user)


def totals(queryset: SuggestionQuerySet) -> list[dict[str, Any]]:
    """[{currency, amount, count}] over the newest COUNT_CAP rows; rows without an amount are left out."""
    rows = grouped(queryset.exclude(amount=None), ("currency",))
    return [{"currency": row["currency"], "amount": row["amount"], "count": row["count"]} for row in rows]


def context(user: Any, filters: Filters, cursor: str) -> dict[str, Any]:
    """Everything the page shows."""
    visible = base(user)
    found = filters.apply(visible)
    counts = capped_counts({tab.key: filters.apply(visible, tab=tab.key) for tab in TABS}, cap=TAB_CAP)
    sums = totals(found)
    try:
        page = keyset.page(found.defer("facts", "params", "policy"), order=("-id",), cursor=cursor, size=PER_PAGE)
        problem = ""
    except InvalidInput as error:
        page, problem = keyset.page(found.defer("facts", "params", "policy"), order=("-id",), size=PER_PAGE), str(error)
    summed = sum(total["count"] for total in sums)
    return {
        "filters": filters,
        "tabs": [
            {
                "key": tab.key,
                "label": tab.label,
                "url": filters.query(tab=tab.key),
                "count": count_label(counts[tab.key], TAB_CAP),
                "on": tab.key == filters.tab,
                "alarm": tab.key in {"unknown", "failed"} and counts[tab.key] > 0,
            }
            for tab in TABS
        ],
        "tab": _TABS[filters.tab],
        "count": counts[filters.tab],
        "count_text": count_label(counts[filters.tab], TAB_CAP),
        "rows": _rows(page.rows, user),
        "newer": page.previous,
        "older": page.next,
        "problem": problem,
        "totals": sums,
        "totals_capped": f"Sums of the newest {COUNT_CAP:,} suggestions only." if summed >= COUNT_CAP else "",
        "kind_chips": _chips(filters, "kind", [(kind.name, kind.label) for kind in registry.kinds()], "All kinds"),
        "currency_chips": _chips(filters, "currency", _currencies(filters, sums), "All currencies"),
        "query": filters.query(),
    }


def _rows(suggestions: list[Suggestion], user: Any) -> list[Row]:
    known = names.of({one for row in suggestions for one in (row.account, row.customer) if one}, user)
    return [
        Row(
            suggestion=row,
            party=known.get(row.account, ""),
            party_id=row.account,
            customer=known.get(row.customer, ""),
            flag=str(row.flags[0].get("text", "")) if row.flags else "",
            more_flags=max(len(row.flags) - 1, 0),
        )
        for row in suggestions
    ]


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
