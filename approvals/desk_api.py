"""What people do around a decision, on `/api/v1/suggestions/{id}/`: edit, take, release, assign, comment."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model
from drf_spectacular.utils import extend_schema
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from approvals import services
from approvals.serializers import (
    AssignSerializer,
    CommentTextSerializer,
    EditSerializer,
    NothingSerializer,
    SuggestionSerializer,
)
from approvals.services import desk
from billingops.actors import Actor
from billingops.exceptions import InvalidInput
from billingops.rest import error_responses

DESK_PERMISSIONS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("edit", "take", "release", "assign"), (desk.DECIDE,)),
    "comment": (desk.COMMENT,),
}
_ANSWERS: dict[Any, Any] = {200: SuggestionSerializer, **error_responses(400, 404, 409)}


class DeskActions:
    """Mixed into the suggestions' view set."""

    @extend_schema(
        summary="Change what the kind lets people change; approvals given before no longer count",
        request=EditSerializer,
        responses=_ANSWERS,
    )
    @action(detail=True, methods=["post"], serializer_class=EditSerializer)
    def edit(self, request: Request, pk: str) -> Response:
        return self._carry_out(request, _beside(services.edit))  # type: ignore[attr-defined,no-any-return]

    @extend_schema(
        summary="Say that you are on it; of two at once one has it, the other gets a 409",
        request=NothingSerializer,
        responses=_ANSWERS,
    )
    @action(detail=True, methods=["post"], serializer_class=NothingSerializer)
    def take(self, request: Request, pk: str) -> Response:
        return self._carry_out(request, desk.take)  # type: ignore[attr-defined,no-any-return]

    @extend_schema(
        summary="Let go of it; somebody else's only by a lead", request=NothingSerializer, responses=_ANSWERS
    )
    @action(detail=True, methods=["post"], serializer_class=NothingSerializer)
    def release(self, request: Request, pk: str) -> Response:
        return self._carry_out(request, desk.release)  # type: ignore[attr-defined,no-any-return]

    @extend_schema(
        summary="Give it to somebody who may decide on its account", request=AssignSerializer, responses=_ANSWERS
    )
    @action(detail=True, methods=["post"], serializer_class=AssignSerializer)
    def assign(self, request: Request, pk: str) -> Response:
        return self._carry_out(request, _assign)  # type: ignore[attr-defined,no-any-return]

    @extend_schema(summary="Say something about it; it stays", request=CommentTextSerializer, responses=_ANSWERS)
    @action(detail=True, methods=["post"], serializer_class=CommentTextSerializer)
    def comment(self, request: Request, pk: str) -> Response:
        return self._carry_out(request, desk.comment)  # type: ignore[attr-defined,no-any-return]


def _beside(verb: Any) -> Any:
    """`verb` as `desk.decide` calls it; the body says `despite_assignee`."""

    def call(*, despite_assignee: bool = False, **given: Any) -> Any:
        return desk.decide(verb, despite=despite_assignee, **given)

    return call


approve, reject = _beside(services.approve), _beside(services.reject)


def _assign(*, suggestion_id: Any, actor: Actor, to: str, seen: str) -> Any:
    people = {user.username: user for user in get_user_model()._default_manager.filter(username__in=[to, seen])}
    if to not in people:
        raise InvalidInput("There is nobody of that name who may decide on it.", field="to")
    before = people[seen].pk if seen in people else None
    return desk.assign(suggestion_id=suggestion_id, actor=actor, to=people[to], seen=before)
