"""`POST /api/v1/rules/explain/`: what a rule does to a made-up invoice. For whoever may see rules; saves nothing."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from drf_spectacular.utils import extend_schema, extend_schema_field
from rest_framework import serializers, viewsets
from rest_framework.request import Request
from rest_framework.response import Response

from billingops.config import CURRENCIES, ConfigError
from billingops.exceptions import InvalidInput
from billingops.rest import ModelPermission, error_responses
from billingops.stripe.facts import LineFacts
from settlements import rules
from settlements.explain import Example
from settlements.explain_input import MAX_LINES, MAX_TEXT, try_out
from settlements.models import ShareRule

LIMIT = 10**15  # minor units


def _amount(*, negative: bool = False, **more: Any) -> serializers.IntegerField:
    more.setdefault("default", 0)
    return serializers.IntegerField(min_value=-LIMIT if negative else 0, max_value=LIMIT, **more)


def _text(limit: int, **more: Any) -> serializers.CharField:
    return serializers.CharField(max_length=limit, default="", allow_blank=True, **more)


class ExampleLineSerializer(serializers.Serializer[Any]):
    """Amounts in minor units of the invoice's currency. `seller`: as the price's metadata names it."""

    amount = serializers.IntegerField(min_value=-LIMIT, max_value=LIMIT, help_text="before discounts")
    quantity = serializers.IntegerField(min_value=0, max_value=10**9, default=1)
    discount = _amount()
    tax = _amount(help_text="on top of the amount")
    tax_within = _amount(help_text="contained in the amount")
    price = _text(255)
    product = _text(255)
    seller = _text(64)
    currency = _text(3, help_text="empty: the invoice's")


class ExplainSerializer(serializers.Serializer[Any]):
    rule = _text(MAX_TEXT, help_text="one rule as in the config file (YAML), or a list, or `rules:` and `sellers:`")
    name = _text(80, help_text="in place of `rule`: a stored one")
    version = serializers.IntegerField(
        min_value=1, max_value=10**6, allow_null=True, default=None, help_text="of the stored one; null: the latest"
    )
    with_stored_rules = serializers.BooleanField(default=True, help_text="the other stored rules take part")
    currency = serializers.ChoiceField(choices=sorted(CURRENCIES))
    paid_on = serializers.DateField()
    seller = _text(64, help_text="as the invoice's metadata names it")
    tier = _text(40, help_text="the customer's")
    volume = _amount(negative=True, help_text="of the period so far, for tiered rules")
    stripe_fee = _amount(help_text="on the whole payment")
    lines = ExampleLineSerializer(many=True, allow_empty=False, help_text=f"at most {MAX_LINES}")

    def validate_lines(self, lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
        if len(lines) > MAX_LINES:
            raise serializers.ValidationError(f"At most {MAX_LINES} lines, not {len(lines)}.")
        return lines


class OtherRuleSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    version = serializers.IntegerField()
    text = serializers.CharField(help_text="the rule in words")
    reason = serializers.CharField(help_text="why it does not count for this line")


class RuleLinePartSerializer(serializers.Serializer[Any]):
    """base = fee + share; both null where the seller earns nothing (see `problems`)."""

    seller = serializers.CharField(help_text='"": the platform\'s own')
    rule = serializers.CharField()
    version = serializers.IntegerField()
    share_text = serializers.CharField()
    match_text = serializers.CharField()
    base = serializers.IntegerField()
    fee = serializers.IntegerField(allow_null=True)
    share = serializers.IntegerField(allow_null=True)


class RuleLineSerializer(serializers.Serializer[Any]):
    line = serializers.CharField()
    parts = RuleLinePartSerializer(many=True)
    others = OtherRuleSerializer(many=True)
    more_others = serializers.IntegerField()


class PeriodVolumeSerializer(serializers.Serializer[Any]):
    rule = serializers.CharField()
    version = serializers.IntegerField()
    period = serializers.CharField()
    before = serializers.IntegerField()
    after = serializers.IntegerField()


class RuleSellerSerializer(serializers.Serializer[Any]):
    """earned = share + adjustment − stripe_fee − withheld; payable = earned − reserve, from `due_on`."""

    seller = serializers.CharField()
    name = serializers.CharField()
    base = serializers.IntegerField()
    fee = serializers.IntegerField()
    share = serializers.IntegerField()
    adjustment = serializers.IntegerField()
    stripe_fee = serializers.IntegerField()
    withheld = serializers.IntegerField()
    earned = serializers.IntegerField()
    reserve = serializers.IntegerField()
    payable = serializers.IntegerField(source="paid_out")
    due_on = serializers.DateField()
    reserve_until = serializers.DateField(allow_null=True)
    schedule = serializers.CharField()
    volumes: Any = serializers.SerializerMethodField()

    @extend_schema_field(PeriodVolumeSerializer(many=True))
    def get_volumes(self, obj: Any) -> list[dict[str, Any]]:
        names = ("rule", "version", "period", "before", "after")
        return [dict(zip(names, row, strict=True)) for row in obj["volumes"]]


class RuleProblemSerializer(serializers.Serializer[Any]):
    code = serializers.CharField()
    seller = serializers.CharField()
    text = serializers.CharField()


class ExplanationSerializer(serializers.Serializer[Any]):
    """base = own + unearned + Σ sellers' bases; platform = own + Σ fees − Σ adjustments. Minor units of `currency`."""

    currency = serializers.CharField()
    paid_on = serializers.DateField()
    total = serializers.IntegerField(help_text="what the customer pays")
    tax = serializers.IntegerField()
    base = serializers.IntegerField()
    own = serializers.IntegerField(help_text="bases of the platform's own lines")
    unearned = serializers.IntegerField(help_text="bases that nobody earns, see `problems`")
    platform = serializers.IntegerField()
    platform_stripe_fee = serializers.IntegerField()
    lines = RuleLineSerializer(many=True)
    sellers = RuleSellerSerializer(many=True)
    problems = RuleProblemSerializer(many=True)


class ExplainViewSet(viewsets.ViewSet):
    permission_classes = [ModelPermission]
    permission_model = ShareRule
    # Asking needs no more than seeing: nothing is changed by it.
    verb_permissions = {"create": ("settlements.view_sharerule",)}
    refusal = "You may not see share rules."

    @extend_schema(
        summary="What a rule does to a made-up invoice: which rule counts, why the others do not, who gets what",
        operation_id="rules_explain",
        request=ExplainSerializer,
        responses={200: ExplanationSerializer, **error_responses(400)},
    )
    def create(self, request: Request) -> Response:
        body = ExplainSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        data = body.validated_data
        try:
            found = try_out(
                _example(data),
                user=request.user,
                text=data["rule"],
                name=data["name"],
                version=data["version"],
                stored=data["with_stored_rules"],
            )
        except ConfigError as error:
            raise InvalidInput(str(error), field="rule") from error
        return Response(ExplanationSerializer(asdict(found)).data)


def _example(data: dict[str, Any]) -> Example:
    return Example(
        currency=data["currency"],
        lines=tuple(_line(number, line, data["currency"]) for number, line in enumerate(data["lines"], start=1)),
        paid_on=data["paid_on"],
        seller=data["seller"],
        tier=data["tier"],
        volume=data["volume"],
        stripe_fee=data["stripe_fee"],
    )


def _line(number: int, data: dict[str, Any], currency: str) -> LineFacts:
    return LineFacts(
        id=f"line {number}",
        amount=data["amount"],
        currency=data["currency"].lower() or currency,
        discount=data["discount"],
        tax_inclusive=data["tax_within"],
        tax_exclusive=data["tax"],
        quantity=data["quantity"],
        price_id=data["price"],
        product_id=data["product"],
        price_metadata={rules.SELLER_KEY: data["seller"]} if data["seller"] else {},
    )
