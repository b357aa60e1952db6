"""The questions put to a model, for reading: what was sent, what came back, why the rules answered, what it cost."""

from __future__ import annotations

from django.contrib import admin

from billingops.admin.base import ReadOnlyAdmin
from billingops.admin.site import site
from billingops.llm import prices
from billingops.llm.models import AgentRun


@admin.register(AgentRun, site=site)
class AgentRunAdmin(ReadOnlyAdmin):
    scope_field = "account"
    list_display = (
        "created_at",
        "agent",
        "purpose",
        "subject",
        "outcome",
        "reason",
        "model",
        "tokens",
        "cost",
        "latency",
    )
    list_filter = ("outcome",)
    exact_search = ("id", "subject")
    fieldsets = (
        (None, {"fields": ("outcome", "reason", "agent", "purpose", "subject", "account", "created_at")}),
        ("Author", {"fields": ("model", "prompt", "prompt_version", "prompt_sha256")}),
        ("What was sent and what came back", {"fields": ("input", "output", "check_output")}),
        ("Cost", {"fields": ("calls", "tokens", "latency", "cost", "price_table")}),
    )
    readonly_fields = (
        *("outcome", "reason", "agent", "purpose", "subject", "account", "created_at"),
        *("model", "prompt", "prompt_version", "prompt_sha256", "input", "output", "check_output"),
        *("calls", "tokens", "latency", "cost", "price_table"),
    )
    export_fields = (
        *("id", "created_at", "agent", "purpose", "subject", "account", "outcome", "reason", "model", "prompt"),
        *("calls", "tokens_in", "tokens_cached", "tokens_out", "latency_ms", "cost_micro", "price_table"),
    )
    empty_text = "A question to a language model leaves a row here. Without OPENAI_API_KEY the built-in rules answer."

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
