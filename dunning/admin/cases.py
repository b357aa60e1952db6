"""The pages of cases: the list with its chips and sums, a case, and a page for each step that a person takes."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString

from billingops import access
from billingops.admin import home, names
from billingops.admin.base import ReadOnlyAdmin, state_column, stripe_id_column
from billingops.admin.filters import AccountFilter, CustomerFilter
from billingops.admin.paging import COUNT_CAP, capped_counts, grouped
from billingops.admin.site import site
from billingops.templatetags import billingops as tags
from dunning import by_hand, notes, showing
from dunning.admin import case_page, case_steps
from dunning.admin.case_filters import HeldFilter, TimeFilter, WhoseFilter
from dunning.models import DunningCase
from dunning.states import UNPAID, CaseState

NOTHING = tags.NOTHING


@admin.register(DunningCase, site=site)
class DunningCaseAdmin(ReadOnlyAdmin):
    scope_field = "account"
    list_display = (
        "invoice_name", "state_", "customer_", "money", "reason", "attempts_column", "next_step", "owner_", "sla",
        "promise",
    )  # fmt: skip
    list_select_related = ("owner", "owner_group")
    list_filter = ("state", WhoseFilter, HeldFilter, TimeFilter, "category", AccountFilter, CustomerFilter)
    exact_search = ("invoice", "customer", "invoice_number", "subscription")
    change_list_template = "admin/dunning/case_list.html"
    change_form_template = "admin/dunning/case_detail.html"
    export_fields = (
        "id", "invoice", "invoice_number", "account", "customer", "subscription", "state", "closed_reason", "currency",
        "amount_remaining", "attempt_count", "by_hand_failures", "category", "decline_code", "advice_code", "owner",
        "owner_group", "sla_due_at", "sla_level", "promised_for", "promises_broken", "paused", "snoozed_until",
        "grace_period_until", "sequence", "sequence_version", "arm", "opened_at", "closed_at", "recovered_by",
        "recovered_amount",
    )  # fmt: skip
    empty_text = "A case appears here when Stripe reports that a payment of an invoice has failed."
    fieldsets = ((None, {"fields": ("invoice_",)}),)  # the page itself is case_page.py and its template
    readonly_fields = ("invoice_",)

    state_ = state_column()
    invoice_ = stripe_id_column("invoice", "Invoice", account="account")

    @admin.display(description="Invoice")
    def invoice_name(self, case: DunningCase) -> str:
        return case.invoice_number or case.invoice

    @admin.display(description="Customer")
    def customer_(self, case: DunningCase) -> SafeString:
        link = tags.stripe_link(case.customer, case.account)
        name = getattr(case, "_customer_name", "")
        return format_html("<div>{}<br>{}</div>", name, link) if name else link

    @admin.display(description="Open amount")
    def money(self, case: DunningCase) -> SafeString:
        """Of a closed case nothing is open: what came of it instead."""
        if case.is_unpaid:
            return tags.money(case.amount_remaining, case.currency)
        if case.state == CaseState.RECOVERED and case.recovered_amount:
            came = tags.money(case.recovered_amount, case.currency)
            return format_html('<div><span class="bo-note">recovered</span> {}</div>', came)
        return NOTHING

    @admin.display(description="Attempts")
    def attempts_column(self, case: DunningCase) -> int:
        return case.attempts

    @admin.display(description="Reason")
    def reason(self, case: DunningCase) -> str:
        return case.failure_words

    @admin.display(description="Next step")
    def next_step(self, case: DunningCase) -> SafeString | str:
        if not case.is_unpaid:
            return NOTHING
        if case.paused:
            return "paused"
        if getattr(case, "_is_unseen", False):
            return "not shown yet (blind sample)"
        steps = showing.coming(case.plan[:1] if isinstance(case.plan, list) else [])
        if steps:
            when = tags.age(steps[0].at) if steps[0].at else "once approved"
            return format_html("<div>{}<br>{}</div>", steps[0].label, when)
        return format_html("looked at {}", tags.age(case.next_step_at)) if case.next_step_at else NOTHING

    @admin.display(description="Owner")
    def owner_(self, case: DunningCase) -> str:
        return notes.holder(case) or NOTHING

    @admin.display(description="SLA")
    def sla(self, case: DunningCase) -> SafeString | str:
        if case.sla_due_at is None or not case.is_unpaid:
            return NOTHING
        if not case.is_late:
            return tags.age(case.sla_due_at)
        level = f"level {case.sla_level}, " if case.sla_level else ""
        return format_html(
            "<div>{}<br>{}{}</div>", tags.state_badge("needs_response", "overdue"), level, tags.age(case.sla_due_at)
        )

    @admin.display(description="Promise")
    def promise(self, case: DunningCase) -> str:
        parts = [f"{case.promised_for.day} {case.promised_for:%b %Y}"] if case.promised_for else []
        parts += [f"{case.promises_broken} broken"] if case.promises_broken else []
        return ", ".join(parts) or NOTHING

    # -- the list ------------------------------------------------------------------------------------------------------

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        response = super().changelist_view(request, extra_context)
        if isinstance(response, TemplateResponse) and response.context_data and "cl" in response.context_data:
            listed = response.context_data["cl"]
            rows = list(listed.result_list)
            unseen = showing.unseen(row for row in rows if row.is_unpaid)
            for row in rows:
                row._is_unseen = (row.invoice, row.account) in unseen
            listed.result_list = rows
            named = names.of({row.customer for row in rows} - {""}, request.user)
            for row in rows:
                row._customer_name = named.get(row.customer, "")
            still_open = listed.queryset.filter(state__in=UNPAID)  # what a closed case had open is owed no more
            totals = grouped(still_open, ("currency",), amount="amount_remaining", when="opened_at")
            summed = sum(total["count"] for total in totals)
            response.context_data["totals"] = totals
            response.context_data["totals_capped"] = (
                f"Sums of the newest {COUNT_CAP:,} cases only." if summed >= COUNT_CAP else ""
            )
        return response

    # -- one case ------------------------------------------------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        own = [
            path(
                f"<path:object_id>/{step.name}/",
                self.admin_site.admin_view(partial(self.step_view, name=step.name)),
                name=f"dunning_dunningcase_{step.name}",
            )
            for step in case_steps.STEPS
        ]
        return [*own, *super().get_urls()]

    def step_view(self, request: HttpRequest, object_id: str, name: str) -> HttpResponse:
        return case_steps.view(self, request, unquote(object_id), name)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        case = self.get_object(request, unquote(object_id))
        shown: dict[str, Any] = {}
        if case is not None and self.has_view_permission(request, case):
            shown = {**case_page.context(case, request.user), "work": case_steps.links(case, request.user)}
        return super().change_view(request, object_id, form_url, {**shown, **(extra_context or {})})


@home.waiting(order=35)
def cases_with_people(request: HttpRequest) -> Iterator[home.WaitingLine]:
    """Cases that nobody acted on in time, and promises due today, for those who work on them. One statement."""
    if not request.user.has_perm(by_hand.WORK):
        return
    now = timezone.now()
    cases = access.scope(DunningCase.objects.unpaid(), request.user)
    late, today = cases.overdue(now), cases.filter(promised_for=timezone.localdate())  # type: ignore[attr-defined]
    found: dict[str, Any] = {}
    first = late.order_by("sla_due_at").values_list("sla_due_at", flat=True)[:1]
    counts = capped_counts({"late": late, "today": today}, moments={"late": first}, found=found)
    url = reverse("admin:dunning_dunningcase_changelist")
    yield home.WaitingLine(
        label="cases with overdue SLA",
        count=counts["late"],
        oldest=found.get("late"),
        url=f"{url}?time=overdue",
        urgent=True,
    )
    yield home.WaitingLine(label="promises due today", count=counts["today"], url=f"{url}?held=today")
