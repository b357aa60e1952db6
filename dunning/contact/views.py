"""What is reached without a log-in: the page that stops messages, and what mail providers report."""

from __future__ import annotations

from typing import Any

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseNotAllowed
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.views.decorators.csrf import csrf_exempt

from billingops.actors import Actor
from billingops.brands.current import brand_of
from dunning.contact import preferences, providers, throttling, tokens, words
from dunning.contact.models import ContactPreference

CUSTOMER = Actor.system("customer")
MOST_WRONG = 20  # a minute, of links that we have not made, from one place
MOST_OPENED = 30  # a minute, of one link
CONTENT = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'"
STOPPED = (ContactPreference.State.UNSUBSCRIBED, ContactPreference.State.COMPLAINED)


@csrf_exempt  # the signed token is the right to do it; a one-click POST brings nothing else (RFC 8058, 3.1)
def unsubscribe(request: HttpRequest, token: str) -> HttpResponse:
    """GET says what would stop and offers a button; POST stops it, by the button or by a mail program's one click.

    A link that we have not made is 404, whatever it names: nobody learns here whether a customer exists.
    """
    if request.method not in ("GET", "HEAD", "POST"):
        return HttpResponseNotAllowed(["GET", "HEAD", "POST"])
    language = words.language(request.GET.get("l", ""), request.headers.get("Accept-Language", ""))
    about = tokens.unsign(token)
    if about is None:
        too_often = throttling.is_too_often(request, "wrong-link", most=MOST_WRONG)
        return _page(request, language, "later" if too_often else "wrong", status=429 if too_often else 404)
    if throttling.is_used_too_often(token, most=MOST_OPENED):
        return _page(request, language, "later", status=429)
    sender = brand_of(about.account).name
    if request.method == "POST":
        one_click = request.POST.get("List-Unsubscribe") == "One-Click"
        if not one_click and request.POST.get("stop") != "1":
            return _page(request, language, "ask", status=400, sender=sender)
        how = "with one click in the mail program" if one_click else "on the page behind the link in a message"
        preferences.unsubscribe(
            account=about.account, customer=about.customer, channel=about.channel, reason=how, actor=CUSTOMER
        )
        return _page(request, language, "done", sender=sender)
    known = ContactPreference.objects.filter(
        account=about.account, customer=about.customer, channel=about.channel, state__in=STOPPED
    ).exists()
    return _page(request, language, "done" if known else "ask", sender=sender)


def _page(request: HttpRequest, language: str, state: str, *, status: int = 200, sender: str = "") -> HttpResponse:
    shown = {"language": language, "state": state, "words": words.of(language, sender=sender)}
    answer = TemplateResponse(request, "contact/unsubscribe.html", shown, status=status)
    answer["Cache-Control"] = "no-store"
    answer["Referrer-Policy"] = "no-referrer"  # the link is the right to use it
    answer["X-Robots-Tag"] = "noindex, nofollow"
    answer["Content-Security-Policy"] = CONTENT
    return answer


@csrf_exempt  # a provider's signature or secret takes its place; see providers.py
def from_provider(request: HttpRequest, provider: str, purpose: str) -> HttpResponseBase:
    """One POST URL for each configured provider and purpose (tracking, inbound); for all others there is none."""
    view: Any = providers.view_of(provider, purpose)
    if view is None:
        raise Http404("No mail provider reports here.")
    answer: HttpResponseBase = view(request)
    return answer
