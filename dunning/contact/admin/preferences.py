"""How customers may be written to: the list, a customer's own word written down, and its being taken back."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path

from billingops.actors import Actor
from billingops.admin.actions import ConfirmedAction, Given
from billingops.admin.base import ReadOnlyAdmin, age_column, state_column, stripe_id_column
from billingops.admin.filters import AccountFilter, CustomerFilter
from billingops.admin.site import site
from dunning.contact import preferences
from dunning.contact.admin.parts import AboutCustomer, begin
from dunning.contact.models import ContactPreference
from dunning.models import DunningCase, Message

RIGHT = "contact.change_contact"
State = ContactPreference.State


class StopForm(AboutCustomer):
    channel = forms.ChoiceField(choices=Message.Channel.choices, label="No more messages by")
    text = forms.CharField(
        max_length=preferences.MAX_REASON,
        label="Reason",
        help_text="For example: asked for it on the phone. No address, no number.",
        widget=forms.Textarea(attrs={"rows": 2}),
    )


def _stop(given: dict[str, Any], case: DunningCase, actor: Actor) -> ContactPreference:
    return preferences.stop(
        account=case.account, customer=case.customer, channel=given["channel"], reason=given["text"], actor=actor
    )


def _resume(row: ContactPreference, actor: Actor, given: Given) -> None:
    preferences.resubscribe(preference_id=row.pk, version=int(given.version), reason=given.comment, actor=actor)


def _may(request: HttpRequest) -> bool:
    return request.user.has_perm(RIGHT)


@admin.register(ContactPreference, site=site)
class ContactPreferenceAdmin(ReadOnlyAdmin):
    scope_field = "account"
    list_display = ("channel", "customer_", "state_", "reason", "age")
    list_filter = ("state", "channel", AccountFilter, CustomerFilter)
    exact_search = ("customer", "pk")
    change_list_template = "admin/contact/preference_list.html"
    empty_text = "A customer appears here when they unsubscribe, when a message to them bounces, or when they complain."
    fieldsets = (
        (None, {"fields": ("customer_", "account_", "channel", "state_", "since", "reason", "what_it_means")}),
    )
    readonly_fields = ("customer_", "account_", "channel", "state_", "since", "reason", "what_it_means")
    export_fields = ("id", "account", "customer", "channel", "state", "since", "reason")
    confirmed_actions = (
        ConfirmedAction(
            name="resubscribe",
            label="Let the selected customers be written to again",
            button="Let them be written to again",
            sentence="These customers get messages by this channel again. They said, or their mail server did, that "
            "they should not: give the reason why you know better.",
            run=_resume,
            may=_may,
            refuse=lambda request, row: "Nothing stops messages by this channel." if row.state == State.OK else "",
            version=lambda row: str(row.version),
            comment="required",
            comment_label="Reason",
            danger=True,
        ),
    )

    state_ = state_column()
    age = age_column("since", "Since")
    customer_ = stripe_id_column("customer", "Customer", account="account")
    account_ = stripe_id_column("account", "Account")

    def object_title(self, obj: ContactPreference) -> str:
        return f"{obj.get_channel_display()} to {obj.customer}"

    @admin.display(description="What it means")
    def what_it_means(self, row: ContactPreference) -> str:
        return _MEANS[State(row.state)]

    def get_urls(self) -> list[URLPattern]:
        stop = path("stop/", self.admin_site.admin_view(self.stop_view), name="contact_contactpreference_stop")
        return [stop, *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        shown = {"title": "How customers may be written to", "may_stop": _may(request)}
        return super().changelist_view(request, {**shown, **(extra_context or {})})

    def stop_view(self, request: HttpRequest) -> HttpResponse:
        return begin(
            self,
            request,
            StopForm,
            _stop,
            right=RIGHT,
            title="A customer wants no more messages",
            sentence="From now on reminders are not sent this way; notices that a contract or the law asks for are. "
            "The customer's cases go on; the plan looks for another way to reach them.",
            button="Write it down",
            done="Written down. Reminders are not sent this way any more.",
        )


_MEANS = {
    State.OK: "Messages may be sent this way.",
    State.BOUNCED: "The address takes no mail. Another address at Stripe ends this by itself.",
    State.UNSUBSCRIBED: "Reminders are not sent this way. Notices that a contract or the law asks for are.",
    State.COMPLAINED: "Nothing is sent this way, whatever the address, until a person takes it back.",
}
