"""Policies: a list in words, a policy's page and history, and the form, with a page in between: what will happen.

/admin/approvals/policy/                    all that apply to one's accounts
/admin/approvals/policy/<id>/edit/          the form → what will happen → a new version
/admin/approvals/policy/new/?kind=&account= the same for a kind × account that has none yet
"""

from __future__ import annotations

import copy
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html_join

from approvals import registry
from approvals.admin.policy_form import PolicyForm, WhichForm, initial
from approvals.models import Policy
from approvals.policies import changing, preview, words
from billingops import access
from billingops.actors import Actor
from billingops.admin.base import ReadOnlyAdmin, age_column
from billingops.admin.site import site
from billingops.exceptions import BillingOpsError

_STEPS = ("csrfmiddlewaretoken", "step")


def _field(name: str) -> Any:
    """A field of a policy in words."""

    @admin.display(description=words.LABELS[name])
    def column(self: Any, obj: Policy) -> str:
        return words.text(name, getattr(obj, name))

    return column


_OTHERS = [name for name in changing.FIELDS if name != "mode"]
_SHOWN: Any = ("what", "where", "mode", *(f"{name}_" for name in _OTHERS), "version", "updated_at")


@admin.register(Policy, site=site)
class PolicyAdmin(ReadOnlyAdmin):
    """Whoever is limited to some accounts sees what applies to these: their own policies and those for all accounts."""

    list_display = ("what", "where", "mode", "limits", "version", "updated")
    list_filter = ("mode",)
    exact_search = ("kind", "account")
    search_help_text = "The exact kind or account."
    empty_text = (
        "Without a policy every suggestion waits for one person. Policies come from this page or from "
        "manage.py import_config FILE.yaml."
    )
    change_list_template = "admin/approvals/policy_list.html"
    change_form_template = "admin/approvals/policy_detail.html"
    updated = age_column("updated_at", "Changed")
    fields = _SHOWN
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        queryset = super().get_queryset(request)
        accounts = access.accounts_of(request.user)
        return queryset if accounts is None else queryset.filter(account__in=[*accounts, ""])

    @admin.display(description="Kind")
    def what(self, obj: Policy) -> str:
        return _what(obj)

    @admin.display(description="Account")
    def where(self, obj: Policy) -> str:
        return obj.account or "all accounts"

    @admin.display(description="Limits")
    def limits(self, obj: Policy) -> str:
        return format_html_join("", "<div>{}</div>", ((line,) for line in words.limits(obj))) or "—"

    # -- changing one ----------------------------------------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [
            path("new/", view(self.new_view), name="approvals_policy_new"),
            path("<path:object_id>/edit/", view(self.edit_view), name="approvals_policy_edit"),
            *super().get_urls(),
        ]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        may_add = request.user.has_perm("approvals.add_policy")  # type: ignore[union-attr]
        return super().changelist_view(request, {"may_add": may_add, **(extra_context or {})})

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        obj = self.get_object(request, unquote(object_id))
        may = obj is not None and not changing.may_change(request.user, obj.account)
        return super().change_view(request, object_id, form_url, {"may_change": may, **(extra_context or {})})

    def edit_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self.get_object(request, unquote(object_id))
        if row is None:
            raise Http404
        if not self.has_view_permission(request, row):
            raise PermissionDenied
        return self._edit(request, row, adding=False)

    def new_view(self, request: HttpRequest) -> HttpResponse:
        """First for whom, then what; a kind × account that has a policy leads to it."""
        given = request.POST if request.method == "POST" else request.GET
        why = changing.may_change(request.user, given.get("account", "").strip(), adding=True)
        if why and ("kind" in given or not request.user.has_perm("approvals.add_policy")):  # type: ignore[union-attr]
            raise PermissionDenied(why)
        which = WhichForm(given if "kind" in given else None)
        if not which.is_valid():
            return self._render(request, "admin/approvals/policy_which.html", "Add a policy", form=which)
        kind, account = which.cleaned_data["kind"], which.cleaned_data["account"]
        if row := self.get_queryset(request).filter(kind=kind, account=account).first():
            messages.info(request, f"There is a {row.name} already: this is it.")
            return HttpResponseRedirect(reverse("admin:approvals_policy_edit", args=[row.pk]))
        return self._edit(request, Policy(kind=kind, account=account), adding=True)

    def _edit(self, request: HttpRequest, row: Policy, *, adding: bool) -> HttpResponse:
        if request.method not in ("GET", "HEAD", "POST"):
            return HttpResponseNotAllowed(["GET", "POST"])
        if why := changing.may_change(request.user, row.account, adding=adding):
            raise PermissionDenied(why)
        title = f"Add a {row.name}" if adding else f"Change {row.name}"
        shown: dict[str, Any] = {"row": row, "adding": adding, "what": _what(row)}
        if request.method != "POST" or request.POST.get("step") not in ("preview", "save", "again"):
            form = PolicyForm(initial=initial(row), account=row.account)
            return self._render(request, "admin/approvals/policy_form.html", title, form=form, **shown)
        form = PolicyForm(request.POST, account=row.account)
        if not form.is_valid() or request.POST["step"] == "again":
            status = 200 if form.is_valid() else 400
            shown |= {"form": form, "seen": request.POST.get("version", "")}
            return self._render(request, "admin/approvals/policy_form.html", title, status=status, **shown)
        values = form.values()
        moved = words.differences(changing.values_of(row), values)
        if request.POST["step"] == "preview" or not (moved or adding):
            planned = copy.copy(row)
            for name, value in values.items():
                setattr(planned, name, value)
            planned.version += not adding
            carried = [(key, one) for key, some in request.POST.lists() if key not in _STEPS for one in some]
            shown |= {
                "differences": moved,
                "effect": preview.effect(planned),
                "carried": carried,
                "planned": planned,
                "stays_looser": any(one.way != words.STRICTER for one in moved),
            }
            return self._render(request, "admin/approvals/policy_preview.html", title, **shown)
        try:
            saved = changing.change(
                kind=row.kind,
                account=row.account,
                values=values,
                version=None if adding else _version(request),
                actor=Actor.person(request.user),
                comment=form.cleaned_data["comment"].strip(),
            )
        except BillingOpsError as problem:
            shown |= {"form": form, "problem": str(problem), "seen": row.version}
            return self._render(request, "admin/approvals/policy_form.html", title, status=409, **shown)
        messages.success(request, f"Saved: {saved.name}, version {saved.version}. What waits is held to it at once.")
        return HttpResponseRedirect(reverse("admin:approvals_policy_change", args=[saved.pk]))

    def _render(
        self, request: HttpRequest, template: str, title: str, *, status: int = 200, **shown: Any
    ) -> TemplateResponse:
        context = {**self.admin_site.each_context(request), "title": title, "opts": self.model._meta, **shown}
        return TemplateResponse(request, template, context, status=status)


for _name in _OTHERS:
    setattr(PolicyAdmin, f"{_name}_", _field(_name))


def _what(row: Policy) -> str:
    return "every other kind" if row.kind == "*" else registry.label(row.kind)


def _version(request: HttpRequest) -> int:
    text = request.POST.get("version", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
