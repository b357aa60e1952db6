"""`/api/v1/outbound/…/`: endpoints, deliveries, and sending again. Rights, scope, pages, errors: billingops/rest.py."""

from __future__ import annotations

from typing import Any

from django.urls import URLPattern, URLResolver
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import mixins, serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter

from billingops.actors import Actor
from billingops.exceptions import InvalidInput
from billingops.outbound import services
from billingops.outbound.models import Delivery, Endpoint
from billingops.rest import Filter, ScopedViewSet, error_responses, parse_last_moment, parse_moment


class EndpointSerializer(serializers.ModelSerializer[Endpoint]):
    """Without its secrets, which are shown once and to people. `types`: empty for all."""

    class Meta:
        model = Endpoint
        fields = [
            "id", "name", "account", "url", "types", "state", "paused_why", "timeout_seconds", "failures",
            "failing_since", "last_success_at", "version", "created_at",
        ]  # fmt: skip
        read_only_fields = fields


class DeliverySerializer(serializers.ModelSerializer[Delivery]):
    """`event`: the webhook-id. `error`: status, redirect, timeout, connection, tls, dns, address, url, answer, secret
    or interrupted; empty for none. `payload`: the `data` of the event."""

    payload = serializers.JSONField(source="event.data", read_only=True)
    subject = serializers.CharField(source="event.subject", read_only=True)
    sequence = serializers.IntegerField(source="event.sequence", read_only=True)

    class Meta:
        model = Delivery
        fields = [
            "id", "event", "endpoint", "account", "type", "subject", "sequence", "payload", "state", "attempts",
            "next_attempt_at", "status", "error", "response_ms", "replays", "created_at", "delivered_at",
        ]  # fmt: skip
        read_only_fields = fields


class SinceSerializer(serializers.Serializer[Any]):
    since = serializers.CharField(help_text="ISO 8601, a date or a time.")


class ReplayedSerializer(serializers.Serializer[Any]):
    deliveries = serializers.IntegerField(help_text="How many are sent again.")


@extend_schema_view(
    list=extend_schema(
        summary="List endpoints, newest first",
        responses={200: EndpointSerializer(many=True), **error_responses(400)},
    ),
    retrieve=extend_schema(summary="Read an endpoint", responses={200: EndpointSerializer, **error_responses(404)}),
)
class EndpointViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, ScopedViewSet):
    queryset = Endpoint.objects.all()
    serializer_class = EndpointSerializer
    lookup_value_regex = r"[0-9]{1,18}"
    filters = (Filter("state", choices=Endpoint.State.values), Filter("account"))
    verb_permissions = {"replay": (services.REPLAY,)}
    refusal = "You may look at outgoing webhooks but not send them again."

    @extend_schema(
        summary="Send again what the endpoint was sent, or would have been sent, since a time, under the same ids",
        request=SinceSerializer,
        responses={200: ReplayedSerializer, **error_responses(400, 404)},
    )
    @action(detail=True, methods=["post"], serializer_class=SinceSerializer)
    def replay(self, request: Request, pk: str) -> Response:
        endpoint = self.get_object()
        given = request.data.get("since") if isinstance(request.data, dict) else None
        if not isinstance(given, str):
            raise InvalidInput("Say since when, as a date or a time.", field="since")
        since = parse_moment(given, "since")
        actor = Actor.person(request.user)
        count = services.replay_since(endpoint_id=endpoint.pk, since=since, actor=actor)
        return Response({"deliveries": count})


@extend_schema_view(
    list=extend_schema(
        summary="List deliveries, newest first",
        responses={200: DeliverySerializer(many=True), **error_responses(400)},
    ),
    retrieve=extend_schema(summary="Read a delivery", responses={200: DeliverySerializer, **error_responses(404)}),
)
class DeliveryViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, ScopedViewSet):
    queryset = Delivery.objects.select_related("event")
    serializer_class = DeliverySerializer
    lookup_value_regex = r"[0-9]{1,18}"
    filters = (
        Filter("state", choices=Delivery.State.values),
        Filter("type", description="The event's type, dunning.suspended."),
        Filter("endpoint", lookup="endpoint__name", description="The endpoint's name."),
        Filter("event", lookup="event_id", description="The webhook-id, evt_…"),
        Filter("account"),
        Filter("since", lookup="created_at__gte", parse=parse_moment, description="Made at this time or later."),
        Filter("until", lookup="created_at__lte", parse=parse_last_moment, description="Made at this time or before."),
    )
    verb_permissions = {"replay": (services.REPLAY,)}
    refusal = "You may look at outgoing webhooks but not send them again."

    @extend_schema(
        summary="Send it again under the same id, with all its attempts before it",
        request=None,
        responses={200: DeliverySerializer, **error_responses(404, 409)},
    )
    @action(detail=True, methods=["post"])
    def replay(self, request: Request, pk: str) -> Response:
        services.replay(delivery_id=self.get_object().pk, actor=Actor.person(request.user))
        return Response(self.get_serializer(self.get_object()).data)


_router: Any = SimpleRouter()
_router.register("outbound/endpoints", EndpointViewSet, basename="outbound-endpoint")
_router.register("outbound/deliveries", DeliveryViewSet, basename="outbound-delivery")
urlpatterns: list[URLPattern | URLResolver] = [*_router.urls]
