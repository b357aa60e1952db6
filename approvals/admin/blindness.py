"""A suggestion of the blind sample, until somebody has said what they would do: the evidence and a choice, no verdict.

Its page and its panel are made from the copy that blind.shown gives; the suggestion itself is in no template's reach.
"""

from __future__ import annotations

from typing import Any

from django.core.exceptions import PermissionDenied
from django.db.models import Exists, OuterRef, Q
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.loader import render_to_string
from django.urls import reverse

from approvals import blind, registry, services
from approvals.models import Suggestion
from approvals.services import desk, steps
from billingops import access, personal
from billingops.actors import Actor
from billingops.admin import names
from billingops.llm import admin as llm_admin


def context(suggestion: Suggestion, user: Any) -> dict[str, Any]:
    shown = blind.shown(suggestion)
    kind = registry.get(suggestion.kind)
    extra = kind.evidence_context(shown, user) if kind.evidence_context else {}
    has_alternatives = bool(kind.alternatives)
    return {
        "suggestion": shown,
        "evidence": render_to_string(kind.evidence_template, {"suggestion": shown, **extra})
        if kind.evidence_template
        else "",
        "preview": None if has_alternatives else kind.preview(shown),
        "choices": blind.choices(suggestion),
        "do_not": blind.DO_NOT,
        "has_alternatives": has_alternatives,
        "reasons": services.REJECTION_REASONS,
        "max_comment": services.MAX_COMMENT,
        "why_not": why_not(suggestion, user),
        "taken_by": desk.taken_by_other(suggestion, user),
        "destination": shown.destination,
        "names": names.of({shown.account, shown.customer, shown.destination} - {""}, user),
        "facts": {} if has_alternatives else personal.shown(shown.facts, user),
    }


def why_not(suggestion: Suggestion, user: Any) -> str:
    """Why this person cannot say anything to it, "" when they can."""
    try:
        steps.check_right(suggestion, Actor.person(user))
        steps.check_four_eyes(suggestion, Actor.person(user), steps.approvals(suggestion))
    except PermissionDenied as refusal:
        return str(refusal)
    return access.may_act(user)


def _runs(user: Any) -> Q:
    """The questions to a model about what waits in the blind sample: their answers are the verdict, or words for it."""
    return Q(Exists(blind.held_back(user).filter(subject=OuterRef("subject"), account=OuterRef("account"))))


llm_admin.held_back.append(_runs)


class BlindView:
    """Mixed into the suggestion's admin."""

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        """The history's first row says it all; it comes after the verdict."""
        suggestion = self.get_object(request, object_id)  # type: ignore[attr-defined]
        if suggestion is not None and blind.hides(suggestion):
            return HttpResponseRedirect(reverse("admin:approvals_suggestion_change", args=[suggestion.pk]))
        return super().history_view(request, object_id, extra_context)  # type: ignore[misc]


def happened(suggestion: Suggestion, who: str) -> str:
    """After it was said."""
    if suggestion.is_waiting:
        return (
            f"Recorded ({who}): you would have chosen what is suggested. Here it is, with its words and times; "
            "approve it if you agree with these too."
        )
    return f"Recorded ({who}), before you saw what was suggested. It stands; what was suggested, and why, is shown now."
