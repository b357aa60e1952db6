"""What mail servers and providers reported about messages."""

from __future__ import annotations

from django.contrib import admin

from billingops.admin.base import ReadOnlyAdmin, age_column, state_column, stripe_id_column
from billingops.admin.filters import AccountFilter, CustomerFilter
from billingops.admin.site import site
from dunning.contact.models import Receipt


@admin.register(Receipt, site=site)
class ReceiptAdmin(ReadOnlyAdmin):
    scope_field = "account"
    list_display = ("kind_", "customer_", "words", "code", "source", "age")
    list_filter = ("kind", AccountFilter, CustomerFilter)
    exact_search = ("customer", "pk")
    empty_text = (
        "A report appears here when a mail server or provider says what became of a message (docs/contact.md says how "
        "they are let in)."
    )
    fieldsets = (
        (None, {"fields": ("customer_", "account_", "message", "kind_", "words", "code", "source", "received_at")}),
    )
    readonly_fields = ("customer_", "account_", "message", "kind_", "words", "code", "source", "received_at")
    export_fields = ("id", "account", "customer", "message_id", "kind", "code", "words", "source", "received_at")

    kind_ = state_column("kind", "What")
    age = age_column("received_at", "When")
    customer_ = stripe_id_column("customer", "Customer", account="account")
    account_ = stripe_id_column("account", "Account")
