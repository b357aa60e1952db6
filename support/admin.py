"""Support's pages: find a customer, the customer's timeline, an invoice explained. All of them only read."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_safe

from billingops import access, keyset
from billingops.admin import links
from billingops.admin.base import ReadOnlyAdmin
from billingops.admin.site import page, site
from billingops.exceptions import InvalidInput
from billingops.rest import parse_last_moment, parse_moment
from billingops.stripe.models import MirroredObject
from support import explain, rows, summary
from support.models import CustomerContact, TimelineEntry
from support.querysets import MAX_TERM

PAGE_SIZE = 50
FOUND_CAP = 20
SHORTEST_NAME = 3
PERIODS = ((30, "30 days"), (90, "90 days"), (365, "12 months"))

links.shows("cus", "admin:support_timeline")
links.shows("in", "admin:support_invoice")


@admin.register(TimelineEntry, site=site)
class TimelineEntryAdmin(ReadOnlyAdmin):
    """Only the entry in the menu: a timeline is read customer by customer."""

    scope_field = "account"

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        return redirect("admin:support_search")

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        entry = self.get_object(request, object_id)
        if entry is None:
            raise Http404
        return redirect("admin:support_timeline", entry.customer)


def _check(request: HttpRequest) -> None:
    if not request.user.has_perm("support.view_timelineentry"):
        raise PermissionDenied


# -- find a customer ---------------------------------------------------------------------------------------------------


@page("support/timeline/", name="support_search")
@require_http_methods(["GET", "HEAD", "POST"])
def search(request: HttpRequest) -> HttpResponse:
    """An id leads straight on. Names and addresses are asked by POST only: what stands in a URL ends up in logs."""
    _check(request)
    term = (request.POST.get("q") or request.GET.get("q") or "").strip()[:MAX_TERM]
    if term and (target := _page_of(term, request.user)):
        return HttpResponseRedirect(target)
    may_find = request.user.has_perm("support.find_person")
    found: list[CustomerContact] = []
    asked = request.method == "POST" and may_find and len(term) >= SHORTEST_NAME
    if asked:
        found = list(CustomerContact.objects.visible_to(request.user).matching(term)[: FOUND_CAP + 1])
    context = {
        **site.each_context(request),
        "title": "Customer timelines",
        "term": term,
        "asked": asked,
        "may_find": may_find,
        "found": found[:FOUND_CAP],
        "more": len(found) > FOUND_CAP,
        "cap": FOUND_CAP,
        "shortest": SHORTEST_NAME,
    }
    return TemplateResponse(request, "admin/support/search.html", context)


def _page_of(term: str, user: Any) -> str:
    """Where an exact id leads: a customer, an invoice, or the timeline that shows any other mirrored object."""
    contacts, entries = CustomerContact.objects.visible_to(user), TimelineEntry.objects.visible_to(user)
    if contacts.filter(pk=term).exists() or entries.of_customer(term).exists():
        return reverse("admin:support_timeline", args=[term])
    row = access.scope(MirroredObject.objects.filter(object_id=term), user).first()
    if row is None:
        return ""
    if row.object_type == "invoice":
        return reverse("admin:support_invoice", args=[term])
    if row.customer_id:
        return f"{reverse('admin:support_timeline', args=[row.customer_id])}?q={row.object_id}"
    return links.page_url(term)


# -- the timeline ------------------------------------------------------------------------------------------------------


@page("support/timeline/<str:customer>/", name="support_timeline")
@require_safe
def timeline(request: HttpRequest, customer: str) -> HttpResponse:
    _check(request)
    head = summary.of_customer(customer, request.user)
    if head is None:
        raise Http404(f"No event has named {customer} yet, or it belongs to an account that you have no access to.")
    given, error, shown = request.GET, "", keyset.Page[TimelineEntry]([], "", "")
    kinds = [kind for kind in given.getlist("kind") if kind in TimelineEntry.Kind.values]
    try:
        entries = TimelineEntry.objects.visible_to(request.user).of_customer(customer)
        if kinds:
            entries = entries.filter(kind__in=kinds)
        if raw := given.get("from", "").strip():
            entries = entries.between(parse_moment(raw, "from"), None)
        if raw := given.get("to", "").strip():
            entries = entries.between(None, parse_last_moment(raw, "to"))
        if term := given.get("q", "").strip():
            entries = entries.matching(term)
        shown = keyset.page(entries, order=("-at", "-id"), cursor=given.get("cursor", ""), size=PAGE_SIZE)
    except InvalidInput as problem:
        error = str(problem)
    context = {
        **site.each_context(request),
        "title": head.name or customer,
        "customer": customer,
        "head": head,
        "days": rows.days(shown.rows, request.user),
        "error": error,
        "filtered": any(given.get(name) for name in ("kind", "from", "to", "q")),
        "kind_chips": _kind_chips(given, kinds, head),
        "period_chips": _period_chips(given),
        "given": {name: given.get(name, "") for name in ("from", "to", "q")},
        "kept_kinds": kinds,
        "older_url": _url(given, cursor=shown.next) if shown.next else "",
        "newest_url": _url(given, cursor=None) if given.get("cursor") else "",
        "clear_url": reverse("admin:support_timeline", args=[customer]),
    }
    return TemplateResponse(request, "admin/support/timeline.html", context, status=400 if error else 200)


def _url(given: QueryDict, **changed: Any) -> str:
    """The page's own address with some parameters changed (None: left out); paging starts over with every change."""
    query = given.copy()
    query.pop("cursor", None)
    for name, value in changed.items():
        if value is None:
            query.pop(name, None)
        elif isinstance(value, list):
            query.setlist(name, value)
        else:
            query[name] = value
    return f"?{query.urlencode()}"


def _kind_chips(given: QueryDict, kinds: list[str], head: summary.Summary) -> list[dict[str, Any]]:
    chips: list[dict[str, Any]] = [
        {"label": "All", "on": not kinds, "url": _url(given, kind=None), "count": head.total}
    ]
    for kind in TimelineEntry.Kind:
        if (count := head.counts.get(kind.value, 0)) or kind.value in kinds:
            on = kind.value in kinds
            left = [one for one in kinds if one != kind.value] if on else [*kinds, kind.value]
            chips.append({"label": kind.label, "on": on, "url": _url(given, kind=left or None), "count": count})
    return chips


def _period_chips(given: QueryDict) -> list[dict[str, Any]]:
    chips: list[dict[str, Any]] = []
    today = timezone.localdate()
    for length, label in PERIODS:
        start = (today - timedelta(days=length)).isoformat()
        on = given.get("from") == start and not given.get("to")
        chips.append({"label": label, "on": on, "url": _url(given, **{"from": None if on else start, "to": None})})
    return chips


# -- an invoice explained ----------------------------------------------------------------------------------------------


@page("support/invoice/<str:invoice_id>/", name="support_invoice")
@require_safe
def invoice(request: HttpRequest, invoice_id: str) -> HttpResponse:
    _check(request)
    found = explain.invoice(invoice_id, request.user)
    context = {**site.each_context(request), "title": f"Invoice {invoice_id}", "invoice_id": invoice_id}
    if found is None:
        context["title"] = "This invoice is not here"
        return TemplateResponse(request, "admin/support/no_invoice.html", context, status=404)
    facts = found.invoice
    context |= {
        "title": f"Invoice {facts.number or facts.id}",
        "found": found,
        "facts": facts,
        "mirror_url": rows.own_url("djstripe_invoice_by_id", facts.id),
    }
    return TemplateResponse(request, "admin/support/invoice.html", context)
