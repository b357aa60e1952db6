"""`/api/v1/dunning/campaigns/`: campaigns by name, with their versions and A/B tests. Read-only: campaigns are designed
on the pages or come from the config file. Rights, pages and errors: billingops/rest.py."""

from __future__ import annotations

from typing import Any

from django.db.models import Prefetch, QuerySet
from django.urls import URLPattern, URLResolver
from drf_spectacular.utils import extend_schema, extend_schema_field, extend_schema_view
from rest_framework import mixins, serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter

from billingops import access
from billingops.rest import Filter, ScopedViewSet, error_responses
from dunning.campaigns import figures, services
from dunning.campaigns.comparing import Result
from dunning.campaigns.models import Campaign, CampaignVersion, Experiment


class FindingSerializer(serializers.Serializer[Any]):
    """`level` error: keeps the version from being activated."""

    level = serializers.CharField()
    field = serializers.CharField()
    message = serializers.CharField()
    fix = serializers.CharField()


class CampaignVersionSerializer(serializers.ModelSerializer[CampaignVersion]):
    """`segment` and `sequence` as in the config file: docs/campaigns.md. Amounts in minor units."""

    findings = serializers.SerializerMethodField()

    class Meta:
        model = CampaignVersion
        fields = ["number", "state", "note", "segment", "sequence", "findings", "created_by_name", "created_at",
                  "activated_by_name", "activated_at", "retired_at"]  # fmt: skip
        read_only_fields = fields

    @extend_schema_field(FindingSerializer(many=True))
    def get_findings(self, row: CampaignVersion) -> Any:
        return FindingSerializer(services.findings(row), many=True).data


class CampaignSerializer(serializers.ModelSerializer[Campaign]):
    """`account` "": all accounts. `active_version`: the number new cases follow, null where there is none."""

    active_version = serializers.SerializerMethodField()

    class Meta:
        model = Campaign
        fields = ["name", "account", "priority", "active", "description", "active_version", "created_by", "created_at"]
        read_only_fields = fields

    def get_active_version(self, row: Campaign) -> int | None:
        return next((one.number for one in row.in_use), None)  # type: ignore[attr-defined]


class CampaignDetailSerializer(CampaignSerializer):
    versions = serializers.SerializerMethodField()

    class Meta(CampaignSerializer.Meta):
        fields = [*CampaignSerializer.Meta.fields, "versions"]
        read_only_fields = fields

    @extend_schema_field(CampaignVersionSerializer(many=True))
    def get_versions(self, row: Campaign) -> Any:
        """The newest 100."""
        rows = list(row.versions.order_by("-number")[:100])
        for one in rows:
            one.campaign = row
        return CampaignVersionSerializer(rows, many=True).data


class MoneySerializer(serializers.Serializer[Any]):
    currency = serializers.CharField()
    at_risk = serializers.IntegerField()
    recovered = serializers.IntegerField()
    share = serializers.FloatField()
    low = serializers.FloatField(allow_null=True)
    high = serializers.FloatField(allow_null=True)


class ArmSerializer(serializers.Serializer[Any]):
    """`counted`: customers whose first case has had its window; `low`, `high`: Wilson, 95 %."""

    name = serializers.CharField(source="arm.name")
    version = serializers.IntegerField(source="arm.version")
    weight = serializers.IntegerField(source="arm.weight")
    needed = serializers.IntegerField()
    customers = serializers.IntegerField()
    cases = serializers.IntegerField()
    counted = serializers.IntegerField()
    recovered = serializers.IntegerField()
    rate = serializers.FloatField()
    low = serializers.FloatField()
    high = serializers.FloatField()
    money = MoneySerializer(many=True)


class DifferenceSerializer(serializers.Serializer[Any]):
    """Of an arm to the first one, shares of 1; Newcombe."""

    arm = serializers.CharField()
    points = serializers.FloatField()
    low = serializers.FloatField()
    high = serializers.FloatField()


class ResultSerializer(serializers.Serializer[Any]):
    """`enough` false: nothing can be said yet, whatever the figures look like."""

    enough = serializers.BooleanField()
    verdict = serializers.CharField()
    missing = serializers.CharField()
    ahead = serializers.CharField()
    mismatch = serializers.FloatField(allow_null=True)
    decided_at = serializers.DateTimeField(allow_null=True)
    arms = ArmSerializer(many=True)
    differences = DifferenceSerializer(many=True)


class ExperimentSerializer(serializers.ModelSerializer[Experiment]):
    """`result` null: the test covers accounts that the caller has no access to."""

    result = serializers.SerializerMethodField()

    class Meta:
        model = Experiment
        fields = ["id", "state", "arms", "seed", "window_days", "baseline_percent", "difference_points", "started_at",
                  "started_by_name", "stopped_at", "stopped_by_name", "stopped_reason", "result"]  # fmt: skip
        read_only_fields = fields

    @extend_schema_field(ResultSerializer(allow_null=True))
    def get_result(self, row: Experiment) -> Any:
        if not access.may_see_account(self.context["request"].user, row.account):
            return None
        result: Result = figures.result_of(row)
        return ResultSerializer(result).data


@extend_schema_view(
    list=extend_schema(
        summary="List campaigns, the highest priority first",
        responses={200: CampaignSerializer(many=True), **error_responses(400)},
    ),
    retrieve=extend_schema(
        summary="Read a campaign with its versions", responses={200: CampaignDetailSerializer, **error_responses(404)}
    ),
)
class CampaignViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, ScopedViewSet):
    """Campaigns for all accounts are seen by everybody: they say what happens to one's own cases."""

    queryset = Campaign.objects.all()
    lookup_field = "name"
    lookup_value_regex = "[A-Za-z0-9_-]+"
    page_order = ("-priority", "-id")
    filters = (
        Filter("account", description="The connected account; empty: campaigns for all accounts."),
        Filter("active", choices=("true", "false"), parse=lambda raw, name: raw == "true"),
    )

    def get_queryset(self) -> QuerySet[Campaign]:
        active = CampaignVersion.objects.filter(state=CampaignVersion.State.ACTIVE)
        queryset = Campaign.objects.prefetch_related(Prefetch("versions", active, to_attr="in_use"))
        if getattr(self, "swagger_fake_view", False):  # the schema is made without a user
            return queryset.none()
        return queryset.visible_to(self.request.user)  # type: ignore[attr-defined]

    def get_serializer_class(self) -> Any:
        return CampaignDetailSerializer if self.action == "retrieve" else CampaignSerializer

    @extend_schema(
        summary="Read a campaign's newest A/B tests with what they have shown",
        responses={200: ExperimentSerializer(many=True), **error_responses(404)},
    )
    @action(detail=True, methods=["get"], pagination_class=None, filter_backends=[])
    def tests(self, request: Request, name: str) -> Response:
        rows = list(self.get_object().experiments.select_related("campaign")[:10])
        return Response(ExperimentSerializer(rows, many=True, context={"request": request}).data)


_router = SimpleRouter()
_router.register("dunning/campaigns", CampaignViewSet, basename="dunning-campaign")
urlpatterns: list[URLPattern | URLResolver] = [*_router.urls]
