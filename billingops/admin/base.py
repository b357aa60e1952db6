"""The base class of our pages: read-only, few statements, the same cost with a million rows as with ten.

    @admin.register(PayoutRecord, site=site)
    class PayoutRecordAdmin(ReadOnlyAdmin):
        scope_field = "account"                 # path to the connected account; "" = not limited by account
        list_display = ("reference", "state_", "seller", "money", "age")
        list_select_related = ("seller",)       # whatever list_display touches
        list_filter = ("state", AccountFilter)  # choices fields and ExactFilter only; each shows as chips
        exact_search = ("id", "invoice_id")     # an exact match on an indexed column; nothing else is searched
        fieldsets = (…)                         # the detail page; each name may be a method, as in Django
        export_fields = ("id", "state", "account", "amount", "currency", "created_at")
        confirmed_actions = (ConfirmedAction(…),)
        empty_text = "Payouts appear here when an invoice with a seller's line is paid."

        state_ = state_column()
        money = money_column()
        age = age_column()

Permissions are Django's: `view_<model>` shows the pages, nothing else can be done unless a ConfirmedAction says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from copy import copy
from http import HTTPStatus
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin import helpers
from django.contrib.admin.utils import unquote
from django.contrib.auth import get_permission_codename
from django.core.exceptions import FieldDoesNotExist, PermissionDenied, ValidationError
from django.db.models import Field, Q, QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils.text import capfirst

from billingops import access, personal
from billingops.admin import export, history
from billingops.admin.actions import ConfirmedAction, respond, versions_seen
from billingops.admin.paging import CappedPaginator
from billingops.templatetags import billingops as tags

EXPORT_CAP = 100_000


class GetOnlyHistory:
    """History pages answer GET: a POST to one never reaches code that could write (FACTS: django-simple-history)."""

    def history_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> HttpResponse:
        if request.method not in ("GET", "HEAD"):
            return HttpResponseNotAllowed(["GET", "HEAD"])
        return super().history_view(request, object_id, extra_context)  # type: ignore[misc]


class _ReadonlyField(helpers.AdminReadonlyField):
    """Django links another object wherever it has a page; here where the viewer may see that page."""

    def get_admin_url(self, remote_field: Any, remote_obj: Any) -> Any:
        user, opts = viewer(self.form.instance), remote_obj._meta
        if user and not user.has_perm(f"{opts.app_label}.{get_permission_codename('view', opts)}"):
            return str(remote_obj)
        return super().get_admin_url(remote_field, remote_obj)


helpers.AdminReadonlyField = _ReadonlyField  # type: ignore[misc]  # Django leaves no other place to say it


class ReadOnlyAdmin(admin.ModelAdmin):
    """See the module. `scope_field`: see access.scope."""

    scope_field: str = ""
    exact_search: tuple[str, ...] = ("pk",)
    export_fields: tuple[str, ...] = ()
    confirmed_actions: tuple[ConfirmedAction, ...] = ()
    labels: Mapping[str, str] = {}  # of a page's fields, where the column's own name says little to a person
    empty_text: str = ""
    search_help_text = "An exact id finds it at once."

    actions = None
    paginator = CappedPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    sortable_by = ()
    list_per_page = 50
    list_max_show_all = 0
    change_list_template = "admin/_list.html"
    change_form_template = "admin/_detail.html"
    object_history_template = "admin/_history_page.html"

    # -- rights ----------------------------------------------------------------------------------------------------

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        queryset = super().get_queryset(request)
        return access.scope(queryset, request.user, field=self.scope_field) if self.scope_field else queryset

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        obj = super().get_object(request, object_id, from_field)
        if obj is not None:
            obj._billingops_viewer = request.user  # Django hands a page's columns the object, not the request
        return obj

    def _get_obj_does_not_exist_redirect(self, request: HttpRequest, opts: Any, object_id: str) -> HttpResponse:
        """404, not Django's redirect: what is not there and what is out of reach look the same, to programs as well."""
        raise Http404(f"There is no such {opts.verbose_name}, or it belongs to an account that you have no access to.")

    def refused(self, request: HttpRequest, pk: int, problem: Exception, **context: Any) -> HttpResponse:
        """The object's page as it is now, with what is wrong and, as `typed`, what was typed into the form that a step
        of it refused; 400."""
        messages.error(request, str(problem))
        page = copy(request)
        page.method = "GET"
        response = self.change_view(page, str(pk), extra_context={"typed": request.POST, **context})
        response.status_code = HTTPStatus.BAD_REQUEST if response.status_code == HTTPStatus.OK else response.status_code
        return response

    # -- the list --------------------------------------------------------------------------------------------------

    def get_ordering(self, request: HttpRequest) -> Any:
        """Newest first by primary key (always indexed) unless the class or the model says otherwise."""
        return self.ordering or self.model._meta.ordering or ("-pk",)

    def get_search_fields(self, request: HttpRequest) -> Any:
        return self.search_fields or self.exact_search

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Exact matches on `exact_search`, which an index answers; then the subclass's `search_fields`, if any."""
        term = search_term.strip()
        if not term:
            return queryset, False
        exact = Q()
        for name in self.exact_search:
            if (value := self._as_value(name, term)) is not None:
                exact |= Q(**{name: value})
        if not self.search_fields:
            return (queryset.filter(exact) if exact else queryset.none()), False
        if exact and (found := queryset.filter(exact)).exists():
            return found, False
        return super().get_search_results(request, queryset, search_term)

    def _as_value(self, name: str, term: str) -> Any:
        """`term` as the column's type, None when it cannot be one (a word looked up in a UUID column)."""
        opts = self.model._meta
        try:
            field = opts.pk if name == "pk" else opts.get_field(name)
        except FieldDoesNotExist:
            return term
        if not isinstance(field, Field) or field.is_relation:
            return term
        try:
            return field.to_python(term)
        except (ValidationError, ValueError, TypeError):
            return None

    def get_actions(self, request: HttpRequest) -> dict[str, Any]:
        """Only our confirmed actions, and only those this person may use. Django's delete is not among them."""
        return {
            action.name: (_action_callable(action), action.name, action.label)
            for action in self.confirmed_actions
            if action.may(request)
        }

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        opts = self.model._meta
        shown = {
            "title": capfirst(opts.verbose_name_plural),
            "empty_text": self.empty_text,
            "export_url": f"export/?{request.GET.urlencode()}" if self.export_fields else "",
        }
        return super().changelist_view(request, {**shown, **(extra_context or {})})

    # -- one object ------------------------------------------------------------------------------------------------

    def object_title(self, obj: Any) -> str:
        """What the object's pages call it. Override it where `str()` says too much, or the wrong thing."""
        return str(obj)

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        return super().get_form(request, obj, change, **{"labels": self.labels, **kwargs})

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return self.readonly_fields or [field.name for field in self.model._meta.fields]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        if request.method not in ("GET", "HEAD"):
            return HttpResponseNotAllowed(["GET", "HEAD"])
        obj = self.get_object(request, unquote(object_id))
        shown = {
            "title": capfirst(self.model._meta.verbose_name),
            "subtitle": self.object_title(obj) if obj is not None else None,
            "keeps_history": history.has_history(self.model),
            "detail_actions": [
                action
                for action in self.confirmed_actions
                if obj is not None and action.may(request) and not action.refuse(request, obj)
            ],
        }
        return super().change_view(request, object_id, form_url, {**shown, **(extra_context or {})})

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """Field by field, newest first, paged, GET only."""
        if request.method not in ("GET", "HEAD"):
            return HttpResponseNotAllowed(["GET", "HEAD"])
        obj = self.get_object(request, unquote(object_id))
        if obj is None:
            raise Http404
        if not self.has_view_permission(request, obj):
            raise PermissionDenied
        shown: dict[str, Any] = {"history": [], "history_page": None, "keeps_history": False}
        if history.has_history(self.model):
            number = request.GET.get("p", "1")
            rows, page = history.entries(obj, page=int(number) if number.isdecimal() else 1)
            shown = {"history": rows, "history_page": page, "keeps_history": True}
        context = {
            **self.admin_site.each_context(request),
            "title": f"History of {self.object_title(obj)}",
            "object_title": self.object_title(obj),
            "object": obj,
            "original": obj,
            "opts": self.model._meta,
            **shown,
            **(extra_context or {}),
        }
        return TemplateResponse(request, self.object_history_template, context)

    # -- export ----------------------------------------------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        opts = self.model._meta
        name = f"{opts.app_label}_{opts.model_name}_export"
        return [path("export/", self.admin_site.admin_view(self.export_view), name=name), *super().get_urls()]

    def export_view(self, request: HttpRequest) -> HttpResponseBase:
        """The list as it is filtered, as CSV, at most EXPORT_CAP rows."""
        if not self.has_view_permission(request) or not self.export_fields:
            raise PermissionDenied
        queryset = self.get_changelist_instance(request).get_queryset(request)[:EXPORT_CAP]
        return export.stream(
            request=request,
            filename=f"{self.model._meta.model_name}.csv",
            header=self.export_fields,
            rows=self._export_rows(queryset),
        )

    def _export_rows(self, queryset: QuerySet[Any]) -> Iterator[list[Any]]:
        for obj in queryset.iterator(chunk_size=2000):
            yield [self._export_value(obj, name) for name in self.export_fields]

    def _export_value(self, obj: Any, name: str) -> Any:
        if callable(own := getattr(self, name, None)):
            return own(obj)
        value = getattr(obj, name)
        return value() if callable(value) else value


def _action_callable(action: ConfirmedAction) -> Callable[[Any, HttpRequest, QuerySet[Any]], HttpResponse]:
    def run(model_admin: Any, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse:
        return respond(model_admin, request, action, queryset, seen=versions_seen(request))

    return run


# -- columns -----------------------------------------------------------------------------------------------------------


def money_column(amount: str = "amount", currency: str = "currency", description: str = "Amount") -> Any:
    """Right-aligned, tabular, currency code beside the figure."""

    @admin.display(description=description)
    def column(self: Any, obj: Any) -> str:
        return tags.money(getattr(obj, amount), getattr(obj, currency))

    return column


def state_column(field: str = "state", description: str = "State") -> Any:
    @admin.display(description=description)
    def column(self: Any, obj: Any) -> str:
        display = getattr(obj, f"get_{field}_display", None)
        return tags.state_badge(getattr(obj, field), display() if display else "")

    return column


def age_column(field: str = "created_at", description: str = "Age") -> Any:
    @admin.display(description=description)
    def column(self: Any, obj: Any) -> str:
        return tags.age(getattr(obj, field))

    return column


def stripe_id_column(field: str, description: str = "", account: str = "") -> Any:
    """`account`: the attribute that names the connected account whose object it is, "" for the platform's own."""

    @admin.display(description=description or field.replace("_", " "))
    def column(self: Any, obj: Any) -> str:
        return tags.stripe_link(getattr(obj, field) or "", getattr(obj, account) if account else "")

    return column


def viewer(obj: Any) -> Any:
    """Whose page `obj` is shown on; None in a list, which shows nothing personal."""
    return getattr(obj, "_billingops_viewer", None)


def json_column(field: str, description: str = "", *, has_people: bool = True) -> Any:
    """Folded, indented JSON for a detail page. `has_people`: it may hold personal data, see personal.py."""

    @admin.display(description=description or field.replace("_", " "))
    def column(self: Any, obj: Any) -> str:
        value = getattr(obj, field)
        if has_people:
            value = personal.shown(value, viewer(obj))
        return tags.folded_json(value, description or field.replace("_", " "))

    return column


__all__ = [
    "EXPORT_CAP",
    "ConfirmedAction",
    "GetOnlyHistory",
    "ReadOnlyAdmin",
    "age_column",
    "json_column",
    "money_column",
    "state_column",
    "stripe_id_column",
    "viewer",
]
