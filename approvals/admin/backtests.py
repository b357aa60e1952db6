"""Back tests: the runs, one run with its figures and a chart, the cases that differ; and the form that starts one.

/admin/approvals/backtestrun/              the runs; POST to …/start/ queues one
/admin/approvals/backtestrun/<id>/change/  figures, chart, cases (paged), CSV
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone

from approvals import backtest, registry
from approvals.admin.records import suggestion_link
from approvals.backtest import Window
from approvals.models import BacktestCase, BacktestRun
from billingops import access, jobs
from billingops.actors import Actor
from billingops.admin import chart, export
from billingops.admin.base import ReadOnlyAdmin, age_column, state_column
from billingops.admin.paging import CappedPaginator
from billingops.admin.site import site
from billingops.exceptions import BillingOpsError

PER_PAGE = 50
MAX_BARS = 60
DAY = forms.DateInput(attrs={"type": "date"})
SERIES = ("agree", "differ", "no verdict", "not replayed")
CASE_COLUMNS = ("at", "outcome", "subject", "account", "customer", "currency", "people_action", "people_amount",
                "verdict", "replay_action", "replay_amount", "reason", "author", "problem")  # fmt: skip


class StartForm(forms.Form):
    kind = forms.ChoiceField()
    since = forms.DateField(label="From", help_text="This day included, UTC.", widget=DAY)
    until = forms.DateField(label="To", help_text="This day not included.", widget=DAY)
    rules = forms.ChoiceField(choices=[("then", "as they stood then"), ("now", "as they stand now")])
    account = forms.CharField(required=False, max_length=64, help_text="A connected account, acct_…; empty: all.")
    model = forms.BooleanField(required=False, label="Ask the model", help_text="Costs tokens.")
    fill_gaps = forms.BooleanField(
        required=False,
        label="Fill gaps",
        help_text="Where no event is kept: products, prices, customers and accounts as they are today.",
    )

    def __init__(self, *args: Any, user: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.user = user
        able = sorted((kind for kind in registry.kinds() if kind.replay), key=lambda kind: not kind.moves_money)
        self.fields["kind"].choices = [(kind.name, kind.label) for kind in able]  # type: ignore[attr-defined]

    def clean_account(self) -> str:
        account: str = self.cleaned_data["account"].strip()
        if not access.may_see_account(self.user, account):
            raise forms.ValidationError("Name one of the accounts you have access to.")
        return account

    def clean(self) -> dict[str, Any]:
        data: dict[str, Any] = super().clean() or {}
        if data.get("since") and data.get("until") and data["since"] >= data["until"]:
            self.add_error("until", "must be after the first day.")
        return data

    def window(self) -> Window:
        data = self.cleaned_data
        return Window(
            kind=data["kind"],
            since=datetime.combine(data["since"], datetime.min.time(), UTC),
            until=datetime.combine(data["until"], datetime.min.time(), UTC),
            account=data["account"],
            rules=data["rules"],
            model=data["model"],
            fill_gaps=data["fill_gaps"],
        )


@admin.register(BacktestRun, site=site)
class BacktestRunAdmin(ReadOnlyAdmin):
    """A run over all accounts is not for somebody who is limited to some: its sums would tell of the others."""

    scope_field = "account"
    exact_search = ("pk", "account")
    list_display = ("name_", "rules_", "scope_", "state_", "agreement", "started_by", "age")
    list_filter = ("state",)
    empty_text = "A back test replays the past through the rules of then or now. Whoever may start one does so above."
    change_list_template = "admin/approvals/backtest_list.html"
    state_ = state_column()
    age = age_column("created_at")

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [
            path("start/", view(self.start_view), name="approvals_backtestrun_start"),
            path("<uuid:object_id>/cases/", view(self.cases_view), name="approvals_backtestrun_cases"),
            *super().get_urls(),
        ]

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return super().get_queryset(request).defer("rules")

    @admin.display(description="Back test")
    def name_(self, obj: BacktestRun) -> str:
        return _name(obj)

    @admin.display(description="Rules")
    def rules_(self, obj: BacktestRun) -> str:
        return obj.rules_label

    @admin.display(description="Account")
    def scope_(self, obj: BacktestRun) -> str:
        return obj.account or "all"

    @admin.display(description="Agreement, at least")
    def agreement(self, obj: BacktestRun) -> str:
        if not obj.figures.get("verdicts"):
            return "—"
        return f"{100 * obj.figures['agreement'][0]:.1f} % of {obj.figures['verdicts']:,}"

    @staticmethod
    def may_start(request: HttpRequest) -> bool:
        return bool(request.user.has_perm("approvals.run_backtest"))  # type: ignore[union-attr]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        today = timezone.now().astimezone(UTC).date()
        first = {"since": today - timedelta(days=30), "until": today + timedelta(days=1), "rules": "then"}
        extra = {"form": StartForm(initial=first, user=request.user) if self.may_start(request) else None}
        return super().changelist_view(request, {**extra, **(extra_context or {})})

    def start_view(self, request: HttpRequest) -> HttpResponse:
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        if not self.may_start(request):
            raise PermissionDenied
        form = StartForm(request.POST, user=request.user)
        if not form.is_valid():
            context = {**self.admin_site.each_context(request), "form": form, "opts": self.model._meta,
                       "title": "Start a back test"}  # fmt: skip
            return TemplateResponse(request, "admin/approvals/backtest_start.html", context, status=400)
        try:
            with transaction.atomic():
                run = backtest.start(window=form.window(), by=Actor.person(request.user).name)
                jobs.enqueue("approvals.tasks.run_backtest", str(run.pk))
        except BillingOpsError as refusal:
            messages.error(request, str(refusal))
            return HttpResponseRedirect(reverse("admin:approvals_backtestrun_changelist"))
        messages.success(request, "Queued. This page shows how far it is; load it again.")
        return HttpResponseRedirect(reverse("admin:approvals_backtestrun_change", args=[run.pk]))

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if request.method not in ("GET", "HEAD"):
            return HttpResponseNotAllowed(["GET", "HEAD"])
        run = self._visible(request, object_id)
        cases = run.cases.order_by("id")
        outcome = request.GET.get("outcome", "")
        if outcome in BacktestCase.Outcome.values:
            cases = cases.filter(outcome=outcome)
        page = CappedPaginator(cases, PER_PAGE).get_page(request.GET.get("p"))
        context = {
            **self.admin_site.each_context(request),
            "title": _name(run),
            "name": _name(run),
            "opts": self.model._meta,
            "original": run,
            "run": run,
            "figures": backtest.table(run) if run.figures else [],
            "chart": _chart(run) if run.figures.get("by_day") else None,
            "page": page,
            "rows": [_row(case) for case in page],
            "outcomes": BacktestCase.Outcome.choices,
            "outcome": outcome,
        }
        return TemplateResponse(request, "admin/approvals/backtest.html", context)

    def cases_view(self, request: HttpRequest, object_id: Any) -> HttpResponseBase:
        """The cases that differ, as CSV."""
        run = self._visible(request, str(object_id))
        rows = ([getattr(case, name) for name in CASE_COLUMNS] for case in run.cases.order_by("id").iterator(1000))
        return export.stream(request=request, filename=f"backtest-{run.pk}.csv", header=CASE_COLUMNS, rows=rows)

    def _visible(self, request: HttpRequest, object_id: str) -> BacktestRun:
        run: BacktestRun | None = self.get_object(request, object_id)
        if run is None or not self.has_view_permission(request, run):
            raise PermissionDenied
        return run


def _name(run: BacktestRun) -> str:
    return f"{_label(run.kind)}, {run.period}"


def _label(kind: str) -> str:
    return registry.get(kind).label if kind in registry.names() else kind


def _row(case: BacktestCase) -> tuple[BacktestCase, str, str, str]:
    """A case, its suggestion's link, and in words what was suggested then and by the replay ("" for nothing)."""
    then, replay = _label(case.people_action), _label(case.replay_action)
    return case, suggestion_link(case.suggestion_id, then) if case.suggestion_id else "", then, replay


def _chart(run: BacktestRun) -> chart.Chart:
    """Cases by day; by the newest MAX_BARS days when there are more."""
    days = sorted(run.figures["by_day"].items())[-MAX_BARS:]
    return chart.stacked(
        title="Cases by day",
        x_label="Day",
        series=SERIES,
        rows=[(day, [counts.get(name, 0) for name in SERIES]) for day, counts in days],
        tick_every=max(1, len(days) // 8),
    )
