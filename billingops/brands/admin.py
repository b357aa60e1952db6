"""Brands: a list, a brand's page with a sample of how it writes, and the form, with a page in between.

/admin/brands/brand/new/?account=    for the platform (no account) or a connected account
/admin/brands/brand/<id>/edit/       the form → what will be different, and a message in that look → a new version
"""

from __future__ import annotations

import base64
import binascii
import copy
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html

from billingops import access
from billingops.actors import Actor
from billingops.admin.base import ReadOnlyAdmin, age_column, stripe_id_column
from billingops.admin.filters import AccountFilter
from billingops.admin.site import site
from billingops.brands import samples, services, terms
from billingops.brands.models import Brand
from billingops.exceptions import BillingOpsError, InvalidInput

_LABELS = {
    "slug": ("Short name", "a-z, 0-9 and hyphens; messages keep it"),
    "name": ("Name", "as customers know it"),
    "colour": ("Colour", "of links and the button, such as #1a5a86; dark enough to be read on white"),
    "from_name": ("From: name", "empty: the brand's name"),
    "from_address": ("From: address", "empty: the installation's; its domain must be set up with your mail provider"),
    "reply_to": ("Answers go to", "an address that somebody reads, or that BillingOps collects"),
    "postal_address": ("Postal address", "stands under every message; some countries ask for it"),
    "help_url": ("Help page", "https://…"),
    "voice": ("Voice", "how the brand speaks, for the model that drafts; no instructions, no figures"),
    "default_language": ("Default language", "where the customer's is not offered"),
    "languages": ("Languages offered", "with commas, such as en, de; empty: all there are texts in"),
    "footer": ("Footer", "a line of your own under every message, the same in all languages"),
}
_LONG = ("postal_address", "voice", "footer")
GROUPS = (
    ("Who writes", ("slug", "name", "from_name", "from_address", "reply_to")),
    ("How it looks", ("colour", "logo", "no_logo")),
    ("How it speaks", ("voice", "default_language", "languages")),
    ("What stands under it", ("postal_address", "help_url", "footer", "unsubscribe")),
    ("This change", ("comment",)),
)


class BrandForm(forms.Form):
    """Texts as they are typed; what they may be is services.checked's part."""

    logo = forms.FileField(
        label="Logo", required=False, help_text=f"PNG, at most {terms.MAX_LOGO // 1024} KB, shown at most 240 × 64"
    )
    no_logo = forms.BooleanField(label="Take the logo away", required=False)
    logo_data = forms.CharField(required=False, max_length=100_000, widget=forms.HiddenInput)
    unsubscribe = forms.ChoiceField(label="How to unsubscribe is said", choices=Brand.Unsubscribe.choices)
    comment = forms.CharField(label="Why", required=False, max_length=500, help_text="For the audit log.")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, (label, text) in _LABELS.items():
            widget = forms.Textarea(attrs={"rows": 3}) if name in _LONG else forms.TextInput()
            self.fields[name] = forms.CharField(
                label=label,
                help_text=text,
                required=name in ("slug", "name"),
                widget=widget,
                max_length=services.LIMITS.get(name, 254),
            )
        self.checked: dict[str, Any] = {}

    def clean(self) -> dict[str, Any]:
        given = self.cleaned_data
        for name in services.FIELDS:
            value: Any = given.get(name, "")
            if name == "languages":
                value = [part for part in value.replace(",", " ").split() if part]
            if name in self.errors or (name in ("colour", "default_language") and not value):
                self.checked[name] = services.DEFAULTS[name]
                continue
            try:
                self.checked[name] = services.checked(name, value)
            except InvalidInput as problem:
                self.add_error(name, str(problem))
        try:
            services.check_together(self.checked)
        except InvalidInput as problem:
            self.add_error(problem.field, str(problem))
        return given

    def picture(self) -> bytes | None:
        """The new logo, b"" to take it away, None for no change. Raises InvalidInput."""
        given = self.cleaned_data
        if given.get("no_logo"):
            return b""
        if upload := given.get("logo"):
            if upload.size > terms.MAX_LOGO:
                raise InvalidInput(f"The logo has {upload.size:,} bytes; {terms.MAX_LOGO:,} are allowed.", field="logo")
            return terms.logo(upload.read())
        if text := given.get("logo_data"):
            try:
                return terms.logo(base64.b64decode(text, validate=True))
            except binascii.Error:
                raise InvalidInput("The logo got lost; choose it again.", field="logo")
        return None

    def groups(self) -> list[tuple[str, list[Any]]]:
        return [(title, [self[name] for name in names]) for title, names in GROUPS]


def initial(row: Brand) -> dict[str, Any]:
    values = {name: getattr(row, name) for name in services.FIELDS}
    return {**values, "languages": ", ".join(row.languages)}


@admin.register(Brand, site=site)
class BrandAdmin(ReadOnlyAdmin):
    scope_field = "account"
    list_display = ("name", "slug", "where", "from_", "colour_", "version", "age")
    list_filter = (AccountFilter,)
    exact_search = ("slug", "account")
    change_list_template = "admin/brands/brand_list.html"
    change_form_template = "admin/brands/brand_detail.html"
    empty_text = (
        "Without a brand messages come from the installation's address and carry no name. Add one for the platform, "
        "and one for each connected account that speaks for itself; or use manage.py import_config FILE.yaml."
    )
    fieldsets = (
        (None, {"fields": ("name", "slug", "account_", "version", "updated_at")}),
        ("Who writes", {"fields": ("from_", "reply_to", "postal_address", "help_url", "footer", "unsubscribe")}),
        ("How it speaks", {"fields": ("voice", "default_language", "languages_", "colour_")}),
    )
    readonly_fields = (
        "name", "slug", "account_", "version", "updated_at", "from_", "reply_to", "postal_address", "help_url",
        "footer", "unsubscribe", "voice", "default_language", "languages_", "colour_",
    )  # fmt: skip

    age = age_column("updated_at", "Changed")
    account_ = stripe_id_column("account", "Account")

    @admin.display(description="Account")
    def where(self, row: Brand) -> str:
        return row.account or "the platform, and who has none"

    @admin.display(description="From")
    def from_(self, row: Brand) -> str:
        return row.sender("") if row.from_address else f"{row.from_name or row.name} (the installation's address)"

    @admin.display(description="Colour")
    def colour_(self, row: Brand) -> str:
        return format_html(
            '<span class="bo-swatch" style="background:{}" aria-hidden="true"></span> {}', row.colour, row.colour
        )

    @admin.display(description="Languages")
    def languages_(self, row: Brand) -> str:
        return ", ".join(row.languages) or "all that there are texts in"

    # -- changing one ----------------------------------------------------------------------------------------------

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view
        return [
            path("new/", view(self.new_view), name="brands_brand_new"),
            path("<path:object_id>/edit/", view(self.edit_view), name="brands_brand_edit"),
            *super().get_urls(),
        ]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        may_add = request.user.has_perm("brands.add_brand")  # type: ignore[union-attr]
        return super().changelist_view(request, {"may_add": may_add, **(extra_context or {})})

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        row = self.get_object(request, unquote(object_id))
        shown: dict[str, Any] = {}
        if row is not None:
            shown = {"may_change": not services.may_change(request.user, row.account), **samples.context(row)}
        return super().change_view(request, object_id, form_url, {**shown, **(extra_context or {})})

    def edit_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        row = self.get_object(request, unquote(object_id))
        if row is None:
            raise Http404
        if not self.has_view_permission(request, row):
            raise PermissionDenied
        return self._edit(request, row, adding=False)

    def new_view(self, request: HttpRequest) -> HttpResponse:
        given = request.POST if request.method == "POST" else request.GET
        account = given.get("account", "").strip()
        if not request.user.has_perm("brands.add_brand"):  # type: ignore[union-attr]
            raise PermissionDenied("You may look at brands but not add them.")
        limited = access.accounts_of(request.user)
        is_account = account.startswith("acct_") and account.isascii() and len(account) <= 64
        if (
            "account" not in given
            or not (account == "" or is_account)
            or (limited is not None and account not in limited)
        ):
            wrong = "account" in given
            problem = "That is no connected account (acct_…) that you have access to." if wrong else ""
            return self._render(
                request,
                "admin/brands/brand_which.html",
                "Add a brand",
                status=400 if wrong else 200,
                problem=problem,
                given=account,
                limited=limited is not None,
            )
        if found := Brand.objects.filter(account=account).first():
            messages.info(request, "There is a brand of this account already: this is it.")
            return HttpResponseRedirect(reverse("admin:brands_brand_edit", args=[found.pk]))
        return self._edit(request, Brand(account=account), adding=True)

    def _edit(self, request: HttpRequest, row: Brand, *, adding: bool) -> HttpResponse:
        if request.method not in ("GET", "HEAD", "POST"):
            return HttpResponseNotAllowed(["GET", "POST"])
        if why := services.may_change(request.user, row.account, adding=adding):
            raise PermissionDenied(why)
        title = "Add a brand" if adding else f"Change {row.name}"
        known: dict[str, Any] = {"row": row, "adding": adding}
        page = "admin/brands/brand_form.html"
        if request.method != "POST" or request.POST.get("step") not in ("preview", "save", "again"):
            return self._render(request, page, title, form=BrandForm(initial=initial(row)), seen=row.version, **known)
        form, seen = BrandForm(request.POST, request.FILES), request.POST.get("version", "")
        picture: bytes | None = None
        if form.is_valid():
            try:
                picture = form.picture()
            except InvalidInput as problem:
                form.add_error("logo", str(problem))
        if not form.is_valid() or request.POST["step"] == "again":
            return self._render(
                request, page, title, form=form, seen=seen, status=200 if form.is_valid() else 400, **known
            )
        if request.POST["step"] == "preview":
            return self._preview(request, form, row, picture, title, seen, known)
        try:
            saved = services.change(
                account=row.account,
                values=form.checked,
                logo=picture,
                version=None if adding else _number(seen),
                actor=Actor.person(request.user),
                comment=form.cleaned_data["comment"].strip(),
            )
        except BillingOpsError as problem:
            status = 400 if isinstance(problem, InvalidInput) else 409
            known |= {"problem": str(problem), "seen": row.version}
            return self._render(request, page, title, form=form, status=status, **known)
        messages.success(
            request, f"Saved: {saved.name}, version {saved.version}. Messages are written as it from now on."
        )
        return HttpResponseRedirect(reverse("admin:brands_brand_change", args=[saved.pk]))

    def _preview(
        self,
        request: HttpRequest,
        form: BrandForm,
        row: Brand,
        picture: bytes | None,
        title: str,
        seen: str,
        known: dict[str, Any],
    ) -> HttpResponse:
        planned = copy.copy(row)
        for name, value in form.checked.items():
            setattr(planned, name, value)
        if picture is not None:
            planned.picture, planned.logo_sha256 = picture, services.fingerprint(picture)
        planned.pk = row.pk or 0  # shown as a stored one
        moved = services.moved(row, form.checked, picture)
        differences = [
            (_label(name), _in_words(getattr(row, name, "")), _in_words(form.checked.get(name, "")))
            for name in moved
            if name != "logo"
        ]
        if "logo" in moved:
            differences.append(("Logo", "one" if row.logo_sha256 else "none", "another one" if picture else "none"))
        carried = [
            (key, value)
            for key, value in request.POST.items()
            if key not in ("csrfmiddlewaretoken", "step", "logo", "logo_data")
        ]
        if picture:
            carried.append(("logo_data", base64.b64encode(picture).decode()))
        known |= {"differences": differences, "carried": carried, "seen": seen, **samples.context(planned)}
        return self._render(request, "admin/brands/brand_preview.html", title, **known)

    def _render(
        self, request: HttpRequest, template: str, title: str, *, status: int = 200, **shown: Any
    ) -> TemplateResponse:
        context = {**self.admin_site.each_context(request), "title": title, "opts": self.model._meta, **shown}
        return TemplateResponse(request, template, context, status=status)


def _label(name: str) -> str:
    return _LABELS[name][0] if name in _LABELS else "How to unsubscribe is said"


def _in_words(value: Any) -> str:
    return ", ".join(value) if isinstance(value, list) else str(value)


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
