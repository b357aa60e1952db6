"""`GET /api/v1/dunning/report/`: what came of the failed payments, by month and currency."""

from __future__ import annotations

from typing import Any

from django.urls import URLPattern, URLResolver
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers, viewsets
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter

from billingops.exceptions import InvalidInput
from billingops.rest import ModelPermission, error_responses
from dunning.models import DunningCase
from dunning.report import reading
from dunning.report.choice import PARAMETERS, PLATFORM, choose


class _CountsSerializer(serializers.Serializer[Any]):
    ours = serializers.IntegerField()
    stripe = serializers.IntegerField()
    by_hand = serializers.IntegerField(help_text="the customer, or somebody at Stripe by hand")
    not_known = serializers.IntegerField()


class DunningReasonFiguresSerializer(serializers.Serializer[Any]):
    """Amounts: minor units of `currency`. Rates and shares are of `counted` cases, whose window is over."""

    currency = serializers.CharField()
    cases = serializers.IntegerField()
    at_risk = serializers.IntegerField()
    running = serializers.IntegerField(help_text="window not over: in no rate, and not lost")
    running_at_risk = serializers.IntegerField()
    running_paid = serializers.IntegerField()
    running_recovered = serializers.IntegerField()
    counted = serializers.IntegerField()
    counted_at_risk = serializers.IntegerField()
    recovered_cases = serializers.IntegerField()
    recovery_rate = serializers.FloatField(allow_null=True)
    recovery_rate_low = serializers.FloatField(allow_null=True, help_text="Wilson, 95 %")
    recovery_rate_high = serializers.FloatField(allow_null=True)
    recovered = serializers.IntegerField(help_text="without disputed payments")
    recovered_share = serializers.FloatField(allow_null=True)
    late_cases = serializers.IntegerField()
    late = serializers.IntegerField()
    open = serializers.IntegerField()
    given_up = serializers.IntegerField()
    withdrawn = serializers.IntegerField()
    cancelled = serializers.IntegerField()
    escalated = serializers.IntegerField()
    by_retry = serializers.IntegerField()
    recovered_by = _CountsSerializer()
    after_a_message = _CountsSerializer()
    attempts = serializers.IntegerField()
    attempts_per_recovery = serializers.FloatField(allow_null=True)
    messages = serializers.IntegerField()
    messages_per_recovery = serializers.FloatField(allow_null=True)
    disputed = serializers.IntegerField()


class DunningFiguresSerializer(DunningReasonFiguresSerializer):
    days_median = serializers.FloatField(allow_null=True)
    days_p90 = serializers.FloatField(allow_null=True)


class DunningMonthSerializer(DunningFiguresSerializer):
    month = serializers.CharField(help_text="of the first failure, UTC: 2026-11")


class DunningReasonSerializer(DunningReasonFiguresSerializer):
    category = serializers.CharField(help_text="of the latest failure")
    family = serializers.CharField(help_text="card, wallet, bank_debit, other")


class DunningHarmRowSerializer(serializers.Serializer[Any]):
    what = serializers.CharField()
    month = serializers.CharField()
    account = serializers.CharField(allow_blank=True)
    invoice = serializers.CharField()
    record = serializers.CharField()


class DunningHarmSerializer(serializers.Serializer[Any]):
    """What we did that must never happen; `more_than_counted`: rules of which not every row was read."""

    counts = serializers.DictField(child=serializers.IntegerField())
    more_than_counted = serializers.ListField(child=serializers.CharField())
    messages_judged = serializers.IntegerField()
    messages_zone_unknown = serializers.IntegerField()
    all_messages_looked_at = serializers.BooleanField()
    rows = DunningHarmRowSerializer(many=True)


class DunningReportSerializer(serializers.Serializer[Any]):
    """`months`: newest first. Nothing is summed across currencies."""

    window_days = serializers.IntegerField()
    months = DunningMonthSerializer(many=True)
    totals = DunningFiguresSerializer(many=True)
    reasons = DunningReasonSerializer(many=True)
    harm = DunningHarmSerializer()


class ReportViewSet(viewsets.ViewSet):
    permission_classes = [ModelPermission]
    permission_model = DunningCase

    @extend_schema(
        summary="What came of the failed payments, by month and currency",
        parameters=[
            OpenApiParameter("since", str, description="The first month, 2026-01; a year by default."),
            OpenApiParameter("until", str, description="The last month, included; this one by default."),
            OpenApiParameter("account", str, description=f"The connected account; {PLATFORM}: the platform's own."),
            OpenApiParameter("campaign", str, description="The campaign; standard: cases of none."),
            OpenApiParameter("arm", str, description="The arm of the campaign's A/B test."),
        ],
        responses={200: DunningReportSerializer, **error_responses(400)},
    )
    def list(self, request: Request) -> Response:
        given = request.query_params
        for name in given:
            if name not in (*PARAMETERS, "format"):
                raise InvalidInput(f"{name} is no parameter here; there are {', '.join(PARAMETERS)}.", field=name)
        now = timezone.now()
        asked = {name: given.get(name, "").strip() for name in PARAMETERS}
        choice = choose(request.user, today=now.date(), **asked)
        return Response(reading.read(choice, now=now).as_json())


_router: Any = SimpleRouter()
_router.register("dunning/report", ReportViewSet, basename="dunning-report")
urlpatterns: list[URLPattern | URLResolver] = [*_router.urls]
