"""`/api/v1/risk/`: each account's newest score, the highest first; `/api/v1/risk/{account}/` with its parts. Read-only.
Rights, account scope, pages and errors: billingops/rest.py."""

from __future__ import annotations

from typing import Any

from django.db.models import Exists, OuterRef
from django.urls import URLPattern, URLResolver
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import mixins, serializers
from rest_framework.routers import SimpleRouter

from billingops.exceptions import InvalidInput
from billingops.rest import Filter, ScopedViewSet, error_responses
from settlements.risk.models import RiskAssessment, RiskHold


def _score(raw: str, name: str) -> int:
    if not raw.isdecimal() or len(raw) > 3 or int(raw) > 100:
        raise InvalidInput(f"{name}={raw!r} is no score; scores are 0 to 100.", field=name)
    return int(raw)


class RiskSerializer(serializers.ModelSerializer[RiskAssessment]):
    """About the account's verification and payment data; no judgement on a person's creditworthiness. `held`: payouts
    to the account are held."""

    held = serializers.BooleanField(read_only=True)

    class Meta:
        model = RiskAssessment
        fields = ["account", "score", "held", "version", "terms", "facts_hash", "event_id", "made_at"]


class RiskPartSerializer(serializers.Serializer[Any]):
    """`points` of `weight`; `figures`: what the evidence rests on."""

    code = serializers.CharField()
    label = serializers.CharField()  # type: ignore[assignment]
    points = serializers.IntegerField()
    weight = serializers.IntegerField()
    evidence = serializers.CharField()
    figures = serializers.DictField()


class RiskDetailSerializer(RiskSerializer):
    parts = RiskPartSerializer(many=True)

    class Meta(RiskSerializer.Meta):
        fields = [*RiskSerializer.Meta.fields, "parts"]


@extend_schema_view(
    list=extend_schema(
        summary="List the newest score of each account, the highest first",
        responses={200: RiskSerializer(many=True), **error_responses(400)},
    ),
    retrieve=extend_schema(
        summary="Read an account's newest score with its parts",
        responses={200: RiskDetailSerializer, **error_responses(404)},
    ),
)
class RiskViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, ScopedViewSet):
    queryset = RiskAssessment.objects.filter(latest=True)
    lookup_field = "account"
    lookup_value_regex = "[A-Za-z0-9_]+"
    page_order = ("-score", "-id")
    filters = (
        Filter("account"),
        Filter("above", lookup="score__gt", parse=_score, description="Scores above this.", schema={"type": "integer"}),
        Filter("version"),
    )

    def get_queryset(self) -> Any:
        held = RiskHold.objects.filter(account=OuterRef("account"), state=RiskHold.State.ACTIVE)
        return super().get_queryset().annotate(held=Exists(held))

    def get_serializer_class(self) -> Any:
        return RiskDetailSerializer if self.action == "retrieve" else RiskSerializer


_router = SimpleRouter()
_router.register("risk", RiskViewSet, basename="risk")
urlpatterns: list[URLPattern | URLResolver] = [*_router.urls]
