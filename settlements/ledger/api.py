"""`/api/v1/journal-entries/` and `/api/v1/balances/`: the ledger, read-only. See billingops/rest.py for what all share.

Amounts are whole minor units of `currency`, debits positive, credits negative.
"""

from __future__ import annotations

from typing import Any

from django.urls import URLPattern, URLResolver
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_field, extend_schema_view
from rest_framework import mixins, serializers, viewsets
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter

from billingops import access
from billingops.exceptions import InvalidInput
from billingops.rest import Filter, ModelPermission, ScopedViewSet, error_responses, parse_last_moment, parse_moment
from settlements.ledger import totals
from settlements.ledger.accounts import Account, Kind
from settlements.ledger.models import JournalEntry, Posting
from settlements.ledger.scope import postings_shown


class PostingSerializer(serializers.ModelSerializer[Posting]):
    """`amount`: debit positive, credit negative. `seller` "": the platform."""

    class Meta:
        model = Posting
        fields = ["id", "account", "seller", "invoice", "currency", "amount"]


class JournalEntrySerializer(serializers.ModelSerializer[JournalEntry]):
    """`book`: whose Stripe balance it is about, "" the platform's. `cash`: the sum of its postings to cash."""

    corrects: serializers.UUIDField = serializers.UUIDField(source="corrects_id", allow_null=True)

    class Meta:
        model = JournalEntry
        fields = [
            "id", "key", "kind", "book", "seller", "currency", "occurred_at", "posted_at", "invoice", "source",
            "balance_transaction", "cash", "fee", "text", "corrects", "suggestion", "actor",
        ]  # fmt: skip


class JournalEntryDetailSerializer(JournalEntrySerializer):
    """`postings`: those that the caller may see; whoever is not limited to accounts gets all, which sum to 0."""

    postings = serializers.SerializerMethodField()

    class Meta(JournalEntrySerializer.Meta):
        fields = [*JournalEntrySerializer.Meta.fields, "postings"]

    @extend_schema_field(PostingSerializer(many=True))
    def get_postings(self, entry: JournalEntry) -> Any:
        return PostingSerializer(postings_shown(entry, self.context["request"].user), many=True).data


@extend_schema_view(
    list=extend_schema(
        summary="List journal entries, newest first",
        responses={200: JournalEntrySerializer(many=True), **error_responses(400)},
    ),
    retrieve=extend_schema(
        summary="Read a journal entry with its postings",
        responses={200: JournalEntryDetailSerializer, **error_responses(404)},
    ),
)
class JournalEntryViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, ScopedViewSet):
    queryset = JournalEntry.objects.all()
    scope_field = "seller"
    page_order = ("-occurred_at", "-id")
    filters = (
        Filter("kind", choices=Kind.values),
        Filter("book", description="The connected account whose Stripe balance it is about."),
        Filter("seller", description="The seller's connected account."),
        Filter("currency"),
        Filter("key"),
        Filter("invoice"),
        Filter("source", description="Stripe's object: ch_, re_, du_, tr_, trr_, po_…"),
        Filter("balance_transaction"),
        Filter("since", lookup="occurred_at__gte", parse=parse_moment, description="From this time on."),
        Filter("until", lookup="occurred_at__lte", parse=parse_last_moment, description="Up to this time."),
    )

    def get_queryset(self) -> Any:
        queryset = super().get_queryset()
        return queryset.prefetch_related("postings") if self.action == "retrieve" else queryset

    def get_serializer_class(self) -> Any:
        return JournalEntryDetailSerializer if self.action == "retrieve" else JournalEntrySerializer


class BalanceSerializer(serializers.Serializer[Any]):
    account = serializers.ChoiceField(Account.choices)
    currency = serializers.CharField()
    balance = serializers.IntegerField(
        help_text="debits − credits in minor units: what is owed to a seller is negative"
    )


class BalancesSerializer(serializers.Serializer[Any]):
    seller = serializers.CharField(help_text='"" where no seller was named: all that the caller may see, together')
    results = BalanceSerializer(many=True)


class BalanceViewSet(viewsets.ViewSet):
    permission_classes = [ModelPermission]
    permission_model = JournalEntry

    @extend_schema(
        summary="Balances per account and currency: of a seller, or of all together",
        description="Whoever is limited to accounts gets what belongs to their sellers: payable, reserve, dispute, "
        "reversal. Another seller's balances are an empty list.",
        parameters=[
            OpenApiParameter("seller", str, description="The seller's connected account."),
            OpenApiParameter("currency", str),
        ],
        responses={200: BalancesSerializer, **error_responses(400)},
    )
    def list(self, request: Request) -> Response:
        given = request.query_params
        for name in given:
            if name not in ("seller", "currency", "format"):
                raise InvalidInput(f"{name} is no parameter here; there are seller, currency.", field=name)
        limited = access.accounts_of(request.user)
        seller, currency = given.get("seller", "").strip(), given.get("currency", "").strip().lower()
        sellers: frozenset[str] | None = frozenset({seller}) if seller else None
        if limited is not None:
            sellers = limited if sellers is None else sellers & limited
        found = totals.by_account(sellers=sellers, accounts=None if limited is None else totals.SELLER_ACCOUNTS)
        results = [
            {"account": account, "currency": of, "balance": amount}
            for (of, account), amount in found.items()
            if not currency or of == currency
        ]
        return Response({"seller": seller, "results": results})


_router = SimpleRouter()
_router.register("journal-entries", JournalEntryViewSet, basename="journal-entry")
_router.register("balances", BalanceViewSet, basename="balance")
urlpatterns: list[URLPattern | URLResolver] = [*_router.urls]
