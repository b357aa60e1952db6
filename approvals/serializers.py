"""The shapes of the gate on `/api/v1/suggestions/`: exactly what the design promises, nothing more."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from approvals import blind, policies, registry, sealing, seeds
from approvals.models import Comment, Decision, Execution, Suggestion
from approvals.services import MAX_COMMENT, REJECTION_REASONS
from billingops import personal


class _MaskingMixin:
    """Fields in `may_hold_people` go through `personal.shown` for whoever asks."""

    may_hold_people: tuple[str, ...] = ()

    def to_representation(self, instance: Any) -> dict[str, Any]:
        data: dict[str, Any] = super().to_representation(instance)  # type: ignore[misc]
        request = self.context.get("request")  # type: ignore[attr-defined]
        user = request.user if request is not None else None
        return data | {name: personal.shown(data[name], user) for name in self.may_hold_people}


class DecisionSerializer(serializers.ModelSerializer[Decision]):
    actor = serializers.CharField(source="actor_name", read_only=True)

    class Meta:
        model = Decision
        fields = [
            "actor",
            "verdict",
            "version",
            "revision",
            "facts_hash",
            "seal",
            "changes",
            "reason_code",
            "comment",
            "created_at",
        ]
        read_only_fields = fields


class ExecutionSerializer(_MaskingMixin, serializers.ModelSerializer[Execution]):
    may_hold_people = ("result",)

    class Meta:
        model = Execution
        fields = [
            "attempt",
            "state",
            "idempotency_key",
            "not_before",
            "held",
            "object_id",
            "request_id",
            "result",
            "error_code",
            "error",
            "queued_at",
            "started_at",
            "finished_at",
            "confirmed_at",
            "confirmed_event",
        ]
        read_only_fields = fields


class CommentSerializer(serializers.ModelSerializer[Comment]):
    author = serializers.CharField(source="author_name", read_only=True)

    class Meta:
        model = Comment
        fields = ["author", "text", "created_at"]
        read_only_fields = fields


class SuggestionSerializer(_MaskingMixin, serializers.ModelSerializer[Suggestion]):
    """`amount` in minor units of `currency`, both empty for kinds without an amount; `confidence` as text, "0.850"."""

    decisions = DecisionSerializer(many=True, read_only=True)
    executions = ExecutionSerializer(many=True, read_only=True)
    comments = CommentSerializer(many=True, read_only=True)
    assignee = serializers.SlugRelatedField[Any](slug_field="username", read_only=True)
    last_editor = serializers.SlugRelatedField[Any](slug_field="username", read_only=True)
    editable = serializers.SerializerMethodField()
    seal = serializers.SerializerMethodField()
    blind_choices = serializers.SerializerMethodField()
    seeded_check = serializers.SerializerMethodField()
    may_hold_people = ("params", "facts")

    class Meta:
        model = Suggestion
        fields = [
            "id",
            "kind",
            "state",
            "version",
            "account",
            "customer",
            "subject",
            "amount",
            "currency",
            "params",
            "facts",
            "facts_hash",
            "rationale",
            "reason_code",
            "confidence",
            "suggested_by",
            "event_id",
            "created_at",
            "expires_at",
            "decisions",
            "executions",
            "revision",
            "required_approvals",
            "last_editor",
            "assignee",
            "assigned_at",
            "rank_at",
            "editable",
            "seal",
            "comments",
            "blind_choices",
            "seeded_check",
        ]
        read_only_fields = fields

    def to_representation(self, instance: Suggestion) -> dict[str, Any]:
        """Of the blind sample, what may be shown of it; `blind_choices` is what can be said to it."""
        data = super().to_representation(blind.shown(instance))
        data["blind_choices"] = [name for name, _ in blind.choices(instance)] if blind.hides(instance) else []
        return data

    def get_editable(self, suggestion: Suggestion) -> list[str]:
        """The parameters that `edit` takes."""
        if not suggestion.is_waiting or suggestion.kind not in registry.names():
            return []
        return [field.name for field in registry.get(suggestion.kind).editable if field.widget != "hidden"]

    def get_seal(self, suggestion: Suggestion) -> str:
        """Of what an approval would bind to, for `approve`; of a single waiting suggestion only, "" in lists."""
        view = self.context.get("view")
        if getattr(view, "action", "") == "list" or not suggestion.is_waiting or blind.hides(suggestion):
            return ""
        return sealing.of(suggestion, policies.evaluate(suggestion, stage="approved").versions)

    def get_blind_choices(self, suggestion: Suggestion) -> list[str]:
        return []

    def get_seeded_check(self, suggestion: Suggestion) -> dict[str, Any] | None:
        """After the verdict only: a suggestion that was wrong on purpose, and whether it was noticed."""
        check = seeds.told(suggestion)
        return {"caught": check.caught, "flaw": check.flaw, "text": check.text} if check else None


class StrictSerializer(serializers.Serializer[Any]):
    """A body with a key that the verb does not know is refused: who sends `amount` with an approval believes that it
    changes something."""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, dict) and (unknown := sorted(set(data) - set(self.fields))):
            raise serializers.ValidationError(
                {unknown[0]: f"is not known here; there are {', '.join(self.fields)}."}, code="unknown"
            )
        return super().to_internal_value(data)


class VerbSerializer(StrictSerializer):
    version = serializers.IntegerField(min_value=1, help_text="The version you have seen; another one is a 409.")
    comment = serializers.CharField(required=False, allow_blank=True, default="", max_length=MAX_COMMENT)


class DecideSerializer(VerbSerializer):
    despite_assignee = serializers.BooleanField(
        required=False, default=False, help_text="Decide although somebody else has taken it; it is written down."
    )


class ApproveSerializer(DecideSerializer):
    seal = serializers.CharField(
        required=False,
        allow_blank=True,
        default="",
        max_length=64,
        help_text="The item's `seal` as you saw it: a policy that changed since is a 409 too.",
    )


class EditSerializer(DecideSerializer):
    changes = serializers.DictField(
        child=serializers.CharField(allow_blank=True, trim_whitespace=False, max_length=10_000),
        allow_empty=False,
        help_text="{parameter: text}, of the item's `editable`.",
    )


class NothingSerializer(StrictSerializer):
    """An empty body."""


class AssignSerializer(StrictSerializer):
    to = serializers.CharField(max_length=150, help_text="A user name.")
    seen = serializers.CharField(
        required=False,
        allow_blank=True,
        default="",
        max_length=150,
        help_text="Who was on it when you looked, empty for nobody; another one is a 409.",
    )


class CommentTextSerializer(StrictSerializer):
    text = serializers.CharField(max_length=MAX_COMMENT)


class BlindSerializer(VerbSerializer):
    choice = serializers.CharField(help_text="One of the suggestion's `blind_choices`.", max_length=40)
    reason_code = serializers.ChoiceField(
        choices=REJECTION_REASONS, required=False, default="", help_text="Needed with `do_not`."
    )


class RejectSerializer(DecideSerializer):
    reason_code = serializers.ChoiceField(choices=REJECTION_REASONS, help_text="`other` needs a comment.")
