"""`/api/v1/payout-records/`: payout records, read-only. Rights, account scope, pages and errors: billingops/rest.py."""

from __future__ import annotations

from typing import Any

from django.urls import URLPattern, URLResolver, path
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import mixins, serializers
from rest_framework.routers import SimpleRouter

from billingops.rest import Filter, ScopedViewSet, error_responses
from settlements.explain_api import ExplainViewSet
from settlements.models import PayoutLine, PayoutRecord
from settlements.trace import api as trace_api


class PayoutLineSerializer(serializers.ModelSerializer[PayoutLine]):
    """base − fee = share, in minor units of the payout's currency."""

    rule = serializers.CharField(source="rule.name")

    class Meta:
        model = PayoutLine
        fields = ["line", "description", "quantity", "rule", "rule_version", "base", "fee", "share"]


class PayoutRecordSerializer(serializers.ModelSerializer[PayoutRecord]):
    """`transferred` is what Stripe's event has confirmed. Amounts: minor units of `currency`."""

    seller = serializers.CharField(source="seller.name")
    suggestion: serializers.UUIDField = serializers.UUIDField(source="suggestion_id", allow_null=True)

    class Meta:
        model = PayoutRecord
        fields = [
            "id", "state", "account", "seller", "invoice", "invoice_number", "charge", "customer", "currency", "amount",
            "fee_total", "amount_reversed", "transfer", "suggestion", "memo", "memo_by", "flags", "created_at",
            "transferred_at",
        ]  # fmt: skip


class PayoutRecordDetailSerializer(PayoutRecordSerializer):
    lines = PayoutLineSerializer(many=True)

    class Meta(PayoutRecordSerializer.Meta):
        fields = [*PayoutRecordSerializer.Meta.fields, "lines"]


@extend_schema_view(
    list=extend_schema(
        summary="List payout records, newest first",
        responses={200: PayoutRecordSerializer(many=True), **error_responses(400)},
    ),
    retrieve=extend_schema(
        summary="Read a payout record with its computation",
        responses={200: PayoutRecordDetailSerializer, **error_responses(404)},
    ),
)
class PayoutRecordViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, ScopedViewSet):
    queryset = PayoutRecord.objects.select_related("seller")
    filters = (
        Filter("state", choices=PayoutRecord.State.values),
        Filter("account", description="The seller's connected account."),
        Filter("seller", lookup="seller__account", description="The same as `account`."),
        Filter("invoice"),
        Filter("customer"),
        Filter("currency"),
    )

    def get_queryset(self) -> Any:
        queryset = super().get_queryset()
        return queryset.prefetch_related("lines__rule") if self.action == "retrieve" else queryset

    def get_serializer_class(self) -> Any:
        return PayoutRecordDetailSerializer if self.action == "retrieve" else PayoutRecordSerializer


_router = SimpleRouter()
_router.register("payout-records", PayoutRecordViewSet, basename="payout-record")
urlpatterns: list[URLPattern | URLResolver] = [
    path("rules/explain/", ExplainViewSet.as_view({"post": "create"}), name="rules-explain"),
    *_router.urls,
    *trace_api.urlpatterns,
]
