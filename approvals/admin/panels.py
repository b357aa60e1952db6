"""What the gate adds to the home page: what waits, the money in it, and what became of the last 30 days.

Six statements."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from django.db.models import Count, F, Q
from django.db.models.functions import TruncDate
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from approvals import blind, registry
from approvals.admin import queue
from approvals.models import Decision
from approvals.services import desk
from approvals.states import State
from billingops.admin import chart, home
from billingops.admin.paging import COUNT_CAP, first_rows, grouped

DAYS = 30
ATTENTION = {
    State.UNKNOWN: ("Unknown results", "Stripe did not answer clearly: look now.", "unknown"),
    State.FAILED: ("Failed at Stripe", "Refused, nothing happened: retry or cancel.", "failed"),
    State.STALE: ("Stale, and nothing followed", "The facts had changed before it was carried out.", "stale"),
}
SERIES = ("approved", "rejected", "stale")
_APPROVED = (State.APPROVED, State.EXECUTING, State.EXECUTED, State.CONFIRMED, State.FAILED, State.UNKNOWN)


def _url(**filters: str) -> str:
    return reverse("admin:approvals_suggestion_changelist") + queue.Filters().query(**filters)


def _may(request: HttpRequest) -> bool:
    return request.user.has_perm("approvals.view_suggestion")  # type: ignore[union-attr]


def _grouped(queryset: Any, by: str) -> dict[str, dict[str, Any]]:
    """{value of `by`: count, oldest, sums per currency} over the oldest COUNT_CAP rows, in one statement."""
    found: dict[str, dict[str, Any]] = {}
    for row in grouped(queryset, (by, "currency"), cap=COUNT_CAP + 1, newest=False):
        group = found.setdefault(row[by], {"count": 0, "oldest": row["oldest"], "sums": {}})
        group["count"] += row["count"]
        group["oldest"] = min(group["oldest"], row["oldest"])
        if row["currency"]:
            group["sums"][row["currency"]] = row["amount"]
    return found


@home.waiting(order=10)
def attention(request: HttpRequest) -> Iterator[home.WaitingLine]:
    if not _may(request):
        return
    left_alone = Q(state=State.STALE, successors=None)
    groups = _grouped(queue.base(request.user).filter(Q(state__in=[State.UNKNOWN, State.FAILED]) | left_alone), "state")
    for state, (label, hint, tab) in ATTENTION.items():
        if group := groups.get(state):
            yield home.WaitingLine(label=label, hint=hint, url=_url(tab=tab), urgent=True, **group)


@home.waiting(order=15)
def taken(request: HttpRequest) -> Iterator[home.WaitingLine]:
    if not _may(request):
        return
    rows = queue.base(request.user).filter(assignee=request.user.pk, state__in=desk.TAKEABLE)
    for group in _grouped(rows, "assignee_id").values():
        yield home.WaitingLine(
            label="Taken by you", hint="Others see that you are on it.", url=_url(tab="mine"), **group
        )


@home.waiting(order=20)
def by_kind(request: HttpRequest) -> Iterator[home.WaitingLine]:
    if not _may(request):
        return
    pending = queue.base(request.user).filter(state=State.PENDING)
    groups = _grouped(blind.without_undisclosed(pending), "kind")
    for kind, group in sorted(groups.items(), key=lambda pair: pair[1]["oldest"]):
        yield home.WaitingLine(label=registry.label(kind), url=_url(kind=kind), **group)


@home.waiting(order=30)
def second_looks(request: HttpRequest) -> Iterator[home.WaitingLine]:
    """Without those whose first approval this person gave: they wait for somebody else."""
    if not _may(request):
        return
    mine = Decision.objects.filter(actor=request.user.pk, verdict=Decision.Verdict.APPROVE).values("suggestion")
    rows = queue.base(request.user).filter(state=State.SECOND_REVIEW).exclude(pk__in=mine)
    groups = _grouped(rows, "state")
    if group := groups.get(State.SECOND_REVIEW):
        yield home.WaitingLine(
            label="Second looks", hint="One person has approved; another one must.", url=_url(tab="second"), **group
        )


@home.panel(order=10)
def money_in_the_gate(request: HttpRequest) -> home.Panel | None:
    if not _may(request):
        return None
    totals = queue.totals(blind.without_undisclosed(queue.base(request.user).in_the_gate()))
    capped = (
        f"Sums of the newest {queue.SUM_CAP:,} suggestions only."
        if sum(t["count"] for t in totals) >= queue.SUM_CAP
        else ""
    )
    return home.Panel("Money in the gate", "admin/approvals/_gate.html", {"totals": totals, "capped": capped})


@home.panel(order=90)
def last_days(request: HttpRequest) -> home.Panel | None:
    if not _may(request):
        return None
    return home.Panel(
        f"Suggestions of the last {DAYS} days, and what became of them",
        "admin/approvals/_chart.html",
        {"chart": outcome_chart(request.user, timezone.now())},
        wide=True,
    )


def outcome_chart(user: Any, now: datetime) -> chart.Chart:
    """By the day a suggestion was made. At most the newest COUNT_CAP suggestions."""
    first = timezone.localdate(now) - timedelta(days=DAYS - 1)
    rows = (
        first_rows(queue.base(user))
        .filter(created_at__gte=now - timedelta(days=DAYS), is_seeded=False)
        .annotate(day=TruncDate("created_at"))
        .values("day")
        .annotate(
            approved=Count("pk", filter=Q(state__in=_APPROVED)),
            rejected=Count("pk", filter=Q(state=State.REJECTED)),
            stale=Count("pk", filter=Q(state=State.STALE)),
        )
        .order_by(F("day"))
    )
    by_day = {row["day"]: tuple(row[name] for name in SERIES) for row in rows}
    days = [first + timedelta(days=offset) for offset in range(DAYS)]
    return chart.stacked(
        title=f"Suggestions of the last {DAYS} days",
        x_label="Day",
        series=SERIES,
        rows=[(f"{day:%b} {day.day}", by_day.get(day, (0,) * len(SERIES))) for day in days],
    )
