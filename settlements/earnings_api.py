"""`/api/v1/earnings/` and `/api/v1/statements/{account}/{month}/`: what sellers earned, invoice by invoice and month by
month. Read-only. Rights, account scope, pages and errors: billingops/rest.py."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime
from typing import Any

from django.db.models import Q, QuerySet
from django.http import Http404
from django.urls import URLPattern, URLResolver, path
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import mixins, serializers, viewsets
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter

from billingops import access
from billingops.exceptions import InvalidInput
from billingops.rest import Filter, ModelPermission, ScopedViewSet, error_responses, parse_last_moment, parse_moment
from settlements.models import Earning, PayoutItem, Seller
from settlements.trace import statement as statements

PAGE_SIZE = 200


def today() -> date:
    return datetime.now(UTC).date()


# Where an earning stands; an earning can be in several. Each a condition that an index answers (models/earnings.py).
STATES: dict[str, tuple[str, Callable[[], Q]]] = {
    "due": ("payable now", lambda: Q(open__gt=0, due_on__lte=today())),
    "open": ("open, not due yet", lambda: Q(open__gt=0, due_on__gt=today())),
    "held": ("held for a dispute", lambda: Q(held__gt=0)),
    "reserve": ("in reserve", lambda: ~Q(reserve_left=0)),
    "owed": ("owed by the seller", lambda: Q(open__lt=0) | Q(claimed__gt=0)),
    "settled": ("paid, nothing left", lambda: Q(open=0, held=0, reserve_left=0, claimed=0)),
}


def states_of(earning: Earning) -> list[str]:
    """The names of STATES that hold for one earning."""
    found = []
    if earning.open > 0:
        found.append("due" if earning.due_on <= today() else "open")
    found += ["held"] if earning.held > 0 else []
    found += ["reserve"] if earning.reserve_left else []
    found += ["owed"] if earning.open < 0 or earning.claimed > 0 else []
    return found or ["settled"]


class EarningItemSerializer(serializers.ModelSerializer[PayoutItem]):
    """How much of it is in which payout."""

    payout = serializers.IntegerField(source="record_id")
    transfer = serializers.CharField(source="record.transfer")
    state = serializers.CharField(help_text="in_flight, settled or released")

    class Meta:
        model = PayoutItem
        fields = ["payout", "transfer", "state", "amount"]


class EarningSerializer(serializers.ModelSerializer[Earning]):
    """Amounts: minor units of `currency`. base = fee + share; earned = share + adjustment − stripe_fee − withheld.
    `open` below zero: the seller owes it."""

    seller = serializers.CharField(source="seller.name")
    earned = serializers.IntegerField()
    states = serializers.SerializerMethodField()

    class Meta:
        model = Earning
        fields = [
            "id", "account", "seller", "invoice", "invoice_number", "charge", "customer", "currency", "moved_by_stripe",
            "paid_at", "due_on", "reserve_until", "base", "fee", "share", "adjustment", "stripe_fee", "withheld",
            "reserve", "earned", "taken", "held", "reserve_left", "claimed", "paid", "open", "states",
        ]  # fmt: skip

    def get_states(self, earning: Earning) -> list[str]:
        return states_of(earning)


class EarningDetailSerializer(EarningSerializer):
    items = EarningItemSerializer(many=True)

    class Meta(EarningSerializer.Meta):
        fields = [*EarningSerializer.Meta.fields, "lines", "terms", "items"]


_MOMENT = {"type": "string", "description": "2026-11-27, or 2026-11-27T09:00:00Z"}


@extend_schema_view(
    list=extend_schema(
        summary="List earnings, newest first",
        responses={200: EarningSerializer(many=True), **error_responses(400)},
    ),
    retrieve=extend_schema(
        summary="Read an earning with its lines, terms and payouts",
        responses={200: EarningDetailSerializer, **error_responses(404)},
    ),
)
class EarningViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, ScopedViewSet):
    queryset = Earning.objects.select_related("seller")
    filters = (
        Filter("account", description="The seller's connected account."),
        Filter("invoice"),
        Filter("charge"),
        Filter("currency"),
        Filter("from", lookup="paid_at__gte", parse=parse_moment, schema=_MOMENT, description="Paid from then on."),
        Filter("to", lookup="paid_at__lte", parse=parse_last_moment, schema=_MOMENT, description="Paid up to then."),
        Filter(
            "state",
            lookup="pk__in",
            choices=list(STATES),
            parse=lambda raw, name: of_state(raw),
            description="Where its money stands.",
        ),
    )

    def get_queryset(self) -> Any:
        queryset = super().get_queryset()
        return queryset.prefetch_related("items__record") if self.action == "retrieve" else queryset

    def get_serializer_class(self) -> Any:
        return EarningDetailSerializer if self.action == "retrieve" else EarningSerializer


def of_state(name: str) -> QuerySet[Earning, Any]:
    return Earning.objects.filter(STATES[name][1]()).order_by().values("pk")


# -- statements --------------------------------------------------------------------------------------------------------


class StatementSumsSerializer(serializers.Serializer[Any]):
    gross = serializers.IntegerField()
    fee = serializers.IntegerField()
    stripe_fee = serializers.IntegerField()
    withheld = serializers.IntegerField()
    paid = serializers.IntegerField()
    other = serializers.IntegerField()
    payable = serializers.IntegerField()
    kept = serializers.IntegerField()
    claimed = serializers.IntegerField()
    owed = serializers.IntegerField()


class StatementRowSerializer(serializers.Serializer[Any]):
    at = serializers.DateTimeField()
    kind = serializers.CharField()
    what = serializers.CharField()
    invoice = serializers.CharField()
    reference = serializers.CharField()
    rule = serializers.CharField()
    sums = StatementSumsSerializer()
    balance = serializers.IntegerField()


class StatementCheckSerializer(serializers.Serializer[Any]):
    what = serializers.CharField()
    here = serializers.IntegerField()
    there = serializers.IntegerField()
    holds = serializers.BooleanField()


class StatementSerializer(serializers.Serializer[Any]):
    """One currency. Minor units, signed as the seller sees them: gross + fee + stripe_fee + withheld + paid + other =
    payable + kept + claimed. `rows`: at most 200, of `row_count`, from page `page` of `pages` on."""

    currency = serializers.CharField()
    opening = StatementSumsSerializer()
    closing = StatementSumsSerializer()
    totals = StatementSumsSerializer()
    ties = serializers.BooleanField()
    checks = StatementCheckSerializer(many=True)
    rows = StatementRowSerializer(many=True)
    row_count = serializers.IntegerField()
    page = serializers.IntegerField()
    pages = serializers.IntegerField()


class SellerMonthSerializer(serializers.Serializer[Any]):
    account = serializers.CharField()
    name = serializers.CharField()
    month = serializers.CharField()
    statements = StatementSerializer(many=True)


class StatementViewSet(viewsets.ViewSet):
    permission_classes = [ModelPermission]
    permission_model = Earning

    @extend_schema(
        summary="A seller's statement of a month, one per currency",
        parameters=[
            OpenApiParameter("account", OpenApiTypes.STR, OpenApiParameter.PATH, description="acct_…"),
            OpenApiParameter("month", OpenApiTypes.STR, OpenApiParameter.PATH, description="2026-11"),
            OpenApiParameter("currency", OpenApiTypes.STR, description="Only this one."),
            OpenApiParameter("page", OpenApiTypes.INT, description="Of the rows, from 1."),
        ],
        responses={200: SellerMonthSerializer, **error_responses(400, 404)},
    )
    def retrieve(self, request: Request, account: str, month: str) -> Response:
        seller = access.scope(Seller.objects.filter(account=account), request.user).first()
        if seller is None:
            raise Http404("There is no such seller, or it is one that you have no access to.")
        raw = request.query_params.get("page", "1")
        if not (raw.isascii() and raw.isdecimal()) or len(raw) > 6 or int(raw) < 1:
            raise InvalidInput("page must be a whole number from 1 on.", field="page")
        known = statements.currencies(account)
        asked = request.query_params.get("currency", "").lower()
        if asked and asked not in known:
            raise InvalidInput(f"{asked!r} is no currency in which this seller has had money.", field="currency")
        statements.moments(month)
        made = [statements.of(account, month, code) for code in ([asked] if asked else known)]
        answer = {
            "account": account,
            "name": seller.name,
            "month": month,
            "statements": [_page(one, int(raw)) for one in made],
        }
        return Response(SellerMonthSerializer(answer).data)


def _page(made: statements.Statement, page: int) -> dict[str, Any]:
    names = ("currency", "opening", "closing", "totals", "ties", "checks")
    start = (page - 1) * PAGE_SIZE
    return {
        **{name: getattr(made, name) for name in names},
        "rows": list(made.rows(start, start + PAGE_SIZE)),
        "row_count": made.count,
        "page": page,
        "pages": max(1, -(-made.count // PAGE_SIZE)),
    }


_router = SimpleRouter()
_router.register("earnings", EarningViewSet, basename="earning")
urlpatterns: list[URLPattern | URLResolver] = [
    *_router.urls,
    path(
        "statements/<str:account>/<str:month>/",
        StatementViewSet.as_view({"get": "retrieve"}),
        name="statement-detail",
    ),
]
