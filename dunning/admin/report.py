"""What came of the failed payments: a chart per currency, the months newest first, reasons, harm; and its file.

/admin/dunning/report/          since, until (2026-11), account, campaign, arm
/admin/dunning/report/export/   the same as CSV or (format=xlsx) workbook
"""

from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.utils import timezone

from billingops.admin import export, names
from billingops.admin.site import page, site
from billingops.exceptions import InvalidInput
from dunning.campaigns.models import Campaign
from dunning.campaigns.words import FAMILIES
from dunning.report import output, reading
from dunning.report.choice import PARAMETERS, PLATFORM, Choice, choose
from dunning.report.measures import HARMS, HOW, WINDOW, Figures, Report

RIGHT = "dunning.view_dunningcase"
MOST_CAMPAIGNS = 200


@page("dunning/report/", name="dunning_report")
def report_page(request: HttpRequest) -> HttpResponse:
    if request.method not in ("GET", "HEAD"):
        return HttpResponseNotAllowed(["GET", "HEAD"])
    now = timezone.now()
    problem, report = "", Report()
    try:
        choice = _choice(request)
        report = reading.read(choice, now=now)
    except InvalidInput as refused:
        problem, choice = str(refused), choose(request.user, today=now.date())
    user: Any = request.user
    accounts = {row.account for row in report.harms.rows} | {choice.account} - {"", PLATFORM}
    context = {
        **site.each_context(request),
        "title": "Dunning report",
        "problem": problem,
        "choice": choice,
        "given": {name: request.GET.get(name, "") for name in PARAMETERS} if problem else _given(choice),
        "platform": PLATFORM,
        "named": names.of(accounts - {""}, user),
        "campaigns": list(
            Campaign.objects.visible_to(user).order_by("name").values_list("name", flat=True)[:MOST_CAMPAIGNS]
        ),
        "window": WINDOW.days,
        "currencies": [_currency(report, choice, currency) for currency in report.currencies],
        "harms": [(what, report.harms.count(what)) for what in HARMS],
        "harm_rows": report.harms.rows,
        "notes": output.notes(report),
        "export_url": f"export/?{choice.query}",
        "is_narrowed": bool(choice.account or choice.campaign or choice.arm),
    }
    return TemplateResponse(request, "admin/dunning/report.html", context, status=400 if problem else 200)


@page("dunning/report/export/", name="dunning_report_export")
def report_export(request: HttpRequest) -> HttpResponseBase:
    if request.method not in ("GET", "HEAD"):
        return HttpResponseNotAllowed(["GET", "HEAD"])
    try:
        choice = _choice(request)
    except InvalidInput as refused:
        return HttpResponse(str(refused), status=400, content_type="text/plain; charset=utf-8")
    report = reading.read(choice, now=timezone.now())
    return export.stream(
        request=request,
        filename="dunning-report.csv",
        header=output.HEADER,
        rows=output.rows(report),
        format=request.GET.get("format", "csv"),
    )


def _choice(request: HttpRequest) -> Choice:
    """Raises PermissionDenied, InvalidInput."""
    user: Any = request.user
    if not user.has_perm(RIGHT):
        raise PermissionDenied
    given = {name: request.GET.get(name, "").strip() for name in PARAMETERS}
    return choose(user, today=timezone.now().date(), **given)


def _given(choice: Choice) -> dict[str, str]:
    return {
        "since": f"{choice.since:%Y-%m}",
        "until": f"{choice.until:%Y-%m}",
        "account": choice.account,
        "campaign": choice.campaign,
        "arm": choice.arm,
    }


def _currency(report: Report, choice: Choice, currency: str) -> dict[str, Any]:
    chart = next(one for one in output.charts(report, choice) if one.title.startswith(f"{currency.upper()}:"))
    months = [(month, _shown(figures)) for (month, of), figures in report.months.items() if of == currency]
    by_reason = [
        {"reason": output.category_words(category), "family": FAMILIES.get(family, family), **_shown(part)}
        for (of, category, family), part in report.reasons.items()
        if of == currency
    ]
    return {
        "code": currency,
        "chart": chart,
        "months": months,
        "total": _shown(report.totals[currency]),
        "reasons": by_reason,
    }


def _shown(figures: Figures) -> dict[str, Any]:
    """A row of the tables, in words where a figure needs some."""
    fates = (
        ("still open", figures.open),
        ("given up", figures.given_up),
        ("paid too late", figures.late_cases),
        ("subscription ended", figures.cancelled),
        ("withdrawn", figures.withdrawn),
    )
    return {
        "figures": figures,
        "share": output.share(figures.recovered_share),
        "rate": output.share(figures.recovery_rate),
        "between": output.between(figures),
        "median": output.number(figures.days_median),
        "p90": output.number(figures.days_p90),
        "attempts": output.number(figures.attempts_per_recovery, 2),
        "messages": output.number(figures.messages_per_recovery, 2),
        "how": [(HOW[name], figures.how[name]) for name in HOW if figures.how[name]],
        "told": sum(figures.told.values()),
        "fates": [(name, count) for name, count in fates if count],
        "missed": figures.counted - figures.recovered_cases,
    }
