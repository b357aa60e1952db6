"""What was sent to whom, with each attempt; the events themselves."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse

from billingops.actors import Actor
from billingops.admin.actions import ConfirmedAction, Given
from billingops.admin.base import ReadOnlyAdmin, age_column, json_column, state_column
from billingops.admin.filters import AccountFilter, ExactFilter
from billingops.admin.site import site
from billingops.outbound import services
from billingops.outbound.models import Delivery, DeliveryAttempt, OutgoingEvent

SHOWN_ATTEMPTS = 50


class TypeFilter(ExactFilter):
    title = "type"
    parameter_name = "type"
    placeholder = "dunning.suspended"


class EndpointFilter(ExactFilter):
    title = "endpoint"
    parameter_name = "endpoint"
    field = "endpoint__name"
    placeholder = "its name"


class SubjectFilter(ExactFilter):
    title = "subject"
    parameter_name = "subject"
    placeholder = "subscription:sub_…"


def _replay(delivery: Delivery, actor: Actor, given: Given) -> None:
    services.replay(delivery_id=delivery.pk, actor=actor)


@admin.register(Delivery, site=site)
class DeliveryAdmin(ReadOnlyAdmin):
    scope_field = "account"
    list_display = ("type", "state_", "endpoint", "attempts", "outcome", "age")
    list_select_related = ("endpoint",)
    list_filter = ("state", TypeFilter, EndpointFilter, AccountFilter)
    exact_search = ("event_id", "pk")
    change_form_template = "admin/outbound/delivery_detail.html"
    empty_text = "A delivery appears here when something happened that an endpoint wants to be told."
    fieldsets = (
        (None, {"fields": ("type", "state_", "endpoint", "event", "account")}),
        ("Attempts", {"fields": ("attempts", "outcome", "response_ms", "next_attempt_at", "delivered_at", "replays")}),
    )
    readonly_fields = (
        "type", "state_", "endpoint", "event", "account", "attempts", "outcome", "response_ms", "next_attempt_at",
        "delivered_at", "replays",
    )  # fmt: skip
    export_fields = (
        "id", "event_id", "endpoint_id", "account", "type", "state", "attempts", "status", "error", "response_ms",
        "replays", "created_at", "delivered_at",
    )  # fmt: skip
    confirmed_actions = (
        ConfirmedAction(
            name="replay",
            label="Send the selected deliveries again",
            button="Send again",
            sentence="Sends these events again under the same ids, with all their attempts before them. A receiver "
            "that keeps ids does nothing twice.",
            run=_replay,
            may=lambda request: services.may_replay(request.user),
            refuse=lambda request, row: "" if row.state in services.REPLAYABLE else "It is on its way already.",
            version=lambda row: f"{row.state}:{row.attempts}:{row.replays}",
            done="On their way again",
        ),
    )

    state_ = state_column()
    age = age_column()

    @admin.display(description="Outcome")
    def outcome(self, row: Delivery) -> str:
        return " ".join(filter(None, [str(row.status or ""), row.error])) or "—"

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        shown: dict[str, Any] = {}
        if object_id.isdecimal() and len(object_id) < 19 and self.has_view_permission(request):
            rows = DeliveryAttempt.objects.filter(delivery__in=self.get_queryset(request).filter(pk=object_id))
            event = OutgoingEvent.objects.filter(deliveries__in=self.get_queryset(request).filter(pk=object_id)).first()
            shown = {"log": list(rows.order_by("-id")[:SHOWN_ATTEMPTS]), "event": event, "most": SHOWN_ATTEMPTS}
        return super().change_view(request, object_id, form_url, {**shown, **(extra_context or {})})


@admin.register(OutgoingEvent, site=site)
class OutgoingEventAdmin(ReadOnlyAdmin):
    scope_field = "account"
    list_display = ("type", "subject", "sequence", "account", "id", "age")
    list_filter = (TypeFilter, SubjectFilter, AccountFilter)
    exact_search = ("id", "subject")
    empty_text = "An event appears here when something happened that the platform should know, endpoint or not."
    fieldsets = ((None, {"fields": ("type", "id", "account", "subject", "sequence", "created_at", "data_")}),)
    readonly_fields = ("type", "id", "account", "subject", "sequence", "created_at", "data_")
    export_fields = ("id", "type", "account", "subject", "sequence", "created_at")

    age = age_column()
    data_ = json_column("data", "Data")


@admin.register(DeliveryAttempt, site=site)
class DeliveryAttemptAdmin(ReadOnlyAdmin):
    scope_field = "account"
    list_display = ("delivery", "number", "status", "error", "response_ms", "age")
    list_select_related = ("delivery",)
    list_filter = (AccountFilter,)
    exact_search = ("delivery_id", "pk")
    empty_text = "Every message that was sent leaves a row here, with what came of it."
    readonly_fields = ("delivery", "account", "number", "at", "status", "error", "response_ms")
    export_fields = ("id", "delivery_id", "account", "number", "at", "status", "error", "response_ms")

    age = age_column("at")
