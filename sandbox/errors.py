"""Stripe's error bodies: the one place that knows types, codes, HTTP statuses and wording.

A handler raises `StripeError`; the HTTP layer turns it into `{"error": {...}}`. `executed` says whether the request had
begun to execute: only then does Stripe keep the answer for its idempotency key.
"""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]


class StripeError(Exception):
    """An answer other than 2xx. `extra` holds further keys of the error body (charge, decline_code…)."""

    def __init__(
        self,
        status: int,
        type: str,
        message: str,
        *,
        code: str | None = None,
        param: str | None = None,
        executed: bool = True,
        extra: Json | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.type = type
        self.message = message
        self.code = code
        self.param = param
        self.executed = executed
        self.extra = extra or {}

    def body(self, request_id: str, created: int) -> Json:
        """The JSON body; only the keys that apply are there, as in Stripe's."""
        error: Json = {"message": self.message, "type": self.type}
        if self.code:
            error["code"] = self.code
            error["doc_url"] = f"https://stripe.com/docs/error-codes/{self.code.replace('_', '-')}"
        if self.param:
            error["param"] = self.param
        error.update({key: value for key, value in self.extra.items() if value is not None})
        error["request_log_url"] = f"https://dashboard.stripe.com/test/logs/{request_id}?t={created}"
        return {"error": error}


def invalid(message: str, *, param: str | None = None, code: str | None = None, status: int = 400) -> StripeError:
    """A refusal after execution began: Stripe keeps it for the idempotency key (`balance_insufficient`…)."""
    return StripeError(status, "invalid_request_error", message, code=code, param=param)


def bad_parameter(message: str, *, param: str | None, code: str | None = None) -> StripeError:
    """A parameter that fails validation before execution: not kept for the idempotency key."""
    return StripeError(400, "invalid_request_error", message, code=code, param=param, executed=False)


def missing_parameter(param: str) -> StripeError:
    """A required parameter is absent."""
    return bad_parameter(f"Missing required param: {param}.", param=param, code="parameter_missing")


def unknown_parameter(param: str) -> StripeError:
    """A parameter the endpoint does not have."""
    return bad_parameter(f"Received unknown parameter: {param}", param=param, code="parameter_unknown")


def no_such(what: str, id: object, *, param: str = "id") -> StripeError:
    """The object is not there: 404 when the path names it, 400 when a parameter does."""
    return invalid(
        f"No such {what}: '{id}'", param=param, code="resource_missing", status=404 if param == "id" else 400
    )


def unrecognized_url(method: str, path: str) -> StripeError:
    """Stripe's answer to a route it does not have."""
    return StripeError(
        404,
        "invalid_request_error",
        f"Unrecognized request URL ({method}: {path}). Please see https://stripe.com/docs or we can help at "
        "https://support.stripe.com/.",
        executed=False,
    )


def card_error(
    message: str, *, code: str, decline_code: str | None = None, param: str | None = None, **extra: Any
) -> StripeError:
    """402: the card was declined. `extra` may carry charge, payment_intent, payment_method, advice_code…"""
    return StripeError(
        402, "card_error", message, code=code, param=param, extra={"decline_code": decline_code, **extra}
    )


def api_error() -> StripeError:
    """500, as Stripe words it."""
    return StripeError(
        500, "api_error", "An unknown error occurred. Please contact us at https://support.stripe.com/ for help."
    )


def rate_limited() -> StripeError:
    """429."""
    return StripeError(
        429,
        "invalid_request_error",
        "Request rate limit exceeded. Learn more about rate limits here https://stripe.com/docs/rate-limits.",
        code="rate_limit",
        executed=False,
    )
