"""The kill switch's page, its line in the strip, its button on the home page; and what policy holds, on the home page.

One button a row, a POST each: stopping is one click. The page also says what had begun before and cannot be stopped.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse

from approvals import switches
from approvals.models import Execution, KillSwitch
from billingops import access
from billingops.actors import Actor
from billingops.admin import home
from billingops.admin.base import ReadOnlyAdmin
from billingops.admin.paging import COUNT_CAP
from billingops.admin.site import StripNote, site, strip_note
from billingops.exceptions import BillingOpsError
from billingops.money import sum_by_currency

SHOWN = 50  # of what is on its way
_LIST = "admin:approvals_killswitch_changelist"


@admin.register(KillSwitch, site=site)
class KillSwitchAdmin(ReadOnlyAdmin):
    exact_search = ("kind",)
    fields = ("what", "is_on", "reason", "changed_by_name", "changed_at")
    readonly_fields = fields

    @admin.display(description="What it stops")
    def what(self, obj: KillSwitch) -> str:
        return switches.label(obj.kind)

    def object_title(self, obj: KillSwitch) -> str:
        return f"kill switch · {switches.label(obj.kind)}"

    def get_urls(self) -> list[URLPattern]:
        flip = path("flip/", self.admin_site.admin_view(self.flip_view), name="approvals_killswitch_flip")
        return [flip, *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        if request.method not in ("GET", "HEAD"):
            return HttpResponseNotAllowed(["GET", "HEAD"])
        if not self.has_view_permission(request):
            raise PermissionDenied
        return self._page(request)

    def flip_view(self, request: HttpRequest) -> HttpResponse:
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        kind, on = request.POST.get("kind", ""), request.POST.get("on") == "1"
        reason = request.POST.get("reason", "")
        try:
            flipped = switches.flip(kind=kind, on=on, actor=Actor.person(request.user), reason=reason)
        except BillingOpsError as problem:
            return self._page(request, problem=str(problem), kind=kind, reason=reason)
        what = switches.label(kind)
        if on:
            begun = len(flipped.running)
            messages.warning(
                request,
                f"{what}: stopped. Nothing begins any more; what is approved is held. "
                + (
                    f"{begun} had begun before and cannot be stopped; see below."
                    if begun
                    else "Nothing was on its way."
                ),
            )
        else:
            messages.success(request, f"{what}: goes on. What was held is looked at now; the facts are read again.")
        return HttpResponseRedirect(reverse(_LIST))

    def _page(self, request: HttpRequest, **given: Any) -> HttpResponse:
        running = access.scope(switches.running(), request.user, field="suggestion__account")
        context = {
            **self.admin_site.each_context(request),
            "title": "Kill switch",
            "opts": self.model._meta,
            "rows": [(row, switches.label(row.kind)) for row in switches.every()],
            "why_not": switches.may_use(request.user),
            "max_reason": switches.MAX_REASON,
            "running": list(running[:SHOWN]),
            "running_count": running.count(),
            **given,
        }
        return TemplateResponse(request, "admin/approvals/switch.html", context, status=400 if given else 200)


def _on(request: HttpRequest) -> list[KillSwitch]:
    """Read once a request: the strip is on every page, and the home page asks again."""
    if not hasattr(request, "_kill_switches"):
        request._kill_switches = switches.now_on()  # type: ignore[attr-defined]
    found: list[KillSwitch] = request._kill_switches  # type: ignore[attr-defined]
    return found


@strip_note
def in_the_strip(request: HttpRequest) -> Iterator[StripNote]:
    """For everybody who has a role here; staff in no group are told nothing."""
    if not request.user.has_perm("approvals.view_killswitch"):  # type: ignore[union-attr]
        return
    for switch in _on(request):
        what = switches.label(switch.kind)
        yield StripNote(
            text=f"The kill switch is on: {what[0].lower() + what[1:] if not switch.kind else what}.",
            detail=f"{switch.changed_by_name} stopped it. What you approve is held and goes on when it is off again.",
            since=switch.changed_at,
            url=reverse(_LIST),
        )


@home.panel(order=80)
def on_the_home_page(request: HttpRequest) -> home.Panel | None:
    if switches.may_use(request.user):
        return None
    on = _on(request)
    context = {"on": [switches.label(switch.kind) for switch in on], "all_on": any(not one.kind for one in on)}
    return home.Panel("Kill switch", "admin/approvals/_switch.html", context)


@home.waiting(order=15)
def held(request: HttpRequest) -> Iterator[home.WaitingLine]:
    """What is approved and may not go out now. One statement."""
    if not request.user.has_perm("approvals.view_execution"):  # type: ignore[union-attr]
        return
    rows = Execution.objects.filter(state=Execution.State.QUEUED).exclude(held="").order_by("queued_at")
    columns = ("held", "queued_at", "suggestion__amount", "suggestion__currency")
    groups: dict[str, list[tuple[Any, ...]]] = {}
    for row in access.scope(rows, request.user, field="suggestion__account").values_list(*columns)[: COUNT_CAP + 1]:
        groups.setdefault(_reason(row[0]), []).append(row)
    url = f"{reverse('admin:approvals_execution_changelist')}?state__exact=queued"
    for name, (label, hint, urgent) in _REASONS.items():
        if found := groups.get(name):
            sums = sum_by_currency((amount, currency) for _, _, amount, currency in found if amount is not None)
            yield home.WaitingLine(
                label=label, hint=hint, count=len(found), oldest=found[0][1], sums=sums, url=url, urgent=urgent
            )


_REASONS = {
    "switch": ("Held by the kill switch", "Goes on when it is switched off.", True),
    "cap": ("Held by a cap of the day", "Goes on tomorrow, or when the policy's cap is raised.", True),
    "later": ("Held by policy", "Outside its hours, or so soon after new bank details.", False),
}


def _reason(held: str) -> str:
    return "switch" if "the kill switch is on" in held else "cap" if "today so far" in held else "later"
