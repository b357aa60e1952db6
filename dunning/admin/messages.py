"""The pages of messages: as they were sent, in text and HTML; a letter as a PDF."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.urls import URLPattern, path
from django.utils.safestring import SafeString

from billingops.admin.base import ReadOnlyAdmin, age_column, stripe_id_column
from billingops.admin.filters import AccountFilter, CustomerFilter
from billingops.admin.site import site
from billingops.templatetags import billingops as tags
from dunning.messages import letter, preview, texts
from dunning.models import Message


def badge(message: Message) -> SafeString:
    """What became of it: sent is not arrived."""
    if message.complained_at:
        return tags.state_badge("refused", "reported as unwanted")
    if message.bounced_at:
        return tags.state_badge("refused", "bounced")
    return tags.state_badge(message.state, message.get_state_display())


@admin.register(Message, site=site)
class MessageAdmin(ReadOnlyAdmin):
    scope_field = "account"
    list_display = ("subject", "state_", "customer_", "channel", "template_", "language", "sent", "age")
    list_filter = ("state", "channel", AccountFilter, CustomerFilter)
    exact_search = ("customer", "pk", "message_id", "provider_id")
    change_form_template = "admin/dunning/message_detail.html"
    empty_text = "Messages appear here when an approved customer message is sent."
    fieldsets = (
        (
            None,
            {
                "fields": (
                    "subject", "state_", "error", "customer_", "account_", "case", "invoices_", "channel", "template_",
                    "tone", "language", "brand",
                )
            },
        ),
        (
            "Sending",
            {
                "fields": (
                    "created_at", "sending_at", "sent_at", "delivered_at", "bounced_at", "bounce", "complained_at",
                    "answered_at", "message_id", "provider_id", "portal_session",
                )
            },
        ),
    )  # fmt: skip
    readonly_fields = (
        "subject", "state_", "error", "customer_", "account_", "case", "invoices_", "channel", "template_", "tone",
        "language", "brand", "created_at", "sending_at", "sent_at", "delivered_at", "bounced_at", "bounce",
        "complained_at", "answered_at", "message_id", "provider_id", "portal_session",
    )  # fmt: skip

    labels = {
        "error": "Why it was not sent",
        "created_at": "Written",
        "sending_at": "Handed to the mail server",
        "sent_at": "Sent",
        "delivered_at": "Delivered",
        "bounced_at": "Bounced",
        "bounce": "Why it bounced",
        "complained_at": "Reported as unwanted",
        "answered_at": "Answered",
        "message_id": "Message-ID",
        "provider_id": "The mail provider’s id",
        "portal_session": "Session of the billing portal",
    }

    @admin.display(description="State")
    def state_(self, message: Message) -> SafeString:
        return badge(message)

    age = age_column()
    sent = age_column("sent_at", "Sent")
    customer_ = stripe_id_column("customer", "Customer", account="account")
    account_ = stripe_id_column("account", "Account")

    @admin.display(description="Text")
    def template_(self, message: Message) -> str:
        return dict(texts.labels()).get(message.template, message.template)

    @admin.display(description="Invoices")
    def invoices_(self, message: Message) -> str:
        return ", ".join(map(str, message.invoices)) or message.case.invoice

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [
            path("<path:object_id>/letter.pdf", view(self.letter_view), name="dunning_message_letter"),
            *super().get_urls(),
        ]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        message = self.get_object(request, unquote(object_id))
        shown = {"shown": preview.of_message(message), "badge": badge(message)} if message else {}
        return super().change_view(request, object_id, form_url, {**shown, **(extra_context or {})})

    def letter_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """The letter, to be printed. The address is for the person to write: we keep none."""
        if request.method not in ("GET", "HEAD"):
            return HttpResponseNotAllowed(["GET", "HEAD"])
        message = self.get_object(request, unquote(object_id))
        if message is None:
            raise Http404
        if not self.has_view_permission(request, message):
            raise PermissionDenied
        if message.channel != Message.Channel.POST:
            raise Http404("This message is no letter.")
        answer = HttpResponse(letter.render(message), content_type="application/pdf")
        answer["Content-Disposition"] = f'inline; filename="letter-{message.pk}.pdf"'
        return answer
