"""The pages of messages."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse

from billingops.admin.base import ReadOnlyAdmin, age_column, state_column, stripe_id_column
from billingops.admin.filters import AccountFilter, CustomerFilter
from billingops.admin.site import site
from dunning import messages
from dunning.models import Message


@admin.register(Message, site=site)
class MessageAdmin(ReadOnlyAdmin):
    scope_field = "account"
    list_display = ("subject", "state_", "customer_", "template", "language", "sent_at", "age")
    list_filter = ("state", AccountFilter, CustomerFilter)
    exact_search = ("customer", "pk")
    change_form_template = "admin/dunning/message_detail.html"
    empty_text = "Messages appear here when an approved customer message is sent."
    fieldsets = (
        (None, {"fields": ("subject", "state_", "error", "customer_", "account_", "channel", "template", "language")}),
        ("Sending", {"fields": ("created_at", "sending_at", "sent_at", "message_id", "portal_session")}),
    )
    readonly_fields = (
        "subject", "state_", "error", "customer_", "account_", "channel", "template", "language", "created_at",
        "sending_at", "sent_at", "message_id", "portal_session",
    )  # fmt: skip

    state_ = state_column()
    age = age_column()
    customer_ = stripe_id_column("customer", "Customer", account="account")
    account_ = stripe_id_column("account", "Account")

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        message = self.get_object(request, object_id)
        shown = {"message_text": messages.as_shown(message.body_text) if message else ""}
        return super().change_view(request, object_id, form_url, {**shown, **(extra_context or {})})
