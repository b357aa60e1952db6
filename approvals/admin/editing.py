"""Approve with edit, its first half: change what the kind allows, look at what would go out, then keep it.

GET  <id>/edit/                   the form with the present text
POST <id>/edit/ step=preview      what exactly would go out, and the difference; nothing is stored
POST <id>/edit/ step=save         services.edit; approvals given so far no longer count

The editor cannot approve the result: somebody else does, on the suggestion's page.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone

from approvals import registry, services
from approvals.admin import detail
from approvals.models import Suggestion
from approvals.services import desk, steps
from billingops.actors import Actor
from billingops.exceptions import InvalidInput, InvalidTransition, VersionConflict


@dataclass(frozen=True)
class Field:
    """One parameter on the form. `now`: what would go out as it stands; `then`: with the edit."""

    spec: registry.Editable
    value: str
    now: str
    then: str = ""

    @property
    def is_changed(self) -> bool:
        return bool(self.then) and self.now != self.then


def edited(suggestion: Suggestion, changes: dict[str, str]) -> Suggestion:
    """A copy with the edit applied, not stored. Raises InvalidInput as `services.edit` would."""
    kind = registry.get(suggestion.kind)
    assert kind.edit is not None
    made = copy.copy(suggestion)
    made.params = kind.edit(suggestion, changes)
    kind.check_params(made.params)
    if made.params == suggestion.params:
        raise InvalidInput("Nothing is different from what is suggested.", field=next(iter(changes), ""))
    return made


class EditView:
    """Mixed into the suggestion's admin."""

    admin_site: Any

    def edit_view(self, request: HttpRequest, object_id: Any) -> HttpResponse:
        suggestion: Suggestion = self._visible(request, object_id)  # type: ignore[attr-defined]
        if not detail.steps(suggestion, request.user).edit:
            raise PermissionDenied("This suggestion cannot be edited, or not by you. Nothing was changed.")
        if request.method in ("GET", "HEAD"):
            return self._form(request, suggestion)
        if request.method != "POST":
            return HttpResponseNotAllowed(["GET", "HEAD", "POST"])
        changes = typed(request, suggestion)
        try:
            if request.POST.get("step") != "save":
                return self._form(request, suggestion, changes=changes, made=edited(suggestion, changes))
            after = desk.decide(
                services.edit,
                suggestion_id=suggestion.pk,
                actor=Actor.person(request.user),
                despite=request.POST.get("despite") == "1",
                version=_version(request),
                changes=changes,
                comment=request.POST.get("comment", "").strip(),
            )
        except VersionConflict as conflict:
            return self._refused(  # type: ignore[attr-defined,no-any-return]
                request, suggestion, "This page was outdated", str(conflict), 409
            )
        except InvalidInput as problem:
            return self._form(request, suggestion, changes=changes, problem=problem, status=400)
        except InvalidTransition as problem:
            return self._form(request, suggestion, changes=changes, problem=InvalidInput(str(problem)), status=409)
        who = f"{request.user.get_username()}, {timezone.localtime():%H:%M %Z}"
        messages.success(request, detail.happened(after, "edit", who))
        return HttpResponseRedirect(reverse("admin:approvals_suggestion_change", args=[suggestion.pk]))

    def _form(
        self,
        request: HttpRequest,
        suggestion: Suggestion,
        *,
        changes: dict[str, str] | None = None,
        made: Suggestion | None = None,
        problem: InvalidInput | None = None,
        status: int = 200,
    ) -> HttpResponse:
        kind = registry.get(suggestion.kind)
        given = detail.steps(suggestion, request.user)
        context = {
            **self.admin_site.each_context(request),
            "title": f"Edit: {suggestion.kind_label}",
            "opts": self.model._meta,  # type: ignore[attr-defined]
            "suggestion": suggestion,
            "fields": [
                Field(
                    spec,
                    (changes or {}).get(spec.name, spec.present_of(suggestion)),
                    spec.shown_of(suggestion),
                    spec.shown_of(made) if made else "",
                )
                for spec in kind.editable
                if spec.widget != "hidden"
            ],
            "preview": kind.preview(made or suggestion),
            "is_preview": made is not None,
            "problem": problem,
            "steps": given,
            "approvals": steps.approvals(suggestion),
            "comment": request.POST.get("comment", ""),
            "max_comment": services.MAX_COMMENT,
        }
        return TemplateResponse(request, "admin/approvals/suggestion/edit.html", context, status=status)


def typed(request: HttpRequest, suggestion: Suggestion) -> dict[str, str]:
    """The kind's fields as they were typed; what the form did not bring stays as it is."""
    editable = registry.get(suggestion.kind).editable
    return {spec.name: request.POST[spec.name].replace("\r\n", "\n") for spec in editable if spec.name in request.POST}


def _version(request: HttpRequest) -> int:
    version = request.POST.get("version", "")
    if not version.isdecimal():
        raise InvalidInput("The version of the suggestion that you saw is missing.", field="version")
    return int(version)
