"""`/api/v1/customers/{cus_id}/timeline/`: a customer's timeline, newest first. Only reads."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.http import Http404
from django.urls import URLPattern, URLResolver, path
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema, extend_schema_view
from rest_framework import mixins, serializers

from billingops.rest import Filter, ScopedViewSet, error_responses, parse_last_moment, parse_moment
from support.models import CustomerContact, TimelineEntry
from support.words import title


class TimelineEntrySerializer(serializers.ModelSerializer[TimelineEntry]):
    """`amount` in minor units of `currency`, as Stripe says it (a refund is positive); both empty where there is none.
    `what` is a code, `title` the same in words; `facts` differ by `what` and hold no personal data."""

    title = serializers.SerializerMethodField()

    class Meta:
        model = TimelineEntry
        fields = [
            "id",
            "at",
            "kind",
            "what",
            "title",
            "state",
            "amount",
            "currency",
            "account",
            "customer",
            "object_id",
            "subject",
            "facts",
        ]
        read_only_fields = fields

    def get_title(self, entry: TimelineEntry) -> str:
        return title(entry)[1]


_MOMENT = {"type": "string", "description": "2026-11-27, or 2026-11-27T09:00:00Z"}


@extend_schema_view(
    list=extend_schema(
        summary="A customer's timeline, newest first",
        parameters=[OpenApiParameter("customer", OpenApiTypes.STR, OpenApiParameter.PATH, description="cus_…")],
        responses={200: TimelineEntrySerializer(many=True), **error_responses(400, 404)},
    )
)
class TimelineViewSet(mixins.ListModelMixin, ScopedViewSet):
    queryset = TimelineEntry.objects.all()
    serializer_class = TimelineEntrySerializer
    page_order = ("-at", "-id")
    filters = (
        Filter("kind", choices=TimelineEntry.Kind.values, description="One kind of line."),
        Filter("from", lookup="at__gte", parse=parse_moment, schema=_MOMENT, description="From this moment or day on."),
        Filter(
            "to",
            lookup="at__lte",
            parse=parse_last_moment,
            schema=_MOMENT,
            description="Up to this moment or day.",
        ),
    )

    def get_queryset(self) -> QuerySet[Any]:
        return super().get_queryset().filter(customer=self.kwargs.get("customer", ""))

    def filter_queryset(self, queryset: QuerySet[Any]) -> QuerySet[Any]:
        """A customer of whom nothing may be seen does not exist; one whose filters match nothing has an empty list."""
        narrowed = super().filter_queryset(queryset)
        contacts = CustomerContact.objects.visible_to(self.request.user).filter(pk=self.kwargs["customer"])
        if not queryset.exists() and not contacts.exists():
            raise Http404(
                "No event has named this customer yet, or it belongs to an account that you have no access to."
            )
        return narrowed


urlpatterns: list[URLPattern | URLResolver] = [
    path("customers/<str:customer>/timeline/", TimelineViewSet.as_view({"get": "list"}), name="customer-timeline"),
]
