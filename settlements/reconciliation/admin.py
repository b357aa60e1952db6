"""Reconciliation's pages: differences, runs, payouts' sums; and the steps on a difference, each a POST of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import ObjectDoesNotExist, PermissionDenied
from django.db.models import Min
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html

from billingops.actors import Actor
from billingops.admin import home
from billingops.admin.base import ReadOnlyAdmin, age_column, money_column, state_column, stripe_id_column
from billingops.admin.filters import AccountFilter, ExactFilter
from billingops.admin.paging import COUNT_CAP, capped_counts
from billingops.admin.site import site
from billingops.exceptions import BillingOpsError
from billingops.money import sum_by_currency
from billingops.templatetags import billingops as tags
from settlements.ledger.accounts import Account
from settlements.reconciliation import corrections, report_pages, services  # noqa: F401  (registers its pages)
from settlements.reconciliation.models import PayoutCheck, ReconciliationItem, ReconciliationLink, Run
from settlements.reconciliation.months import bounds
from settlements.reconciliation.querysets import ItemQuerySet
from settlements.reconciliation.states import DIFFERENCES, MEANINGS, OPEN, How, State

SHOWN = 200  # members on a page
MAX_OTHERS = 50


class BookFilter(AccountFilter):
    """`platform` for the platform's own book, whose account is empty."""

    title = "book"
    placeholder = "acct_… or platform"

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        value = (self.value() or "").strip()
        return queryset.filter(account="" if value == "platform" else value) if value else queryset


class CurrencyFilter(ExactFilter):
    title = "currency"
    parameter_name = "currency"
    placeholder = "usd"

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        value = (self.value() or "").strip().lower()
        return queryset.filter(currency=value) if value else queryset


class MonthFilter(ExactFilter):
    title = "month"
    parameter_name = "month"
    placeholder = "2026-11"

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        value = (self.value() or "").strip()
        if not value:
            return queryset
        found = bounds(value)
        return queryset.filter(occurred_at__gte=found[0], occurred_at__lt=found[1]) if found else queryset.none()


TABS: tuple[tuple[str, str, tuple[State, ...]], ...] = (
    ("open", "To explain", DIFFERENCES),
    ("expected", "Expected", (State.EXPECTED,)),
    ("settled", "Settled", (State.MATCHED, State.EXPLAINED, State.WRITTEN_OFF)),
    ("all", "All", ()),
)


class TabFilter(admin.SimpleListFilter):
    """The tabs above the list; without one, what is to be explained."""

    title = "tab"
    parameter_name = "tab"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(name, label) for name, label, _ in TABS]

    def choices(self, changelist: Any) -> Iterator[Any]:
        now = self.value() or "open"
        for name, label, _ in TABS:
            yield {
                "selected": now == name,
                "query_string": changelist.get_query_string({self.parameter_name: name}),
                "display": label,
            }

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        if not self.value() and (request.GET.get("state__exact") or request.GET.get("q")):
            return queryset
        states = {name: states for name, _, states in TABS}.get(self.value() or "open", ())
        return queryset.filter(state__in=states) if states else queryset


GONE = (
    "The difference has gone: what was in it agrees by id now, or belongs to another item. Amounts, cause and words "
    "are those that it was found with."
)


def _has_gone(item: ReconciliationItem) -> bool:
    return item.state == State.MATCHED and not item.transactions and not item.entries


@admin.register(ReconciliationItem, site=site)
class ReconciliationItemAdmin(ReadOnlyAdmin):
    scope_field = "account"
    list_display = ("what", "state_", "cause_", "book", "stripe_", "ledger_", "money", "age")
    list_filter = (TabFilter, "state", "cause", BookFilter, CurrencyFilter, MonthFilter)
    exact_search = ("id", "reference", "links__transaction__object_id", "links__entry__key", "suggestion")
    change_list_template = "admin/reconciliation/item_list.html"
    change_form_template = "admin/reconciliation/item_detail.html"
    export_fields = (
        "id", "state", "how", "cause", "account", "currency", "family", "reference", "stripe", "ledger", "stripe_fee",
        "ledger_fee", "difference", "transactions", "entries", "occurred_at", "text", "reason", "suggestion",
        "found_at", "closed_at", "closed_by",
    )  # fmt: skip
    empty_text = (
        "A difference appears here when Stripe's balance transactions and the ledger do not say the same. They are "
        "compared after each payout, every day, and by manage.py reconcile."
    )
    fieldsets = (
        ("Difference", {"fields": ("state_", "meaning", "cause_", "words", "words_by", "how_", "reason")}),
        ("Amounts", {"fields": ("stripe_", "ledger_", "money", "fees")}),
        ("About", {"fields": ("book", "reference_", "occurred_at", "found_at", "closed_at", "closed_by")}),
    )
    readonly_fields = (
        "state_", "meaning", "cause_", "words", "words_by", "how_", "reason", "stripe_", "ledger_", "money", "fees",
        "book", "reference_", "occurred_at", "found_at", "closed_at", "closed_by",
    )  # fmt: skip

    state_ = state_column()
    stripe_ = money_column("stripe", description="Stripe")
    ledger_ = money_column("ledger", "ledger_currency", description="Ledger")
    age = age_column("found_at")
    reference_ = stripe_id_column("reference", "Object", account="account")

    @admin.display(description="Ledger − Stripe")
    def money(self, item: ReconciliationItem) -> str:
        """Two currencies have no difference; the stored 0 would read as none. One that has gone stands beside the
        amounts that it was found with."""
        if item.state == State.CURRENCY_MISMATCH:
            return format_html('<span class="bo-money">{}</span>', "two currencies")
        if _has_gone(item):
            return format_html('<span class="bo-money">{}</span>', "gone")
        return tags.money(item.difference, item.currency)

    @admin.display(description="Difference")
    def what(self, item: ReconciliationItem) -> str:
        return f"{item.family.replace('_', ' ') or 'item'} {item.reference or item.pk}"

    @admin.display(description="Probable cause")
    def cause_(self, item: ReconciliationItem) -> str:
        return item.get_cause_display() or "–"

    @admin.display(description="In words")
    def words(self, item: ReconciliationItem) -> str:
        return item.text or "–"

    @admin.display(description="Worded by")
    def words_by(self, item: ReconciliationItem) -> str:
        return item.text_by or "–"

    @admin.display(description="Found")
    def how_(self, item: ReconciliationItem) -> str:
        return How(item.how).label

    @admin.display(description="Which means")
    def meaning(self, item: ReconciliationItem) -> str:
        return GONE if _has_gone(item) else MEANINGS[State(item.state)]

    @admin.display(description="Book")
    def book(self, item: ReconciliationItem) -> str:
        return item.account or "platform"

    @admin.display(description="Stripe’s fee: at Stripe, in the ledger")
    def fees(self, item: ReconciliationItem) -> str:
        from billingops.money import format_money

        return f"{format_money(item.stripe_fee, item.currency)}, {format_money(item.ledger_fee, item.ledger_currency)}"

    def object_title(self, obj: ReconciliationItem) -> str:
        return f"{obj.get_state_display()} · {obj.reference or obj.pk}"

    def get_urls(self) -> list[URLPattern]:
        views: dict[str, Callable[..., HttpResponse]] = {
            "match": self.match_view,
            "unmatch": self.unmatch_view,
            "correct": self.correct_view,
        }
        own = [
            path(f"<int:pk>/{name}/", self.admin_site.admin_view(view), name=f"reconciliation_item_{name}")
            for name, view in views.items()
        ]
        return [*own, *super().get_urls()]

    # -- pages -----------------------------------------------------------------------------------------------------

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        response = super().changelist_view(request, extra_context)
        if isinstance(response, TemplateResponse) and response.context_data and "cl" in response.context_data:
            listed: ItemQuerySet = response.context_data["cl"].queryset
            response.context_data["totals"] = totals = listed.totals_of_newest(COUNT_CAP)
            summed = sum(total["count"] for total in totals)
            response.context_data["totals_capped"] = (
                f"Sums of the newest {COUNT_CAP:,} items only." if summed >= COUNT_CAP else ""
            )
        return response

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        item = self.get_object(request, object_id)
        shown = self._context(request, item) if item is not None else {}
        return super().change_view(request, object_id, form_url, {**shown, **(extra_context or {})})

    def _context(self, request: HttpRequest, item: ReconciliationItem) -> dict[str, Any]:
        may = request.user.has_perm
        rows = ReconciliationLink.objects.filter(item=item).select_related("transaction", "entry").order_by("id")
        gaps = corrections.gaps(item) if item.state in DIFFERENCES else []
        counter = corrections.default_counter(item, gaps)
        obstacle = corrections.why_not(item)
        return {
            "item": item,
            "members": list(rows[:SHOWN]),
            "postings": [
                {"account": Account(line.account).label, "amount": line.amount, "currency": gap.currency}
                for gap in gaps
                for line in corrections.lines(gap, counter)
            ],
            "counter": counter,
            "counters": [(str(account), account.label) for account in corrections.COUNTER_ACCOUNTS],
            "may_correct": may("reconciliation.suggest_correction") and gaps and not obstacle,
            "correction_obstacle": obstacle,
            "write_off_obstacle": corrections.may_write_off(request.user, item, gaps),
            "may_match": may("reconciliation.match_by_hand"),
            "candidates": services.candidates(item, request.user)
            if item.state in OPEN and may("reconciliation.match_by_hand")
            else [],
            "max_reason": services.MAX_REASON,
        }

    # -- steps -----------------------------------------------------------------------------------------------------

    def match_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        others = [int(one) for one in request.POST.getlist("others") if one.isdecimal() and len(one) < 19]
        return self._step(
            request,
            pk,
            "match",
            lambda actor: services.match_by_hand(
                item_id=pk, others=others[: MAX_OTHERS + 1], reason=request.POST.get("reason", ""), actor=actor
            ),
            done="Matched by hand. What does not add up stays open.",
        )

    def unmatch_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        return self._step(
            request,
            pk,
            "unmatch",
            lambda actor: services.unmatch(item_id=pk, reason=request.POST.get("reason", ""), actor=actor),
            done="Taken apart; its members were looked at again.",
        )

    def correct_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        return self._step(
            request,
            pk,
            "correct",
            lambda actor: corrections.suggest(
                item_id=pk,
                counter=request.POST.get("counter", ""),
                write_off=request.POST.get("write_off") == "1",
                reason=request.POST.get("reason", ""),
                actor=actor,
            ),
            done="Suggested. Somebody else approves it; nothing is booked until then.",
        )

    def _step(
        self, request: HttpRequest, pk: int, form: str, step: Callable[[Actor], object], *, done: str
    ) -> HttpResponse:
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        if not self.has_view_permission(request):
            raise PermissionDenied
        if self.get_object(request, str(pk)) is None:
            raise Http404
        back = reverse("admin:reconciliation_reconciliationitem_change", args=[pk])
        try:
            step(Actor.person(request.user))
        except BillingOpsError as problem:
            typed: dict[str, Any] = {"refused": form, "chosen": request.POST.getlist("others")}
            if request.POST.get("counter") in corrections.COUNTER_ACCOUNTS:
                typed["counter"] = request.POST["counter"]
            return self.refused(request, pk, problem, **typed)
        messages.success(request, done)
        try:
            self.model.objects.get(pk=pk)
        except ObjectDoesNotExist:
            back = reverse("admin:reconciliation_reconciliationitem_changelist")
        return HttpResponseRedirect(back)


@admin.register(Run, site=site)
class RunAdmin(ReadOnlyAdmin):
    scope_field = "account"
    list_display = (
        "started_at", "book", "mode", "trigger", "transactions", "entries", "agreed", "opened", "closed", "duration",
    )  # fmt: skip
    list_filter = ("mode", BookFilter)
    exact_search = ("id", "event_id")
    export_fields = (
        "id", "account", "every_book", "mode", "trigger", "event_id", "started_at", "duration_ms", "transactions",
        "entries", "agreed", "opened", "closed", "counts", "differences",
    )  # fmt: skip
    empty_text = "A run appears here after each payout, every day, and when somebody calls manage.py reconcile."
    fields = (*list_display, "event_id", "actor", "counts", "differences")
    readonly_fields = fields

    @admin.display(description="Book")
    def book(self, run: Run) -> str:
        return "all" if run.every_book else run.account or "platform"

    @admin.display(description="Took")
    def duration(self, run: Run) -> str:
        return f"{run.duration_ms:,} ms"


@admin.register(PayoutCheck, site=site)
class PayoutCheckAdmin(ReadOnlyAdmin):
    scope_field = "account"
    list_display = ("payout_", "ties_", "money", "held_", "transactions", "account", "checked_at")
    list_filter = (BookFilter,)
    exact_search = ("id", "payout")
    export_fields = ("id", "payout", "account", "currency", "amount", "held", "transactions", "checked_at")
    empty_text = "A payout appears here when Stripe has said which transactions it holds."
    fields = ("payout_", "ties_", "money", "held_", "transactions", "account", "checked_at")
    readonly_fields = fields

    payout_ = stripe_id_column("payout", "Payout", account="account")
    money = money_column()
    held_ = money_column("held", description="Its transactions")

    @admin.display(description="Adds up")
    def ties_(self, check: PayoutCheck) -> str:
        from billingops.money import format_money

        return "✓ ties" if check.ties else f"▲ {format_money(check.amount - check.held, check.currency)} apart"


@home.waiting(order=35)
def to_explain(request: HttpRequest) -> Iterator[home.WaitingLine]:
    """Differences, for those who may do something about them. Three statements."""
    if not request.user.has_perm("reconciliation.suggest_correction"):
        return
    rows = ReconciliationItem.objects.differences().visible_to(request.user)
    count = capped_counts({"open": rows})["open"]
    if not count:
        return
    totals = rows.sizes_of_newest(COUNT_CAP)
    yield home.WaitingLine(
        label="differences to explain",
        count=count,
        oldest=rows.aggregate(oldest=Min("found_at"))["oldest"],
        sums=sum_by_currency((total["amount"], total["currency"]) for total in totals),
        url=reverse("admin:reconciliation_reconciliationitem_changelist"),
        hint="Stripe and the ledger do not say the same; the sizes are added up, whichever way each goes.",
    )
