"""The scoreboard and automation: how well suggestions agree with people, and what may go without them.

/admin/approvals/bandtally/                 the scoreboard; export/ as CSV or (format=xlsx) as a workbook
/admin/approvals/automationgrant/           what is automatic, and each band's figures
/admin/approvals/automationgrant/band/      one band: evidence against the bar, what would happen; POST: switch it on
/admin/approvals/automationgrant/<id>/off/  POST: switch it off
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone

from approvals import automation, policies, registry
from approvals.automation import bar as bars
from approvals.automation import grants
from approvals.automation.bar import Bar, Slot
from approvals.models import AutomationGrant, BandTally, Policy, SeededCheck
from approvals.scoreboard import board
from approvals.scoreboard.bands import Band
from billingops import access
from billingops.actors import Actor
from billingops.admin import chart, export, home, names
from billingops.admin.base import ReadOnlyAdmin, json_column
from billingops.admin.site import site
from billingops.exceptions import BillingOpsError
from billingops.money import format_money

_BOARD = "admin:approvals_bandtally_changelist"
_LIST = "admin:approvals_automationgrant_changelist"
_BAND = "admin:approvals_automationgrant_band"
ENDED_SHOWN = 20
ALERT_DAYS = 14
EXPORT = (
    *("kind", "account", "band", "currency", "over", "up_to", "suggested_by", "verdicts", "agreed"),
    *("agreement_lower_bound", "overridden", "money", "overridden_money", "blind_verdicts", "blind_agreed"),
    *("median", "p90"),
)


@admin.register(BandTally, site=site)
class ScoreboardAdmin(ReadOnlyAdmin):
    scope_field = "account"
    export_fields = EXPORT

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        if request.method not in ("GET", "HEAD"):
            return HttpResponseNotAllowed(["GET", "HEAD"])
        if not self.has_view_permission(request):
            raise PermissionDenied
        user: Any = request.user
        filters = board.Filters.of(request.GET.dict())
        rows = board.bands(user, filters)
        shown = rows[: board.ROWS]
        months = board.months(user, filters)
        sees_people = user.has_perm("approvals.view_reviewertally")
        context = {
            **self.admin_site.each_context(request),
            "title": "Scoreboard",
            "opts": self.model._meta,
            "filters": filters,
            "kinds": _chips(filters, "kind", [("", "All kinds"), *((one.name, one.label) for one in registry.kinds())]),
            "periods": _chips(filters, "period", list(board.PERIODS.items())),
            "accounts": board.accounts(user, filters.kind),
            "rows": [(row, _band_url(row)) for row in shown],
            "capped": len(rows) > board.ROWS,
            "limit": board.ROWS,
            "authors": board.authors(user, filters),
            "reviewers": board.reviewers(user, filters) if sees_people else [],
            "sees_people": sees_people,
            "names": names.of({row.account for row in shown if row.account}, user),
            "chart": agreement_chart(months) if months else None,
            "export_url": f"export/{filters.query()}",
        }
        return TemplateResponse(request, "admin/approvals/scoreboard.html", context)

    def change_view(self, request: HttpRequest, object_id: str, *args: Any, **kwargs: Any) -> HttpResponse:
        """A row of the tally has no page of its own."""
        if request.method not in ("GET", "HEAD"):
            return HttpResponseNotAllowed(["GET", "HEAD"])
        row = self.get_object(request, object_id)
        if row is None or not self.has_view_permission(request, row):
            raise Http404("There is no such row.")
        return HttpResponseRedirect(f"{reverse(_BOARD)}?{urlencode({'kind': row.kind, 'account': row.account})}")

    def export_view(self, request: HttpRequest) -> HttpResponseBase:
        if not self.has_view_permission(request):
            raise PermissionDenied
        rows = board.bands(request.user, board.Filters.of(request.GET.dict()), limit=None)
        return export.stream(
            request=request,
            filename="scoreboard.csv",
            header=EXPORT,
            rows=map(_export_row, rows),
            format=request.GET.get("format", "csv"),
        )


def _export_row(row: board.Row) -> list[Any]:
    one = row.figures
    return [
        *(row.kind, row.account, str(row.band), row.band.currency, row.band.over, row.band.up_to or None, row.author),
        *(one.verdicts, one.agreed, f"{one.agreement.lower:.6f}", one.overridden.part, one.money, one.overridden_money),
        *(one.blind.whole, one.blind.part, one.median, one.p90),
    ]


def _chips(filters: board.Filters, name: str, choices: list[tuple[str, str]]) -> list[dict[str, Any]]:
    return [
        {"label": label, "url": filters.query(**{name: value}), "on": getattr(filters, name) == value}
        for value, label in choices
    ]


def agreement_chart(months: list[tuple[Any, int, int]]) -> chart.Chart:
    return chart.stacked(
        title="Verdicts by month, and whether they agreed",
        x_label="Month",
        series=("agreed", "overridden"),
        rows=[(f"{month:%b %Y}", (good, bad)) for month, good, bad in months],
        tick_every=max(1, len(months) // 8),
    )


# -- automation --------------------------------------------------------------------------------------------------------


def _band_url(row: board.Row) -> str:
    return f"{reverse(_BAND)}?{urlencode(_slot_params(Slot(row.kind, row.account, row.band, row.author)))}"


def _slot_params(slot: Slot) -> dict[str, Any]:
    band = slot.band
    return {
        "kind": slot.kind,
        "account": slot.account,
        "currency": band.currency,
        "over": band.over,
        "up_to": band.up_to,
        "author": slot.author,
    }


def _slot(params: Any) -> Slot:
    """Raises Http404 for what names no band."""
    over, up_to = params.get("over", "0"), params.get("up_to", "0")
    kind, currency = params.get("kind", ""), params.get("currency", "")
    numbers = all(text.isascii() and text.isdigit() and len(text) < 19 for text in (over, up_to))
    if kind not in registry.names() or not numbers or len(currency) not in (0, 3):
        raise Http404("There is no such band.")
    band = Band(currency.lower(), int(over), int(up_to))
    return Slot(kind, params.get("account", "")[:64], band, params.get("author", "")[:120])


@admin.register(AutomationGrant, site=site)
class AutomationAdmin(ReadOnlyAdmin):
    scope_field = "account"
    exact_search = ("pk",)
    fields = (
        *("kind", "account", "currency", "over", "up_to", "author", "policy_version", "reason", "granted_by_name"),
        *("granted_at", "revoked_at", "revoked_by_name", "revoked_why", "evidence_"),
    )
    readonly_fields = fields
    evidence_ = json_column("evidence", "Evidence", has_people=False)

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        own = [
            path("band/", view(self.band_view), name="approvals_automationgrant_band"),
            path("<int:object_id>/off/", view(self.off_view), name="approvals_automationgrant_off"),
        ]
        return [*own, *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        if request.method not in ("GET", "HEAD"):
            return HttpResponseNotAllowed(["GET", "HEAD"])
        if not self.has_view_permission(request):
            raise PermissionDenied
        user: Any = request.user
        visible = self.get_queryset(request)
        rows = board.bands(user, board.Filters.of(request.GET.dict()))
        known = list(Policy.objects.all())
        context = {
            **self.admin_site.each_context(request),
            "title": "Automation",
            "opts": self.model._meta,
            "live": [_shown(one) for one in visible.filter(revoked_at=None)[: board.ROWS]],
            "ended": [_shown(one) for one in visible.exclude(revoked_at=None).order_by("-revoked_at")[:ENDED_SHOWN]],
            "rows": [_against_bar(row, known) for row in rows[: board.ROWS]],
            "capped": len(rows) > board.ROWS,
            "may": user.has_perm(grants.RIGHT),
            "max_reason": grants.MAX_REASON,
        }
        return TemplateResponse(request, "admin/approvals/automation.html", context)

    # -- one band --------------------------------------------------------------------------------------------------

    def band_view(self, request: HttpRequest) -> HttpResponse:
        if request.method not in ("GET", "HEAD", "POST"):
            return HttpResponseNotAllowed(["GET", "HEAD", "POST"])
        if not self.has_view_permission(request):
            raise PermissionDenied
        slot = _slot(request.POST if request.method == "POST" else request.GET)
        if not access.may_see_account(request.user, slot.account):
            raise Http404("There is no such band, or it belongs to an account that you have no access to.")
        if request.method != "POST":
            return self._band_page(request, slot)
        try:
            made = automation.grant(slot=slot, reason=request.POST.get("reason", ""), actor=Actor.person(request.user))
        except BillingOpsError as problem:
            return self._band_page(request, slot, problem=str(problem), status=409)
        messages.success(
            request,
            f"Automatic from now on: {registry.label(made.kind)}, {slot.band}, while suggested by {made.author}. "
            "It ends by itself when the figures slip.",
        )
        return HttpResponseRedirect(reverse(_LIST))

    def _band_page(self, request: HttpRequest, slot: Slot, *, problem: str = "", status: int = 200) -> HttpResponse:
        applying = policies.applicable(slot.kind, slot.account)
        bar = Bar.of(applying)
        found = bars.evidence(slot, bar)
        live = AutomationGrant.objects.filter(
            kind=slot.kind, account=slot.account, currency=slot.band.currency, over=slot.band.over, revoked_at=None
        ).first()
        context = {
            **self.admin_site.each_context(request),
            "title": f"Automation: {registry.label(slot.kind)}, {slot.band}",
            "opts": self.model._meta,
            "slot": slot,
            "kind_label": registry.label(slot.kind),
            "params": _slot_params(slot),
            "bar": bar,
            "bar_percent": board.percent_text(float(bar.lower_bound)),
            "found": found,
            "money_error": _money_error(found, slot.band.currency),
            "short": grants.short_of(slot, applying, found),
            "would": bars.would_have(slot, applying),
            "policies": applying,
            "limits": _limits(applying, slot.band.currency),
            "live": live,
            "may": request.user.has_perm(grants.RIGHT),  # type: ignore[union-attr]
            "problem": problem,
            "reason": request.POST.get("reason", ""),
            "max_reason": grants.MAX_REASON,
        }
        return TemplateResponse(request, "admin/approvals/automation_band.html", context, status=status)

    def off_view(self, request: HttpRequest, object_id: int) -> HttpResponse:
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        one = self.get_object(request, str(object_id))
        if one is None:
            raise Http404("There is no such grant, or it belongs to an account that you have no access to.")
        try:
            ended = automation.revoke(
                grant_id=one.pk, why=request.POST.get("reason", ""), actor=Actor.person(request.user)
            )
        except BillingOpsError as problem:
            messages.error(request, f"{problem} Nothing was changed.")
            return HttpResponseRedirect(reverse(_LIST))
        if ended:
            messages.success(
                request, "People review again from now on. What had been approved and not begun goes back to them."
            )
        else:
            messages.info(request, "It had ended already. Nothing was changed.")
        return HttpResponseRedirect(reverse(_LIST))


def _shown(one: AutomationGrant) -> dict[str, Any]:
    slot = grants.slot_of(one)
    url = f"{reverse(_BAND)}?{urlencode(_slot_params(slot))}"
    return {"grant": one, "kind_label": registry.label(one.kind), "band": slot.band, "url": url}


def _against_bar(row: board.Row, known: list[Policy]) -> dict[str, Any]:
    """In short, from what the page has read; the band's own page has the rest."""
    applying = policies.evaluation.narrowest(known, row.kind, row.account)
    bar = Bar.of(applying)
    modes = {one.mode for one in applying} or {"review"}
    return {
        "row": row,
        "url": _band_url(row),
        "mode": ", ".join(sorted(modes)),
        "verdicts_asked": bar.verdicts,
        "enough": row.figures.verdicts >= bar.verdicts,
        "bound_asked": board.percent_text(float(bar.lower_bound)),
        "reached": bool(row.figures.verdicts) and row.figures.agreement.lower >= float(bar.lower_bound),
    }


def _money_error(found: bars.Evidence, currency: str) -> str:
    if not found.money:
        return ""
    error = board.percent_text(found.overridden_money / found.money, up=True)
    return f"{format_money(found.overridden_money, currency)} of {format_money(found.money, currency)} ({error})"


def _limits(applying: list[Policy], currency: str) -> str:
    limits = [limit for one in applying if (limit := bars.under(one, currency)) is not None] if currency else []
    return format_money(min(limits), currency) if limits else ""


# -- home --------------------------------------------------------------------------------------------------------------


@home.waiting(order=5)
def fallen_back(request: HttpRequest) -> Iterator[home.WaitingLine]:
    """What ended by itself in the last days, and the checks that were missed; two statements."""
    user: Any = request.user
    if not user.has_perm("approvals.view_automationgrant"):
        return
    since = timezone.now() - timedelta(days=ALERT_DAYS)
    rows = AutomationGrant.objects.filter(revoked_at__gte=since, revoked_by_name__startswith="system:")
    times = list(access.scope(rows, user).order_by("revoked_at").values_list("revoked_at", flat=True)[:100])
    if times:
        yield home.WaitingLine(
            label="Automation fell back to review",
            count=len(times),
            oldest=times[0],
            url=reverse(_LIST),
            urgent=True,
            hint=f"In the last {ALERT_DAYS} days: the figures slipped, a check was missed, or a version changed.",
        )
    if user.has_perm("approvals.view_reviewertally"):
        missed = SeededCheck.objects.filter(caught=False, decided_at__gte=since)
        rows_missed = access.scope(missed, user, field="suggestion__account").order_by("decided_at")
        if found := list(rows_missed.values_list("decided_at", flat=True)[:100]):
            yield home.WaitingLine(
                label="Checks of attention missed",
                count=len(found),
                oldest=found[0],
                url=reverse(_BOARD),
                urgent=True,
                hint=f"Somebody approved what was wrong on purpose, in the last {ALERT_DAYS} days. Nothing came of it.",
            )
