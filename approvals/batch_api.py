"""`/api/v1/suggestions/bulk/` and `/api/v1/batches/`: approve or reject many, then look at what became of each.

The rules, the chunks and the rights are those of the pages: services/batches.py.
"""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import mixins, serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from approvals.models import Batch, BatchItem
from approvals.serializers import StrictSerializer
from approvals.services import MAX_COMMENT, REJECTION_REASONS, batches, deciding
from approvals.services.deciding import Ask
from approvals.services.steps import check_comment
from billingops.actors import Actor
from billingops.exceptions import InvalidTransition
from billingops.rest import Filter, KeysetPagination, ScopedViewSet, error_responses


class AskSerializer(StrictSerializer):
    id = serializers.UUIDField()
    version = serializers.IntegerField(min_value=1, help_text="The version you have seen; another one is left out.")


class BulkSerializer(StrictSerializer):
    verb = serializers.ChoiceField(choices=Batch.Verb.choices)
    items = AskSerializer(many=True, allow_empty=False, help_text=f"At most {batches.MAX_ROWS:,}.")  # type: ignore[assignment]
    comment = serializers.CharField(required=False, allow_blank=True, default="", max_length=MAX_COMMENT)
    reason_code = serializers.ChoiceField(
        choices=REJECTION_REASONS, required=False, default="", help_text="Needed to reject; `other` needs a comment."
    )


class BatchTotalSerializer(serializers.Serializer[Any]):
    """Minor units. frozen = done + left + difference; `difference` was frozen and will not be done."""

    currency = serializers.CharField(help_text='"" for suggestions without an amount.')
    count = serializers.IntegerField()
    frozen = serializers.IntegerField()
    done = serializers.IntegerField()
    done_count = serializers.IntegerField()
    left = serializers.IntegerField()
    difference = serializers.IntegerField()


class BatchSerializer(serializers.ModelSerializer[Batch]):
    maker = serializers.CharField(source="maker_name", read_only=True)
    counts = serializers.DictField(child=serializers.IntegerField(), read_only=True, help_text="Rows by outcome.")
    totals = BatchTotalSerializer(many=True, read_only=True)

    class Meta:
        model = Batch
        fields = [
            "id",
            "verb",
            "state",
            "maker",
            "comment",
            "reason_code",
            "ready",
            "counts",
            "totals",
            "created_at",
            "started_at",
            "finished_at",
            "cancelled_by",
        ]
        read_only_fields = fields

    def to_representation(self, instance: Batch) -> dict[str, Any]:
        found = batches.progress(instance)
        instance.counts = found["counts"]  # type: ignore[attr-defined]
        instance.totals = found["totals"]
        return super().to_representation(instance)


class BatchItemSerializer(serializers.ModelSerializer[BatchItem]):
    class Meta:
        model = BatchItem
        fields = ["position", "suggestion", "version", "amount", "currency", "outcome", "why", "came_to"]
        read_only_fields = fields


@extend_schema_view(
    list=extend_schema(
        summary="List batches, newest first",
        responses={200: BatchSerializer(many=True), **error_responses(400)},
    ),
    retrieve=extend_schema(summary="How far a batch is", responses={200: BatchSerializer, **error_responses(404)}),
)
class BatchViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, ScopedViewSet):
    """One's own; everybody's for whoever reads the audit log; none with a row beyond the caller's accounts."""

    queryset = Batch.objects.all()
    serializer_class = BatchSerializer
    page_order = ("-id",)
    filters = (
        Filter("state", choices=Batch.State.values, description="One state."),
        Filter("verb", choices=Batch.Verb.values, description="approve or reject."),
    )
    verb_permissions = dict.fromkeys(("bulk", "stop"), ("approvals.approve_suggestion",))
    refusal = "You may look at suggestions but not decide on them."

    def get_queryset(self) -> QuerySet[Any]:
        if getattr(self, "swagger_fake_view", False):
            return Batch.objects.none()
        return Batch.objects.visible_to(self.request.user)

    @extend_schema(
        summary="Approve or reject many",
        description=(
            "Freezes the rows, leaves out what you may not decide on and what has changed, and starts at once. "
            f"Up to {batches.IN_FOREGROUND} rows are done when the answer comes; more are worked off in the background."
        ),
        request=BulkSerializer,
        responses={202: BatchSerializer, **error_responses(400, 409)},
    )
    def bulk(self, request: Request) -> Response:
        body = BulkSerializer(data=request.data, context=self.get_serializer_context())
        body.is_valid(raise_exception=True)
        given, actor = body.validated_data, Actor.person(request.user)
        check_comment(given["comment"])
        if given["verb"] == Batch.Verb.REJECT:
            deciding.check_reason(given["reason_code"], given["comment"])
        asks = [Ask(one["id"], one["version"]) for one in given["items"]]
        batch = batches.freeze(verb=given["verb"], asks=asks, actor=actor)
        if not batch.ready:
            first = batch.items.order_by("position").first()
            raise InvalidTransition(
                f"Nothing was done; none of them can be decided on. The first: {first.why if first else ''} "
                f"All: /api/v1/batches/{batch.pk}/items/"
            )
        batch = batches.start(
            batch_id=batch.pk, actor=actor, comment=given["comment"], reason_code=given["reason_code"]
        )
        return Response(BatchSerializer(batch).data, status=status.HTTP_202_ACCEPTED)

    @extend_schema(
        summary="Leave the rest of a batch undone; what is done stays done",
        request=None,
        responses={200: BatchSerializer, **error_responses(404, 409)},
    )
    @action(detail=True, methods=["post"])
    def stop(self, request: Request, pk: str) -> Response:
        batch = batches.stop(batch_id=self.get_object().pk, actor=Actor.person(request.user))
        return Response(BatchSerializer(batch).data)


@extend_schema_view(
    list=extend_schema(
        summary="What became of each row of a batch",
        responses={200: BatchItemSerializer(many=True), **error_responses(400, 404)},
    )
)
class BatchItemViewSet(mixins.ListModelMixin, ScopedViewSet):
    queryset = BatchItem.objects.all()
    permission_model = Batch
    serializer_class = BatchItemSerializer
    pagination_class = KeysetPagination  # type: ignore[assignment]
    page_order = ("position",)
    filters = (Filter("outcome", choices=BatchItem.Outcome.values, description="One outcome."),)

    def get_queryset(self) -> QuerySet[Any]:
        if getattr(self, "swagger_fake_view", False):
            return BatchItem.objects.none()
        batch = get_object_or_404(Batch.objects.visible_to(self.request.user), pk=self.kwargs["batch"])
        return batch.items.all()
