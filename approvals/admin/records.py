"""Policies and executions, to look at. Policies are changed with `import_config`, the rest by nobody."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html

from approvals.models import Execution, Policy
from billingops import access
from billingops.admin.base import ReadOnlyAdmin, age_column, json_column, state_column
from billingops.admin.site import site
from billingops.money import format_money
from billingops.templatetags import billingops as tags


def suggestion_link(pk: Any, text: str = "") -> str:
    url = reverse("admin:approvals_suggestion_change", args=[pk])
    return format_html('<a href="{}">{}</a>', url, text or tags.short_text(str(pk)))


@admin.register(Policy, site=site)
class PolicyAdmin(ReadOnlyAdmin):
    """Whoever is limited to some accounts sees what applies to these: their own policies and those for all accounts."""

    list_display = ("kind", "where", "mode", "two_approvers", "version", "updated")
    list_filter = ("mode",)
    exact_search = ("kind", "account")
    fields = ("kind", "where", "mode", "two_approvers", "auto", "version", "updated_at")
    readonly_fields = fields
    empty_text = (
        "Without a policy every suggestion waits for one person. Policies come from manage.py import_config FILE.yaml."
    )
    updated = age_column("updated_at", "Changed")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        queryset = super().get_queryset(request)
        accounts = access.accounts_of(request.user)
        return queryset if accounts is None else queryset.filter(account__in=[*accounts, ""])

    @admin.display(description="Account")
    def where(self, obj: Policy) -> str:
        return obj.account or "all accounts"

    @admin.display(description="Two approvers over")
    def two_approvers(self, obj: Policy) -> str:
        return _limits(obj.two_approvers_over)

    @admin.display(description="Automatic under")
    def auto(self, obj: Policy) -> str:
        return _limits(obj.auto_under)


def _limits(limits: dict[str, int]) -> str:
    return ", ".join(format_money(amount, currency) for currency, amount in sorted(limits.items())) or "—"


@admin.register(Execution, site=site)
class ExecutionAdmin(ReadOnlyAdmin):
    scope_field = "suggestion__account"
    ordering = ("-id",)
    list_display = ("id", "suggestion_", "attempt", "state_", "object_", "request_id", "age")
    list_select_related = ("suggestion",)
    list_filter = ("state",)
    exact_search = ("pk", "idempotency_key")
    search_help_text = "The exact idempotency key."
    export_fields = (
        "id",
        "suggestion_id",
        "attempt",
        "state",
        "idempotency_key",
        "object_id",
        "request_id",
        "error_code",
        "queued_at",
        "started_at",
        "finished_at",
        "confirmed_at",
    )
    fieldsets = (
        (None, {"fields": ("suggestion_", "attempt", "state_", "idempotency_key")}),
        ("At Stripe", {"fields": ("object_", "request_id", "error_code", "error", "confirmed_event", "result_")}),
        ("When", {"fields": ("queued_at", "not_before", "started_at", "finished_at", "confirmed_at", "tries")}),
    )
    empty_text = "Each attempt to carry an approved suggestion out stands here with its idempotency key."
    state_ = state_column()
    age = age_column("queued_at")
    result_ = json_column("result", "Result")

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return [name for _, options in self.fieldsets for name in options["fields"]]

    @admin.display(description="Suggestion")
    def suggestion_(self, obj: Execution) -> str:
        return suggestion_link(obj.suggestion_id, str(obj.suggestion))

    @admin.display(description="Object")
    def object_(self, obj: Execution) -> str:
        return tags.stripe_link(obj.object_id)
