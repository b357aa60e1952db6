"""`/api/v1/reconciliation/items/`, `…/payouts/` and `…/reports/{month}/`: read-only. Rights, account scope, pages and
errors: billingops/rest.py."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.urls import URLPattern, URLResolver
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import mixins, serializers, viewsets
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter

from billingops.exceptions import InvalidInput
from billingops.rest import Filter, ModelPermission, ScopedViewSet, error_responses, parse_last_moment, parse_moment
from billingops.stripe import keeping_up
from settlements.reconciliation import reports
from settlements.reconciliation.models import PayoutCheck, ReconciliationItem
from settlements.reconciliation.report_pages import PLATFORM
from settlements.reconciliation.states import Cause, State


class ItemSerializer(serializers.ModelSerializer[ReconciliationItem]):
    """`difference` = `ledger` − `stripe`, in minor units of `currency`. `evidence`: the members with their figures."""

    class Meta:
        model = ReconciliationItem
        fields = [
            "id", "state", "how", "cause", "account", "currency", "family", "reference", "stripe", "ledger",
            "stripe_fee", "ledger_fee", "difference", "transactions", "entries", "occurred_at", "due_at", "text",
            "text_by", "reason", "suggestion", "found_at", "closed_at", "closed_by", "evidence",
        ]  # fmt: skip


@extend_schema_view(
    list=extend_schema(
        summary="List differences between Stripe and the ledger, newest first",
        responses={200: ItemSerializer(many=True), **error_responses(400)},
    ),
    retrieve=extend_schema(summary="Read one", responses={200: ItemSerializer, **error_responses(404)}),
)
class ItemViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, ScopedViewSet):
    queryset = ReconciliationItem.objects.all()
    serializer_class = ItemSerializer
    filters = (
        Filter("state", choices=State.values),
        Filter("cause", choices=Cause.values),
        Filter("account", description="Whose book: acct_…, or empty for the platform's."),
        Filter("currency"),
        Filter("reference", description="Stripe's object: ch_…, re_…, po_…"),
        Filter("since", lookup="occurred_at__gte", parse=parse_moment),
        Filter("until", lookup="occurred_at__lte", parse=parse_last_moment),
    )


class PayoutCheckSerializer(serializers.ModelSerializer[PayoutCheck]):
    """`ties`: the payout's `amount` is the sum of the net of its transactions, `held`."""

    ties = serializers.BooleanField(read_only=True)

    class Meta:
        model = PayoutCheck
        fields = ["id", "payout", "account", "currency", "amount", "held", "transactions", "ties", "checked_at"]


@extend_schema_view(
    list=extend_schema(
        summary="List automatic payouts and whether they add up",
        responses={200: PayoutCheckSerializer(many=True), **error_responses(400)},
    )
)
class PayoutCheckViewSet(mixins.ListModelMixin, ScopedViewSet):
    queryset = PayoutCheck.objects.all()
    serializer_class = PayoutCheckSerializer
    filters = (Filter("account"), Filter("payout"), Filter("currency"))


class LineSerializer(serializers.Serializer[Any]):
    label = serializers.CharField()  # type: ignore[assignment]
    amount = serializers.IntegerField()


class PartSerializer(serializers.Serializer[Any]):
    """opening + lines = closing; `apart` is by how much not. Of cash: the ledger has moved more than Stripe by
    `unmatched` (open), `settled` (in another month, or within tolerance) and `unexplained`. Minor units."""

    what = serializers.ChoiceField(choices=["payable", "cash"])
    currency = serializers.CharField()
    opening = serializers.IntegerField()
    closing = serializers.IntegerField()
    lines = LineSerializer(many=True)
    apart = serializers.IntegerField()
    unmatched = serializers.IntegerField()
    settled = serializers.IntegerField()
    unexplained = serializers.IntegerField()
    open_items = serializers.IntegerField()
    ties = serializers.BooleanField()


class ReportSerializer(serializers.Serializer[Any]):
    """`listed_until`: how far Stripe's list of this balance was read to its end, null where it never was. What Stripe
    moved by itself after that (its fees, adjustments, holds) is in no figure yet, and "ties" says nothing of it."""

    account = serializers.CharField(allow_blank=True)
    name = serializers.CharField()
    month = serializers.CharField()
    ties = serializers.BooleanField()
    listed_until = serializers.DateTimeField(allow_null=True)
    summary = serializers.CharField()
    parts = PartSerializer(many=True)


class MonthSerializer(serializers.Serializer[Any]):
    month = serializers.CharField()
    reports = ReportSerializer(many=True)


def as_json(report: reports.Report, listed_until: datetime | None) -> dict[str, Any]:
    return {
        "account": report.account,
        "name": report.name,
        "month": report.month,
        "ties": report.ties,
        "listed_until": listed_until,
        "summary": report.built_in_summary(),
        "parts": [
            {
                "what": part.what,
                "currency": part.currency,
                "opening": part.opening,
                "closing": part.closing,
                "lines": [{"label": label, "amount": amount} for label, amount in part.rows],
                "apart": part.apart,
                "unmatched": part.unmatched,
                "settled": part.settled,
                "unexplained": part.unexplained,
                "open_items": part.open_items,
                "ties": part.ties,
            }
            for part in report.parts
        ],
    }


class ReportViewSet(viewsets.ViewSet):
    """All sellers of a month at once: as many as there are sellers, so it is not paged."""

    permission_classes = [ModelPermission]
    permission_model = ReconciliationItem
    lookup_url_kwarg = "month"
    lookup_value_regex = "[0-9]{4}-[0-9]{2}"

    @extend_schema(
        summary="A month's reports, of every seller or of one",
        parameters=[
            OpenApiParameter("account", OpenApiTypes.STR, description="acct_…, or platform; default: all of them")
        ],
        responses={200: MonthSerializer, **error_responses(400, 404)},
    )
    def retrieve(self, request: Request, month: str) -> Response:
        for name in request.query_params:
            if name not in ("account", "format"):
                raise InvalidInput(f"{name} is no parameter of a report; there is account.", field=name)
        account = request.query_params.get("account")
        if account is None:
            found = reports.month(month, user=request.user)
        else:
            report = reports.one(month, "" if account == PLATFORM else account, user=request.user)
            if report is None:
                raise NotFound
            found = [report]
        listed = keeping_up.listed()
        return Response({"month": month, "reports": [as_json(one, listed.get(one.account)) for one in found]})


_router = SimpleRouter()
_router.register("reconciliation/items", ItemViewSet, basename="reconciliation-item")
_router.register("reconciliation/payouts", PayoutCheckViewSet, basename="reconciliation-payout")
_router.register("reconciliation/reports", ReportViewSet, basename="reconciliation-report")
urlpatterns: list[URLPattern | URLResolver] = [*_router.urls]
