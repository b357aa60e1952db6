"""`/api/v1/kill-switches/`: what is stopped; stop it (POST …/on/) and let it go on (POST …/off/)."""

from __future__ import annotations

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers, viewsets
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from approvals import registry, switches
from approvals.models import KillSwitch
from billingops import access
from billingops.actors import Actor
from billingops.exceptions import InvalidInput
from billingops.rest import ModelPermission, error_responses

EVERYTHING = "everything"
_ID = OpenApiParameter("id", OpenApiTypes.STR, OpenApiParameter.PATH, description="`everything`, or a kind.")


class KillSwitchSerializer(serializers.Serializer[Any]):
    """`kind`: "everything", or one kind."""

    kind = serializers.SerializerMethodField()
    is_on = serializers.BooleanField()
    reason = serializers.CharField()
    changed_by = serializers.CharField(source="changed_by_name")
    changed_at = serializers.DateTimeField(allow_null=True)

    def get_kind(self, switch: KillSwitch) -> str:
        return switch.kind or EVERYTHING


class RunningSerializer(serializers.Serializer[Any]):
    """An attempt that had begun before the switch went on; it cannot be stopped any more."""

    suggestion = serializers.UUIDField(source="suggestion_id")
    attempt = serializers.IntegerField()
    started_at = serializers.DateTimeField()


class FlippedSerializer(KillSwitchSerializer):
    running = serializers.SerializerMethodField()

    def get_running(self, switch: KillSwitch) -> list[dict[str, Any]]:
        return list(RunningSerializer(self.context["running"], many=True).data)


class FlipSerializer(serializers.Serializer[Any]):
    reason = serializers.CharField(required=False, allow_blank=True, default="", max_length=switches.MAX_REASON)


class KillSwitchViewSet(viewsets.ViewSet):
    permission_classes = [ModelPermission]
    permission_model = KillSwitch
    verb_permissions = dict.fromkeys(("on", "off"), ("approvals.use_kill_switch",))
    refusal = "You may look at the kill switch but not use it."
    serializer_class = KillSwitchSerializer

    @extend_schema(
        summary="What is stopped: everything first, then each kind",
        responses={200: KillSwitchSerializer(many=True), **error_responses()},
    )
    def list(self, request: Request) -> Response:
        return Response(KillSwitchSerializer(switches.every(), many=True).data)

    @extend_schema(
        summary="Stop everything, or one kind: when this has answered, nothing begins any more",
        parameters=[_ID],
        request=FlipSerializer,
        responses={200: FlippedSerializer, **error_responses(400)},
    )
    @action(detail=True, methods=["post"])
    def on(self, request: Request, pk: str) -> Response:
        return self._flip(request, pk, on=True)

    @extend_schema(
        summary="Let it go on, with a reason; what was held is looked at at once",
        parameters=[_ID],
        request=FlipSerializer,
        responses={200: FlippedSerializer, **error_responses(400)},
    )
    @action(detail=True, methods=["post"])
    def off(self, request: Request, pk: str) -> Response:
        return self._flip(request, pk, on=False)

    def _flip(self, request: Request, pk: str, *, on: bool) -> Response:
        if pk != EVERYTHING and pk not in registry.names():
            raise InvalidInput(f"{pk!r} is neither {EVERYTHING} nor a kind: {', '.join(registry.names())}.", field="id")
        body = FlipSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        flipped = switches.flip(
            kind="" if pk == EVERYTHING else pk, on=on, actor=Actor.person(request.user), **body.validated_data
        )
        seen = [one for one in flipped.running if access.may_see_account(request.user, one.suggestion.account)]
        return Response(FlippedSerializer(flipped.switch, context={"running": seen}).data)
