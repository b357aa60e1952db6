"""`GET /api/v1/forecast/`: cash in and out by day, its parts, and how near earlier forecasts came."""

from __future__ import annotations

from typing import Any

from django.http import Http404
from django.urls import URLPattern, URLResolver
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers, viewsets
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter

from billingops.exceptions import InvalidInput
from billingops.rest import ModelPermission, error_responses
from settlements.forecast import history
from settlements.forecast.choice import DAYS, OutOfReach, choose, days_of, every_day
from settlements.forecast.compare import Verdict
from settlements.forecast.models import Forecast, ForecastDay

_PARAMETERS = ("seller", "currency", "days")


class ForecastBandSerializer(serializers.Serializer[Any]):
    low = serializers.IntegerField()
    expected = serializers.IntegerField()
    high = serializers.IntegerField()


class ForecastDaySerializer(serializers.Serializer[Any]):
    """`in` and `out` of the day, and `running`: in − out since the first day. `low` to `high` holds 8 of 10 cases."""

    day = serializers.DateField()
    out = ForecastBandSerializer()
    running = ForecastBandSerializer()
    parts = serializers.DictField(child=serializers.IntegerField(), help_text="kind → minor units")

    def get_fields(self) -> dict[str, Any]:
        found = super().get_fields()
        return {
            "day": found.pop("day"),
            "in": ForecastBandSerializer(),
            **found,
        }  # a keyword: no attribute can be called so


class VerdictSerializer(serializers.Serializer[Any]):
    """Mean absolute error a day in minor units, and the share of what moved that was off (null: nothing moved)."""

    days = serializers.IntegerField()
    enough = serializers.BooleanField()
    words = serializers.CharField()
    mae = serializers.IntegerField()
    wape = serializers.FloatField(allow_null=True)
    wape_same_weekday = serializers.FloatField(allow_null=True)
    wape_mean_of_28_days = serializers.FloatField(allow_null=True)
    within_band = serializers.FloatField(allow_null=True)


class ComparisonSerializer(serializers.Serializer[Any]):
    out = VerdictSerializer()

    def get_fields(self) -> dict[str, Any]:
        return {"in": VerdictSerializer(), **super().get_fields()}


class ForecastSerializer(serializers.Serializer[Any]):
    """Amounts: minor units of `currency`. `made_on` null: none was made yet, and there are no days."""

    made_on = serializers.DateField(allow_null=True)
    seller = serializers.CharField(allow_blank=True, help_text="empty: the platform")
    currency = serializers.CharField(allow_blank=True)
    version = serializers.CharField(allow_blank=True)
    parameters = serializers.DictField()
    apart = serializers.DictField(child=serializers.IntegerField(), help_text="known, but not counted")
    days = ForecastDaySerializer(many=True)
    comparison = ComparisonSerializer(allow_null=True)


def _day(row: ForecastDay) -> dict[str, Any]:
    bands = {
        name: {edge: getattr(row, f"{name}_{edge}") for edge in ("low", "expected", "high")}
        for name in ("in", "out", "running")
    }
    return {"day": row.day, **bands, "parts": row.parts}


def verdict_as_json(one: Verdict) -> dict[str, Any]:
    def share(value: Any) -> float | None:
        return None if value is None else round(float(value), 6)

    return {
        "days": one.days,
        "enough": one.enough,
        "words": one.words,
        "mae": one.ours.mae,
        "wape": share(one.ours.wape),
        "wape_same_weekday": share(one.week.wape),
        "wape_mean_of_28_days": share(one.mean.wape),
        "within_band": share(one.coverage),
    }


class ForecastViewSet(viewsets.ViewSet):
    permission_classes = [ModelPermission]
    permission_model = Forecast

    @extend_schema(
        summary="Cash in and out by day for 30, 60 or 90 days",
        parameters=[
            OpenApiParameter("seller", str, description="the connected account; none: the platform's"),
            OpenApiParameter("currency", str, description="none: the first there is"),
            OpenApiParameter("days", int, enum=list(DAYS)),
        ],
        responses={200: ForecastSerializer, **error_responses(400, 404)},
    )
    def list(self, request: Request) -> Response:
        given = request.query_params
        for name in given:
            if name not in (*_PARAMETERS, "format"):
                raise InvalidInput(f"{name} is no parameter here; there are {', '.join(_PARAMETERS)}.", field=name)
        try:
            choice = choose(
                request.user,
                account=given.get("seller", ""),
                currency=given.get("currency", ""),
                days=given.get("days", ""),
            )
        except OutOfReach as problem:
            raise Http404("There is no such forecast.") from problem
        forecast = choice.forecast
        if forecast is None:
            empty: dict[str, Any] = {"parameters": {}, "apart": {}, "days": [], "comparison": None, "version": ""}
            return Response({"made_on": None, "seller": choice.account, "currency": choice.currency, **empty})
        past = history.past(account=choice.account, currency=choice.currency, today=timezone.now().date())
        return Response(
            {
                "made_on": forecast.made_on,
                "seller": forecast.account,
                "currency": forecast.currency,
                "version": forecast.version,
                "parameters": forecast.parameters,
                "apart": forecast.apart,
                "days": [_day(row) for row in every_day(choice, days_of(choice))],
                "comparison": {"in": verdict_as_json(past.inflow), "out": verdict_as_json(past.outflow)},
            }
        )


_router = SimpleRouter()
_router.register("forecast", ForecastViewSet, basename="forecast")
urlpatterns: list[URLPattern | URLResolver] = [*_router.urls]
