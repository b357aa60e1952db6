"""Filters whose choices cost no query. They show as chips above the list and live in the URL."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest


class ExactFilter(admin.SimpleListFilter):
    """A value typed by hand and compared exactly, for columns with too many values for a list of choices.

    Subclass: `title`, `parameter_name` (in the URL), `field` (the column; default: the parameter's name).
    """

    template = "admin/_exact_filter.html"
    field = ""
    placeholder = ""

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return []

    def has_output(self) -> bool:
        return True

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = (self.value() or "").strip()
        return queryset.filter(**{self.field or self.parameter_name or "": value}) if value else queryset

    def choices(self, changelist: Any) -> Iterator[Any]:
        yield {
            "selected": bool(self.value()),
            "value": self.value() or "",
            "placeholder": self.placeholder,
            "name": self.parameter_name,
            "clear": changelist.get_query_string(remove=[self.parameter_name]),
            "others": [
                (key, value)
                for key, values in changelist.filter_params.items()
                if key != self.parameter_name
                for value in (values if isinstance(values, list) else [values])
            ],
            "display": self.value() or "",
        }


class AccountFilter(ExactFilter):
    """By connected account."""

    title = "account"
    parameter_name = "account"
    placeholder = "acct_…"


class CustomerFilter(ExactFilter):
    """By customer."""

    title = "customer"
    parameter_name = "customer"
    placeholder = "cus_…"
