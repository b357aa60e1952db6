"""The page of what we recommend about subscriptions' service. It reads."""

from __future__ import annotations

from django.contrib import admin

from billingops.admin.base import ReadOnlyAdmin, age_column, state_column, stripe_id_column
from billingops.admin.filters import AccountFilter, CustomerFilter
from billingops.admin.site import site
from billingops.templatetags import billingops as tags
from dunning.models import ServiceState
from dunning.service_state import RECOMMENDATIONS


@admin.register(ServiceState, site=site)
class ServiceStateAdmin(ReadOnlyAdmin):
    scope_field = "account"
    list_display = ("state_", "subscription_", "reason", "until", "customer_", "age")
    list_filter = ("state", AccountFilter, CustomerFilter)
    exact_search = ("subscription", "customer", "pk")
    empty_text = (
        "A subscription appears here when its service is first in question: a grace period, a pause, an end. The "
        "platform is told of every change and decides by itself."
    )
    fieldsets = (
        (None, {"fields": ("subscription_", "state_", "recommendation", "reason", "since_", "until_")}),
        ("Whose it is", {"fields": ("customer_", "account_", "sequence", "updated_at")}),
    )
    readonly_fields = (
        "subscription_", "state_", "recommendation", "reason", "since_", "until_", "customer_", "account_", "sequence",
        "updated_at",
    )  # fmt: skip
    export_fields = ("account", "customer", "subscription", "state", "reason", "since", "until", "sequence")

    state_ = state_column()
    age = age_column("since", "Since")
    subscription_ = stripe_id_column("subscription", "Subscription", account="account")
    customer_ = stripe_id_column("customer", "Customer", account="account")
    account_ = stripe_id_column("account", "Account")

    @admin.display(description="Recommendation to the platform")
    def recommendation(self, row: ServiceState) -> str:
        return RECOMMENDATIONS[ServiceState.State(row.state)].replace("_", " ")

    @admin.display(description="Since")
    def since_(self, row: ServiceState) -> str:
        return tags.exact(row.since)

    @admin.display(description="Until")
    def until_(self, row: ServiceState) -> str:
        return tags.exact(row.until)
