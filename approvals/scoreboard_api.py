"""`GET /api/v1/scoreboard/`: the scoreboard's figures, for the accounts that the caller may see."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers, viewsets
from rest_framework.request import Request
from rest_framework.response import Response

from approvals import registry
from approvals.models import BandTally
from approvals.scoreboard import board
from billingops.exceptions import InvalidInput
from billingops.rest import ModelPermission, error_responses

_PARAMETERS = ("kind", "account", "period")


class ShareSerializer(serializers.Serializer[Any]):
    """`lower` and `upper`: the Wilson 95 % interval, null without a sample."""

    part = serializers.IntegerField()
    whole = serializers.IntegerField(help_text="the sample size")
    lower = serializers.FloatField(allow_null=True)
    upper = serializers.FloatField(allow_null=True)


class FiguresSerializer(serializers.Serializer[Any]):
    verdicts = serializers.IntegerField()
    agreement = ShareSerializer()
    overridden = ShareSerializer()
    open = ShareSerializer(help_text="where the suggestion's verdict was shown first")
    blind = ShareSerializer(help_text="where the reviewer said theirs first")
    median = serializers.CharField(help_text="time to decide: the bucket's upper edge")
    p90 = serializers.CharField()


class BandSerializer(FiguresSerializer):
    kind = serializers.CharField()
    account = serializers.CharField()
    currency = serializers.CharField()
    over = serializers.IntegerField(help_text="minor units, exclusive")
    up_to = serializers.IntegerField(allow_null=True, help_text="minor units, inclusive; null: no upper bound")
    suggested_by = serializers.CharField()
    money = serializers.IntegerField(help_text="decided on, in minor units of `currency`")
    overridden_money = serializers.IntegerField()


class AuthorSerializer(FiguresSerializer):
    kind = serializers.CharField()
    suggested_by = serializers.CharField()
    model = ShareSerializer(help_text="agreement where a model chose")
    rules_alone = ShareSerializer(help_text="what the rules alone would have had on the same cases")
    verdict = serializers.CharField(help_text='in words; "" where no model chose')


class ReviewerSerializer(FiguresSerializer):
    reviewer = serializers.CharField()
    seeded_caught = serializers.IntegerField()
    seeded_missed = serializers.IntegerField()


class ScoreboardSerializer(serializers.Serializer[Any]):
    bands = BandSerializer(many=True)
    more_bands = serializers.BooleanField(help_text=f"there are more than {board.ROWS}; narrow by kind or account")
    authors = AuthorSerializer(many=True)
    reviewers = ReviewerSerializer(many=True, help_text="empty without the right to see how each person decides")


def _share(one: board.Share) -> dict[str, Any]:
    return {
        "part": one.part,
        "whole": one.whole,
        "lower": round(one.lower, 6) if one.whole else None,
        "upper": round(one.upper, 6) if one.whole else None,
    }


def _figures(one: board.Figures) -> dict[str, Any]:
    shares = {name: _share(getattr(one, name)) for name in ("agreement", "overridden", "open", "blind")}
    return {"verdicts": one.verdicts, **shares, "median": one.median, "p90": one.p90}


class ScoreboardViewSet(viewsets.ViewSet):
    permission_classes = [ModelPermission]
    permission_model = BandTally

    @extend_schema(
        summary="Agreement of suggestions with people, per kind, account, amount band and author",
        parameters=[
            OpenApiParameter("kind", str, enum=registry.names()),
            OpenApiParameter("account", str),
            OpenApiParameter("period", str, enum=list(board.PERIODS), description="months, this one included"),
        ],
        responses={200: ScoreboardSerializer, **error_responses(400)},
    )
    def list(self, request: Request) -> Response:
        given = request.query_params
        for name in given:
            if name not in (*_PARAMETERS, "format"):
                raise InvalidInput(f"{name} is no parameter here; there are {', '.join(_PARAMETERS)}.", field=name)
        if given.get("kind") and given["kind"] not in registry.names():
            raise InvalidInput(f"kind={given['kind']!r} is not known.", field="kind")
        if given.get("period") and given["period"] not in board.PERIODS:
            raise InvalidInput(f"period must be one of {', '.join(board.PERIODS)}.", field="period")
        filters = board.Filters.of(given.dict())
        rows = board.bands(request.user, filters)
        people = board.reviewers(request.user, filters) if request.user.has_perm("approvals.view_reviewertally") else []
        return Response(
            {
                "bands": [
                    {
                        "kind": row.kind,
                        "account": row.account,
                        "currency": row.band.currency,
                        "over": row.band.over,
                        "up_to": row.band.up_to or None,
                        "suggested_by": row.author,
                        "money": row.figures.money,
                        "overridden_money": row.figures.overridden_money,
                        **_figures(row.figures),
                    }
                    for row in rows[: board.ROWS]
                ],
                "more_bands": len(rows) > board.ROWS,
                "authors": [
                    {
                        "kind": row.kind,
                        "suggested_by": row.author,
                        "model": _share(row.model),
                        "rules_alone": _share(row.rules),
                        "verdict": row.verdict,
                        **_figures(row.figures),
                    }
                    for row in board.authors(request.user, filters)
                ],
                "reviewers": [
                    {
                        "reviewer": row.name,
                        "seeded_caught": row.caught,
                        "seeded_missed": row.missed,
                        **_figures(row.figures),
                    }
                    for row in people
                ],
            }
        )
