"""What an answer, or the lack of one, from Stripe means for us. One closed table over the SDK's exceptions.

Sources: https://docs.stripe.com/error-low-level (idempotency and retries), https://docs.stripe.com/api/errors,
https://docs.stripe.com/rate-limits.
"""

from __future__ import annotations

import stripe

from billingops.exceptions import BillingOpsError


class StripeProblem(BillingOpsError):
    """Base of the three below. `request_id` is Stripe's (req_…), "" when there was no answer."""

    def __init__(self, message: str, *, code: str = "", request_id: str = "", http_status: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.request_id = request_id
        self.http_status = http_status


class Refused(StripeProblem):
    """Definite: Stripe answered and nothing happened (4xx). A repeat is a new attempt with a new key."""


class Gone(Refused):
    """Stripe no longer has the object, or we may no longer see it (404, 403 account_invalid)."""


class Ambiguous(StripeProblem):
    """The effect may or may not have happened: time-out, lost connection, 5xx, a key still in use. Look it up."""


class Throttled(StripeProblem):
    """Definite and passing: 429, nothing happened; the same call may be made again after a pause."""


def classify(error: stripe.StripeError) -> StripeProblem:
    """The SDK's exception as one of ours. The text is Stripe's own message, without personal data of a payer."""
    # The SDK hands the code to some of its classes only (not to PermissionError); the error object always has it.
    code = str(error.code or getattr(error.error, "code", None) or type(error).__name__)
    message = error.user_message or str(error) or type(error).__name__
    kind = _kind(error, code)
    if isinstance(error, stripe.CardError):
        code = getattr(error.error, "decline_code", None) or code
    return kind(message, code=code, request_id=error.request_id or "", http_status=error.http_status)


def _kind(error: stripe.StripeError, code: str) -> type[StripeProblem]:
    status = error.http_status
    if isinstance(error, stripe.CardError):
        return Refused
    if isinstance(error, stripe.RateLimitError) or status == 429:
        return Throttled
    if status is None or status >= 500 or status == 409 or isinstance(error, stripe.APIConnectionError):
        return Ambiguous
    if status == 404 or code in {"resource_missing", "account_invalid"}:
        return Gone
    return Refused
