"""The questions put to a model, for reading: what was sent, what came back, why the rules answered, what it cost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html

from billingops.admin.base import ReadOnlyAdmin
from billingops.admin.filters import ExactFilter
from billingops.admin.site import site
from billingops.llm import pages, prices  # noqa: F401  (pages registers itself)
from billingops.llm.models import AgentRun

_ABOUT = ("agent", "purpose", "subject", "account", "created_at")


# What the gate adds: user → the runs that this person is not shown yet (a blind suggestion's, before its verdict).
held_back: list[Callable[[Any], Q]] = []


class AgentFilter(ExactFilter):
    title = "agent"
    parameter_name = "agent"
    placeholder = "dunning"


@admin.register(AgentRun, site=site)
class AgentRunAdmin(ReadOnlyAdmin):
    scope_field = "account"
    change_list_template = "admin/llm/runs.html"
    list_display = (
        "created_at",
        "agent",
        "purpose",
        "subject",
        "outcome",
        "verdict",
        "reason",
        "model",
        "tokens",
        "cost",
        "latency",
    )
    list_filter = ("outcome", "verdict", AgentFilter)
    exact_search = ("id", "subject")
    fieldsets = (
        (None, {"fields": ("outcome", "verdict", "reason", *_ABOUT)}),
        ("Decision", {"fields": ("decision", "baseline", "rules_version", "suggestion")}),
        ("Author", {"fields": ("agent_version", "model", "prompt", "prompt_version", "prompt_sha256")}),
        ("What was sent and what came back", {"fields": ("input", "output", "check_output")}),
        ("Cost", {"fields": ("calls", "tokens", "counted_tokens", "latency", "cost", "price_table")}),
    )
    readonly_fields = (
        *("outcome", "verdict", "reason", *_ABOUT, "decision", "baseline", "rules_version", "suggestion"),
        *("agent_version", "model", "prompt", "prompt_version", "prompt_sha256", "input", "output", "check_output"),
        *("calls", "tokens", "counted_tokens", "latency", "cost", "price_table"),
    )
    export_fields = (
        *("id", "created_at", "agent", "purpose", "subject", "account", "outcome", "verdict", "reason"),
        *("decision", "baseline", "rules_version", "agent_version", "model", "prompt", "counted_tokens"),
        *("calls", "tokens_in", "tokens_cached", "tokens_out", "latency_ms", "cost_micro", "price_table"),
    )
    empty_text = "A question to a language model leaves a row here. Without OPENAI_API_KEY the built-in rules answer."

    def get_queryset(self, request: HttpRequest) -> QuerySet[AgentRun]:
        queryset = super().get_queryset(request)
        for find in held_back:
            queryset = queryset.exclude(find(request.user))
        return queryset

    @admin.display(description="suggestion")
    def suggestion(self, run: AgentRun) -> str:
        """The gate is no business of the floor, but its queue knows what is about this subject."""
        where = f"{reverse('admin:approvals_suggestion_changelist')}?{urlencode({'tab': 'all', 'q': run.subject})}"
        return format_html('<a href="{}">what was suggested about {}</a>', where, run.subject)

    @admin.display(description="tokens in (cached) / out")
    def tokens(self, run: AgentRun) -> str:
        if run.tokens_in is None:
            return "not named"
        return f"{run.tokens_in} ({run.tokens_cached or 0}) / {run.tokens_out or 0}"

    @admin.display(description="took")
    def latency(self, run: AgentRun) -> str:
        return f"{run.latency_ms} ms"

    @admin.display(description="cost")
    def cost(self, run: AgentRun) -> str:
        """Six decimals: a question costs a fraction of a cent."""
        if run.cost_micro is None:
            return "price not known"
        whole, part = divmod(run.cost_micro, 1_000_000)
        return f"{prices.table()['currency'].upper()} {whole}.{part:06d}"
