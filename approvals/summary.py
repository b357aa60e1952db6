"""The daily summary by e-mail: what waits for a person, as counts and sums per currency, and a link. Nothing else.

Each person gets what they may see, at most once a day: the day is claimed on their own row before anything is sent, so
a second run of the task, or a worker that dies while sending, sends no second one.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from django.conf import settings
from django.contrib.auth import get_user_model
from django.core.mail import EmailMultiAlternatives
from django.db.models import Count, Min, Q, Sum
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone

from approvals import blind, registry
from approvals.models import DeskSetting, Suggestion
from approvals.services import desk
from approvals.states import State

logger = logging.getLogger(__name__)
VIEW = "approvals.view_suggestion"


@dataclass
class Line:
    """One row: how many, the oldest, and the sum per currency (minor units)."""

    label: str
    count: int = 0
    oldest: datetime | None = None
    sums: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Figures:
    kinds: list[Line]
    second: int
    mine: int
    unknown: int
    failed: int

    @property
    def waiting(self) -> int:
        return sum(line.count for line in self.kinds)

    @property
    def is_empty(self) -> bool:
        return not (self.waiting or self.second or self.mine or self.unknown or self.failed)


def is_wanted_by(user: Any) -> bool:
    """By their own choice; without one, whoever may decide gets it."""
    chosen = DeskSetting.objects.filter(user=user).values_list("daily_summary", flat=True).first()
    return user.has_perm(desk.DECIDE) if chosen is None else chosen


def figures(user: Any) -> Figures:
    """What waits, as far as `user` may see it. Three statements."""
    visible = Suggestion.objects.visible_to(user)
    lines: dict[str, Line] = {}
    disclosed = blind.without_undisclosed(visible)
    rows = disclosed.filter(state=State.PENDING).order_by().values("kind", "currency")
    for row in rows.annotate(count=Count("pk"), oldest=Min("created_at"), amount=Sum("amount")):
        line = lines.setdefault(row["kind"], Line(registry.label(row["kind"])))
        line.count += row["count"]
        line.oldest = min(filter(None, (line.oldest, row["oldest"])))
        if row["currency"]:
            line.sums[row["currency"]] = row["amount"]
    counted = visible.aggregate(
        pending=Count("pk", filter=Q(state=State.PENDING)),
        mine=Count("pk", filter=Q(assignee=user.pk, state__in=desk.TAKEABLE)),
        unknown=Count("pk", filter=Q(state=State.UNKNOWN)),
        failed=Count("pk", filter=Q(state=State.FAILED)),
    )
    if rest := counted.pop("pending") - sum(line.count for line in lines.values()):
        lines[""] = Line(blind.UNDISCLOSED, rest)
    second = visible.second_looks(user).count()
    return Figures(sorted(lines.values(), key=lambda line: line.label), second=second, **counted)


def send_due(*, now: datetime | None = None) -> int:
    """Today's summaries that nobody has sent yet, from SUMMARY_HOUR (UTC) on. Returns how many went out."""
    now = now or timezone.now()
    if now.hour < settings.SUMMARY_HOUR:
        return 0
    return sum(_send(user, now) for user in _readers() if _claim(user, now.date()))


def _readers() -> Iterator[Any]:
    """People who may see suggestions, want the summary and have an address. Programs are left out."""
    people = get_user_model()._default_manager.filter(is_active=True, is_staff=True).exclude(email="")
    for user in people.exclude(access_profile__is_service=True).order_by("pk"):
        if user.has_perm(VIEW) and is_wanted_by(user):
            yield user


def _claim(user: Any, today: date) -> bool:
    """True to exactly one caller a day."""
    DeskSetting.objects.get_or_create(user=user)
    mine = DeskSetting.objects.filter(Q(summary_on=None) | Q(summary_on__lt=today), user=user)
    return mine.update(summary_on=today) == 1


def _send(user: Any, now: datetime) -> int:
    found = figures(user)
    if found.is_empty:
        return 0
    context = {
        "figures": found,
        "today": now,
        "queue": base_url() + reverse("admin:approvals_suggestion_changelist"),
        "settings": base_url() + reverse("admin:approvals_suggestion_desk"),
    }
    mail = EmailMultiAlternatives(
        subject=f"{found.waiting + found.second} suggestions wait for a decision",
        body=render_to_string("email/approvals/summary.txt", context),
        to=[user.email],
        headers={"Auto-Submitted": "auto-generated"},
    )
    mail.attach_alternative(render_to_string("email/approvals/summary.html", context), "text/html")
    try:
        mail.send(fail_silently=False)
    except Exception as error:  # tomorrow's comes all the same; the answer's text may name the address
        logger.error("the daily summary for user %s was not sent: %s", user.pk, type(error).__name__)
        return 0
    return 1


def base_url() -> str:
    """Where people reach the back office: BASE_URL, else the first host that is allowed."""
    if settings.BASE_URL:
        return str(settings.BASE_URL).rstrip("/")
    host = next((host.lstrip(".") for host in settings.ALLOWED_HOSTS if host != "*"), "localhost")
    local = host in ("localhost", "127.0.0.1", "[::1]")
    return f"http://{host}:8000" if local else f"https://{host}"
