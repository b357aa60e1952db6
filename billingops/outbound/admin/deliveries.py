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
from billingops.templatetags import billingops as tags

SHOWN_ATTEMPTS = 50
ERRORS = {
    "status": "the receiver answered with an error",
    "redirect": "the receiver answered with another address; redirects are not followed",
    "timeout": "no answer in time",
    "dns": "the name in its URL is not known",
    "connection": "no connection",
    "tls": "no secure connection: its certificate is not valid for us",
    "answer": "what it answered is not HTTP",
    "address": "its URL leads to a private address; we do not send there",
    "url": "its URL is not valid",
    "interrupted": "our worker was stopped meanwhile",
}


AHEAD = (Delivery.State.WAITING, Delivery.State.FAILED)


def outcome_of(row: Delivery | DeliveryAttempt) -> str:
    """`200`, `502, the receiver answered with an error`, `no answer in time`."""
    error = ERRORS.get(row.error, row.error.replace("_", " "))
    return ", ".join(filter(None, [str(row.status or ""), error])) or "—"


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


def account_words(row: Delivery | DeliveryAttempt | OutgoingEvent) -> str:
    return tags.stripe_link(row.account) if row.account else "the platform’s own"


def _milliseconds(row: Delivery | DeliveryAttempt) -> str:
    return "—" if row.response_ms is None else f"{row.response_ms:,} ms"


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
        (None, {"fields": ("type", "state_", "endpoint", "event", "account_")}),
        ("How far", {"fields": ("attempts", "outcome", "answered", "next_attempt", "delivered", "replays_")}),
    )
    readonly_fields = (
        "type", "state_", "endpoint", "event", "account_", "attempts", "outcome", "answered", "next_attempt",
        "delivered", "replays_",
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
        return outcome_of(row)

    @admin.display(description="Answered within")
    def answered(self, row: Delivery) -> str:
        return _milliseconds(row)

    @admin.display(description="Next attempt")
    def next_attempt(self, row: Delivery) -> str:
        """Only where there is one: what is delivered or given up keeps its last moment."""
        return tags.age(row.next_attempt_at if row.state in AHEAD else None)

    @admin.display(description="Delivered")
    def delivered(self, row: Delivery) -> str:
        return tags.exact(row.delivered_at)

    @admin.display(description="Sent again by a person")
    def replays_(self, row: Delivery) -> str:
        return "once" if row.replays == 1 else f"{row.replays} times" if row.replays else "never"

    @admin.display(description="Account")
    def account_(self, row: Delivery) -> str:
        return account_words(row)

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        shown: dict[str, Any] = {}
        if object_id.isdecimal() and len(object_id) < 19 and self.has_view_permission(request):
            rows = DeliveryAttempt.objects.filter(delivery__in=self.get_queryset(request).filter(pk=object_id))
            event = OutgoingEvent.objects.filter(deliveries__in=self.get_queryset(request).filter(pk=object_id)).first()
            log = [(row, outcome_of(row)) for row in rows.order_by("-id")[:SHOWN_ATTEMPTS]]
            shown = {"log": log, "event": event, "most": SHOWN_ATTEMPTS}
        return super().change_view(request, object_id, form_url, {**shown, **(extra_context or {})})


@admin.register(OutgoingEvent, site=site)
class OutgoingEventAdmin(ReadOnlyAdmin):
    scope_field = "account"
    list_display = ("type", "subject", "sequence", "account_", "id", "age")
    list_filter = (TypeFilter, SubjectFilter, AccountFilter)
    exact_search = ("id", "subject")
    empty_text = "An event appears here when something happened that the platform should know, endpoint or not."
    fieldsets = ((None, {"fields": ("type", "id", "account_", "subject", "sequence", "created", "data_")}),)
    readonly_fields = ("type", "id", "account_", "subject", "sequence", "created", "data_")
    export_fields = ("id", "type", "account", "subject", "sequence", "created_at")

    age = age_column()
    data_ = json_column("data", "Data")

    @admin.display(description="Happened")
    def created(self, row: OutgoingEvent) -> str:
        return tags.exact(row.created_at)

    @admin.display(description="Account")
    def account_(self, row: OutgoingEvent) -> str:
        return account_words(row)


@admin.register(DeliveryAttempt, site=site)
class DeliveryAttemptAdmin(ReadOnlyAdmin):
    scope_field = "account"
    list_display = ("delivery", "number", "outcome", "answered", "age")
    list_select_related = ("delivery",)
    list_filter = (AccountFilter,)
    exact_search = ("delivery_id", "pk")
    empty_text = "Every message that was sent leaves a row here, with what came of it."
    fieldsets = ((None, {"fields": ("delivery", "account_", "number", "at_", "outcome", "answered")}),)
    readonly_fields = ("delivery", "account_", "number", "at_", "outcome", "answered")
    export_fields = ("id", "delivery_id", "account", "number", "at", "status", "error", "response_ms")

    age = age_column("at")

    @admin.display(description="Outcome")
    def outcome(self, row: DeliveryAttempt) -> str:
        return outcome_of(row)

    @admin.display(description="Answered within")
    def answered(self, row: DeliveryAttempt) -> str:
        return _milliseconds(row)

    @admin.display(description="When")
    def at_(self, row: DeliveryAttempt) -> str:
        return tags.exact(row.at)

    @admin.display(description="Account")
    def account_(self, row: DeliveryAttempt) -> str:
        return account_words(row)
