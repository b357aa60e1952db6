"""Executions, to look at. Nobody changes them."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html

from approvals.models import Execution
from billingops.admin.base import ReadOnlyAdmin, age_column, json_column, state_column
from billingops.admin.site import site
from billingops.templatetags import billingops as tags


def suggestion_link(pk: Any, text: str = "") -> str:
    url = reverse("admin:approvals_suggestion_change", args=[pk])
    return format_html('<a href="{}">{}</a>', url, text or tags.short_text(str(pk)))


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
        ("Policy", {"fields": ("held", "counted_at")}),
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
