"""`/api/v1/trace/{ref}/`: where the money of an invoice, a payout or a deposit came from and went to. Only reads."""

from __future__ import annotations

from typing import Any

from django.http import Http404
from django.urls import URLPattern, URLResolver, path
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers, viewsets
from rest_framework.request import Request
from rest_framework.response import Response

from billingops.exceptions import InvalidInput
from billingops.rest import ModelPermission, error_responses
from settlements import trace
from settlements.models import PayoutRecord
from settlements.trace import trace as traces

MOST_PAGES = 1_000_000


class FactSerializer(serializers.Serializer[Any]):
    label = serializers.CharField()  # type: ignore[assignment]
    value = serializers.CharField()


class StepSerializer(serializers.Serializer[Any]):
    """`ref`: the suggestion's id."""

    at = serializers.DateTimeField(allow_null=True)
    who = serializers.CharField()
    what = serializers.CharField()
    detail = serializers.CharField()
    ref = serializers.CharField()


class EntryPostingSerializer(serializers.Serializer[Any]):
    """Debits are positive."""

    account = serializers.CharField()
    seller = serializers.CharField()
    amount = serializers.IntegerField()


class TraceEntrySerializer(serializers.Serializer[Any]):
    id = serializers.UUIDField()
    kind = serializers.CharField()
    key = serializers.CharField()
    at = serializers.DateTimeField()
    source = serializers.CharField()  # type: ignore[assignment]
    text = serializers.CharField()
    postings = EntryPostingSerializer(many=True)


class TraceNodeSerializer(serializers.Serializer[Any]):
    """`brings` + what flows in = what flows out + `stays`. `is_rest`: still open, held, in reserve or on its way."""

    key = serializers.CharField()
    kind = serializers.CharField()
    label = serializers.CharField()  # type: ignore[assignment]
    brings = serializers.IntegerField()
    stays = serializers.IntegerField()
    is_rest = serializers.BooleanField()
    account = serializers.CharField()
    object = serializers.CharField()
    state = serializers.CharField()
    at = serializers.DateTimeField(allow_null=True)
    text = serializers.CharField()
    facts = FactSerializer(many=True)
    steps = StepSerializer(many=True)
    entries = TraceEntrySerializer(many=True)


class TraceFlowSerializer(serializers.Serializer[Any]):
    """From the node `origin` to the node `target`."""

    origin = serializers.CharField()
    target = serializers.CharField()
    amount = serializers.IntegerField()
    label = serializers.CharField()  # type: ignore[assignment]


class TraceProblemSerializer(serializers.Serializer[Any]):
    node = serializers.CharField()
    text = serializers.CharField()


class TraceRestSerializer(serializers.Serializer[Any]):
    node = serializers.CharField()
    label = serializers.CharField()  # type: ignore[assignment]
    amount = serializers.IntegerField()
    text = serializers.CharField()


class TracePartSerializer(serializers.Serializer[Any]):
    """`ref`: what can be traced on, "" for what cannot."""

    ref = serializers.CharField()
    label = serializers.CharField()  # type: ignore[assignment]
    amount = serializers.IntegerField()
    at = serializers.DateTimeField(allow_null=True)
    account = serializers.CharField()
    text = serializers.CharField()
    state = serializers.CharField()


class TraceSerializer(serializers.Serializer[Any]):
    """Amounts: minor units of `currency`. `parts`: at most 200, from page `page` of `pages` on; `part_count` of all."""

    ref = serializers.CharField()
    kind = serializers.CharField(help_text="invoice, payout or deposit")
    subject = serializers.CharField()
    title = serializers.CharField()
    currency = serializers.CharField()
    customer = serializers.CharField()
    focus = serializers.CharField()
    adds_up = serializers.BooleanField()
    problems = TraceProblemSerializer(many=True)
    rest = TraceRestSerializer(many=True)
    nodes = TraceNodeSerializer(many=True)
    flows = TraceFlowSerializer(many=True)
    parts = TracePartSerializer(many=True)
    part_count = serializers.IntegerField()
    page = serializers.IntegerField()
    pages = serializers.IntegerField()


class TraceViewSet(viewsets.ViewSet):
    """Rights: those of payout records. Whoever is limited sees other parties as one sum."""

    permission_classes = [ModelPermission]
    permission_model = PayoutRecord
    lookup_field = "ref"

    @extend_schema(
        summary="Trace an invoice, a payment, a payout or a bank deposit",
        parameters=[
            OpenApiParameter(
                "ref",
                OpenApiTypes.STR,
                OpenApiParameter.PATH,
                description="in_…, ch_…, re_…, du_…, tr_…, trr_…, po_…, txn_…, a payout's id or an invoice's number",
            ),
            OpenApiParameter("page", OpenApiTypes.INT, description="Of the parts of a payout or deposit, from 1."),
        ],
        responses={200: TraceSerializer, **error_responses(400, 404)},
    )
    def retrieve(self, request: Request, ref: str) -> Response:
        raw = request.query_params.get("page", "1")
        if not (raw.isascii() and raw.isdecimal()) or not 1 <= int(raw[:9]) <= MOST_PAGES:
            raise InvalidInput("page must be a whole number from 1 on.", field="page")
        try:
            found = trace.of(ref, user=request.user, page=int(raw[:9]))
        except trace.Unknown as unknown:
            raise Http404(str(unknown))
        return Response(TraceSerializer(as_json(found)).data)


def as_json(found: traces.Trace) -> dict[str, Any]:
    return {
        "ref": found.ref,
        "kind": found.kind,
        "subject": found.subject,
        "title": found.title,
        "currency": found.currency,
        "customer": found.customer,
        "focus": found.focus,
        "adds_up": found.adds_up,
        "problems": found.problems,
        "rest": found.rest,
        "nodes": [_node(node) for node in found.nodes],
        "flows": [
            {"origin": flow.source, "target": flow.target, "amount": flow.amount, "label": flow.label}
            for flow in found.flows
        ],
        "parts": found.rows,
        "part_count": found.row_count,
        "page": found.page,
        "pages": found.pages,
    }


def _node(node: trace.Node) -> dict[str, Any]:
    return {
        **{name: getattr(node, name) for name in ("key", "kind", "label", "brings", "stays", "is_rest", "account")},
        **{name: getattr(node, name) for name in ("state", "at", "text", "steps")},
        "object": node.ref,
        "facts": [{"label": label, "value": value} for label, value in node.facts],
        "entries": [
            {
                **{name: getattr(entry, name) for name in ("id", "kind", "key", "at", "source", "text")},
                "postings": [
                    {"account": account, "seller": seller, "amount": amount}
                    for account, seller, amount in entry.postings
                ],
            }
            for entry in node.entries
        ],
    }


urlpatterns: list[URLPattern | URLResolver] = [
    path("trace/<str:ref>/", TraceViewSet.as_view({"get": "retrieve"}), name="trace-detail"),
]
