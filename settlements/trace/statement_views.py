"""A seller's monthly statement: page, CSV and PDF. Every file that goes out is noted in the audit log.

/admin/settlements/statement/<acct>/<2026-11>/       the page; ?currency=usd&page=2
/admin/settlements/statement/<acct>/<2026-11>/file/  ?currency=usd&format=csv (or pdf)
"""

from __future__ import annotations

import hashlib
from datetime import date, timedelta
from typing import Any
from urllib.parse import urlencode

from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_safe

from billingops import access
from billingops.admin import export
from billingops.admin.site import page, site
from billingops.exceptions import InvalidInput
from settlements.models import Seller
from settlements.trace import statement as statements
from settlements.trace import statement_pdf

PAGE_SIZE = 200
PERMISSION = "settlements.view_earning"


def _seller(request: HttpRequest, account: str) -> Seller:
    if not request.user.has_perm(PERMISSION):
        raise PermissionDenied
    seller = access.scope(Seller.objects.filter(account=account), request.user).first()
    if seller is None:
        raise Http404("There is no such seller, or it is one that you have no access to.")
    return seller


def this_month() -> str:
    return f"{timezone.now():%Y-%m}"


def _made(request: HttpRequest, account: str, month: str) -> tuple[Seller, statements.Statement | None, list[str]]:
    seller = _seller(request, account)
    known = statements.currencies(account)
    asked = request.GET.get("currency", "").lower() or (known[0] if known else "")
    if asked and asked not in known:
        raise Http404("This seller has had no money in that currency.")
    try:
        statements.moments(month)
        return seller, (statements.of(account, month, asked) if asked else None), known
    except InvalidInput as wrong:
        raise Http404(str(wrong))


@page("settlements/statement/<str:account>/<str:month>/", name="settlements_statement")
@require_safe
def show(request: HttpRequest, account: str, month: str) -> HttpResponse:
    seller, made, known = _made(request, account, month)
    raw = request.GET.get("page", "1")
    pages = max(1, -(-made.count // PAGE_SIZE)) if made else 1
    number = min(max(int(raw), 1), pages) if raw.isdecimal() and len(raw) < 7 else 1
    start = (number - 1) * PAGE_SIZE
    rows = list(made.rows(start, start + PAGE_SIZE)) if made else []
    before = made.carried(start) if made else statements.Sums()
    so_far = sum((row.sums for row in rows), before)
    context = {
        **site.each_context(request),
        "title": f"Statement {month}",
        "made": made,
        "is_over": month < this_month(),
        "account": account,
        "seller": seller.name or account,
        "month": month,
        "rows": rows,
        "before": before,
        "before_balance": made.opening.payable + before.payable if made else 0,
        "so_far": so_far,
        "so_far_balance": made.opening.payable + so_far.payable if made else 0,
        "number": number,
        "pages": pages,
        "chips": [(code, _url(account, month, code), bool(made and made.currency == code)) for code in known],
        "months": [(one, _url(account, one, made.currency if made else "")) for one in _around(account, month)],
        "files": [(kind, _url(account, month, made.currency, kind)) for kind in ("csv", "pdf")] if made else [],
        "page_before": _url(account, month, made.currency, page=number - 1) if made and number > 1 else "",
        "page_after": _url(account, month, made.currency, page=number + 1) if made and number < pages else "",
    }
    return TemplateResponse(request, "admin/settlements/statement.html", context)


@page("settlements/statement/<str:account>/<str:month>/file/", name="settlements_statement_file")
@require_safe
def file(request: HttpRequest, account: str, month: str) -> HttpResponseBase:
    _, made, _ = _made(request, account, month)
    if made is None:
        raise Http404("This seller has had no money yet.")
    name = f"statement-{account}-{month}-{made.currency}"
    if request.GET.get("format") != "pdf":
        rows = statements.as_rows(made)
        return export.stream(request=request, filename=f"{name}.csv", header=statements.HEADER, rows=rows)
    body = statement_pdf.render(made)
    data = {"sha256": hashlib.sha256(body).hexdigest(), "bytes": len(body), "rows": made.count, "complete": True}
    export.note_export(request, "export.finished", what=f"{name}.pdf", data=data, account=account)
    response = HttpResponse(body, content_type="application/pdf")
    response["Content-Disposition"] = f'attachment; filename="{name}.pdf"'
    response["Cache-Control"] = "no-store"
    return response


def _url(account: str, month: str, currency: str, format: str = "", **more: Any) -> str:
    name = "admin:settlements_statement_file" if format else "admin:settlements_statement"
    query = {"currency": currency, "format": format, **more}
    given = {key: value for key, value in query.items() if value}
    return f"{reverse(name, args=[account, month])}?{urlencode(given)}"


def _around(account: str, month: str) -> list[str]:
    """The month before and the one after, of those from the seller's first entry to today."""
    start = date.fromisoformat(f"{month}-01")
    around = [f"{day:%Y-%m}" for day in (start - timedelta(days=1), start + timedelta(days=32))]
    return [one for one in around if (statements.first_month(account) or this_month()) <= one <= this_month()]
