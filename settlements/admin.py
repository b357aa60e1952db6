"""Settlements' pages: payouts, findings, sellers, rules. They read; the one step (dismiss a finding) goes through
findings.py. Sellers and rules come from the config file, so they have no form here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import Min
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from billingops import access
from billingops.actors import Actor
from billingops.admin import home, names
from billingops.admin.actions import ConfirmedAction, Given
from billingops.admin.base import ReadOnlyAdmin, age_column, money_column, state_column, stripe_id_column
from billingops.admin.filters import AccountFilter, CustomerFilter, ExactFilter
from billingops.admin.paging import COUNT_CAP, capped_counts
from billingops.admin.site import site
from billingops.exceptions import BillingOpsError
from billingops.ids import seal
from billingops.templatetags import billingops as tags
from settlements import (
    debts,
    earnings_admin,  # noqa: F401  (registers its pages)
    evidence,
    explain_page,
    findings,
    seller_page,
    wording,
)
from settlements.models import Finding, PayoutRecord, Seller, ShareRule
from settlements.querysets import PayoutRecordQuerySet
from settlements.states import FindingState, PayoutState
from settlements.trace import statement_views  # noqa: F401  (registers its pages)
from settlements.trace import views as trace_views  # noqa: F401  (the same)


@names.resolver("acct")
def seller_names(ids: set[str], user: Any) -> dict[str, str]:
    return dict(access.scope(Seller.objects.filter(account__in=ids), user).values_list("account", "name"))


class InvoiceFilter(ExactFilter):
    title = "invoice"
    parameter_name = "invoice"
    placeholder = "in_…"


def _flags(flags: list[dict[str, str]]) -> SafeString:
    """Each flag with its figure, marked by shape as well as by colour."""
    return format_html_join(
        " ", '<span class="bo-flag"><span aria-hidden="true">⚑</span> {}</span>', ((flag["text"],) for flag in flags)
    )


@admin.register(PayoutRecord, site=site)
class PayoutRecordAdmin(ReadOnlyAdmin):
    """`transferred` is what Stripe has confirmed; a transfer that was only answered shows as pending, with its id."""

    scope_field = "account"
    list_display = ("name", "state_", "seller", "money", "invoice_", "transfer_", "flagged", "age")
    list_select_related = ("seller",)
    list_filter = ("state", AccountFilter, InvoiceFilter, CustomerFilter)
    exact_search = ("id", "invoice", "transfer", "charge", "customer", "account", "invoice_number")
    change_list_template = "admin/settlements/payout_list.html"
    change_form_template = "admin/settlements/payout_detail.html"
    export_fields = (
        "id", "state", "account", "invoice", "period", "invoice_number", "charge", "customer", "currency", "amount",
        "fee_total", "amount_reversed", "transfer", "suggestion_id", "created_at", "transferred_at",
    )  # fmt: skip
    empty_text = "A payout appears here when an invoice with a seller's line is paid and a rule shares it out."
    fieldsets = (
        (
            "Payout",
            {"fields": ("period_", "state_", "meaning", "money", "fee", "reversed_", "created_at", "transferred_at")},
        ),
        ("Parties", {"fields": ("seller", "account_", "customer_")}),
        ("At Stripe", {"fields": ("invoice_", "invoice_number", "charge_", "transfer_")}),
        ("Decided on", {"fields": ("suggestion_", "flagged", "memo", "memo_by")}),
    )
    readonly_fields = (
        "period_", "state_", "meaning", "money", "fee", "reversed_", "created_at", "transferred_at", "seller",
        "account_", "customer_", "invoice_", "invoice_number", "charge_", "transfer_", "suggestion_", "flagged", "memo",
        "memo_by",
    )  # fmt: skip

    state_ = state_column()
    money = money_column(description="Payout")
    fee = money_column("fee_total", description="Platform fee")
    reversed_ = money_column("amount_reversed", description="Reversed")
    age = age_column()
    invoice_ = stripe_id_column("invoice", "Invoice")
    charge_ = stripe_id_column("charge", "Charge")
    transfer_ = stripe_id_column("transfer", "Transfer")
    customer_ = stripe_id_column("customer", "Customer")
    account_ = stripe_id_column("account", "Account")

    @admin.display(description="Payout")
    def name(self, record: PayoutRecord) -> str:
        return record.invoice_number or record.period or f"payout {record.pk}"

    @admin.display(description="Of")
    def period_(self, record: PayoutRecord) -> str:
        return f"the period {record.period}" if record.period else "one invoice"

    @admin.display(description="Flags")
    def flagged(self, record: PayoutRecord) -> SafeString | str:
        return _flags(record.flags) or "–"

    @admin.display(description="Which means")
    def meaning(self, record: PayoutRecord) -> str:
        if record.state == PayoutState.PENDING_TRANSFER:
            sent = "Stripe has answered; its event has not confirmed it yet."
            return sent if record.transfer else "Approved; Stripe has not answered yet."
        return {
            PayoutState.PENDING_REVIEW: "Waits for approval; nothing was sent.",
            PayoutState.TRANSFERRED: "Stripe's event has confirmed the transfer.",
            PayoutState.FAILED: "Stripe refused it; nothing was sent. It can be tried again on the suggestion's page.",
            PayoutState.REVERSED: "All of it was taken back.",
            PayoutState.CANCELLED: "Nothing was sent.",
        }[PayoutState(record.state)]

    @admin.display(description="Suggestion")
    def suggestion_(self, record: PayoutRecord) -> SafeString | str:
        if record.suggestion_id is None:
            return "–"
        url = reverse("admin:approvals_suggestion_change", args=[record.suggestion_id])
        return format_html('<a href="{}">{}</a>', url, record.suggestion)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        response = super().changelist_view(request, extra_context)
        if isinstance(response, TemplateResponse) and response.context_data and "cl" in response.context_data:
            listed: PayoutRecordQuerySet = response.context_data["cl"].queryset
            totals = listed.totals_of_newest(COUNT_CAP)
            summed = sum(total["count"] for total in totals)
            response.context_data["totals"] = totals
            response.context_data["totals_capped"] = (
                f"Sums of the newest {COUNT_CAP:,} payouts only." if summed >= COUNT_CAP else ""
            )
        return response

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        record = self.get_object(request, object_id)
        shown: dict[str, Any] = {}
        if record is not None:
            shown = {"record": record, **evidence.computation(record)}
        return super().change_view(request, object_id, form_url, {**shown, **(extra_context or {})})


def _dismiss(finding: Finding, actor: Actor, given: Given) -> None:
    findings.dismiss(finding_id=finding.pk, actor=actor, reason=given.comment)


DISMISS = ConfirmedAction(
    name="dismiss",
    label="Dismiss the selected findings",
    button="Dismiss",
    done="Findings dismissed",
    sentence="Marks these findings as needing nothing more. Nothing is paid out by this; the reason stays on record.",
    may=lambda request: request.user.has_perm("settlements.dismiss_finding"),
    refuse=lambda request, finding: (
        "" if finding.state == FindingState.OPEN else f"It is already {finding.get_state_display()}."
    ),
    run=_dismiss,
    version=lambda finding: seal([finding.state, finding.text])[:16],
    comment="required",
    comment_label="Why nothing more is needed",
)


@admin.register(Finding, site=site)
class FindingAdmin(ReadOnlyAdmin):
    scope_field = "account"
    list_display = ("code_", "state_", "subject_", "account_", "money", "text", "age")
    list_filter = ("state", "code", AccountFilter)
    exact_search = ("id", "subject", "account")
    confirmed_actions = (DISMISS,)
    export_fields = (
        "id", "code", "state", "subject", "account", "amount", "currency", "text", "created_at", "closed_at",
        "closed_reason",
    )  # fmt: skip
    empty_text = "A finding appears here when a seller is not paid for an invoice, and says why and what to do."
    fieldsets = (
        ("Finding", {"fields": ("code_", "state_", "text", "money", "created_at")}),
        ("About", {"fields": ("subject_", "account_", "lines_", "event_id")}),
        ("Closed", {"fields": ("closed_at", "closed_reason")}),
    )
    readonly_fields = (
        "code_", "state_", "text", "money", "created_at", "subject_", "account_", "lines_", "event_id", "closed_at",
        "closed_reason",
    )  # fmt: skip

    state_ = state_column()
    money = money_column()
    age = age_column()
    subject_ = stripe_id_column("subject", "About")
    account_ = stripe_id_column("account", "Seller's account")

    @admin.display(description="Finding")
    def code_(self, finding: Finding) -> str:
        return finding.get_code_display()

    @admin.display(description="Invoice lines")
    def lines_(self, finding: Finding) -> SafeString | str:
        return format_html_join(", ", "{}", ((tags.short_id(line),) for line in finding.lines)) or "–"


@admin.register(Seller, site=site)
class SellerAdmin(ReadOnlyAdmin):
    scope_field = "account"
    list_display = ("name", "account_", "schedule", "minimum", "active", "created_at")
    list_filter = ("active",)
    exact_search = ("account", "name")
    export_fields = (
        "account", "name", "schedule", "hold_days", "minimum_payout", "reserve_percent", "reserve_days",
        "tax_withholding_percent", "stripe_fees", "recovery", "negative_limit", "active", "created_at",
    )  # fmt: skip
    empty_text = "Sellers come from the config file: manage.py import_config FILE.yaml"
    change_form_template = "admin/settlements/seller_detail.html"
    fieldsets = (
        ("Seller", {"fields": ("name", "account_", "active", "created_at")}),
        ("Paid out", {"fields": ("schedule", "hold_days", "minimum")}),
        ("Kept back", {"fields": ("reserve", "withholding", "stripe_fees")}),
        ("After a refund or a lost dispute", {"fields": ("recovery", "debt")}),
    )
    readonly_fields = (
        "name", "account_", "active", "created_at", "schedule", "hold_days", "minimum", "reserve",
        "withholding", "stripe_fees", "recovery", "debt",
    )  # fmt: skip

    account_ = stripe_id_column("account", "Account")

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.debt_view)
        return [path("<int:pk>/debt/", view, name="settlements_seller_debt"), *super().get_urls()]

    def debt_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        """Suggests that a debt is settled; see debts.py."""
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        if not (self.has_view_permission(request) and request.user.has_perm("reconciliation.suggest_correction")):
            raise PermissionDenied
        seller = self.get_object(request, str(pk))
        if seller is None:
            raise Http404
        currency = request.POST.get("currency", "").strip().lower()
        try:
            debts.suggest(
                account=seller.account,
                currency=currency,
                amount=debts.typed(request.POST.get("amount", ""), currency),
                way=request.POST.get("way", ""),
                reason=request.POST.get("reason", ""),
                actor=Actor.person(request.user),
            )
        except BillingOpsError as problem:
            return self.refused(request, pk, problem, refused=currency)
        messages.success(request, "Suggested. Somebody else approves it; nothing is booked until then.")
        return HttpResponseRedirect(reverse("admin:settlements_seller_change", args=[pk]))

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        seller = self.get_object(request, object_id)
        shown = seller_page.context(seller, request.user) if seller is not None else {}
        return super().change_view(request, object_id, form_url, {**shown, **(extra_context or {})})

    @admin.display(description="Minimum payout")
    def minimum(self, seller: Seller) -> SafeString | str:
        return self._amounts(seller.minimum_payout)

    @admin.display(description="Alert when the debt is above")
    def debt(self, seller: Seller) -> SafeString | str:
        return self._amounts(seller.negative_limit)

    @admin.display(description="Reserve")
    def reserve(self, seller: Seller) -> str:
        percent = wording.percent_text(seller.reserve_percent)
        return f"{percent} of each share for {seller.reserve_days} days" if seller.reserve_percent else "–"

    @admin.display(description="Tax withheld")
    def withholding(self, seller: Seller) -> str:
        percent = seller.tax_withholding_percent
        return f"{wording.percent_text(percent)} of each share, for the tax office" if percent else "–"

    @staticmethod
    def _amounts(of: dict[str, int]) -> SafeString | str:
        amounts = sorted(of.items())
        return format_html_join(", ", "{}", ((tags.money(amount, currency),) for currency, amount in amounts)) or "–"


@admin.register(ShareRule, site=site)
class ShareRuleAdmin(ReadOnlyAdmin):
    """All versions: what a payout was computed with can always be looked up."""

    scope_field = "seller__account"
    list_display = ("__str__", "seller_", "match_text", "share_text", "valid_from", "valid_until")
    list_select_related = ("seller",)
    list_filter = ("share_type", "match_type")
    exact_search = ("name", "match_value", "seller__account")
    export_fields = (
        "name", "version", "seller", "match_type", "match_value", "match_currency", "match_tier", "promotion",
        "share_type", "seller_percent", "fee", "currency", "minimum_fee", "maximum_fee", "period", "tier_mode", "tiers",
        "split", "valid_from", "valid_until",
    )  # fmt: skip
    empty_text = "Rules come from the config file: manage.py import_config FILE.yaml"
    change_list_template = "admin/settlements/rule_list.html"
    fieldsets = (
        ("Rule", {"fields": ("name", "version", "seller_", "match_text", "share_text", "try_")}),
        ("Valid", {"fields": ("valid_from", "valid_until", "created_at")}),
    )
    readonly_fields = (
        "name", "version", "seller_", "match_text", "share_text", "try_", "valid_from", "valid_until", "created_at",
    )  # fmt: skip

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.try_view)
        return [path("try/", view, name="settlements_sharerule_try"), *super().get_urls()]

    def try_view(self, request: HttpRequest) -> HttpResponse:
        return explain_page.view(request, context={**self.admin_site.each_context(request), "opts": self.opts})

    @admin.display(description="Try it")
    def try_(self, rule: ShareRule) -> SafeString:
        url = reverse("admin:settlements_sharerule_try")
        return format_html('<a href="{}?rule={}">on a made-up invoice</a>', url, rule.pk)

    @admin.display(description="Seller")
    def seller_(self, rule: ShareRule) -> str:
        return str(rule.seller) if rule.seller else "any seller"

    @admin.display(description="Matches")
    def match_text(self, rule: ShareRule) -> str:
        return rule.match_text

    @admin.display(description="Share")
    def share_text(self, rule: ShareRule) -> str:
        return rule.share_text


@home.waiting(order=30)
def open_findings(request: HttpRequest) -> Iterator[home.WaitingLine]:
    """Open findings, for those who may do something about them. Two statements."""
    if not request.user.has_perm("settlements.dismiss_finding"):
        return
    rows = Finding.objects.open().visible_to(request.user)
    yield home.WaitingLine(
        label="payout findings",
        count=capped_counts({"open": rows})["open"],
        oldest=rows.aggregate(oldest=Min("created_at"))["oldest"],
        url=reverse("admin:settlements_finding_changelist") + f"?state__exact={FindingState.OPEN}",
    )
