"""The ledger's pages; all of them only read.

/admin/ledger/journalentry/          the journal; an entry with its postings, which add up
/admin/ledger/balances/              the chart of accounts with balances per currency; what each seller has
/admin/ledger/export/                the journal of a period as CSV, or as accounting packages import it
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from billingops import access
from billingops.admin import export as exports
from billingops.admin import names
from billingops.admin.base import ReadOnlyAdmin, money_column, stripe_id_column, viewer
from billingops.admin.filters import AccountFilter, ExactFilter
from billingops.admin.site import page, site
from billingops.exceptions import InvalidInput
from billingops.templatetags import billingops as tags
from settlements.ledger import export, totals
from settlements.ledger.accounts import DEBIT_SIDE, Account
from settlements.ledger.formats import FORMATS
from settlements.ledger.models import JournalEntry
from settlements.ledger.scope import postings_shown

EXPORT_ENTRIES = 100_000  # through a browser; more by manage.py export_journal
SELLERS_SHOWN = 50


class SellerFilter(AccountFilter):
    title = "seller"
    field = "seller"


class BookFilter(ExactFilter):
    title = "book"
    parameter_name = "book"
    placeholder = "acct_… or platform"

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = (self.value() or "").strip()
        return queryset.filter(book="" if value == "platform" else value) if value else queryset


class CurrencyFilter(ExactFilter):
    title = "currency"
    parameter_name = "currency"
    placeholder = "usd"

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        value = (self.value() or "").strip().lower()
        return queryset.filter(currency=value) if value else queryset


class PeriodFilter(ExactFilter):
    """A day, an ISO week, a month or a year, in UTC; what is none of them finds nothing."""

    title = "period"
    parameter_name = "period"
    placeholder = "2026-11, 2026-11-22"

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        if not (value := (self.value() or "").strip()):
            return queryset
        try:
            first, behind = period_of(value)
        except (ValueError, OverflowError):  # there is no day behind 9999-12-31
            return queryset.none()
        edges = [datetime.combine(day, time.min, tzinfo=UTC) for day in (first, behind)]
        return queryset.filter(occurred_at__gte=edges[0], occurred_at__lt=edges[1])


def period_of(text: str) -> tuple[date, date]:
    """`2026`, `2026-11`, `2026-W47`, `2026-11-22` → its first day and the day behind its last. Raises ValueError."""
    if len(text) == 4:
        year = int(text)
        return date(year, 1, 1), date(year + 1, 1, 1)
    if "W" in text:
        first = date.fromisoformat(text if text.count("-") == 2 else f"{text}-1")
        return first, first + timedelta(days=7)
    if len(text) == 7:
        first = date.fromisoformat(f"{text}-01")
        return first, (first + timedelta(days=32)).replace(day=1)
    first = date.fromisoformat(text)
    return first, first + timedelta(days=1)


@admin.register(JournalEntry, site=site)
class JournalEntryAdmin(ReadOnlyAdmin):
    scope_field = "seller"
    list_display = ("occurred", "kind_", "about", "seller_", "book_", "moved", "cash_", "text")
    list_filter = ("kind", BookFilter, CurrencyFilter, PeriodFilter, SellerFilter)
    exact_search = ("id", "key", "source", "balance_transaction", "invoice")
    change_list_template = "admin/ledger/entry_list.html"
    change_form_template = "admin/ledger/entry_detail.html"
    export_fields = (
        "id", "key", "kind", "book", "seller", "currency", "occurred_at", "posted_at", "invoice", "source",
        "balance_transaction", "cash", "fee", "text", "actor",
    )  # fmt: skip
    empty_text = "An entry appears here for whatever Stripe moves and for each sale that is shared out."
    fieldsets = (
        ("Entry", {"fields": ("kind_", "key", "text", "occurred", "posted", "actor")}),
        ("Whose", {"fields": ("book_", "seller_", "currency_")}),
        ("At Stripe", {"fields": ("source_", "balance_transaction_", "invoice_", "cash_", "fee_")}),
        ("Behind it", {"fields": ("suggestion_", "corrects_", "corrected_by")}),
    )
    readonly_fields = (
        "kind_", "key", "text", "occurred", "posted", "actor", "book_", "seller_", "currency_", "source_",
        "balance_transaction_", "invoice_", "cash_", "fee_", "suggestion_", "corrects_", "corrected_by",
    )  # fmt: skip

    fee_ = money_column("fee", description="Stripe's fee in it")
    seller_ = stripe_id_column("seller", "Seller")
    source_ = stripe_id_column("source", "Source", account="book")
    balance_transaction_ = stripe_id_column("balance_transaction", "Balance transaction", account="book")
    invoice_ = stripe_id_column("invoice", "Invoice")

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).prefetch_related("postings")

    @admin.display(description="Kind")
    def kind_(self, entry: JournalEntry) -> str:
        return entry.get_kind_display()

    @admin.display(description="When")
    def occurred(self, entry: JournalEntry) -> SafeString:
        return tags.exact(entry.occurred_at)

    @admin.display(description="Posted")
    def posted(self, entry: JournalEntry) -> SafeString:
        return tags.exact(entry.posted_at)

    @admin.display(description="Of")
    def about(self, entry: JournalEntry) -> SafeString:
        url = reverse("admin:ledger_journalentry_change", args=[entry.pk])
        return format_html('<a href="{}">{}</a>', url, tags.short_text(entry.source or entry.invoice or entry.key))

    @admin.display(description="Book")
    def book_(self, entry: JournalEntry) -> SafeString | str:
        return tags.stripe_link(entry.book) if entry.book else "the platform's"

    @admin.display(description="Currency")
    def currency_(self, entry: JournalEntry) -> str:
        return entry.currency.upper()

    @admin.display(description="Debits")
    def moved(self, entry: JournalEntry) -> SafeString:
        """The sum of one side; the other is as large."""
        return tags.money(sum(line.amount for line in entry.postings.all() if line.amount > 0), entry.currency)

    @admin.display(description="Cash")
    def cash_(self, entry: JournalEntry) -> SafeString:
        return tags.money(entry.cash or None, entry.currency)

    @admin.display(description="Suggestion")
    def suggestion_(self, entry: JournalEntry) -> SafeString | str:
        if entry.suggestion is None:
            return "–"
        url = reverse("admin:approvals_suggestion_change", args=[entry.suggestion])
        return format_html('<a href="{}">{}</a>', url, entry.suggestion)

    @admin.display(description="Corrects")
    def corrects_(self, entry: JournalEntry) -> SafeString | str:
        return _links(entry, [entry.corrects] if entry.corrects else []) or "–"

    @admin.display(description="Corrected by")
    def corrected_by(self, entry: JournalEntry) -> SafeString | str:
        return _links(entry, list(entry.corrections.order_by("occurred_at")[:20])) or "–"

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        entry = self.get_object(request, object_id)
        shown: dict[str, Any] = {}
        if entry is not None:
            lines = postings_shown(entry, request.user)
            rest = -sum(line.amount for line in lines)
            shown = {
                "entry": entry,
                "lines": lines,
                "rest": {"debit": max(rest, 0) or None, "credit": max(-rest, 0) or None} if rest else None,
                "debits": sum(line.amount for line in lines if line.amount > 0) + max(rest, 0),
                "credits": -sum(line.amount for line in lines if line.amount < 0) + max(-rest, 0),
            }
        return super().change_view(request, object_id, form_url, {**shown, **(extra_context or {})})


def _links(entry: JournalEntry, others: list[JournalEntry]) -> SafeString:
    seen = [other for other in others if access.may_see_account(viewer(entry), other.seller)]
    return format_html_join(
        ", ",
        '<a href="{}">{}</a>',
        ((reverse("admin:ledger_journalentry_change", args=[other.pk]), other.key) for other in seen),
    )


# -- balances ----------------------------------------------------------------------------------------------------------


@page("ledger/balances/", name="ledger_balances")
def balances(request: HttpRequest) -> HttpResponse:
    """Whoever is limited to accounts sees what belongs to their sellers, and nothing of the platform's accounts."""
    _check(request)
    limited = access.accounts_of(request.user)
    seller, after = request.GET.get("seller", "").strip(), request.GET.get("after", "")
    only = limited if not seller else ({seller} & limited if limited is not None else {seller})
    rows, further = totals.by_seller(sellers=only, after=after, size=SELLERS_SHOWN)
    chart: dict[str, list[dict[str, Any]]] = {}
    if limited is None:
        for (currency, account), amount in totals.by_account(sellers=[seller] if seller else None).items():
            chart.setdefault(currency, []).append(_account_row(account, amount))
    context = {
        **site.each_context(request),
        "title": "Balances",
        "chart": chart,
        # Of all sellers: one seller's part of the books need not balance.
        "sums": {} if seller else {currency: _sums(rows_) for currency, rows_ in chart.items()},
        "sellers": [
            (row, [(account.label, _shown(row.amounts.get(account, 0), account)) for account in columns()])
            for row in rows
        ],
        "columns": [account.label for account in columns()],
        "names": names.of({row.seller for row in rows}, request.user),
        "seller": seller,
        "after": after,
        "next": "?" + urlencode({"after": further} | ({"seller": seller} if seller else {})) if further else "",
        "limited": limited is not None,
    }
    return TemplateResponse(request, "admin/ledger/balances.html", context)


def columns() -> tuple[Account, ...]:
    return totals.SELLER_ACCOUNTS


def _shown(amount: int, account: str) -> int | None:
    """As the account is read: what is owed to sellers is a credit, and stands there without a minus."""
    return (amount if account in DEBIT_SIDE else -amount) or None


def _account_row(account: str, amount: int) -> dict[str, Any]:
    return {
        "account": Account(account).label,
        "side": "debit" if account in DEBIT_SIDE else "credit",
        "balance": amount if account in DEBIT_SIDE else -amount,
        "debit": amount if amount > 0 else None,
        "credit": -amount if amount < 0 else None,
    }


def _sums(accounts: list[dict[str, Any]]) -> tuple[int, int]:
    """(debit, credit) of a currency's accounts."""
    return sum(row["debit"] or 0 for row in accounts), sum(row["credit"] or 0 for row in accounts)


# -- export ------------------------------------------------------------------------------------------------------------


@page("ledger/export/", name="ledger_export")
def export_page(request: HttpRequest) -> HttpResponseBase:
    """A form; with a period, the file. Noted in the audit log like every export; at most EXPORT_ENTRIES."""
    _check(request)
    names_ = ("from", "to", "posted_since", "seller", "currency", "format")
    given = {name: request.GET.get(name, "").strip() for name in names_}
    problem = ""
    if given["from"] or given["to"] or given["posted_since"]:
        try:
            return _download(request, given)
        except InvalidInput as refused:
            problem = str(refused)
    last = timezone.now().date().replace(day=1) - timedelta(days=1)
    first = last.replace(day=1)
    defaults = {"from": first.isoformat(), "to": last.isoformat(), "format": "csv"}
    context = {
        **site.each_context(request),
        "title": "Export the journal",
        "given": given if problem else given | defaults,
        "problem": problem,
        "formats": FORMATS.values(),
        "most": EXPORT_ENTRIES,
        "month": first,
        "late": export.Selection(first, last).late(FORMATS["csv"], request.user),
    }
    return TemplateResponse(request, "admin/ledger/export.html", context, status=400 if problem else 200)


def _download(request: HttpRequest, given: dict[str, str]) -> StreamingHttpResponse:
    chosen, form = export.read_selection(given)
    if form.per_currency and not chosen.currency:
        raise InvalidInput(f"{form.label}: one file holds one currency; name it.", field="currency")
    if form.whole_entries and access.accounts_of(request.user) is not None:
        raise InvalidInput(
            f"{form.label}: it takes whole entries, and you see a part of them. Choose CSV.", field="format"
        )
    found = chosen.entries(form, request.user)
    if found.order_by()[: EXPORT_ENTRIES + 1].count() > EXPORT_ENTRIES:
        raise InvalidInput(
            f"These are more than {EXPORT_ENTRIES:,} entries: choose a shorter period, or ask for "
            "manage.py export_journal, which has no limit.",
            field="to",
        )
    filename = chosen.filename(form)
    counted = exports.logged(request, what=filename, rows=export.stream(found))
    text = form.write(counted, lines=lambda entry: postings_shown(entry, request.user))
    response = StreamingHttpResponse(text, content_type=form.content_type)
    response["Content-Disposition"] = f'attachment; filename="{filename}"'
    response["Cache-Control"] = "no-store"
    return response


def _check(request: HttpRequest) -> None:
    """Raises PermissionDenied."""
    if not request.user.has_perm("ledger.view_journalentry"):
        raise PermissionDenied("You may not see the ledger.")
