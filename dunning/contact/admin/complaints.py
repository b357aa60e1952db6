"""Complaints: the list, a new one written down by a person, and their end."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django import forms
from django.contrib import admin
from django.db.models import Min
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path, reverse

from billingops import access
from billingops.actors import Actor
from billingops.admin import home
from billingops.admin.actions import ConfirmedAction, Given
from billingops.admin.base import ReadOnlyAdmin, age_column, state_column, stripe_id_column
from billingops.admin.filters import AccountFilter, CustomerFilter
from billingops.admin.paging import capped_counts
from billingops.admin.site import site
from dunning.contact import complaints
from dunning.contact.admin.parts import AboutCustomer, begin
from dunning.contact.models import Complaint
from dunning.models import DunningCase

RIGHT = "contact.handle_complaint"
State = Complaint.State


class ComplaintForm(AboutCustomer):
    text = forms.CharField(
        max_length=complaints.MAX_TEXT,
        label="What they complain about",
        help_text="In your own words; no address, no card number.",
        widget=forms.Textarea(attrs={"rows": 4}),
    )


def _open(given: dict[str, Any], case: DunningCase, actor: Actor) -> Complaint:
    return complaints.open_by_person(
        account=case.account, customer=case.customer, text=given["text"], actor=actor, case=case
    )


def _close(complaint: Complaint, actor: Actor, given: Given) -> None:
    complaints.close(complaint_id=complaint.pk, version=int(given.version), result=given.comment, actor=actor)


def _may(request: HttpRequest) -> bool:
    return request.user.has_perm(RIGHT)


@admin.register(Complaint, site=site)
class ComplaintAdmin(ReadOnlyAdmin):
    scope_field = "account"
    list_display = ("source", "customer_", "state_", "opened_by", "age")
    list_filter = ("state", "source", AccountFilter, CustomerFilter)
    exact_search = ("customer", "pk")
    change_list_template = "admin/contact/complaint_list.html"
    empty_text = (
        "A complaint appears here when somebody writes one down, or when a mail provider reports that a customer "
        "marked a message as unwanted. While it is open the customer is not dunned."
    )
    fieldsets = (
        (None, {"fields": ("customer_", "account_", "state_", "source", "text", "case", "message")}),
        ("Work", {"fields": ("opened_by", "opened_at", "closed_by", "closed_at", "result")}),
    )
    readonly_fields = (
        "customer_", "account_", "state_", "source", "text", "case", "message", "opened_by", "opened_at", "closed_by",
        "closed_at", "result",
    )  # fmt: skip
    export_fields = ("id", "account", "customer", "state", "source", "opened_by", "opened_at", "closed_by", "closed_at")
    confirmed_actions = (
        ConfirmedAction(
            name="close",
            label="Close the selected complaints",
            button="Close",
            sentence="These customers may be dunned again; their cases are looked at now. E-mail stays stopped where "
            "they reported a message as unwanted.",
            run=_close,
            may=_may,
            refuse=lambda request, row: "" if row.state == State.OPEN else "It is closed already.",
            version=lambda row: str(row.version),
            comment="required",
            comment_label="What came of it",
        ),
    )

    state_ = state_column()
    age = age_column("opened_at")
    customer_ = stripe_id_column("customer", "Customer", account="account")
    account_ = stripe_id_column("account", "Account")

    def get_urls(self) -> list[URLPattern]:
        new = path("new/", self.admin_site.admin_view(self.new_view), name="contact_complaint_new")
        return [new, *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        return super().changelist_view(request, {"may_open": _may(request), **(extra_context or {})})

    def new_view(self, request: HttpRequest) -> HttpResponse:
        return begin(
            self,
            request,
            ComplaintForm,
            _open,
            right=RIGHT,
            title="A customer complains",
            sentence="While the complaint is open the customer is not dunned: nothing is sent to them, and no step of "
            "their cases is carried out but handing them to a person.",
            button="Open the complaint",
            done="The complaint is open. The customer is not dunned until it is closed.",
        )


@home.waiting(order=38)
def open_complaints(request: HttpRequest) -> Iterator[home.WaitingLine]:
    """For those who may close them. Two statements."""
    if not _may(request):
        return
    rows = access.scope(Complaint.objects.filter(state=State.OPEN), request.user)
    yield home.WaitingLine(
        label="complaints",
        count=capped_counts({"open": rows})["open"],
        oldest=rows.aggregate(oldest=Min("opened_at"))["oldest"],
        url=reverse("admin:contact_complaint_changelist") + f"?state__exact={State.OPEN}",
    )
