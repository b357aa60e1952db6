"""The queue and a suggestion's page: URLs, views, nothing else. Every step is a POST to `<id>/<verb>/`.

/admin/approvals/suggestion/                queue; POST: bulk, with a page in between
/admin/approvals/suggestion/<id>/change/    evidence, verdict, executions, decisions, history
/admin/approvals/suggestion/<id>/panel/     the fragment that opens below a row of the queue
/admin/approvals/suggestion/<id>/approve/   POST: version, seal, comment (also reject, cancel, retry, look_again)
/admin/approvals/suggestion/<id>/edit/      see editing.py
/admin/approvals/suggestion/<id>/take/      and the like, and desk/: see deskviews.py
/admin/approvals/suggestion/<id>/story/     and story.pdf: see story.py
/admin/approvals/suggestion/export/         the queue as it is filtered, as CSV or (format=xlsx) as a workbook
"""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone

from approvals import blind, seeds, services
from approvals.admin import blindness, bulk, detail, queue
from approvals.admin.blindness import BlindView
from approvals.admin.deskviews import DESK_VERBS, DeskViews, safe_next
from approvals.admin.editing import EditView
from approvals.admin.story import StoryViews
from approvals.models import Suggestion
from approvals.services import desk
from billingops.actors import Actor
from billingops.admin import export
from billingops.admin.actions import versions_seen
from billingops.admin.base import EXPORT_CAP, ReadOnlyAdmin
from billingops.admin.site import site
from billingops.exceptions import InvalidInput, InvalidTransition, VersionConflict

ACTIONS = {action.name: action for action in (bulk.APPROVE, bulk.REJECT)}
VERBS = ("approve", "reject", "cancel", "retry", "look_again", "blind")


@admin.register(Suggestion, site=site)
class SuggestionAdmin(DeskViews, EditView, BlindView, StoryViews, ReadOnlyAdmin):
    scope_field = "account"
    exact_search = ("id", "subject", "customer", "account")
    export_fields = (
        "id",
        "kind",
        "state",
        "version",
        "account",
        "customer",
        "subject",
        "amount",
        "currency",
        "reason_code",
        "suggested_by",
        "event_id",
        "created_at",
        "updated_at",
    )

    def get_urls(self) -> list[URLPattern]:
        def named(verb: str) -> str:
            return f"approvals_suggestion_{verb}"

        steps = [
            path(
                f"<uuid:object_id>/{verb}/",
                self.admin_site.admin_view(self.step_view),
                {"verb": verb},
                name=named(verb),
            )
            for verb in VERBS
        ]
        around = [
            path(
                f"<uuid:object_id>/{verb}/",
                self.admin_site.admin_view(self.desk_view),
                {"verb": verb},
                name=named(verb),
            )
            for verb in DESK_VERBS
        ]
        own = path("desk/", self.admin_site.admin_view(self.desk_settings_view), name=named("desk"))
        edit = path("<uuid:object_id>/edit/", self.admin_site.admin_view(self.edit_view), name=named("edit"))
        panel = path("<uuid:object_id>/panel/", self.admin_site.admin_view(self.panel_view), name=named("panel"))
        return [*steps, *around, own, edit, panel, *self.story_urls(), *super().get_urls()]

    # -- the queue -------------------------------------------------------------------------------------------------

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        filters = queue.Filters.of(request.GET.dict())
        if request.method == "POST":
            return self._bulk(request, filters)
        context = {
            **self.admin_site.each_context(request),
            **queue.context(request.user, filters, request.GET.get("cursor", "")),
            "title": "Queue",
            "opts": self.model._meta,
            "may_decide": bulk.has_right(request),
            "bulk_actions": self._bulk_actions(request, filters),
            "here": request.get_full_path(),
        }
        return TemplateResponse(request, "admin/approvals/suggestion/queue.html", context)

    @staticmethod
    def _bulk_actions(request: HttpRequest, filters: queue.Filters) -> list[Any]:
        """Only where something can wait for a person: buttons that could do nothing are not offered."""
        return list(ACTIONS.values()) if filters.shows_waiting and bulk.has_right(request) else []

    def _bulk(self, request: HttpRequest, filters: queue.Filters) -> HttpResponse:
        action = ACTIONS.get(request.POST.get("action", ""))
        back = request.get_full_path()
        if action is None:
            messages.warning(request, "Choose what to do with the selected suggestions. Nothing was changed.")
            return HttpResponseRedirect(back)
        if not bulk.has_right(request):
            raise PermissionDenied("You may look at suggestions but not decide on them. Nothing was changed.")
        chosen = queue.base(request.user)
        if request.POST.get("select_across") == "1":
            chosen = filters.apply(chosen, request.user)
        else:
            keys = request.POST.getlist("_selected_action")
            chosen = chosen.filter(pk__in=[key for key in keys if self._as_value("pk", key) is not None])
        try:
            batch = bulk.freeze(
                request, action, chosen, seen=versions_seen(request), came_from=filters.query().removeprefix("?")
            )
        except InvalidInput as problem:
            messages.warning(request, str(problem))
            return HttpResponseRedirect(back)
        return HttpResponseRedirect(reverse("admin:approvals_batch_change", args=[batch.pk]))

    def export_view(self, request: HttpRequest) -> HttpResponseBase:
        if not self.has_view_permission(request):
            raise PermissionDenied
        filters = queue.Filters.of(request.GET.dict())
        found = filters.apply(queue.base(request.user), request.user).order_by("-id")[:EXPORT_CAP]
        return export.stream(
            request=request,
            filename="suggestions.csv",
            header=self.export_fields,
            rows=self._export_rows(found),
            format="xlsx" if request.GET.get("format") == "xlsx" else "csv",
        )

    def _export_value(self, obj: Any, name: str) -> Any:
        value = super()._export_value(blind.shown(obj), name)
        return export.Amount(value, obj.currency) if name == "amount" and value is not None else value

    # -- one suggestion --------------------------------------------------------------------------------------------

    def _visible(self, request: HttpRequest, object_id: Any) -> Suggestion:
        suggestion = self.get_object(request, unquote(str(object_id)))
        if suggestion is None:
            raise Http404("There is no such suggestion, or it belongs to an account that you have no access to.")
        if not self.has_view_permission(request, suggestion):
            raise PermissionDenied
        return suggestion

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if request.method not in ("GET", "HEAD"):
            return HttpResponseNotAllowed(["GET", "HEAD"])
        return self._page(request, self._visible(request, object_id))

    def _page(
        self, request: HttpRequest, suggestion: Suggestion, *, problem: dict[str, Any] | None = None, status: int = 200
    ) -> HttpResponse:
        if blind.hides(suggestion):
            return self._blind_page(request, suggestion, problem=problem, status=status)
        number = request.GET.get("p", "1")
        context = {
            **self.admin_site.each_context(request),
            "seeded_check": seeds.told(suggestion),
            **detail.context(suggestion, request.user, page=int(number) if number.isdecimal() else 1),
            "title": f"{suggestion.kind_label} {suggestion.money}".strip(),
            "opts": self.model._meta,
            "original": suggestion,
            "problem": problem,
            "typed": request.POST if problem else {},
        }
        return TemplateResponse(request, "admin/approvals/suggestion/page.html", context, status=status)

    def _blind_page(
        self, request: HttpRequest, suggestion: Suggestion, *, problem: dict[str, Any] | None, status: int
    ) -> HttpResponse:
        context = {
            **self.admin_site.each_context(request),
            **blindness.context(suggestion, request.user),
            "title": "Blind sample: what would you do?",
            "opts": self.model._meta,
            "problem": problem,
            "typed": request.POST if problem else {},
        }
        return TemplateResponse(request, "admin/approvals/suggestion/blind.html", context, status=status)

    def panel_view(self, request: HttpRequest, object_id: Any) -> HttpResponse:
        """Evidence and verdict without the frame. Its forms come back to `next`, the queue as it was filtered."""
        if request.method not in ("GET", "HEAD"):
            return HttpResponseNotAllowed(["GET", "HEAD"])
        suggestion = self._visible(request, object_id)
        own: dict[str, Any]
        if blind.hides(suggestion):
            template, own = "_blind_panel.html", blindness.context(suggestion, request.user)
        else:
            template, own = "_panel.html", detail.verdict(suggestion, request.user)
            own["evidence"] = detail.evidence(suggestion, request.user)
        context = {**own, "next": safe_next(request, request.GET.get("next", "")), "in_panel": True}
        response = TemplateResponse(request, f"admin/approvals/suggestion/{template}", context)
        response["Cache-Control"] = "no-store"
        return response

    def step_view(self, request: HttpRequest, object_id: Any, verb: str) -> HttpResponse:
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        suggestion = self._visible(request, object_id)
        if not bulk.has_right(request):
            raise PermissionDenied("You may look at suggestions but not decide on them. Nothing was changed.")
        try:
            after = self._step(request, suggestion, verb)
        except VersionConflict as conflict:
            return self._refused(request, suggestion, "This page was outdated", str(conflict), 409, conflict.changes)
        except desk.AlreadyTaken as taken:
            return self._refused(request, suggestion, "Somebody else has taken it", str(taken), 409)
        except InvalidTransition as problem:
            return self._refused(request, suggestion, "That step is no longer possible", str(problem), 409)
        except InvalidInput as problem:
            return self._refused(request, suggestion, "Not accepted", f"{problem} Nothing was changed.", 400)
        except PermissionDenied as problem:
            return self._refused(request, suggestion, "You may not do this", f"{problem} Nothing was changed.", 403)
        who = f"{request.user.get_username()}, {timezone.localtime():%H:%M %Z}"
        said = blindness.happened(after, who) if verb == "blind" else detail.happened(after, verb, who)
        messages.success(request, said)
        return HttpResponseRedirect(
            safe_next(request, request.POST.get("next", ""))
            or reverse("admin:approvals_suggestion_change", args=[suggestion.pk])
        )

    def _step(self, request: HttpRequest, suggestion: Suggestion, verb: str) -> Suggestion:
        version = request.POST.get("version", "")
        if not version.isdecimal():
            raise InvalidInput("The version of the suggestion that you saw is missing.", field="version")
        given: dict[str, Any] = {
            "suggestion_id": suggestion.pk,
            "actor": Actor.person(request.user),
            "version": int(version),
            "comment": request.POST.get("comment", "").strip(),
        }
        if verb == "reject":
            given["reason_code"] = request.POST.get("reason_code", "")
        if verb == "blind":
            given |= {name: request.POST.get(name, "") for name in ("choice", "reason_code")}
            return desk.decide(blind.say, despite=request.POST.get("despite") == "1", **given)
        if verb == "approve":
            given["seal"] = request.POST.get("seal", "")
        if verb in ("approve", "reject"):
            return desk.decide(getattr(services, verb), despite=request.POST.get("despite") == "1", **given)
        return getattr(services, verb)(**given)

    def _refused(
        self,
        request: HttpRequest,
        suggestion: Suggestion,
        title: str,
        text: str,
        status: int,
        changes: list[str] | None = None,
    ) -> HttpResponse:
        """The page as it is now, with what was refused on top."""
        suggestion.refresh_from_db()
        seen = request.POST.get("version", "")
        tell = changes and seen.isdecimal() and not blind.hides(suggestion)
        fields = detail.changed_since(suggestion, int(seen), request.user) if tell else []
        problem = {"title": title, "text": text, "changes": [] if fields else changes or [], "fields": fields}
        return self._page(request, suggestion, problem=problem, status=status)
