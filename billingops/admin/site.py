"""Our admin site: the strip on top, the home page, and what may not be registered at all.

Use it as `from billingops.admin.site import site` (Django's default site is the same object):

    @admin.register(PayoutRecord, site=site)
    class PayoutRecordAdmin(ReadOnlyAdmin): ...

The admin classes that dj-stripe, django-q, DRF and django.contrib.auth bring along are refused at the door: their pages
and their custom actions never get a URL (FACTS: any staff user could cancel a subscription through them).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import urlencode

from django.apps import apps
from django.conf import settings
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, URLResolver, path, reverse
from django.utils import timezone

from billingops import access, second_factor
from billingops.admin import home, links
from billingops.admin.paging import capped_counts
from billingops.models import Heartbeat
from billingops.signin import ThrottledSignInForm

site = admin.site  # a lazy proxy: BillingOpsAdminConfig makes it a BillingOpsAdminSite

WORKER_LATE = timedelta(seconds=120)
INBOX_CAP = 1000
BEATS = ("worker", "stripe")
REFUSED_PACKAGES = ("djstripe.", "django_q.", "rest_framework.", "django_otp.", "django.contrib.auth.")
# The order in the sidebar and on the home page; apps not named here follow by name.
APP_ORDER = [
    "approvals",
    "settlements",
    "reconciliation",
    "ledger",
    "forecast",
    "risk",
    "dunning",
    "invoicing",
    "support",
    "insights",
    "inbox",
    "llm",
    "djstripe",
    "mirror",
]
# Pages without a model that people look for, as (app, title, URL name, permission): listed under their app, first.
MENU = (
    ("settlements", "Trace", "settlements_trace_search", "settlements.view_payoutrecord"),
    ("reconciliation", "Months", "reconciliation_months", "reconciliation.view_reconciliationitem"),
    ("ledger", "Balances", "ledger_balances", "ledger.view_journalentry"),
    ("dunning", "Report", "dunning_report", "dunning.view_dunningcase"),
)


_pages: list[tuple[str, Callable[..., HttpResponse], str]] = []


def page(route: str, *, name: str) -> Callable[[Any], Any]:
    """Register a view as a page of the site that belongs to no model: `@page("support/invoice/<str:id>/", name=…)`.

    To be used in an app's `admin.py`. The view gets a logged-in member of staff; rights are its own business.
    """

    def register(view: Any) -> Any:
        _pages.append((route, view, name))
        return view

    return register


@dataclass(frozen=True)
class StripNote:
    """A line above the others that everybody must see, on every page: something is stopped."""

    text: str
    detail: str = ""
    since: datetime | None = None
    url: str = ""


_notes: list[Callable[[HttpRequest], Iterable[StripNote]]] = []


def strip_note(builder: Any) -> Any:
    """Register a generator of StripNote. It runs for every page: one statement at most."""
    _notes.append(builder)
    return builder


class BillingOpsAdminSite(admin.AdminSite):
    login_form = ThrottledSignInForm
    site_title = "BillingOps"
    site_header = "BillingOps"
    index_title = "What waits for you"
    site_url = None
    empty_value_display = "—"

    def register(self, model_or_iterable: Any, admin_class: Any = None, **options: Any) -> None:
        """As Django's, but classes of REFUSED_PACKAGES are passed over in silence, whenever they come."""
        if admin_class is None or admin_class.__module__.startswith(REFUSED_PACKAGES):
            return
        super().register(model_or_iterable, admin_class, **options)

    def get_urls(self) -> list[URLPattern | URLResolver]:  # type: ignore[override]
        own = [path(route, self.admin_view(view), name=name) for route, view, name in _pages]
        return [path("find/", self.admin_view(self.find), name="find"), *own, *super().get_urls()]

    def each_context(self, request: HttpRequest) -> dict[str, Any]:
        context = super().each_context(request)
        if self.has_permission(request):
            context["strip"] = strip(request)
            context["second_factor"] = {"on": second_factor.is_on(), "asks": second_factor.would_ask(request)}
        return context

    def login(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """As Django's; whoever has a second factor is asked for it next, and may leave it for later."""
        if request.method not in ("GET", "HEAD", "POST"):  # Django's would take a PUT for an attempt to sign in
            return HttpResponseNotAllowed(["GET", "HEAD", "POST"])
        response = super().login(request, extra_context)
        if request.method == "POST" and response.status_code == 302 and second_factor.at_log_in(request):
            return HttpResponseRedirect(second_factor.verify_url(response["Location"]))
        return response

    def index(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> TemplateResponse:
        return super().index(request, {**home.context(request), **(extra_context or {})})

    def get_app_list(self, request: HttpRequest, app_label: str | None = None) -> list[Any]:
        ranks = {label: rank for rank, label in enumerate(APP_ORDER)}
        found = super().get_app_list(request, app_label)
        for app in found:
            app["models"][:0] = [
                {
                    "name": title,
                    "object_name": name,
                    "admin_url": reverse(f"admin:{name}", current_app=self.name),
                    "add_url": None,
                    "view_only": True,
                    "perms": {"view": True},
                }
                for label, title, name, permission in MENU
                if label == app["app_label"] and request.user.has_perm(permission)
            ]
        return sorted(found, key=lambda app: (ranks.get(app["app_label"], len(ranks)), app["name"].lower()))

    def find(self, request: HttpRequest) -> HttpResponse:
        """`?q=in_…`: to the page that shows this id, else to the queue's search for it."""
        wanted = request.GET.get("q", "").strip()
        if target := links.page_url(wanted):
            return HttpResponseRedirect(target)
        queue = reverse("admin:approvals_suggestion_changelist", current_app=self.name)
        return HttpResponseRedirect(f"{queue}?{urlencode({'tab': 'all', 'q': wanted})}" if wanted else queue)


def strip(request: HttpRequest) -> dict[str, Any]:
    """What every page says on top: which Stripe this is, whether the worker lives, what the inbox holds.

    One statement, capped, and one a registered note.
    """
    beats: dict[str, datetime] = {}
    inbox = _inbox_counts(request.user, beats)
    worker = beats.get("worker")
    return {
        "mode": "sandbox" if settings.STRIPE_IS_SANDBOX else "live" if settings.STRIPE_LIVE_MODE else "test",
        "worker_at": worker,
        "worker_late": worker is None or timezone.now() - worker > WORKER_LATE,
        "stripe_at": beats.get("stripe"),
        "inbox": inbox,
        "inbox_cap": INBOX_CAP,
        "notes": [note for builder in _notes for note in builder(request)],
    }


def _inbox_counts(user: Any, beats: dict[str, datetime]) -> dict[str, int]:
    """How many events that `user` may see wait and are parked; a count above INBOX_CAP means "more". The heartbeats'
    times, which everybody sees, are read by the same statement into `beats`."""
    counted: dict[str, QuerySet[Any]] = {}
    if user.has_perm("inbox.view_inboundevent"):
        events = access.scope(apps.get_model("inbox", "InboundEvent").objects.all(), user)
        counted = {state: events.filter(state=state) for state in ("waiting", "parked")}
    moments = {name: Heartbeat.objects.filter(name=name).values("at") for name in BEATS}
    return capped_counts(counted, cap=INBOX_CAP, moments=moments, found=beats)
