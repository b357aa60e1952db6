"""The second factor's pages: set it up, show it, take it away. What they do stands in `billingops/second_factor.py`.

Whoever has one shows it before changing it, so that a session left open cannot exchange it; whoever has none yet gives
the password. Somebody else's is reset by those with the right to (`reset_second_factor`), never one's own that way.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import segno
from django.contrib import messages
from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.safestring import SafeString, mark_safe
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from billingops import access, second_factor, signin
from billingops.actors import Actor
from billingops.admin.people import may_manage
from billingops.admin.site import page, site
from billingops.journal import Note, note

RESET = "billingops.reset_second_factor"


def _on(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """No page where the second factor is switched off; none of these pages is kept by a browser."""

    def inner(request: HttpRequest, **kwargs: Any) -> HttpResponse:
        if not second_factor.is_on():
            raise Http404("The second factor is switched off (SECOND_FACTOR).")
        response = view(request, **kwargs)
        response["Cache-Control"] = "no-store"
        return response

    return inner


def _page(request: HttpRequest, template: str, title: str, *, status: int = 200, **context: Any) -> HttpResponse:
    shown = {**site.each_context(request), "title": title, **context}
    return TemplateResponse(request, f"admin/second_factor/{template}.html", shown, status=status).render()


def _back(name: str = "second_factor") -> HttpResponse:
    return HttpResponseRedirect(reverse(f"admin:{name}"))


def _check_verified(request: HttpRequest) -> None:
    if not second_factor.is_verified(request.user):
        second_factor.ask(request.user)
        raise PermissionDenied("Enter the code of your second factor first.")


@page("second-factor/", name="second_factor")
@require_safe
@_on
def overview(request: HttpRequest) -> HttpResponse:
    user: Any = request.user
    return _page(
        request,
        "overview",
        "Second factor",
        has_device=second_factor.has_device(user),
        is_verified=second_factor.is_verified(user),
        must="approvals.approve_suggestion" in user.get_all_permissions() and second_factor.is_required(),
        may_reset=user.has_perm(RESET),
    )


@page("second-factor/set-up/", name="second_factor_set_up")
@require_http_methods(["GET", "HEAD", "POST"])
@sensitive_post_parameters("password", "code")
@_on
def set_up(request: HttpRequest) -> HttpResponse:
    """POST `password` (or, with a device, a verified session) begins; POST `code` confirms and shows the codes once."""
    user: Any = request.user
    waiting = second_factor.waiting_device(user)
    if request.method != "POST":
        return _waiting(request, waiting) if waiting else _back()
    if "code" in request.POST:
        if not waiting:
            return _back()
        if codes := second_factor.confirm(request, request.POST["code"].replace(" ", "")):
            return _page(request, "codes", "Recovery codes", codes=codes, first=True)
        return _waiting(
            request, waiting, "That code is not right. Wait for the next one; the phone's clock must be right."
        )
    if second_factor.has_device(user):
        _check_verified(request)
    elif not _knows_password(request):
        messages.error(request, "That is not your password. Nothing was set up.")
        return _back()
    second_factor.begin(user)
    return _back("second_factor_set_up")


def _knows_password(request: HttpRequest) -> bool:
    """Guessing it here is throttled like guessing it at the door."""
    user: Any = request.user
    if signin.is_throttled(request, user.get_username()):
        return False
    if user.check_password(request.POST.get("password", "")):
        return True
    signin.failed(request, user.get_username())
    note(Note("login.failed", f"user:{user.pk}", Actor.person(user), {"door": "second factor", "known_user": True}))
    return False


def _waiting(request: HttpRequest, device: Any, error: str = "") -> HttpResponse:
    return _page(
        request,
        "set_up",
        "Set up your second factor",
        qr=_qr(device.config_url),
        secret=" ".join(second_factor.typed_key(device)),
        error=error,
        status=400 if error else 200,
    )


def _qr(text: str) -> SafeString:
    """Made here, inline: the secret leaves for no image service. Dark on white in both themes, or no phone reads it."""
    drawn = segno.make(text, error="m", micro=False)
    return mark_safe(  # noqa: S308  (segno's own SVG; the text only decides which squares are dark)
        drawn.svg_inline(
            scale=4, dark="#000", light="#fff", border=4, omitsize=False, svgclass="bo-qr", title="QR code"
        )
    )


@page("second-factor/verify/", name="second_factor_verify")
@require_http_methods(["GET", "HEAD", "POST"])
@sensitive_post_parameters("code")
@_on
def verify(request: HttpRequest) -> HttpResponse:
    """A code of the app, or a recovery code; then back to `next`."""
    given = request.POST if request.method == "POST" else request.GET
    back = second_factor.safe_next(request, given.get("next", ""))
    if not second_factor.has_device(request.user):
        messages.info(request, "You have not set up a second factor yet; here it is done.")
        return _back()
    error = ""
    if request.method == "POST" and not (error := second_factor.verify(request, given.get("code", "").strip())):
        messages.success(request, "Confirmed. You may decide now; nothing was decided so far.")
        return HttpResponseRedirect(back)
    return _page(request, "verify", "Confirm it is you", next=back, error=error, status=400 if error else 200)


@page("second-factor/codes/", name="second_factor_codes")
@require_POST
@_on
def codes(request: HttpRequest) -> HttpResponse:
    _check_verified(request)
    return _page(request, "codes", "Recovery codes", codes=second_factor.new_recovery_codes(request.user), first=False)


@page("second-factor/remove/", name="second_factor_remove")
@require_POST
@_on
def remove(request: HttpRequest) -> HttpResponse:
    _check_verified(request)
    second_factor.reset(request.user)
    messages.success(request, "Your second factor and its recovery codes are gone.")
    return _back()


# -- somebody else's ---------------------------------------------------------------------------------------------------


def _may_reset(request: HttpRequest, person: Any) -> bool:
    """Not one's own; a superuser's only by a superuser; and nobody outside of the accounts one sees."""
    user: Any = request.user
    if person.pk == user.pk or (person.is_superuser and not user.is_superuser):
        return False
    mine, theirs = access.accounts_of(user), access.accounts_of(person)
    return may_manage(user, person) or mine is None or (theirs is not None and theirs <= mine)


@page("second-factor/people/", name="second_factor_people")
@require_safe
@_on
def people(request: HttpRequest) -> HttpResponse:
    if not request.user.has_perm(RESET):  # type: ignore[union-attr]
        raise PermissionDenied
    found = [person for person in second_factor.people_with_one() if _may_reset(request, person)]
    return _page(request, "people", "Second factors of others", people=found)


@page("second-factor/people/<int:user_id>/reset/", name="second_factor_reset")
@require_POST
@_on
def reset(request: HttpRequest, user_id: int) -> HttpResponse:
    if not request.user.has_perm(RESET):  # type: ignore[union-attr]
        raise PermissionDenied
    access.check_may_act(request.user)
    person = get_object_or_404(User, pk=user_id)
    if not _may_reset(request, person):
        raise Http404
    second_factor.reset(person)
    messages.success(request, f"{person.get_username()} has no second factor any more and can set up a new one.")
    return _back("second_factor_people")
