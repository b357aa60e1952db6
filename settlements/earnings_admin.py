"""Earnings: what each seller earned of each invoice, how that was computed, and where the money is now. Read-only."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from billingops.admin.base import ReadOnlyAdmin, json_column, money_column, stripe_id_column
from billingops.admin.filters import AccountFilter, CustomerFilter, ExactFilter
from billingops.admin.paging import COUNT_CAP, grouped
from billingops.admin.site import site
from billingops.exceptions import InvalidInput
from billingops.templatetags import billingops as tags
from settlements.earnings_api import STATES, states_of
from settlements.ledger.models import JournalEntry
from settlements.models import Earning, PayoutItem
from settlements.trace import statement
from settlements.trace.facts import as_entry
from settlements.trace.views import shown_entry

SHOWN = 200  # journal entries and payouts of one earning


class StandFilter(admin.SimpleListFilter):
    title = "where it stands"
    parameter_name = "stands"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(name, label) for name, (label, _) in STATES.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        found = STATES.get(self.value() or "")
        return queryset.filter(found[1]()) if found else queryset


class MonthFilter(ExactFilter):
    """By the month (UTC) in which the customer paid."""

    title = "month"
    parameter_name = "month"
    placeholder = "2026-11"

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = (self.value() or "").strip()
        if not value:
            return queryset
        try:
            start, end = statement.moments(value)
        except InvalidInput:
            return queryset.none()
        return queryset.filter(paid_at__gte=start, paid_at__lt=end)


class CurrencyFilter(ExactFilter):
    title = "currency"
    parameter_name = "currency"
    placeholder = "usd"

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = (self.value() or "").strip().lower()
        return queryset.filter(currency=value if re.fullmatch("[a-z]{3}", value) else "") if value else queryset


@admin.register(Earning, site=site)
class EarningAdmin(ReadOnlyAdmin):
    scope_field = "account"
    list_display = ("name", "stands", "seller", "money", "paid_", "kept_", "open_", "due_on", "trace_")
    list_select_related = ("seller",)
    list_filter = (StandFilter, AccountFilter, CurrencyFilter, MonthFilter, CustomerFilter)
    exact_search = ("id", "invoice", "charge", "account")
    change_list_template = "admin/settlements/earning_list.html"
    change_form_template = "admin/settlements/earning_detail.html"
    export_fields = (
        "id", "account", "invoice", "invoice_number", "charge", "currency", "paid_at", "due_on", "base", "fee", "share",
        "adjustment", "stripe_fee", "withheld", "reserve", "earned", "taken", "held", "reserve_left", "claimed", "paid",
        "open",
    )  # fmt: skip
    empty_text = "An earning appears here when an invoice with a seller's line is paid and a rule shares it out."
    fieldsets = (
        ("Earning", {"fields": ("stands", "seller", "account_", "paid_at", "due_on", "reserve_until", "trace_")}),
        ("At Stripe", {"fields": ("invoice_", "invoice_number", "charge_", "customer_", "moved_")}),
        ("Agreed", {"fields": ("terms_",)}),
    )
    readonly_fields = (
        "stands", "seller", "account_", "paid_at", "due_on", "reserve_until", "trace_", "invoice_", "invoice_number",
        "charge_", "customer_", "moved_", "terms_",
    )  # fmt: skip

    money = money_column("earned", description="Earned")
    paid_ = money_column("paid", description="Paid")
    open_ = money_column("open", description="Open")
    invoice_ = stripe_id_column("invoice", "Invoice")
    charge_ = stripe_id_column("charge", "Charge")
    customer_ = stripe_id_column("customer", "Customer")
    account_ = stripe_id_column("account", "Account")
    terms_ = json_column("terms", "Terms of that day", has_people=False)

    @admin.display(description="Invoice")
    def name(self, earning: Earning) -> str:
        return earning.invoice_number or earning.invoice

    @admin.display(description="Stands")
    def stands(self, earning: Earning) -> SafeString:
        """What a payout already holds is not payable a second time: it waits for that payout."""
        marks = {"due": "●", "open": "○", "held": "▲", "reserve": "◐", "owed": "✕", "settled": "◇"}
        tones = {"due": "good", "open": "waiting", "held": "attention", "reserve": "moving", "owed": "bad"}
        found = [(tones.get(name, "quiet"), marks[name], STATES[name][0]) for name in states_of(earning)]
        if _is_in_payout(earning):
            waits = ("moving", "◐", "in a payout that waits")
            found = [waits if one[0] == "good" else one for one in found]
        return format_html_join(
            " ", '<span class="bo-state bo-{}"><span class="bo-shape" aria-hidden="true">{}</span>{}</span>', found
        )

    @admin.display(description="Transferred by Stripe itself")
    def moved_(self, earning: Earning) -> str:
        return "yes, it is a destination charge" if earning.moved_by_stripe else "no"

    @admin.display(description="Reserve or held")
    def kept_(self, earning: Earning) -> str:
        return tags.money(earning.reserve_left + earning.held, earning.currency)

    @admin.display(description="Explain")
    def trace_(self, earning: Earning) -> SafeString:
        url = reverse("admin:settlements_trace", args=[earning.invoice])
        return format_html('<a href="{}">Trace<span class="visually-hidden"> {}</span></a>', url, earning.invoice)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        response = super().changelist_view(request, extra_context)
        if isinstance(response, TemplateResponse) and response.context_data and "cl" in response.context_data:
            page = response.context_data["cl"]
            page.result_list = _with_payouts(page.result_list)
            listed = page.queryset.select_related(None)
            totals = grouped(listed, ("currency",), amount="open", when="paid_at")
            response.context_data["totals"] = totals
            summed = sum(total["count"] for total in totals)
            capped = f"Sums of the newest {COUNT_CAP:,} earnings only." if summed >= COUNT_CAP else ""
            response.context_data["totals_capped"] = capped
        return response

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        earning = self.get_object(request, object_id)
        shown: dict[str, Any] = {}
        if earning is not None:
            items = PayoutItem.objects.filter(earning=earning).select_related("record").order_by("pk")[:SHOWN]
            entries: Iterable[Any] = ()
            if request.user.has_perm("ledger.view_journalentry"):
                rows = JournalEntry.objects.visible_to(request.user).filter(
                    invoice=earning.invoice, seller=earning.account
                )
                entries = rows.order_by("occurred_at", "id").prefetch_related("postings")[:SHOWN]
            shown = {
                "earning": earning,
                "steps": computation(earning),
                "now": where_it_is(earning),
                "items": items,
                "entries": [shown_entry(as_entry(entry, request.user)) for entry in entries],
            }
        return super().change_view(request, object_id, form_url, {**shown, **(extra_context or {})})


def _is_in_payout(earning: Earning) -> bool:
    known = getattr(earning, "_in_payout", None)
    return earning.items.filter(state=PayoutItem.State.IN_FLIGHT).exists() if known is None else bool(known)


def _with_payouts(earnings: Iterable[Earning]) -> list[Earning]:
    """Each told whether a payout that is not carried out yet holds it. One statement."""
    rows = list(earnings)
    waiting = PayoutItem.objects.filter(earning__in=[row.pk for row in rows], state=PayoutItem.State.IN_FLIGHT)
    held = set(waiting.values_list("earning_id", flat=True))
    for row in rows:
        row._in_payout = row.pk in held  # type: ignore[attr-defined]
    return rows


def computation(earning: Earning) -> list[tuple[str, int, bool]]:
    """(label, amount, whether it is a result): from the base to what was earned; it adds up."""
    rows = [("Base: lines less discounts, without tax", earning.base, False), ("Platform’s fee", -earning.fee, False)]
    rows.append(("Share", earning.share, True))
    for label, amount in (
        ("Adjustment of earlier invoices (tier reached)", earning.adjustment),
        ("Part of Stripe’s fee", -earning.stripe_fee),
        ("Tax withheld", -earning.withheld),
    ):
        if amount:
            rows.append((label, amount, False))
    rows.append(("Earned", earning.earned, True))
    return rows


def where_it_is(earning: Earning) -> list[tuple[str, int, bool]]:
    """Of what was earned: what was taken, where the rest is. What was taken also brings tax back, so it is the rest."""
    kept = earning.reserve_left + earning.held + earning.open + earning.paid - earning.claimed
    taken = kept - earning.earned
    rows = [("Earned", earning.earned, False), ("Taken back by refunds and disputes, net of tax", taken, False)]
    rows.append(("The seller’s", kept, True))
    for label, amount in (
        ("Paid, less reversals", earning.paid),
        ("of it to be taken back", -earning.claimed),
        ("In reserve", earning.reserve_left),
        ("Held for a dispute", earning.held),
        ("Owed by the seller" if earning.open < 0 else "Open", earning.open),
    ):
        if amount:
            rows.append((label, amount, False))
    return rows
