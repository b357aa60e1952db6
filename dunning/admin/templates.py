"""Brands' own texts: in use and former ones; writing a new version with a page in between that shows the message.

/admin/dunning/messagetemplate/                                      all, newest first
/admin/dunning/messagetemplate/write/?brand=&name=&language=         which text → the text → exactly as sent → in use
"""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseNotAllowed, HttpResponseRedirect
from django.template.exceptions import TemplateDoesNotExist
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse

from billingops import access
from billingops.actors import Actor
from billingops.admin.actions import ConfirmedAction, Given
from billingops.admin.base import ReadOnlyAdmin, age_column
from billingops.admin.filters import AccountFilter
from billingops.admin.site import site
from billingops.brands.models import Brand
from billingops.exceptions import BillingOpsError, InvalidInput
from dunning.messages import languages, overrides, preview, texts
from dunning.models import MessageTemplate


class WhichForm(forms.Form):
    """Which text of which brand in which language."""

    brand = forms.ChoiceField(label="Brand")
    name = forms.ChoiceField(label="Message", choices=texts.labels)
    language = forms.ChoiceField(label="Language", choices=lambda: list(languages.LANGUAGES.items()))

    def __init__(self, *args: Any, user: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.brands = {str(row.pk): row for row in access.scope(Brand.objects.all(), user)[:500]}
        self.fields["brand"].choices = [(pk, str(row)) for pk, row in self.brands.items()]  # type: ignore[attr-defined]


class TextForm(forms.Form):
    """The words; `seen` is the version that was in use when the form was made."""

    subject = forms.CharField(label="Subject", required=False, max_length=overrides.SUBJECT_LIMIT)
    body = forms.CharField(
        label="Text",
        max_length=overrides.BODY_LIMIT,
        widget=forms.Textarea(attrs={"rows": 16}),
        help_text="Figures, dates and links stand in fields such as {amount}; an empty line begins a paragraph.",
    )
    comment = forms.CharField(label="Why", required=False, max_length=500, help_text="For the audit log.")


def _may(request: HttpRequest) -> bool:
    return request.user.has_perm("dunning.change_messagetemplate")  # type: ignore[union-attr]


def _take_back(row: MessageTemplate, actor: Actor, given: Given) -> None:
    overrides.take_back(row=row, actor=actor, comment=given.comment)


@admin.register(MessageTemplate, site=site)
class MessageTemplateAdmin(ReadOnlyAdmin):
    scope_field = "account"
    list_display = ("what", "brand", "language", "version", "is_active", "author_name", "age")
    list_select_related = ("brand",)
    list_filter = ("is_active", AccountFilter)
    exact_search = ("name", "pk")
    change_list_template = "admin/dunning/template_list.html"
    change_form_template = "admin/dunning/template_detail.html"
    empty_text = "Every brand writes with the built-in texts. A text of a brand's own appears here once it is written."
    fields = ("what", "brand", "language", "version", "is_active", "subject", "author_name", "comment", "created_at",
              "ended_at")  # fmt: skip
    readonly_fields = fields
    age = age_column()
    confirmed_actions = (
        ConfirmedAction(
            name="take_back",
            label="Use the built-in texts again",
            button="Use the built-in text again",
            sentence="Takes these texts out of use. Messages that wait for approval keep their words.",
            run=_take_back,
            may=_may,
            refuse=lambda request, row: "" if row.is_active else "It is not in use.",
            prefetch=lambda queryset: queryset.select_related("brand"),
            comment="optional",
        ),
    )

    @admin.display(description="Message")
    def what(self, row: MessageTemplate) -> str:
        return dict(texts.labels()).get(row.name, row.name)

    def get_urls(self) -> list[URLPattern]:
        view = self.admin_site.admin_view(self.write_view)
        return [path("write/", view, name="dunning_messagetemplate_write"), *super().get_urls()]

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        return super().changelist_view(request, {"may_write": _may(request), **(extra_context or {})})

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        row = self.get_object(request, object_id)
        shown: dict[str, Any] = {"may_write": _may(request)}
        if row is not None:
            shown["shown"] = _preview(row.brand, row.name, row.language, row.subject, row.body)
        return super().change_view(request, object_id, form_url, {**shown, **(extra_context or {})})

    def write_view(self, request: HttpRequest) -> HttpResponse:
        if request.method not in ("GET", "HEAD", "POST"):
            return HttpResponseNotAllowed(["GET", "POST"])
        if not _may(request):
            raise PermissionDenied("You may look at messages' texts but not change them.")
        given = request.POST if request.method == "POST" else request.GET
        which = WhichForm(given if "name" in given else None, user=request.user)
        if not which.is_valid():
            return self._render(
                request, "admin/dunning/template_which.html", "Write a text of a brand's own", form=which
            )
        brand = which.brands[which.cleaned_data["brand"]]
        name, language = which.cleaned_data["name"], which.cleaned_data["language"]
        return self._write(request, brand, name, language)

    def _write(self, request: HttpRequest, brand: Brand, name: str, language: str) -> HttpResponse:
        title = f"{dict(texts.labels())[name]} · {languages.LANGUAGES[language]} · {brand}"
        in_use = overrides.active(brand, name, language)
        known: dict[str, Any] = {
            "brand": brand, "name": name, "language": language, "is_piece": name in texts.PIECES, "in_use": in_use,
            "required": texts.PIECES.get(name) or texts.text_of(name).required,
        }  # fmt: skip
        page = "admin/dunning/template_form.html"
        if request.method != "POST" or request.POST.get("step") not in ("preview", "save", "again"):
            subject, body = _words(brand, name, language)
            form = TextForm(initial={"subject": subject, "body": body})
            return self._render(request, page, title, form=form, seen=in_use.version if in_use else 0, **known)
        form, seen = TextForm(request.POST), _number(request.POST.get("seen", ""))
        if not form.is_valid() or request.POST["step"] == "again":
            return self._render(
                request, page, title, form=form, seen=seen, status=200 if form.is_valid() else 400, **known
            )
        subject = " ".join(form.cleaned_data["subject"].split())
        body = form.cleaned_data["body"].replace("\r\n", "\n").strip()
        field, why = overrides.problem(name=name, language=language, subject=subject, body=body)
        if why:
            form.add_error(field if field in form.fields else "body", f"{why[:1].upper()}{why[1:]}.")
            return self._render(request, page, title, form=form, seen=seen, status=400, **known)
        if request.POST["step"] == "preview":
            shown = _preview(brand, name, language, subject, body)
            carried = [
                (key, value) for key, value in request.POST.items() if key not in ("csrfmiddlewaretoken", "step")
            ]
            return self._render(
                request, "admin/dunning/template_preview.html", title, shown=shown, carried=carried, **known
            )
        try:
            row = overrides.use(
                brand=brand, name=name, language=language, subject=subject, body=body, seen=seen,
                actor=Actor.person(request.user), comment=form.cleaned_data["comment"].strip(),
            )  # fmt: skip
        except BillingOpsError as problem:
            status = 400 if isinstance(problem, InvalidInput) else 409
            now = in_use.version if in_use else 0
            return self._render(request, page, title, form=form, seen=now, problem=str(problem), status=status, **known)
        messages.success(request, f"In use: version {row.version}. Messages that wait for approval keep their words.")
        return HttpResponseRedirect(reverse("admin:dunning_messagetemplate_change", args=[row.pk]))

    def _render(
        self, request: HttpRequest, template: str, title: str, *, status: int = 200, **shown: Any
    ) -> TemplateResponse:
        context = {**self.admin_site.each_context(request), "title": title, "opts": self.model._meta, **shown}
        return TemplateResponse(request, template, context, status=status)


def _words(brand: Brand, name: str, language: str) -> tuple[str, str]:
    """What is in use now: the text to start from."""
    if name in texts.PIECES:
        return "", texts.piece(name, language, brand)
    try:
        return texts.frame(name, language, brand)
    except TemplateDoesNotExist:
        return texts.frame(name, languages.FALLBACK, brand)


def _preview(brand: Brand, name: str, language: str, subject: str, body: str) -> preview.Shown:
    """A part is shown inside a reminder."""
    template = name
    if name in texts.PIECES:
        template, part = "reminder", body
        subject, body = texts.frame("reminder", language, brand)
        body = f"{body}\n\n{part}"
    return preview.of_text(brand=brand, template=template, language=language, subject=subject, body=body)


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else -1
