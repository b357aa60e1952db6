"""Customers' answers: the list, each as it was written, and its being handled."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.contrib import admin
from django.db.models import Min, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse

from billingops import access, personal
from billingops.actors import Actor
from billingops.admin import home
from billingops.admin.actions import ConfirmedAction, Given
from billingops.admin.base import ReadOnlyAdmin, age_column, state_column, stripe_id_column
from billingops.admin.filters import AccountFilter, CustomerFilter
from billingops.admin.paging import capped_counts
from billingops.admin.site import site
from dunning.contact import replies
from dunning.contact.models import Reply

RIGHT = "contact.handle_reply"


class WaitingFilter(admin.SimpleListFilter):
    title = "handled"
    parameter_name = "handled"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("no", "waiting"), ("yes", "handled")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        chosen = self.value()
        return queryset.filter(handled_at__isnull=chosen == "no") if chosen in ("no", "yes") else queryset


def _handle(reply: Reply, actor: Actor, given: Given) -> None:
    replies.handle(reply_id=reply.pk, version=int(given.version), text=given.comment, actor=actor)


def _may(request: HttpRequest) -> bool:
    return request.user.has_perm(RIGHT)


@admin.register(Reply, site=site)
class ReplyAdmin(ReadOnlyAdmin):
    """What a customer wrote is shown on the page of the answer alone, to those who may see who customers are."""

    scope_field = "account"
    list_display = ("answer", "customer_", "state_", "case", "attachments", "age")
    list_select_related = ("case",)
    list_filter = (WaitingFilter, AccountFilter, CustomerFilter)
    exact_search = ("customer", "pk")
    change_form_template = "admin/contact/reply_detail.html"
    empty_text = (
        "An answer appears here when a customer answers a message and the mail server hands it over (docs/contact.md). "
        "Until somebody has handled it nothing is sent to that customer by itself."
    )
    fieldsets = (
        (
            None,
            {"fields": ("customer_", "account_", "state_", "case", "message", "received_at", "attachments", "from_")},
        ),
        ("Work", {"fields": ("handled_by_", "handled_at", "handled_note")}),
    )
    readonly_fields = (
        "customer_", "account_", "state_", "case", "message", "received_at", "attachments", "from_", "handled_by_",
        "handled_at", "handled_note",
    )  # fmt: skip
    confirmed_actions = (
        ConfirmedAction(
            name="handle",
            label="Mark the selected answers as handled",
            button="Mark as handled",
            sentence="Messages to these customers go on, and their cases are looked at now. Answer them first, write a "
            "promise into the case, or open a complaint, as the answer asks for it.",
            run=_handle,
            may=_may,
            refuse=lambda request, reply: "" if reply.is_waiting else "It is handled already.",
            version=lambda reply: str(reply.version),
            prefetch=lambda queryset: queryset.select_related("case"),
            comment="optional",
            comment_label="How it was handled",
        ),
    )

    labels = {
        "message": "Answers the message",
        "received_at": "Received",
        "handled_at": "Handled",
        "handled_note": "How it was handled",
    }
    state_ = state_column()
    age = age_column("received_at")
    customer_ = stripe_id_column("customer", "Customer", account="account")
    account_ = stripe_id_column("account", "Account")

    @admin.display(description="Handled by")
    def handled_by_(self, reply: Reply) -> str:
        return reply.handled_by or "—"

    @admin.display(description="Answer")
    def answer(self, reply: Reply) -> str:
        return f"Answer {reply.pk}"

    @admin.display(description="From the address that was written to", boolean=True)
    def from_(self, reply: Reply) -> bool:
        return reply.same_address

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        reply = self.get_object(request, object_id)
        shown: dict[str, Any] = {"reply_hidden": not personal.may_see(request.user)}
        if reply is not None and not shown["reply_hidden"]:
            shown |= {"reply_subject": reply.subject, "reply_text": reply.text}
        return super().change_view(request, object_id, form_url, {**shown, **(extra_context or {})})


@home.waiting(order=36)
def waiting_replies(request: HttpRequest) -> Iterator[home.WaitingLine]:
    """For those who may handle them. Two statements."""
    if not _may(request):
        return
    rows = access.scope(Reply.objects.waiting(), request.user)
    yield home.WaitingLine(
        label="answers from customers",
        count=capped_counts({"waiting": rows})["waiting"],
        oldest=rows.aggregate(oldest=Min("received_at"))["oldest"],
        url=reverse("admin:contact_reply_changelist") + "?handled=no",
        hint="nothing is sent to them meanwhile",
    )
