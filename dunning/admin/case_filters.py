"""The chips above the list of cases. Each is answered by an index, or by a partial one over few rows."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils import timezone

from dunning.states import UNPAID

GRACE_SOON = timedelta(days=3)


class _Chips(admin.SimpleListFilter):
    """Of the cases that are still unpaid, for nobody works on the others."""

    options: tuple[tuple[str, str], ...] = ()

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        self.user = request.user
        return list(self.options)

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = self.value()
        return self.narrowed(queryset.filter(state__in=UNPAID), str(value), request.user) if value else queryset

    def narrowed(self, cases: QuerySet[Any], value: str, user: Any) -> QuerySet[Any]:
        raise NotImplementedError


class WhoseFilter(_Chips):
    title = "whose"
    parameter_name = "whose"
    options = (("mine", "Mine"), ("groups", "My groups’"), ("nobody", "Nobody’s"))

    def narrowed(self, cases: QuerySet[Any], value: str, user: Any) -> QuerySet[Any]:
        if value == "mine":
            return cases.filter(owner=user)
        if value == "groups":
            return cases.filter(owner_group__in=list(user.groups.values_list("pk", flat=True)), owner=None)
        return cases.filter(owner=None, owner_group=None) if value == "nobody" else cases


class HeldFilter(_Chips):
    title = "held"
    parameter_name = "held"
    options = (
        ("promised", "Promised"),
        ("today", "Promise due today"),
        ("paused", "Paused"),
        ("snoozed", "Snoozed"),
    )

    def narrowed(self, cases: QuerySet[Any], value: str, user: Any) -> QuerySet[Any]:
        by: dict[str, dict[str, Any]] = {
            "promised": {"promised_for__isnull": False},
            "today": {"promised_for": timezone.localdate()},
            "paused": {"paused": True},
            "snoozed": {"snoozed_until__gt": timezone.now()},
        }
        return cases.filter(**by.get(value, {}))


class TimeFilter(_Chips):
    title = "time"
    parameter_name = "time"
    options = (("overdue", "SLA overdue"), ("grace", "Grace ends within 3 days"))

    def narrowed(self, cases: QuerySet[Any], value: str, user: Any) -> QuerySet[Any]:
        if value == "overdue":
            return cases.overdue(timezone.now())  # type: ignore[attr-defined,no-any-return]
        now = timezone.now()
        return (
            cases.filter(grace_period_until__gt=now, grace_period_until__lte=now + GRACE_SOON)
            if value == "grace"
            else cases
        )
