"""What the pages of contact share: the words of a customer, and the form that begins something about one."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse

from billingops import access
from billingops.actors import Actor
from billingops.admin.base import ReadOnlyAdmin
from billingops.exceptions import BillingOpsError
from dunning.models import DunningCase

TYPED = {"autocomplete": "off", "spellcheck": "false"}


class AboutCustomer(forms.Form):
    """Whom it is about. A customer is found by a case of theirs that the person may see: nobody is guessed at."""

    customer = forms.RegexField(
        r"^cus_[A-Za-z0-9_]{1,60}$",
        label="Customer",
        help_text="As Stripe names it: cus_…",
        error_messages={"invalid": "A customer's id begins with cus_."},
        widget=forms.TextInput(attrs={**TYPED, "placeholder": "cus_…"}),
    )
    account = forms.RegexField(
        r"^acct_[A-Za-z0-9_]{1,59}$",
        label="Connected account",
        required=False,
        help_text="acct_…, empty for the platform's own customers",
        widget=forms.TextInput(attrs={**TYPED, "placeholder": "acct_…"}),
    )
    text = forms.CharField(max_length=2000, widget=forms.Textarea(attrs={"rows": 3}))

    def case_of(self, user: Any) -> DunningCase:
        """The customer's newest case. Raises ValidationError where there is none that the person may see."""
        given = self.cleaned_data
        cases = DunningCase.objects.of_customer(given["customer"], given["account"])
        found = access.scope(cases, user).order_by("-id").first()
        if found is None:
            raise forms.ValidationError(
                "There is no case of such a customer, or it belongs to an account that you have no access to."
            )
        return found


def beginning(request: HttpRequest) -> dict[str, str]:
    """What a link to the form says already: `?customer=…&account=…`."""
    return {name: request.GET[name][:64] for name in ("customer", "account") if name in request.GET}


def form_page(
    model_admin: ReadOnlyAdmin, request: HttpRequest, form: forms.Form, *, title: str, sentence: str, button: str
) -> HttpResponse:
    context = {
        **model_admin.admin_site.each_context(request),
        "title": title,
        "opts": model_admin.model._meta,
        "form": form,
        "sentence": sentence,
        "button": button,
    }
    return TemplateResponse(request, "admin/contact/begin.html", context, status=400 if form.errors else 200)


def begin(
    model_admin: ReadOnlyAdmin,
    request: HttpRequest,
    form_class: type[AboutCustomer],
    verb: Any,
    *,
    right: str,
    title: str,
    sentence: str,
    button: str,
    done: str,
) -> HttpResponse:
    """GET shows the form; POST calls `verb(cleaned data, case, actor)` → the new object, and leads to it."""
    if not request.user.has_perm(right):
        raise PermissionDenied
    if request.method not in ("GET", "HEAD", "POST"):
        raise Http404
    form = form_class(request.POST) if request.method == "POST" else form_class(initial=beginning(request))
    if request.method == "POST" and form.is_valid():
        try:
            made: Model = verb(form.cleaned_data, form.case_of(request.user), Actor.person(request.user))
        except forms.ValidationError as problem:
            form.add_error(None, problem)
        except BillingOpsError as problem:
            form.add_error(None, str(problem))
        else:
            messages.success(request, done)
            opts = made._meta
            return HttpResponseRedirect(reverse(f"admin:{opts.app_label}_{opts.model_name}_change", args=[made.pk]))
    return form_page(model_admin, request, form, title=title, sentence=sentence, button=button)
