"""Trace: any id in, where its money came from and went to out.

/admin/settlements/trace/?q=in_…      search; an id that is known leads on
/admin/settlements/trace/<ref>/       the diagram, the same figures as tables, who decided, what is left
"""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.views.decorators.http import require_safe

from billingops.admin.links import prefix
from billingops.admin.site import page, site
from billingops.templatetags import billingops as tags
from settlements import trace
from settlements.ledger.accounts import Account, Kind
from settlements.trace import refs
from settlements.trace.diagram import draw
from settlements.trace.graph import Entry, Node

PERMISSION = "settlements.view_payoutrecord"


def check(request: HttpRequest) -> None:
    if not request.user.has_perm(PERMISSION):
        raise PermissionDenied


def url_of(ref: str) -> str:
    return reverse("admin:settlements_trace", args=[ref])


@page("settlements/trace/", name="settlements_trace_search")
@require_safe
def search(request: HttpRequest) -> HttpResponse:
    check(request)
    term = request.GET.get("q", "").strip()[: refs.MAX_REF]
    if term and "/" not in term and refs.resolve(term, user=request.user):
        return HttpResponseRedirect(url_of(term))
    context = {**site.each_context(request), "title": "Trace", "term": term}
    return TemplateResponse(request, "admin/settlements/trace_search.html", context, status=404 if term else 200)


@page("settlements/trace/<str:ref>/", name="settlements_trace")
@require_safe
def show(request: HttpRequest, ref: str) -> HttpResponse:
    check(request)
    number = request.GET.get("page", "1")
    try:
        found = trace.of(ref, user=request.user, page=int(number) if number.isdecimal() and len(number) < 7 else 1)
    except trace.Unknown:
        context = {**site.each_context(request), "title": "Trace", "term": ref}
        return TemplateResponse(request, "admin/settlements/trace_search.html", context, status=404)
    problems = {problem.node for problem in found.problems}
    context = {
        **site.each_context(request),
        "title": found.title,
        "found": found,
        "diagram": draw(found.nodes, found.flows, currency=found.currency, problems=problems, focus=found.focus)
        if found.nodes
        else None,
        "nodes": [_shown(node, found, problems) for node in found.nodes],
        "flows": [(found.node(flow.source).label, found.node(flow.target).label, flow) for flow in found.flows],
        "brought": sum(node.brings for node in found.nodes),
        "stayed": sum(node.stays for node in found.nodes),
        "page_urls": _pages(found),
        "see_suggestions": request.user.has_perm("approvals.view_suggestion"),
        "api_url": reverse("trace-detail", args=[ref]),
    }
    return TemplateResponse(request, "admin/settlements/trace.html", context)


def _pages(found: trace.Trace) -> dict[str, str]:
    urls = {}
    if found.page > 1:
        urls["before"] = f"?page={found.page - 1}"
    if found.page < found.pages:
        urls["after"] = f"?page={found.page + 1}"
    return urls


def _shown(node: Node, found: trace.Trace, problems: set[str]) -> dict[str, Any]:
    passes = max(
        node.brings + sum(flow.amount for flow in found.flows if flow.target == node.key),
        node.stays + sum(flow.amount for flow in found.flows if flow.source == node.key),
    )
    return {
        "node": node,
        "passes": passes,
        "wrong": node.key in problems,
        "focus": node.key == found.focus,
        "link": _link(node, found),
        "has_more": bool(node.text or node.facts or node.steps or node.entries),
        "entries": [shown_entry(entry) for entry in node.entries],
    }


def _link(node: Node, found: trace.Trace) -> SafeString | str:
    """To the object's own page; a deposit and a seller to their trace and page."""
    if node.ref and prefix(node.ref) == "po" and node.ref != found.subject:
        return format_html('<a href="{}"><code>{}</code></a>', url_of(node.ref), tags.short_text(node.ref))
    return tags.stripe_link(node.ref, node.owner) if node.ref else ""


def shown_entry(entry: Entry) -> dict[str, Any]:
    """For templates/admin/settlements/_entry.html."""
    return {
        "entry": entry,
        "kind": Kind(entry.kind).label if entry.kind in Kind.values else entry.kind,
        "url": quoted("admin:ledger_journalentry_change", entry.id),
        "postings": [
            (Account(account).label if account in Account.values else account, seller, amount)
            for account, seller, amount in entry.postings
        ],
    }


def quoted(name: str, key: Any) -> str:
    """The admin page's URL, "" where there is none."""
    try:
        return reverse(name, args=[quote(str(key))])
    except NoReverseMatch:
        return ""
