"""Receive: verify the signature on the raw bytes, one INSERT, answer. Nothing is decided and nothing is read here."""

from __future__ import annotations

import stripe
from django.conf import settings
from django.db import DataError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.request import RawPostDataException, UnreadablePostError
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from billingops.inbox import intake, waker


@csrf_exempt
@require_POST
def receive(request: HttpRequest) -> HttpResponse:
    """200 for an event that is stored now or was before; 4xx, with nothing written, for all else.

    The signature is checked alone, before anything is parsed (`stripe.Webhook.construct_event` also builds an object,
    a hundred times the work), against each of the secrets: while one is rotated out, two are valid.
    """
    cap = settings.INBOX_MAX_BODY_BYTES
    try:
        announced = int(request.META.get("CONTENT_LENGTH") or 0)
    except ValueError:
        return _refuse("The Content-Length header is not a number.")
    if announced > cap:
        return _refuse(f"The body is larger than {cap} bytes.", status=413)
    try:
        body = request.body
    except (UnreadablePostError, RawPostDataException):
        return _refuse("The body could not be read.")
    if len(body) > cap:
        return _refuse(f"The body is larger than {cap} bytes.", status=413)
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError:
        return _refuse("The body is not UTF-8.")
    if problem := _signature_problem(text, request.META.get("HTTP_STRIPE_SIGNATURE", "")):
        return _refuse(problem)
    try:
        event = intake.parse(text)
        inserted = intake.insert(event, text)
    except intake.NotAnEvent as error:
        return _refuse(str(error))
    except DataError:
        return _refuse("The event holds a value that cannot be stored.")
    if inserted:
        waker.poke()
    return HttpResponse(b'{"received": true}', content_type="application/json")


def _signature_problem(text: str, header: str) -> str:
    """ "" when one of the secrets signed this text just now, else what is wrong."""
    if not header:
        return "The Stripe-Signature header is missing."
    stale = False
    for secret in settings.STRIPE_WEBHOOK_SECRETS:
        try:
            stripe.WebhookSignature.verify_header(text, header, secret, settings.INBOX_SIGNATURE_TOLERANCE_SECONDS)
        except stripe.SignatureVerificationError as error:
            stale = stale or "tolerance" in str(error)
        else:
            return ""
    return "The signature's timestamp is too old." if stale else "The signature does not match."


def _refuse(problem: str, *, status: int = 400) -> HttpResponse:
    return JsonResponse({"error": problem}, status=status)
