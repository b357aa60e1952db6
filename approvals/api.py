"""`/api/v1/suggestions/`: list, read, and the verbs a person has. Each verb is one call of `approvals.services`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.urls import URLPattern, URLResolver, path
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import mixins
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter

from approvals import blind, desk_api, registry, services
from approvals.batch_api import BatchItemViewSet, BatchViewSet
from approvals.desk_api import DESK_PERMISSIONS, DeskActions
from approvals.models import Suggestion
from approvals.scoreboard_api import ScoreboardViewSet
from approvals.serializers import (
    ApproveSerializer,
    BlindSerializer,
    RejectSerializer,
    SuggestionSerializer,
    VerbSerializer,
)
from approvals.states import State
from approvals.switch_api import KillSwitchViewSet
from billingops.actors import Actor
from billingops.rest import Filter, ScopedViewSet, error_responses

_DECIDE = ("approvals.approve_suggestion",)
_ANSWERS: dict[Any, Any] = {200: SuggestionSerializer, **error_responses(400, 404, 409)}


@extend_schema_view(
    list=extend_schema(
        summary="List suggestions, newest first",
        responses={200: SuggestionSerializer(many=True), **error_responses(400)},
    ),
    retrieve=extend_schema(summary="Read a suggestion", responses={200: SuggestionSerializer, **error_responses(404)}),
)
class SuggestionViewSet(DeskActions, mixins.ListModelMixin, mixins.RetrieveModelMixin, ScopedViewSet):
    # Four statements whatever the number of rows: the suggestions, their decisions, executions and comments.
    queryset = Suggestion.objects.select_related("assignee", "last_editor").prefetch_related(
        "decisions", "executions", "comments"
    )
    serializer_class = SuggestionSerializer
    page_order = ("-id",)
    filters = (
        Filter("state", choices=State.values, description="One state."),
        Filter("kind", choices=registry.names, description="One kind."),
        Filter("account", description="The connected account, acct_…; empty: the platform's own."),
        Filter("customer", description="The customer, cus_…"),
    )
    verb_permissions = DESK_PERMISSIONS | dict.fromkeys(
        ("approve", "reject", "cancel", "retry", "look_again", "say"), _DECIDE
    )
    refusal = "You may look at suggestions but not decide on them."

    @extend_schema(summary="Approve exactly what this version shows", request=ApproveSerializer, responses=_ANSWERS)
    @action(detail=True, methods=["post"], serializer_class=ApproveSerializer)
    def approve(self, request: Request, pk: str) -> Response:
        return self._carry_out(request, desk_api.approve)

    @extend_schema(summary="Reject, with a reason", request=RejectSerializer, responses=_ANSWERS)
    @action(detail=True, methods=["post"], serializer_class=RejectSerializer)
    def reject(self, request: Request, pk: str) -> Response:
        return self._carry_out(request, desk_api.reject)

    @extend_schema(
        summary="Take an approval back before it is carried out, or give a failed one up",
        request=VerbSerializer,
        responses=_ANSWERS,
    )
    @action(detail=True, methods=["post"], serializer_class=VerbSerializer)
    def cancel(self, request: Request, pk: str) -> Response:
        return self._carry_out(request, services.cancel)

    @extend_schema(
        summary="Try a refused one again, as a new attempt with a new key", request=VerbSerializer, responses=_ANSWERS
    )
    @action(detail=True, methods=["post"], serializer_class=VerbSerializer)
    def retry(self, request: Request, pk: str) -> Response:
        return self._carry_out(request, services.retry)

    @extend_schema(
        summary="Ask Stripe again whether an attempt with an unknown result took effect; nothing is sent twice",
        request=VerbSerializer,
        responses=_ANSWERS,
    )
    @action(detail=True, methods=["post"], serializer_class=VerbSerializer)
    def look_again(self, request: Request, pk: str) -> Response:
        return self._carry_out(request, services.look_again)

    @extend_schema(
        summary="Of the blind sample: say what you would do; it stands, and what is suggested is shown",
        request=BlindSerializer,
        responses=_ANSWERS,
    )
    @action(detail=True, methods=["post"], serializer_class=BlindSerializer, url_path="blind", url_name="blind")
    def say(self, request: Request, pk: str) -> Response:
        return self._carry_out(request, blind.say)

    def filter_queryset(self, queryset: Any) -> Any:
        found = super().filter_queryset(queryset)
        # Found by its kind, one of the blind sample would tell its kind.
        return blind.without_undisclosed(found) if "kind" in self.request.query_params else found

    def _carry_out(self, request: Request, verb: Callable[..., Any]) -> Response:
        suggestion = self.get_object()
        body = self.get_serializer(data=request.data)
        body.is_valid(raise_exception=True)
        verb(suggestion_id=suggestion.pk, actor=Actor.person(request.user), **body.validated_data)
        return Response(SuggestionSerializer(self.get_object(), context=self.get_serializer_context()).data)


_router = SimpleRouter()
_router.register("suggestions", SuggestionViewSet, basename="suggestion")
_router.register("scoreboard", ScoreboardViewSet, basename="scoreboard")
_router.register("kill-switches", KillSwitchViewSet, basename="kill-switch")
_router.register("batches", BatchViewSet, basename="batch")
urlpatterns: list[URLPattern | URLResolver] = [
    # Before the router's own: there `bulk` would be a suggestion's id.
    path("suggestions/bulk/", BatchViewSet.as_view({"post": "bulk"}), name="suggestion-bulk"),
    path("batches/<uuid:batch>/items/", BatchItemViewSet.as_view({"get": "list"}), name="batch-items"),
    *_router.urls,
]
