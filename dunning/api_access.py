"""`/api/v1/dunning/access/`: what we recommend about a subscription's service. Rights, scope, pages, errors:
billingops/rest.py. A recommendation, not an order: whether the service is switched off is the platform's to decide.
"""

from __future__ import annotations

from typing import Any

from django.http import Http404
from django.urls import URLPattern, URLResolver
from django.utils import timezone
from drf_spectacular.utils import extend_schema, extend_schema_field, extend_schema_view
from rest_framework import mixins, serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter

from billingops import access
from billingops.rest import Filter, ScopedViewSet, error_responses
from billingops.stripe import mirrored
from dunning import service_state
from dunning.models import DunningCase, ServiceState

RECOMMENDATIONS = sorted(set(service_state.RECOMMENDATIONS.values()))


class AccessSerializer(serializers.ModelSerializer[ServiceState]):
    """`recommendation`: allow, allow_until (`until`), or suspend. `sequence`: that of the last event sent about it, 0
    where none was; an event with a lower one is older than this answer."""

    recommendation = serializers.SerializerMethodField()

    class Meta:
        model = ServiceState
        fields = [
            "account", "customer", "subscription", "state", "recommendation", "reason", "since", "until", "sequence",
        ]  # fmt: skip
        read_only_fields = fields

    @extend_schema_field(serializers.ChoiceField(choices=RECOMMENDATIONS))
    def get_recommendation(self, row: ServiceState) -> str:
        return service_state.RECOMMENDATIONS[ServiceState.State(row.state)]


@extend_schema_view(
    list=extend_schema(
        summary="List what is recommended about subscriptions whose payments failed, newest first; one that is not "
        "listed is active",
        responses={200: AccessSerializer(many=True), **error_responses(400)},
    ),
)
class AccessViewSet(mixins.ListModelMixin, ScopedViewSet):
    queryset = ServiceState.objects.all()
    serializer_class = AccessSerializer
    page_order = ("-id",)
    lookup_field = "subscription"
    lookup_value_regex = r"[A-Za-z0-9_]{1,64}"
    filters = (
        Filter("subscription", description="The subscription, sub_…"),
        Filter("customer", description="The customer, cus_…"),
        Filter("account", description="The connected account, acct_…; empty: the platform's own."),
        Filter("state", choices=ServiceState.State.values),
    )

    @extend_schema(
        summary="Read what is recommended about one subscription, whether its payments ever failed or not",
        responses={200: AccessSerializer, **error_responses(404)},
    )
    def retrieve(self, request: Request, subscription: str) -> Response:
        row = self.get_queryset().filter(subscription=subscription).first() or self._never_told(request, subscription)
        return Response(self.get_serializer(row).data)

    def _never_told(self, request: Request, subscription: str) -> ServiceState:
        """A subscription without a row: as it is judged now from the mirror. Nothing is written."""
        found = mirrored.subscriptions_facts([subscription]).get(subscription)
        if found is None or not access.may_see_account(request.user, found.account):
            raise Http404
        cases = DunningCase.objects.filter(subscription=subscription, account=found.account).order_by("-id")
        judged, _ = service_state.derived(
            subscription,
            found.account,
            cases=list(cases[: service_state.MOST_CASES]),
            before=service_state.Service(),
            now=timezone.now(),
        )
        return ServiceState(
            account=found.account,
            customer=found.customer_id,
            subscription=subscription,
            state=judged.state,
            reason=judged.reason,
            since=judged.since or found.created,
            until=judged.until,
        )


_router: Any = SimpleRouter()
_router.register("dunning/access", AccessViewSet, basename="dunning-access")
urlpatterns: list[URLPattern | URLResolver] = [*_router.urls]
