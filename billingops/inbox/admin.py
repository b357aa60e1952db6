"""The inbox in the back office: what came, what became of it, and for what failed: again, or let it be."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from billingops.actors import Actor
from billingops.admin.actions import ConfirmedAction, Given
from billingops.admin.base import ReadOnlyAdmin, age_column, json_column, state_column, stripe_id_column
from billingops.admin.filters import AccountFilter, ExactFilter
from billingops.admin.site import site
from billingops.inbox import services
from billingops.inbox.models import InboundEvent


class TypeFilter(ExactFilter):
    title = "type"
    parameter_name = "type"
    placeholder = "invoice.paid"


def _replay(event: InboundEvent, actor: Actor, given: Given) -> None:
    services.replay(event_pk=event.pk, actor=actor)


def _dismiss(event: InboundEvent, actor: Actor, given: Given) -> None:
    services.dismiss(event_pk=event.pk, actor=actor, reason=given.comment)


def _no_replay(request: HttpRequest, event: InboundEvent) -> str:
    return "" if services.may_replay(event) else f"It is {event.get_state_display()}."


def _no_dismissal(request: HttpRequest, event: InboundEvent) -> str:
    return "" if services.may_dismiss(event) else f"It is {event.get_state_display()}."


@admin.register(InboundEvent, site=site)
class InboundEventAdmin(ReadOnlyAdmin):
    scope_field = "account"
    list_display = ("type", "state_", "object_", "account", "attempts", "outcome", "age")
    list_filter = ("state", TypeFilter, AccountFilter)
    exact_search = ("event_id", "object_id")
    ordering = ("-id",)
    fieldsets = (
        (None, {"fields": ("type", "state_", "event_id", "object_", "object_type", "account")}),
        ("When", {"fields": ("created_at", "received_at", "handled_at", "next_attempt_at", "attempts")}),
        ("Outcome", {"fields": ("note", "error", "dismissed_by", "dismiss_reason", "claimed_by", "claimed_at")}),
        ("As Stripe sent it", {"fields": ("api_version", "livemode", "payload_")}),
    )
    readonly_fields = ("state_", "object_", "payload_")
    export_fields = ("event_id", "account", "type", "object_id", "state", "attempts", "created_at", "received_at")
    empty_text = "Events appear here when Stripe posts them to /stripe/webhook/."
    confirmed_actions = (
        ConfirmedAction(
            name="replay",
            label="Replay the selected events",
            button="Replay",
            sentence="Hands these events to the worker again, with all their attempts before them. What has been done "
            "already is not done twice.",
            may=lambda request: request.user.has_perm("inbox.replay_inboundevent"),
            refuse=_no_replay,
            run=_replay,
            done="Waiting again",
        ),
        ConfirmedAction(
            name="dismiss",
            label="Dismiss the selected events",
            button="Dismiss",
            sentence="Closes these events without processing them. They stay in the list and can be replayed.",
            may=lambda request: request.user.has_perm("inbox.dismiss_inboundevent"),
            refuse=_no_dismissal,
            run=_dismiss,
            comment="required",
            comment_label="Reason",
            danger=True,
            done="Dismissed",
        ),
    )

    state_ = state_column()
    object_ = stripe_id_column("object_id", "Object", account="account")
    age = age_column("received_at", "Received")
    payload_ = json_column("payload", "Payload")

    @admin.display(description="Outcome")
    def outcome(self, event: InboundEvent) -> str:
        return event.error or event.note or event.dismiss_reason

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        queryset = super().get_queryset(request)
        detail = request.resolver_match and (request.resolver_match.url_name or "").endswith("_change")
        return queryset if detail else queryset.defer("payload")
