"""Stripe's objects as mirrored here, to look at. Amounts, states and ids come through `stripe/reader.py`.

Never registered: APIKey and WebhookEndpoint (plain-text secrets); Event and WebhookEventTrigger (the inbox shows them).
Lists run along the primary key, the one order that every mirror table has an index for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.apps import apps
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from djstripe import models as stripe_models

from billingops import access, personal
from billingops.admin import facts as facts_page
from billingops.admin import links, names
from billingops.admin.base import ReadOnlyAdmin, viewer
from billingops.admin.site import site
from billingops.stripe import reader
from billingops.stripe.models import CreditNote, InvoicePayment
from billingops.templatetags import billingops as tags

apps.get_app_config("djstripe").verbose_name = "Stripe objects"


class MirrorAdmin(ReadOnlyAdmin):
    """`read`: the reader's function, called once per row; `amount_field`: the fact that is its amount."""

    read: Callable[..., Any] | None = None
    amount_field = "amount"

    scope_field = "djstripe_owner_account"
    ordering = ("-djstripe_id",)
    list_display: Any = ("stripe_id", "state_", "amount_", "customer_", "owner", "created_")
    list_display_links = None
    exact_search = ("id",)
    search_help_text = "The exact id, as Stripe writes it."
    empty_text = "Objects appear here when an event names them, or after a backfill: manage.py djstripe_sync_models."

    def facts(self, obj: Any) -> Any:
        if self.read is None:
            return None
        if not hasattr(obj, "_billingops_facts"):
            try:
                obj._billingops_facts = type(self).read(obj.stripe_data or {}, self.owner_id(obj))  # type: ignore[misc]
            except (KeyError, TypeError, ValueError, AttributeError):
                obj._billingops_facts = None  # what the reader cannot make sense of is still shown, raw
        return obj._billingops_facts

    @staticmethod
    def owner_id(obj: Any) -> str:
        return getattr(obj, "djstripe_owner_account_id", "") or getattr(obj, "account", "") or ""

    def object_title(self, obj: Any) -> str:
        return obj.id  # dj-stripe's own str() shows cents as whole units for some objects (FACTS)

    @admin.display(description="Id")
    def stripe_id(self, obj: Any) -> str:
        opts = self.model._meta
        url = reverse(f"admin:{opts.app_label}_{opts.model_name}_by_id", args=[obj.id])
        return format_html('<span class="bo-id"><a href="{}"><code>{}</code></a></span>', url, obj.id)

    @admin.display(description="State")
    def state_(self, obj: Any) -> str:
        return tags.state_badge(getattr(self.facts(obj), "status", ""))

    @admin.display(description="Amount")
    def amount_(self, obj: Any) -> str:
        facts = self.facts(obj)
        return tags.money(getattr(facts, self.amount_field, None), getattr(facts, "currency", ""))

    @admin.display(description="Customer")
    def customer_(self, obj: Any) -> str:
        return tags.stripe_link(getattr(self.facts(obj), "customer_id", ""), self.owner_id(obj))

    @admin.display(description="Account")
    def owner(self, obj: Any) -> str:
        return tags.short_id(self.owner_id(obj))

    @admin.display(description="Created")
    def created_(self, obj: Any) -> str:
        return tags.age(obj.created)

    # -- one object ------------------------------------------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        opts = self.model._meta
        name = f"{opts.app_label}_{opts.model_name}_by_id"
        return [path("id/<str:stripe_id>/", self.admin_site.admin_view(self.by_id), name=name), *super().get_urls()]

    def by_id(self, request: HttpRequest, stripe_id: str) -> HttpResponse:
        """The object's page by Stripe's id; where it is not mirrored (yet), a page that says so."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        pk = self.get_queryset(request).filter(id=stripe_id).values_list("pk", flat=True).first()
        if pk is not None:
            return self.change_view(request, str(pk))
        context = {
            **self.admin_site.each_context(request),
            "title": "Not mirrored here",
            "opts": self.model._meta,
            "stripe_id": stripe_id,
        }
        return TemplateResponse(request, "admin/_not_mirrored.html", context, status=404)

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        return [
            (None, {"fields": ["id_", "owner_", "created_at_"]}),
            ("What it says", {"fields": ["facts_"]}),
            ("As Stripe sent it", {"fields": ["raw_"]}),
        ]

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return ["id_", "owner_", "created_at_", "facts_", "raw_"]

    @admin.display(description="Id")
    def id_(self, obj: Any) -> str:
        return tags.stripe_link(obj.id, self.owner_id(obj))

    @admin.display(description="Account")
    def owner_(self, obj: Any) -> str:
        return tags.stripe_link(self.owner_id(obj))

    @admin.display(description="Created")
    def created_at_(self, obj: Any) -> str:
        return tags.exact(obj.created)

    @admin.display(description="Facts")
    def facts_(self, obj: Any) -> str:
        return facts_page.render(personal.shown_facts(self.facts(obj), viewer(obj)), self.owner_id(obj))

    @admin.display(description="Raw object")
    def raw_(self, obj: Any) -> str:
        return tags.folded_json(personal.shown(obj.stripe_data, viewer(obj)), "Raw object")


def register(
    model: Any,
    prefixes: str,
    read: Callable[..., Any] | None = None,
    *,
    columns: tuple[str, ...] = ("state_", "amount_", "customer_"),
    amount_field: str = "amount",
    **attributes: Any,
) -> None:
    """A page for `model`; ids with one of `prefixes` (space-separated) lead there from everywhere."""
    attributes |= {
        "__module__": __name__,
        "list_display": ("stripe_id", *columns, "owner", "created_"),
        "read": staticmethod(read) if read else None,
        "amount_field": amount_field,
    }
    site.register(model, type(f"{model.__name__}MirrorAdmin", (MirrorAdmin,), attributes))
    for kind in prefixes.split():
        links.shows(kind, f"admin:{model._meta.app_label}_{model._meta.model_name}_by_id")


register(stripe_models.Customer, "cus", reader.read_customer, columns=())
register(stripe_models.Invoice, "in", reader.read_invoice, amount_field="total")
register(stripe_models.Charge, "ch py", reader.read_charge)
register(stripe_models.Subscription, "sub", reader.read_subscription, columns=("state_", "customer_"))
register(stripe_models.Refund, "re", reader.read_refund, columns=("state_", "amount_"))
register(stripe_models.Dispute, "dp du", reader.read_dispute, columns=("state_", "amount_"))
register(stripe_models.Transfer, "tr", reader.read_transfer, columns=("amount_",))
register(stripe_models.Payout, "po", reader.read_payout, columns=("state_", "amount_"))
register(stripe_models.BalanceTransaction, "txn", reader.read_balance_transaction, columns=("state_", "amount_"))
register(stripe_models.Account, "acct", lambda data, _: reader.read_account(data), columns=(), scope_field="id")
register(stripe_models.PaymentIntent, "pi", columns=())
register(stripe_models.PaymentMethod, "pm", columns=())
register(stripe_models.Product, "prod", columns=("name", "active"))
register(stripe_models.Price, "price", columns=("nickname", "currency", "active"))

# What dj-stripe has no table for lives in ours (stripe/models.py). Stripe's ids grow with time, near enough for a list.
_OWN: dict[str, Any] = {"scope_field": "account", "ordering": ("-id",)}
register(CreditNote, "cn", reader.read_credit_note, **_OWN)
register(
    InvoicePayment,
    "inpay",
    reader.read_invoice_payment,
    columns=("state_", "amount_"),
    amount_field="amount_paid",
    **_OWN,
)


@names.resolver("acct")
def account_names(ids: set[str], user: Any) -> dict[str, str]:
    accounts = access.scope(stripe_models.Account.objects.filter(id__in=ids), user, field="id")
    rows = accounts.values_list("id", "stripe_data")
    return {one: reader.read_account(data or {}).name for one, data in rows}


@names.resolver("cus")
def customer_names(ids: set[str], user: Any) -> dict[str, str]:
    """For whoever may find people, and of these the ones whose page they may open. An e-mail address is no name."""
    if not personal.may_see(user):
        return {}
    customers = stripe_models.Customer.objects.filter(id__in=ids)
    rows = access.scope(customers, user, field=MirrorAdmin.scope_field).values_list("id", "stripe_data")
    return {one: reader.read_customer(data or {}).name for one, data in rows}
