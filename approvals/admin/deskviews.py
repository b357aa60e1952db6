"""What people do around a decision, as pages: take, release, assign, comment; saved views and the daily summary.

POST <id>/take/ · release/ · assign/ · comment/    back to where it was pressed
/admin/approvals/suggestion/desk/                  GET: own views and settings; POST: save, delete, switch
"""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.auth import get_user_model
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.http import url_has_allowed_host_and_scheme

from approvals import summary
from approvals.admin import queue
from approvals.models import SavedView, Suggestion
from approvals.services import desk
from billingops.actors import Actor
from billingops.exceptions import BillingOpsError, InvalidInput

DESK_VERBS = ("take", "release", "assign", "comment")
SETTINGS = "admin:approvals_suggestion_desk"


class DeskViews:
    """Mixed into the suggestion's admin."""

    admin_site: Any

    def desk_view(self, request: HttpRequest, object_id: Any, verb: str) -> HttpResponse:
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        suggestion: Suggestion = self._visible(request, object_id)  # type: ignore[attr-defined]
        if not request.user.has_perm(desk.COMMENT if verb == "comment" else desk.DECIDE):  # type: ignore[union-attr]
            raise PermissionDenied("You may look at suggestions only. Nothing was changed.")
        try:
            said = getattr(self, f"_{verb}")(request, suggestion)
        except (BillingOpsError, PermissionDenied) as problem:
            messages.warning(request, str(problem))
        else:
            messages.success(request, said)
        return HttpResponseRedirect(
            safe_next(request, request.POST.get("next", ""))
            or reverse("admin:approvals_suggestion_change", args=[suggestion.pk])
        )

    @staticmethod
    def _take(request: HttpRequest, suggestion: Suggestion) -> str:
        desk.take(suggestion_id=suggestion.pk, actor=Actor.person(request.user))
        return f"You have taken {suggestion}. Others see that you are on it."

    @staticmethod
    def _release(request: HttpRequest, suggestion: Suggestion) -> str:
        desk.release(suggestion_id=suggestion.pk, actor=Actor.person(request.user))
        return f"Released {suggestion}. Anybody may take it."

    @staticmethod
    def _assign(request: HttpRequest, suggestion: Suggestion) -> str:
        to = get_user_model()._default_manager.filter(username=request.POST.get("to", "")).first()
        if to is None:
            raise InvalidInput("Choose who is to look at it. Nothing was changed.", field="to")
        seen = request.POST.get("seen", "")
        desk.assign(
            suggestion_id=suggestion.pk,
            actor=Actor.person(request.user),
            to=to,
            seen=int(seen) if seen.isdecimal() else None,
        )
        return f"{to.get_username()} is on {suggestion} now."

    @staticmethod
    def _comment(request: HttpRequest, suggestion: Suggestion) -> str:
        desk.comment(suggestion_id=suggestion.pk, actor=Actor.person(request.user), text=request.POST.get("text", ""))
        return "Your comment stands on the suggestion."

    # -- views and settings ----------------------------------------------------------------------------------------

    def desk_settings_view(self, request: HttpRequest) -> HttpResponse:
        if not self.has_view_permission(request):  # type: ignore[attr-defined]
            raise PermissionDenied
        if request.method == "POST":
            return self._change_settings(request)
        context = {
            **self.admin_site.each_context(request),
            "title": "Your queue",
            "opts": self.model._meta,  # type: ignore[attr-defined]
            "own": [
                {"view": view, "url": queue.Filters.of_text(view.query).query()}
                for view in queue.own_views(request.user)
            ],
            "wants_summary": summary.is_wanted_by(request.user),
            "has_address": bool(getattr(request.user, "email", "")),
        }
        return TemplateResponse(request, "admin/approvals/suggestion/desk.html", context)

    def _change_settings(self, request: HttpRequest) -> HttpResponse:
        actor, what = Actor.person(request.user), request.POST.get("what", "")
        back = safe_next(request, request.POST.get("next", "")) or reverse(SETTINGS)
        try:
            if what == "save":
                named = queue.Filters.of_text(request.POST.get("query", ""))
                shared = request.POST.get("shared") == "1"
                view = desk.save_view(
                    actor=actor, name=request.POST.get("name", ""), query=named.query().lstrip("?"), shared=shared
                )
                messages.success(request, f"The view “{view.name}” is kept{', for everybody' if shared else ''}.")
            elif what == "delete":
                number = request.POST.get("view", "")
                desk.delete_view(view_id=int(number) if number.isdecimal() else 0, actor=actor)
                messages.success(request, "The view is gone. The suggestions stay.")
            elif what == "summary":
                wanted = request.POST.get("wanted") == "1"
                desk.set_daily_summary(actor=actor, wanted=wanted)
                messages.success(request, f"The daily summary is {'on' if wanted else 'off'}.")
        except SavedView.DoesNotExist:
            raise Http404("There is no such view of yours.")
        except (InvalidInput, PermissionDenied) as problem:
            messages.warning(request, str(problem))
        return HttpResponseRedirect(back)


def safe_next(request: HttpRequest, target: str) -> str:
    safe = url_has_allowed_host_and_scheme(target, {request.get_host()}, require_https=request.is_secure())
    return target if safe else ""
