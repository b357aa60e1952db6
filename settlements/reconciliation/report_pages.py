"""The reports as pages, CSV, workbook and PDF: /admin/reconciliation/months/[2026-11/[acct_…/]], and one payout's.

Rights: whoever sees the differences; rows by account. Every download is noted in the audit log. A GET asks no model:
the PDF with a model's words is a POST, for those who may act on differences.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone

from approvals.admin import story_pdf
from approvals.admin.story import Section, Story, Table
from billingops import access
from billingops.admin import export, home
from billingops.admin.site import page, site
from billingops.exceptions import InvalidInput
from billingops.llm import client
from billingops.money import format_money
from billingops.stripe import keeping_up
from settlements.reconciliation import causes, memos, months, reports
from settlements.reconciliation.models import PayoutCheck
from settlements.reconciliation.reports import SETTLED_LABEL, Part, Report

PLATFORM = "platform"  # the platform's report in a URL
MONTHS = 24
FORMATS = ("csv", "xlsx", "pdf")
HEADER = ("month", "account", "name", "what", "currency", "line", "amount")


def _check(request: HttpRequest) -> HttpResponse | None:
    if request.method not in ("GET", "HEAD"):
        return HttpResponseNotAllowed(["GET", "HEAD"])
    if not request.user.has_perm("reconciliation.view_reconciliationitem"):
        raise PermissionDenied
    return None


@page("reconciliation/months/", name="reconciliation_months")
def this_month(request: HttpRequest) -> HttpResponseBase:
    if refused := _check(request):
        return refused
    wanted = request.GET.get("month", "")
    name = wanted if months.bounds(wanted) else months.name(timezone.now())
    return HttpResponseRedirect(reverse("admin:reconciliation_month", args=[name]))


@page("reconciliation/months/<str:month>/", name="reconciliation_month")
def month_view(request: HttpRequest, month: str) -> HttpResponseBase:
    """Every seller: ties or by how much not. `?format=csv|xlsx|pdf`: all reports in one file."""
    if refused := _check(request):
        return refused
    found = _month(request, month)
    if (wanted := request.GET.get("format", "")) in FORMATS:
        return _file(request, found, month=month, name=f"reconciliation-{month}", format=wanted)
    context = {
        **site.each_context(request),
        "title": f"Month {month}",
        "month": month,
        "months": months.latest(MONTHS, timezone.now()),
        "reports": [(report, report.account or PLATFORM) for report in found],
        "tying": sum(report.ties for report in found),
        "unread": [(account or PLATFORM, one) for account, one in _unread(request.user)],
        "formats": FORMATS,
    }
    return TemplateResponse(request, "admin/reconciliation/month.html", context)


@page("reconciliation/months/<str:month>/<str:account>/", name="reconciliation_report")
def report_view(request: HttpRequest, month: str, account: str) -> HttpResponseBase:
    asks = request.method == "POST"
    if not asks and (refused := _check(request)):
        return refused
    if asks and not request.user.has_perm("reconciliation.suggest_correction"):
        raise PermissionDenied("You may read reports but not ask the model to word them.")
    try:
        report = reports.one(month, "" if account == PLATFORM else account, user=request.user)
    except InvalidInput as problem:
        raise Http404(str(problem))
    if report is None:
        raise Http404("There is no such seller, or it is one that you have no access to.")
    if asks:
        return _file(request, [report], month=month, name=f"reconciliation-{month}-{account}", format="pdf", asks=True)
    if (wanted := request.GET.get("format", "")) in FORMATS:
        return _file(request, [report], month=month, name=f"reconciliation-{month}-{account}", format=wanted)
    context = {
        **site.each_context(request),
        "title": f"{report.name}, {month}",
        "month": month,
        "report": report,
        "summary": report.built_in_summary(),
        "listed": listed_words(report.account, month),
        "formats": FORMATS,
        "may_ask": request.user.has_perm("reconciliation.suggest_correction") and not client.not_configured(),
        "items_url": reverse("admin:reconciliation_reconciliationitem_changelist")
        + f"?tab=open&month={month}&account={account}",
    }
    return TemplateResponse(request, "admin/reconciliation/report.html", context)


@page("reconciliation/payouts/<str:payout>/", name="reconciliation_payout")
def payout_view(request: HttpRequest, payout: str) -> HttpResponseBase:
    if refused := _check(request):
        return refused
    report = reports.payout(payout, user=request.user)
    if report is None:
        raise Http404("There is no such payout, or it belongs to an account that you have no access to.")
    if (wanted := request.GET.get("format", "")) in FORMATS:
        return _payout_file(request, report, format=wanted)
    context = {
        **site.each_context(request),
        "title": f"Payout {payout}",
        "report": report,
        "formats": FORMATS,
        "opts": PayoutCheck._meta,
    }
    return TemplateResponse(request, "admin/reconciliation/payout.html", context)


def _month(request: HttpRequest, month: str) -> list[Report]:
    try:
        return reports.month(month, user=request.user)
    except InvalidInput as problem:
        raise Http404(str(problem))


# -- how far Stripe's own list was read --------------------------------------------------------------------------------


def _unread(user: Any) -> list[tuple[str, keeping_up.Unread]]:
    """The books that this person may see whose list could not be read the last time."""
    limit = access.accounts_of(user)
    return [(account, one) for account, one in keeping_up.failing().items() if limit is None or account in limit]


def listed_words(account: str, month: str) -> str:
    """What a month's figures of Stripe's side rest on: it "ties" with what was read of Stripe's list."""
    at, window = keeping_up.listed_at(account), months.bounds(month)
    missing = "fees of Stripe’s own, adjustments and holds, of which no event tells, may be missing"
    if at is None:
        return f"Stripe’s list of this balance was not read to its end yet: {missing}."
    until = f"Stripe’s list of this balance was read up to {at:%Y-%m-%d %H:%M} UTC"
    is_short = window is not None and at < min(window[1], timezone.now() - timedelta(days=2))
    return f"{until}: of what came later, {missing}." if is_short else f"{until}."


@home.waiting(order=34)
def unread_lists(request: HttpRequest) -> Iterator[home.WaitingLine]:
    """Books whose list could not be read the last time, for those who look at differences. One statement."""
    if not request.user.has_perm("reconciliation.suggest_correction"):
        return
    found = _unread(request.user)
    yield home.WaitingLine(
        label="balances that could not be read from Stripe",
        count=len(found),
        oldest=min((one.at for _, one in found if one.at), default=None),
        url=reverse("admin:reconciliation_months"),
        urgent=True,
        hint="What Stripe moved there since may be missing; it is tried again every day.",
    )


# -- files -------------------------------------------------------------------------------------------------------------


def rows_of(found: list[Report]) -> Iterator[list[Any]]:
    """One row a line of a report."""
    for report in found:
        for part in report.parts:
            for label, amount in lines_of(part):
                yield [
                    report.month,
                    report.account,
                    report.name,
                    part.what,
                    part.currency,
                    label,
                    export.Amount(amount, part.currency),
                ]


def lines_of(part: Part) -> list[tuple[str, int]]:
    lines = [("Opening", part.opening), *part.rows, ("Closing", part.closing), ("Apart", part.apart)]
    if part.what == "cash":
        lines += [("At Stripe in the month", part.stripe or 0), ("Unmatched", part.unmatched)]
        lines.append((SETTLED_LABEL, part.settled))
        lines.append(("Unexplained", part.unexplained))
    return lines


def _file(
    request: HttpRequest, found: list[Report], *, month: str, name: str, format: str, asks: bool = False
) -> HttpResponseBase:
    if format != "pdf":
        return export.stream(request=request, filename=f"{name}.csv", header=HEADER, rows=rows_of(found), format=format)
    single = found[0] if len(found) == 1 else None
    text, author = "", ""
    if single is not None:
        text, author = single.built_in_summary(), causes.VERSION
        if asks and single.parts:
            about = {"subject": f"month:{single.month}", "account": single.account}
            text, author = memos.summary(single.facts(), built_in=text, **about)
    sections = []
    for report in found:
        for part in report.parts:
            sections.append(_section(report, part, alone=single is not None))
    if single is not None and text:
        told = f"{text} {listed_words(single.account, single.month)}"
        sections.insert(0, Section("In short", text=told, note=f"by {author}"))
    if not found:
        sections.append(Section("In short", text="Nothing moved in this month."))
    if single is None:
        return _pdf(request, name, f"Reconciliation {month}", _told(found, month), sections)
    subtitle = f"{single.account or PLATFORM} · {_told(found, month)}"
    return _pdf(request, name, f"Reconciliation {month}, {single.name}", subtitle, sections)


def _told(found: list[Report], month: str) -> str:
    """The days that a PDF is of, and whether they tie: it goes to people who have no page to look this up on."""
    window = months.bounds(month)
    assert window is not None, "there are no reports of what is no month"
    first, last = window[0], window[1] - timedelta(days=1)
    over = "" if window[1] <= timezone.now() else ", not over yet"
    ties = f"{sum(report.ties for report in found)} of {len(found)} reports tie"
    return f"{first:%Y-%m-%d} to {last:%Y-%m-%d} (UTC){over} · {ties}"


def _section(report: Report, part: Part, *, alone: bool) -> Section:
    rows = [(label, format_money(amount, part.currency)) for label, amount in lines_of(part)]
    table = Table(part.title, ("Line", "Amount"), rows, figures=1)
    title = part.title if alone else f"{report.name}: {part.title}"
    return Section(title, table=table, note=part.verdict)


def _payout_file(request: HttpRequest, report: reports.PayoutReport, *, format: str) -> HttpResponseBase:
    check = report.check
    header = ("category", "currency", "count", "amount", "fee", "net")
    name = f"payout-{check.payout}"
    rows = [
        (
            row["reporting_category"],
            row["currency"],
            row["count"],
            *(export.Amount(int(row[name]), row["currency"]) for name in ("amount", "fee", "net")),
        )
        for row in report.rows
    ]
    if format != "pdf":
        return export.stream(request=request, filename=f"{name}.csv", header=header, rows=rows, format=format)
    texts = [
        (row[0], row[1], str(row[2]), *(format_money(amount.minor, amount.currency) for amount in row[3:]))
        for row in rows
    ]
    pairs = [
        ("Payout", format_money(check.amount, check.currency)),
        ("Its transactions", format_money(report.held, check.currency)),
        ("In short", report.verdict),
    ]
    table = Table("By category", tuple(name.capitalize() for name in header), texts, figures=4)
    section = Section("What it is made of", pairs=pairs, table=table)
    return _pdf(request, name, f"Payout {check.payout}", check.account or "platform", [section])


def _pdf(request: HttpRequest, name: str, title: str, subtitle: str, sections: list[Section]) -> HttpResponse:
    told_to = request.user.get_username()
    story = Story(title=title, subtitle=subtitle, told_to=told_to, told_at=timezone.now(), sections=sections)
    body = story_pdf.render(story)
    export.note_export(request, "export.finished", what=f"{name}.pdf", data={"rows": len(sections), "complete": True})
    response = HttpResponse(body, content_type="application/pdf")
    response["Content-Disposition"] = f'attachment; filename="{name}.pdf"'
    response["Cache-Control"] = "no-store"
    return response
