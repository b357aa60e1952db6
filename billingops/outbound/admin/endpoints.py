"""Endpoints: the list, one with its secrets and what it was sent of late, and what is done with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone

from billingops.actors import Actor
from billingops.admin.actions import ConfirmedAction, Given
from billingops.admin.base import ReadOnlyAdmin, state_column
from billingops.admin.filters import AccountFilter
from billingops.admin.paging import capped_counts, count_label
from billingops.admin.site import site
from billingops.exceptions import BillingOpsError, InvalidInput
from billingops.outbound import services
from billingops.outbound.admin.forms import EndpointForm, NewEndpointForm, ReplayForm, RotateForm
from billingops.outbound.models import Delivery, Endpoint
from billingops.templatetags import billingops as tags

State = Endpoint.State


def _manages(request: HttpRequest) -> bool:
    return services.may_manage(request.user)


def _version(given: Given) -> int | None:
    return int(given.version) if given.version.isdecimal() else None


def _off(endpoint: Endpoint, actor: Actor, given: Given) -> None:
    services.switch_off(endpoint_id=endpoint.pk, reason=given.comment, actor=actor, version=_version(given))


def _on(endpoint: Endpoint, actor: Actor, given: Given) -> None:
    services.switch_on(endpoint_id=endpoint.pk, actor=actor, version=_version(given))


def _ping(endpoint: Endpoint, actor: Actor, given: Given) -> None:
    services.ping(endpoint_id=endpoint.pk, actor=actor)


@admin.register(Endpoint, site=site)
class EndpointAdmin(ReadOnlyAdmin):
    scope_field = "account"
    list_display = ("name", "state_", "url", "told_of", "success", "failing")
    list_filter = ("state", AccountFilter)
    exact_search = ("name", "account", "pk")
    change_list_template = "admin/outbound/endpoint_list.html"
    change_form_template = "admin/outbound/endpoint_detail.html"
    empty_text = (
        "An endpoint is a URL of your platform that is told of grace periods, suspensions and restorations, signed. A "
        "Finance lead adds one."
    )
    fieldsets = (
        (None, {"fields": ("name", "state_", "paused_why_", "url", "told_of", "events", "timeout_")}),
        ("Health", {"fields": ("success", "failing", "failures_", "probe", "by", "added")}),
    )
    readonly_fields = (
        "name", "state_", "paused_why_", "url", "told_of", "events", "timeout_", "success", "failing", "failures_",
        "probe", "by", "added",
    )  # fmt: skip
    export_fields = ("id", "name", "account", "state", "failures", "failing_since", "last_success_at", "created_at")
    confirmed_actions = (
        ConfirmedAction(
            name="ping",
            label="Send a test message to the selected endpoints",
            button="Send a test",
            sentence="Sends a signed message of the type outbound.ping to these endpoints.",
            run=_ping,
            may=_manages,
            refuse=lambda request, row: "" if row.state == State.ACTIVE else "It is not on.",
            done="Test on its way",
        ),
        ConfirmedAction(
            name="on",
            label="Switch the selected endpoints on",
            button="Switch on",
            sentence="What waits for these endpoints is sent now, oldest first.",
            run=_on,
            may=_manages,
            refuse=lambda request, row: "It is on already." if row.state == State.ACTIVE else "",
            version=lambda row: str(row.version),
            done="Switched on",
        ),
        ConfirmedAction(
            name="off",
            label="Switch the selected endpoints off",
            button="Switch off",
            sentence="Nothing more is sent to these endpoints. Their events are kept and sent when they are on again.",
            run=_off,
            may=_manages,
            refuse=lambda request, row: "It is off already." if row.state == State.OFF else "",
            version=lambda row: str(row.version),
            comment="optional",
            danger=True,
            done="Switched off",
        ),
    )

    labels = {"url": "URL"}
    state_ = state_column()

    @admin.display(description="Last success")
    def success(self, row: Endpoint) -> str:
        return tags.age(row.last_success_at)

    @admin.display(description="Failing since")
    def failing(self, row: Endpoint) -> str:
        return tags.age(row.failing_since)

    @admin.display(description="Failures in a row")
    def failures_(self, row: Endpoint) -> int:
        return row.failures

    @admin.display(description="Tried again")
    def probe(self, row: Endpoint) -> str:
        """From the third failure in a row on, the next time that one delivery may be tried."""
        return tags.age(row.probe_at)

    @admin.display(description="Why it is paused")
    def paused_why_(self, row: Endpoint) -> str:
        return row.paused_why or "—"

    @admin.display(description="Time-out")
    def timeout_(self, row: Endpoint) -> str:
        return f"{row.timeout_seconds} s for one attempt"

    @admin.display(description="Added by")
    def by(self, row: Endpoint) -> str:
        return row.created_by or "—"

    @admin.display(description="Added")
    def added(self, row: Endpoint) -> str:
        return tags.exact(row.created_at)

    @admin.display(description="Told of")
    def told_of(self, row: Endpoint) -> str:
        return tags.stripe_link(row.account) if row.account else "all accounts"

    @admin.display(description="Events")
    def events(self, row: Endpoint) -> str:
        return ", ".join(row.types) or "all"

    def get_urls(self) -> list[URLPattern]:
        pages = (
            ("new/", self.new_view, "new"),
            ("<int:pk>/edit/", self.edit_view, "edit"),
            ("<int:pk>/secret/", self.secret_view, "secret"),
            ("<int:pk>/replay/", self.replay_view, "replay"),
        )
        own = [
            path(route, self.admin_site.admin_view(view), name=f"outbound_endpoint_{name}")
            for route, view, name in pages
        ]
        return [*own, *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        return super().changelist_view(request, {"may_manage": _manages(request), **(extra_context or {})})

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        shown: dict[str, Any] = {}
        endpoint = self.get_object(request, object_id) if self.has_view_permission(request) else None
        if endpoint is not None:
            rows = {state.value: endpoint.deliveries.filter(state=state) for state in Delivery.State}
            counts = capped_counts(rows)
            shown = {
                "may_manage": _manages(request),
                "may_replay": services.may_replay(request.user),
                "secrets": list(endpoint.secrets.order_by("-id")[:20]),
                "now": timezone.now(),
                "counts": [(state, count_label(counts[state.value])) for state in Delivery.State],
            }
        return super().change_view(request, object_id, form_url, {**shown, **(extra_context or {})})

    # -- what is done with one -------------------------------------------------------------------------------------

    def _found(self, request: HttpRequest, pk: int, may: Callable[[Any], bool]) -> Endpoint:
        if not self.has_view_permission(request) or not may(request.user):
            raise PermissionDenied
        endpoint: Endpoint | None = self.get_object(request, str(pk))
        if endpoint is None:
            raise Http404("There is no such endpoint, or it belongs to an account that you have no access to.")
        return endpoint

    def new_view(self, request: HttpRequest) -> HttpResponse:
        if not _manages(request):
            raise PermissionDenied
        form = NewEndpointForm(request.POST or None)

        def save() -> HttpResponse:
            values = dict(form.cleaned_data)
            endpoint, secret = services.add(account=values.pop("account"), values=values, actor=_actor(request))
            return self._show_secret(request, endpoint, secret, is_new=True)

        sentence = (
            "This URL is told, signed, of the chosen events that happen from now on. Its secret is shown once, on the "
            "next page; have the place ready where the receiver keeps it."
        )
        return self._form(request, form, save, "Add an endpoint", sentence, "Add and show its secret")

    def edit_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        endpoint = self._found(request, pk, services.may_manage)
        form = EndpointForm(request.POST or None, initial={name: getattr(endpoint, name) for name in services.FIELDS})

        def save() -> HttpResponse:
            seen = request.POST.get("version", "")
            version = int(seen) if seen.isdecimal() and len(seen) < 10 else 0
            services.change(endpoint_id=pk, values=form.cleaned_data, version=version, actor=_actor(request))
            messages.success(request, "The endpoint is changed. What waits for it goes to where it leads now.")
            return HttpResponseRedirect(reverse("admin:outbound_endpoint_change", args=[pk]))

        sentence = "Messages that wait are sent to the URL given here, signed with the same secrets."
        return self._form(request, form, save, f"Change {endpoint}", sentence, "Save", endpoint)

    def secret_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        endpoint = self._found(request, pk, services.may_manage)
        form = RotateForm(request.POST or None)

        def save() -> HttpResponse:
            hours = form.cleaned_data["overlap_hours"]
            secret = services.rotate(endpoint_id=pk, overlap_hours=hours, actor=_actor(request))
            return self._show_secret(request, endpoint, secret, is_new=False)

        sentence = "A new secret is made and shown once. Put it into the receiver before the earlier ones end."
        return self._form(request, form, save, f"New secret for {endpoint}", sentence, "Make and show it", endpoint)

    def replay_view(self, request: HttpRequest, pk: int) -> HttpResponse:
        endpoint = self._found(request, pk, services.may_replay)
        form = ReplayForm(request.POST or None)

        def save() -> HttpResponse:
            count = services.replay_since(endpoint_id=pk, since=form.since(), actor=_actor(request))
            messages.success(request, f"{count:,} events are sent again, oldest first.")
            return HttpResponseRedirect(reverse("admin:outbound_endpoint_change", args=[pk]))

        sentence = (
            "Sends again what this endpoint was sent, or would have been sent, in that time: under the same ids, so "
            "that a receiver that keeps them does nothing twice."
        )
        return self._form(request, form, save, f"Replay to {endpoint}", sentence, "Send again", endpoint)

    def _form(
        self,
        request: HttpRequest,
        form: forms.Form,
        save: Callable[[], HttpResponse],
        title: str,
        sentence: str,
        button: str,
        endpoint: Endpoint | None = None,
    ) -> HttpResponse:
        if request.method == "POST" and form.is_valid():
            try:
                return save()
            except InvalidInput as problem:
                form.add_error(problem.field if problem.field in form.fields else None, str(problem))
            except BillingOpsError as problem:
                form.add_error(None, str(problem))
        shown = {"form": form, "sentence": sentence, "button": button, "endpoint": endpoint}
        return self._page(request, "form.html", title, status=400 if form.errors else 200, **shown)

    def _show_secret(self, request: HttpRequest, endpoint: Endpoint, secret: str, *, is_new: bool) -> HttpResponse:
        answer = self._page(
            request, "secret.html", f"Secret of {endpoint}", endpoint=endpoint, secret=secret, is_new=is_new
        )
        answer["Cache-Control"] = "no-store"
        return answer

    def _page(
        self, request: HttpRequest, template: str, title: str, *, status: int = 200, **shown: Any
    ) -> TemplateResponse:
        context = {**self.admin_site.each_context(request), "title": title, "opts": self.model._meta, **shown}
        return TemplateResponse(request, f"admin/outbound/{template}", context, status=status)


def _actor(request: HttpRequest) -> Actor:
    return Actor.person(request.user)
