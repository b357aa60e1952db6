"""The pages of cases."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from approvals import blind
from billingops.admin.base import ReadOnlyAdmin, age_column, money_column, state_column, stripe_id_column
from billingops.admin.filters import AccountFilter, CustomerFilter
from billingops.admin.site import site
from dunning import services
from dunning.models import DunningCase
from dunning.reasons import Category


@dataclass(frozen=True)
class Entry:
    """One line of a case's timeline; `object` has a state."""

    at: datetime
    label: str
    text: str
    url: str
    object: Any


@admin.register(DunningCase, site=site)
class DunningCaseAdmin(ReadOnlyAdmin):
    scope_field = "account"
    list_display = ("invoice_name", "state_", "customer_", "money", "reason", "attempts_column", "next_step", "age")
    list_filter = ("state", "category", "closed_reason", AccountFilter, CustomerFilter)
    exact_search = ("invoice", "customer", "invoice_number", "subscription")
    change_form_template = "admin/dunning/case_detail.html"
    export_fields = (
        "id", "invoice", "invoice_number", "account", "customer", "subscription", "state", "closed_reason", "currency",
        "amount_remaining", "attempt_count", "by_hand_failures", "category", "decline_code", "advice_code", "opened_at",
        "closed_at", "recovered_by",
    )  # fmt: skip
    empty_text = "A case appears here when Stripe reports that a payment of an invoice has failed."
    fieldsets = (
        ("Case", {"fields": ("state_", "closed_reason", "recovered_by", "opened_at", "next_step_at", "closed_at")}),
        ("Invoice", {"fields": ("invoice_", "invoice_number", "money", "customer_", "subscription_", "account_")}),
        (
            "Latest failure",
            {
                "fields": (
                    "reason",
                    "may_be_told",
                    "kind_of_reason",
                    "codes",
                    "attempts",
                    "last_failed_at",
                    "charge_",
                )
            },
        ),
        ("Grace period", {"fields": ("grace_period_until",)}),
    )
    readonly_fields = (
        "state_", "closed_reason", "recovered_by", "opened_at", "next_step_at", "closed_at", "invoice_",
        "invoice_number", "money", "customer_", "subscription_", "account_", "reason", "may_be_told", "kind_of_reason",
        "codes", "attempts", "last_failed_at", "charge_", "grace_period_until",
    )  # fmt: skip

    state_ = state_column()
    money = money_column("amount_remaining", description="Open amount")
    age = age_column("opened_at")
    next_step = age_column("next_step_at", description="Looked at again")
    customer_ = stripe_id_column("customer", "Customer", account="account")
    invoice_ = stripe_id_column("invoice", "Invoice", account="account")
    subscription_ = stripe_id_column("subscription", "Subscription", account="account")
    account_ = stripe_id_column("account", "Account")
    charge_ = stripe_id_column("charge", "Charge", account="account")

    @admin.display(description="Invoice")
    def invoice_name(self, case: DunningCase) -> str:
        return case.invoice_number or case.invoice

    @admin.display(description="Attempts")
    def attempts_column(self, case: DunningCase) -> int:
        return case.attempts

    @admin.display(description="Attempts")
    def attempts(self, case: DunningCase) -> str:
        return f"{case.attempts}, {case.by_hand_failures} of them outside Stripe's own schedule"

    @admin.display(description="Reason")
    def reason(self, case: DunningCase) -> str:
        return case.failure_words

    @admin.display(description="The customer may hear it", boolean=True)
    def may_be_told(self, case: DunningCase) -> bool:
        return not case.verdict.secret

    @admin.display(description="Kind of reason")
    def kind_of_reason(self, case: DunningCase) -> str:
        return f"{Category(case.category).label} · {case.verdict.basis}"

    @admin.display(description="Codes")
    def codes(self, case: DunningCase) -> str:
        names = ("code", "decline_code", "advice_code", "network_decline_code", "network_advice_code")
        return ", ".join(f"{name} {value}" for name in names if (value := getattr(case, name)))

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        case = self.get_object(request, object_id)
        shown = {"timeline": timeline(case) if case else []}
        return super().change_view(request, object_id, form_url, {**shown, **(extra_context or {})})


def timeline(case: DunningCase, limit: int = 100) -> list[Entry]:
    """Suggestions, messages and tasks of a case, newest first. Three statements."""
    entries = [
        Entry(
            row.created_at,
            row.kind_label,
            row.rationale,
            reverse("admin:approvals_suggestion_change", args=[row.pk]),
            row,
        )
        for row in map(blind.shown, services.suggestions_of(case).order_by("-id")[:limit])
    ]
    entries += [
        Entry(row.created_at, "Message", row.subject, reverse("admin:dunning_message_change", args=[row.pk]), row)
        for row in case.messages.order_by("-id")[:limit]
    ]
    entries += [
        Entry(
            row.created_at, "Support task", row.result, reverse("admin:dunning_supporttask_change", args=[row.pk]), row
        )
        for row in case.tasks.order_by("-id")[:limit]
    ]
    return sorted(entries, key=lambda entry: entry.at, reverse=True)
