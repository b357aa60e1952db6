"""The floor that no receiver can be faster than: check the signature, answer; no parsing, no database."""

import stripe
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

from billingops.admin.site import site


@csrf_exempt
def verify(request: HttpRequest) -> HttpResponse:
    header = request.META.get("HTTP_STRIPE_SIGNATURE", "")
    try:
        stripe.WebhookSignature.verify_header(
            request.body.decode(),
            header,
            settings.STRIPE_WEBHOOK_SECRETS[0],
            settings.INBOX_SIGNATURE_TOLERANCE_SECONDS,
        )
    except (UnicodeDecodeError, stripe.SignatureVerificationError):
        return HttpResponse(status=400)
    return HttpResponse(b'{"received": true}', content_type="application/json")


# The back office is there for our middleware, which asks where it is.
urlpatterns = [path("stripe/webhook/", verify), path("admin/", site.urls)]
