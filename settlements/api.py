"""`/api/v1/payout-records/`: payout records, read-only. Rights, account scope, pages and errors: billingops/rest.py."""

from __future__ import annotations

from typing import Any

from django.urls import URLPattern, URLResolver, path
from drf_spectacular.utils import extend_schema, extend_schema_field, extend_schema_view
from rest_framework import mixins, serializers
from rest_framework.routers import SimpleRouter

from billingops.rest import Filter, ScopedViewSet, error_responses
from settlements import earnings_api
from settlements.explain_api import ExplainViewSet
from settlements.models import PayoutItem, PayoutLine, PayoutRecord
from settlements.trace import api as trace_api

MOST_ITEMS = 1000


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
            "id", "state", "account", "seller", "invoice", "period", "invoice_number", "charge", "customer", "currency",
            "amount", "fee_total", "amount_reversed", "transfer", "suggestion", "memo", "memo_by", "flags",
            "created_at", "transferred_at",
        ]  # fmt: skip


class PayoutItemSerializer(serializers.ModelSerializer[PayoutItem]):
    """How much of which earning the payout settles; a debt that it nets is negative."""

    invoice = serializers.CharField(source="earning.invoice")

    class Meta:
        model = PayoutItem
        fields = ["invoice", "amount", "state"]


class PayoutRecordDetailSerializer(PayoutRecordSerializer):
    """`items`: at most 1,000; all of them stand under the earnings."""

    lines = PayoutLineSerializer(many=True)
    items = serializers.SerializerMethodField()

    class Meta(PayoutRecordSerializer.Meta):
        fields = [*PayoutRecordSerializer.Meta.fields, "lines", "items"]

    @extend_schema_field(PayoutItemSerializer(many=True))
    def get_items(self, record: PayoutRecord) -> Any:
        rows = record.items.select_related("earning").order_by("pk")[:MOST_ITEMS]
        return PayoutItemSerializer(rows, many=True).data


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
        Filter("period"),
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
    *earnings_api.urlpatterns,
    *trace_api.urlpatterns,
]
