"""`/api/v1/dunning/cases/`: cases, and what a person does with them. Rights, scope, pages, errors: billingops/rest.py.

The verbs are those of dunning/work.py, with the same rights and checks as on the pages. A wrong version is 409.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.urls import URLPattern, URLResolver
from drf_spectacular.utils import extend_schema, extend_schema_field, extend_schema_view
from rest_framework import mixins, serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import SimpleRouter

from approvals.serializers import NothingSerializer, StrictSerializer
from billingops.actors import Actor
from billingops.exceptions import InvalidInput
from billingops.rest import Filter, ScopedViewSet, error_responses
from dunning import api_access, api_report, by_hand, reasons, showing, work
from dunning.models import CaseNote, DunningCase
from dunning.states import CaseState

MOST_NOTES = 200


class CaseSerializer(serializers.ModelSerializer[DunningCase]):
    """Amounts: minor units of `currency`. `attempts`: all failed ones that are known. `version` goes into the verbs."""

    attempts = serializers.IntegerField(read_only=True)
    reason = serializers.CharField(source="failure_words", read_only=True)
    owner = serializers.CharField(source="owner.username", default=None, read_only=True)
    owner_group = serializers.CharField(source="owner_group.name", default=None, read_only=True)
    is_late = serializers.BooleanField(read_only=True)

    class Meta:
        model = DunningCase
        fields = [
            "id", "state", "closed_reason", "version", "account", "customer", "subscription", "invoice",
            "invoice_number", "currency", "amount_remaining", "recovered_amount", "attempts", "category", "reason",
            "owner", "owner_group", "sla_due_at", "sla_level", "is_late", "promised_for", "promises_broken", "paused",
            "snoozed_until", "grace_period_until", "sequence", "sequence_version", "arm", "opened_at",
            "last_failed_at", "next_step_at", "closed_at", "recovered_by",
        ]  # fmt: skip
        read_only_fields = fields


class CaseNoteSerializer(serializers.ModelSerializer[CaseNote]):
    author = serializers.CharField(source="author_name")

    class Meta:
        model = CaseNote
        fields = ["id", "kind", "text", "facts", "author", "created_at"]
        read_only_fields = fields


class CaseDetailSerializer(CaseSerializer):
    """`plan`: the steps to come as they were last planned, null while it is not to be shown (the blind sample).
    `notes`: newest first, at most 200."""

    plan = serializers.SerializerMethodField()
    notes = serializers.SerializerMethodField()

    class Meta(CaseSerializer.Meta):
        fields = [*CaseSerializer.Meta.fields, "planned_at", "plan", "notes"]

    @extend_schema_field(serializers.ListField(child=serializers.DictField(), allow_null=True))
    def get_plan(self, case: DunningCase) -> Any:
        return None if showing.unseen([case]) else case.plan

    @extend_schema_field(CaseNoteSerializer(many=True))
    def get_notes(self, case: DunningCase) -> Any:
        return CaseNoteSerializer(case.notes.order_by("-id")[:MOST_NOTES], many=True).data


# -- what the verbs take -----------------------------------------------------------------------------------------------


class VersionSerializer(StrictSerializer):
    version = serializers.IntegerField(min_value=1, help_text="The case's version as you saw it.")


class SaidSerializer(VersionSerializer):
    text = serializers.CharField(max_length=by_hand.MAX_TEXT, required=False, allow_blank=True, default="")


class ReasonedSerializer(VersionSerializer):
    text = serializers.CharField(max_length=by_hand.MAX_TEXT)


class PromiseSerializer(SaidSerializer):
    day = serializers.DateField(help_text="The day the customer promised to pay by, at most 60 days ahead.")


class SnoozeSerializer(SaidSerializer):
    until = serializers.DateTimeField(help_text="ISO 8601, at most 60 days ahead.")


class AssignCaseSerializer(VersionSerializer):
    to = serializers.CharField(max_length=150, help_text="A user name.")


class HandOverSerializer(ReasonedSerializer):
    """To a user or to a group, not to both."""

    to = serializers.CharField(max_length=150, required=False, help_text="A user name.")
    group = serializers.CharField(max_length=150, required=False, help_text="A group's name.")


class CaseNoteTextSerializer(StrictSerializer):
    kind = serializers.ChoiceField(choices=[str(kind) for kind in work.BY_HAND], default="note")
    text = serializers.CharField(max_length=by_hand.MAX_TEXT)


def _assign(*, to: str, **given: Any) -> DunningCase:
    return work.assign(to=_person(to), **given)


def _hand_over(*, to: str = "", group: str = "", **given: Any) -> DunningCase:
    team = Group.objects.filter(name=group).first() if group else None
    if group and team is None:
        raise InvalidInput("There is no group of that name.", field="group")
    return work.hand_over(to=_person(to) if to else None, group=team, **given)


def _person(name: str) -> Any:
    user = get_user_model()._default_manager.filter(username=name).first()
    if user is None:
        raise InvalidInput("There is nobody of that name who may work on it.", field="to")
    return user


# -- the endpoint ------------------------------------------------------------------------------------------------------

_ANSWERS: dict[Any, Any] = {200: CaseDetailSerializer, **error_responses(400, 404, 409)}


def _verb(summary: str, body: type[StrictSerializer]) -> Callable[[Any], Any]:
    def decorate(method: Any) -> Any:
        made = action(detail=True, methods=["post"], serializer_class=body)(method)
        return extend_schema(summary=summary, request=body, responses=_ANSWERS)(made)

    return decorate


VERBS = (
    *("take", "release", "assign", "hand_over", "promise", "pause", "resume", "snooze", "note", "look_again"),
    "escalate",
)


@extend_schema_view(
    list=extend_schema(
        summary="List dunning cases, newest first", responses={200: CaseSerializer(many=True), **error_responses(400)}
    ),
    retrieve=extend_schema(
        summary="Read a case with its plan and notes", responses={200: CaseDetailSerializer, **error_responses(404)}
    ),
)
class CaseViewSet(mixins.ListModelMixin, mixins.RetrieveModelMixin, ScopedViewSet):
    queryset = DunningCase.objects.select_related("owner", "owner_group")
    serializer_class = CaseSerializer
    page_order = ("-id",)
    filters = (
        Filter("state", choices=CaseState.values),
        Filter("category", choices=[category.value for category in reasons.Category], description="Of the failure."),
        Filter("account", description="The connected account, acct_…; empty: the platform's own."),
        Filter("customer", description="The customer, cus_…"),
        Filter("subscription", description="The subscription, sub_…"),
        Filter("invoice", description="The invoice, in_…"),
        Filter("owner", lookup="owner__username", description="A user name."),
        Filter("owner_group", lookup="owner_group__name", description="A group's name."),
        Filter("sequence", description="The campaign it follows."),
    )
    verb_permissions = dict.fromkeys(VERBS, (by_hand.WORK,))
    refusal = "You may look at cases but not work on them."

    def get_serializer_class(self) -> Any:
        return CaseDetailSerializer if self.action == "retrieve" else super().get_serializer_class()

    @_verb("Say that it is yours; of two at once one has it, the other gets a 409", NothingSerializer)
    def take(self, request: Request, pk: str) -> Response:
        return self._carry_out(request, work.take)

    @_verb("Let go of it; somebody else's only by a lead", NothingSerializer)
    def release(self, request: Request, pk: str) -> Response:
        return self._carry_out(request, work.release)

    @_verb("Give it to somebody who may work on it", AssignCaseSerializer)
    def assign(self, request: Request, pk: str) -> Response:
        return self._carry_out(request, _assign)

    @_verb("Hand it over to a person or a group, who are to act in time", HandOverSerializer)
    def hand_over(self, request: Request, pk: str) -> Response:
        return self._carry_out(request, _hand_over)

    @_verb("Note a promise to pay; every step but an escalation waits until its day has ended", PromiseSerializer)
    def promise(self, request: Request, pk: str) -> Response:
        return self._carry_out(request, work.promise)

    @_verb("Stop every step until it is resumed", ReasonedSerializer)
    def pause(self, request: Request, pk: str) -> Response:
        return self._carry_out(request, work.pause)

    @_verb("End the pause, the snooze or the promise, and plan anew", SaidSerializer)
    def resume(self, request: Request, pk: str) -> Response:
        return self._carry_out(request, work.resume)

    @_verb("Put every step but an escalation off until a time", SnoozeSerializer)
    def snooze(self, request: Request, pk: str) -> Response:
        return self._carry_out(request, work.snooze)

    @_verb("Write down a remark, a call or a letter; it stays", CaseNoteTextSerializer)
    def note(self, request: Request, pk: str) -> Response:
        return self._carry_out(request, work.write)

    @_verb("Plan it anew now", VersionSerializer)
    def look_again(self, request: Request, pk: str) -> Response:
        return self._carry_out(request, work.look_again)

    @_verb("Propose at the gate that a person takes it on; somebody else approves", ReasonedSerializer)
    def escalate(self, request: Request, pk: str) -> Response:
        return self._carry_out(request, work.escalate)

    def _carry_out(self, request: Request, verb: Callable[..., Any]) -> Response:
        case = self.get_object()
        body = self.get_serializer(data=request.data)
        body.is_valid(raise_exception=True)
        verb(case_id=case.pk, actor=Actor.person(request.user), **body.validated_data)
        return Response(CaseDetailSerializer(self.get_object(), context=self.get_serializer_context()).data)


_router = SimpleRouter()
_router.register("dunning/cases", CaseViewSet, basename="dunning-case")
urlpatterns: list[URLPattern | URLResolver] = [*_router.urls, *api_access.urlpatterns, *api_report.urlpatterns]
